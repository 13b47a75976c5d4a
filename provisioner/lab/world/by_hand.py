"""What a person does to a VM in Hyper-V Manager or in the host's file system, and what a failing volume does to it.

Each takes the VM's name and the fault's value, is called under the lock, and raises Refused for what cannot be done.
"""

from __future__ import annotations

import copy
import dataclasses
import ntpath
from typing import TYPE_CHECKING

from provisioner.lab.descriptor import Refused
from provisioner.lab.world.hyperv.errors import CmdletError

if TYPE_CHECKING:
    from provisioner.lab.world.state import Vm
    from provisioner.lab.world.world import World


def delete_vm(world: World, name: str, files: float) -> None:
    """Turn off, Delete: the disk and the folder stay, as Hyper-V Manager leaves them. `files`: the folder is deleted too."""
    vm = _vm(world, name)
    world.hyperv.power.cut_power(vm.id)
    del world.state.host.vms[vm.id]
    world.kernel.note("vm_removed", vm.id, name=vm.name)
    world.kernel.changed("vm", vm.id)
    if files and world.storage.exists(vm.path):
        world.storage.delete(vm.path, recurse=True)


def delete_disk(world: World, name: str, _value: float) -> None:
    """Turn off, and the file of its disk is deleted; the VM stays."""
    vm = _vm(world, name)
    world.hyperv.power.cut_power(vm.id)
    for drive in vm.hard_drives:
        if world.storage.find(drive.path) is not None:
            world.storage.delete(drive.path)
    world.kernel.changed("vm", vm.id)


def copy_vm(world: World, name: str, listed_first: float) -> None:
    """Export, and Import as a copy: another id, files of its own in a folder of its own, and all else as it was, the Notes and the static MAC
    address with it. Off. Files that are not the VM's are not copied.
    """
    vm = _vm(world, name)
    made = copy.deepcopy(vm)
    made.id, made.bios_uuid = world.network.new_guid(), world.network.new_guid()
    made.created = vm.created - 1.0 if listed_first else world.kernel.now()
    made.path, made.state = f"D:\\Copies\\{vm.name}", "Off"
    world.storage.make_folder(made.path)
    for drive in made.hard_drives:
        file = world.storage.find(drive.path)
        drive.path = f"{made.path}\\{ntpath.basename(drive.path)}"
        if file is not None:
            world.storage.put(dataclasses.replace(file, path=drive.path, vhd=copy.copy(file.vhd)))
    world.state.host.vms[made.id] = made
    world.kernel.changed("vm", made.id)


def pause_vm(world: World, name: str, _value: float) -> None:
    try:
        world.hyperv.power.suspend(_vm(world, name).id)
    except CmdletError as refusal:
        raise Refused(refusal.message) from refusal


def lose_storage(world: World, name: str, _value: float) -> None:
    """The volume under a running VM fails or is full: Hyper-V pauses the VM as critical, and does not let it be started or resumed."""
    vm = _vm(world, name)
    if vm.state not in ("Running", "Paused"):
        raise Refused(f"{name} is {vm.state}: only a VM that runs can lose its storage")
    world.hyperv.power.set_state(vm.id, "PausedCritical")


def _vm(world: World, name: str) -> Vm:
    """The VM of that name; of several the one that Hyper-V lists first."""
    listed = sorted(world.state.host.vms.values(), key=lambda vm: vm.created)
    found = next((vm for vm in listed if vm.name.lower() == name.lower()), None)
    if found is None:
        raise Refused(
            f"the host has no VM {name!r}; it has {', '.join(vm.name for vm in world.state.host.vms.values())}"
        )
    return found
