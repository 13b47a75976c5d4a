"""New-VM, Get-VM, Set-VM, Remove-VM, Rename-VM: what a VM is and what it starts from."""

from __future__ import annotations

import ntpath
from typing import TypedDict, Unpack

from provisioner.lab.world.hyperv import errors as refused
from provisioner.lab.world.hyperv.service import DYNAMIC_MAC, ManagementService, VmView, off
from provisioner.lab.world.state import STOPPED, DvdDrive, Vm, VmNic
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

    def __init__(self, service: ManagementService) -> None:
        self._service = service

    def get_vms(self) -> list[VmView]:
        """Get-VM: by name, then by age."""
        with self._service.reading("Get-VM"):
            found = sorted(self._service.host.vms.values(), key=lambda vm: (vm.name.lower(), vm.created))
            return [self._service.view(vm) for vm in found]

    def get_vm(self, vm_id: str) -> VmView:
        """Get-VM -Id. An id that fits nothing is not found."""
        with self._service.reading("Get-VM"):
            return self._service.view(self._service.vm(vm_id))

    def new_vm(
        self,
        name: str,
        *,
        generation: int = 1,
        memory_bytes: int = 512 * MIB,
        path: str = "",
        switch_name: str = "",
    ) -> VmView:
        r"""New-VM -NoVHD. Generation 1 unless said otherwise; a second VM of the same name is made without a word.

        With `-Path X` the configuration lies under `X\<Name>`.
        """
        service = self._service
        with service.reading("New-VM"):
            switch = service.switch_named(switch_name) if switch_name else None
            folder = self.folder_of(name, path)
        service.take("new-vm", name)
        with service.reading("New-VM"):
            self.make_folder_of(ntpath.join(folder, name))
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
                dvd_drives=[DvdDrive(1, 0)] if generation == 1 else [],
                disabled_services=["Guest Service Interface"],
            )
            service.put_nic(vm, VmNic("Network Adapter", DYNAMIC_MAC, switch_id=switch.id if switch else ""))
            service.host.vms[vm.id] = vm
            service.kernel.note("vm_new", vm.id, name=name)
            service.changed(vm)
            return service.view(vm)

    def folder_of(self, name: str, path: str) -> str:
        """Where the configuration of a new VM lies. Raises CmdletError for a volume that is not there."""
        folder = ntpath.join(path, name) if path else self._service.host.vm_folder
        if not self._service.storage.has_volume(folder):
            raise refused.path_missing(folder, what="configuration store")
        return folder

    def make_folder_of(self, path: str) -> None:
        """New-VM makes the folders it needs; those of its parts refuse a missing one."""
        try:
            self._service.storage.make_folder(ntpath.dirname(path))
        except FileFault as fault:
            raise refused.path_missing(ntpath.dirname(path), what="configuration store") from fault

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
