"""New-VM, Get-VM, Set-VM, Remove-VM, Rename-VM: what a VM is and what it starts from."""

from __future__ import annotations

import ntpath
from typing import TypedDict, Unpack

from provisioner.lab.world.hyperv import errors as refused
from provisioner.lab.world.hyperv.disks import Disks
from provisioner.lab.world.hyperv.service import DYNAMIC_MAC, ManagementService, VmView, named, off
from provisioner.lab.world.state import STOPPED, DvdDrive, HardDrive, Vm, VmNic
from provisioner.lab.world.storage import FileFault

MIB = 1024**2


class VmSettings(TypedDict, total=False):
    """What Set-VM changes; names are those of `Vm`."""

    cpus: int
    memory_bytes: int
    dynamic_memory: bool
    start_action: str
    start_delay_s: int
    stop_action: str
    checkpoint_type: str
    automatic_checkpoints: bool
    notes: str
    name: str


_OFF_ONLY = {"cpus", "memory_bytes", "dynamic_memory"}


class Vms:
    """VMs as definitions."""

    def __init__(self, service: ManagementService, disks: Disks) -> None:
        self._service = service
        self._disks = disks

    def get_vms(self, name: str | None = None, vm_id: str | None = None) -> list[VmView]:
        """Get-VM. A name may be a pattern; one without wildcards that fits nothing is a bad argument, an id that fits nothing is not found."""
        with self._service.reading("Get-VM"):
            if vm_id is not None:
                return [self._service.view(self._service.vm(vm_id))]
            found = named(self._service.host.vms.values(), name, refused.no_vm_of_name)
            return [self._service.view(vm) for vm in sorted(found, key=lambda vm: (vm.name.lower(), vm.created))]

    def get_vm(self, vm_id: str) -> VmView:
        return self.get_vms(vm_id=vm_id)[0]

    def new_vm(
        self,
        name: str,
        *,
        generation: int = 1,
        memory_bytes: int = 512 * MIB,
        path: str = "",
        switch_name: str = "",
        boot_device: str = "",
        new_vhd_path: str = "",
        new_vhd_bytes: int = 0,
        vhd_path: str = "",
    ) -> VmView:
        r"""New-VM. Generation 1 unless said otherwise; a second VM of the same name is made without a word.

        With `-Path X` the configuration lies under `X\<Name>`. What was made is taken back if a later part fails.
        """
        service = self._service
        with service.reading("New-VM"):
            if generation not in (1, 2):
                raise refused.bad_argument("The generation of a virtual machine is 1 or 2.", str(generation))
            switch = service.switch_named(switch_name) if switch_name else None
            if boot_device and boot_device not in _boot_devices(generation):
                raise refused.bad_argument(f"BootDevice {boot_device} is not valid for this generation.", boot_device)
            folder = ntpath.join(path, name) if path else service.host.vm_folder
            if not service.storage.has_volume(folder):
                raise refused.path_missing(folder, what="configuration store")
        service.take("new-vm", name)
        if new_vhd_path:
            base = ntpath.join(folder, "Virtual Hard Disks") if path else service.host.disk_folder
            new_vhd_path = ntpath.join(base, new_vhd_path)
            if generation == 2 and not new_vhd_path.lower().endswith(".vhdx"):
                raise refused.bad_argument("A Generation 2 virtual machine needs a .vhdx file.", new_vhd_path)
            self._folder_for(new_vhd_path)
            self._disks.new_vhd(new_vhd_path, new_vhd_bytes)
        with service.reading("New-VM"):
            if vhd_path and service.storage.find(vhd_path) is None:
                raise refused.attachment_missing(vhd_path, vm=name)
            self._folder_for(ntpath.join(folder, name))
            vm = Vm(
                id=service.network.new_guid(),
                name=name,
                generation=generation,
                created=service.kernel.now(),
                path=ntpath.normpath(folder),
                memory_bytes=memory_bytes,
                dynamic_memory=not service.host.is_server,  # seen on client Windows
                automatic_checkpoints=service.host.client_checkpoints,
                bios_uuid=service.network.new_guid(),
                secure_boot=generation == 2,
                nics=[VmNic(name="Network Adapter", mac=DYNAMIC_MAC, switch_id=switch.id if switch else "")],
                disabled_services=["Guest Service Interface"],
            )
            _add_first_drives(vm, new_vhd_path or vhd_path, with_dvd=boot_device == "CD")
            vm.boot_order = _first_boot_order(vm, boot_device, existing_disk=bool(vhd_path))
            service.host.vms[vm.id] = vm
            service.kernel.note("vm_new", vm.id, name=name)
            service.changed(vm)
            return service.view(vm)

    def set_vm(self, vm_id: str, **settings: Unpack[VmSettings]) -> VmView:
        """Set-VM, Set-VMProcessor, Set-VMMemory, Rename-VM. Processors and memory only while Off."""

        def check(vm: Vm) -> None:
            if _OFF_ONLY & settings.keys():
                off(vm)
            if not 1 <= settings.get("cpus", 1) <= self._service.host.processors:
                raise refused.bad_argument("The number of virtual processors is out of range.", str(settings["cpus"]))
            memory = settings.get("memory_bytes", 512 * MIB)
            if memory < 32 * MIB or memory % (2 * MIB):
                raise refused.bad_argument("The memory amount is not valid: at least 32 MB, in steps of 2 MB.", vm.name)

        with self._service.changing("Set-VM", vm_id, "set-vm", check) as vm:
            for field, value in settings.items():
                setattr(vm, field, value)
            return self._service.view(vm)

    def remove_vm(self, vm_id: str) -> VmView:
        """Remove-VM: Off or Saved only. Its disks and folder stay."""

        def check(vm: Vm) -> None:
            if vm.state not in STOPPED:
                raise refused.wrong_state(vm.name)

        service = self._service
        with service.changing("Remove-VM", vm_id, "remove-vm", check) as vm:
            view = service.view(vm)
            del service.host.vms[vm.id]
            held = service.kernel.injected("file-locked", vm.name)
            if held is not None:
                service.storage.lock_disks(vm, held)
            service.kernel.note("vm_removed", vm.id, name=vm.name)
            return view

    def _folder_for(self, path: str) -> None:
        """New-VM makes the folders it needs; those of its parts refuse a missing one."""
        try:
            self._service.storage.make_folder(ntpath.dirname(path))
        except FileFault as fault:
            raise refused.path_missing(ntpath.dirname(path), what="configuration store") from fault


