"""What somebody does to a VM in Hyper-V Manager or in the host's file system, and what a failing volume does to it. Called under the lock."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from provisioner.lab.world.hyperv.errors import CmdletError

if TYPE_CHECKING:
    from provisioner.lab.world.state import Vm
    from provisioner.lab.world.world import World


class NoSuchVmError(ValueError):
    """No VM of that name, or not in a state in which this can be done."""


def delete_vm(world: World, name: str, *, files: bool) -> None:
    """Turn off, Delete: the disk and the folder stay, as Hyper-V Manager leaves them. `files`: the folder is deleted too."""
    vm = _vm(world, name)
    world.hyperv.power.cut_power(vm.id)
    del world.state.host.vms[vm.id]
    world.kernel.note("vm_removed", vm.id, name=vm.name)
    world.kernel.changed("vm", vm.id)
    if files and world.storage.exists(vm.path):
        world.storage.delete(vm.path, recurse=True)


def delete_disk(world: World, name: str) -> None:
    """Turn off, and the file of its disk is deleted; the VM stays."""
    vm = _vm(world, name)
    world.hyperv.power.cut_power(vm.id)
    for drive in vm.hard_drives:
        if world.storage.find(drive.path) is not None:
            world.storage.delete(drive.path)
    world.kernel.changed("vm", vm.id)


def copy_vm(world: World, name: str, *, listed_first: bool) -> None:
    """Export, and Import as a copy: another id, files of its own in a folder of its own, and all else as it was, the Notes and the static MAC
    address with it. Off. Files that are not the VM's are not copied.
    """
    vm, host = _vm(world, name), world.state.host
    copy = dataclasses.replace(
        vm,
        id=world.network.new_guid(),
        bios_uuid=world.network.new_guid(),
        created=vm.created - 1.0 if listed_first else world.kernel.now(),
        path=f"D:\\Copies\\{vm.name}",
        state="Off",
        hard_drives=[dataclasses.replace(drive) for drive in vm.hard_drives],
        dvd_drives=[dataclasses.replace(drive) for drive in vm.dvd_drives],
        nics=[dataclasses.replace(nic) for nic in vm.nics],
        boot_order=list(vm.boot_order),
        disabled_services=list(vm.disabled_services),
    )
    world.storage.make_folder(copy.path)
    for drive in copy.hard_drives:
        file = world.storage.find(drive.path)
        drive.path = f"{copy.path}\\{drive.path.rpartition(chr(92))[2]}"
        if file is not None:
            world.storage.put(
                dataclasses.replace(file, path=drive.path, vhd=dataclasses.replace(file.vhd) if file.vhd else None)
            )
    host.vms[copy.id] = copy
    world.kernel.changed("vm", copy.id)


def pause_vm(world: World, name: str) -> None:
    vm = _vm(world, name)
    try:
        world.hyperv.power.suspend(vm.id)
    except CmdletError as refusal:
        raise NoSuchVmError(refusal.message) from refusal


def lose_storage(world: World, name: str) -> None:
    """The volume under a running VM fails or is full: Hyper-V pauses the VM as critical, and does not let it be started or resumed."""
    vm = _vm(world, name)
    if vm.state not in ("Running", "Paused"):
        raise NoSuchVmError(f"{name} is {vm.state}: only a VM that runs can lose its storage")
    world.hyperv.power.set_state(vm.id, "PausedCritical")


def _vm(world: World, name: str) -> Vm:
    """The VM of that name; of several the one that Hyper-V lists first."""
    listed = sorted(world.state.host.vms.values(), key=lambda vm: vm.created)
    found = next((vm for vm in listed if vm.name.lower() == name.lower()), None)
    if found is None:
        names = ", ".join(vm.name for vm in world.state.host.vms.values())
        raise NoSuchVmError(f"the host has no VM {name!r}; it has {names}")
    return found