def _boot_devices(generation: int) -> set[str]:
    common = {"CD", "VHD", "NetworkAdapter"}
    return common if generation == 2 else common | {"Floppy", "IDE", "LegacyNetworkAdapter"}


def _add_first_drives(vm: Vm, disk: str, *, with_dvd: bool) -> None:
    if disk:
        vm.hard_drives.append(HardDrive(0, 0, ntpath.normpath(disk)))
    if vm.generation == 1:
        vm.dvd_drives.append(DvdDrive(1, 0))
    elif with_dvd:
        vm.dvd_drives.append(DvdDrive(0, 1 if disk else 0))


def _first_boot_order(vm: Vm, boot_device: str, *, existing_disk: bool) -> list[str]:
    """What Get-VMFirmware reads back right after New-VM: the network first unless something else was asked for."""
    if vm.generation == 1:
        return []
    disks = [f"disk:{drive.controller_number}:{drive.controller_location}" for drive in vm.hard_drives]
    dvds = [f"dvd:{drive.controller_number}:{drive.controller_location}" for drive in vm.dvd_drives]
    if boot_device == "CD":
        return [*dvds, "network:0", *disks]
    if boot_device == "VHD" or (existing_disk and not boot_device):
        return [*disks, "network:0", *dvds]
    return ["network:0", *disks, *dvds]
