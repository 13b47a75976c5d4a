"""New-VM, Get-VM, Set-VM, Remove-VM, Rename-VM: what a VM is and what it starts from (facts/hyperv.md, 5.1 and 5.2)."""

from __future__ import annotations

import ntpath
from typing import TypedDict, Unpack

from provisioner.lab.world import hyperv_errors as refused
from provisioner.lab.world.hyperv_disks import Disks
from provisioner.lab.world.state import DvdDrive, HardDrive, Vm, VmNic
from provisioner.lab.world.storage import FileFault
from provisioner.lab.world.vmms import VmView, is_pattern, matches

MIB = 1024**2
DYNAMIC_MAC = "000000000000"
"""What a dynamic MAC reads as until the first start (fact 24)."""


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


class Machines(Disks):
    """VMs as definitions."""

    def get_vms(self, name: str | None = None, vm_id: str | None = None) -> list[VmView]:
        """Get-VM. A name may be a pattern; one without wildcards that fits nothing is a bad argument, an id that fits nothing is not found."""
        with self.kernel.lock:
            self._guard("Get-VM")
            if vm_id is not None:
                return [self._view(self._vm(vm_id))]
            found = [vm for vm in self.host.vms.values() if name is None or matches(name, vm.name)]
            if name is not None and not found and not is_pattern(name):
                raise refused.no_vm_of_name(name)
            return [self._view(vm) for vm in sorted(found, key=lambda vm: (vm.name.lower(), vm.created))]

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
        with self.kernel.lock:
            self._guard("New-VM")
            if generation not in (1, 2):
                raise refused.bad_argument("The generation of a virtual machine is 1 or 2.", str(generation))
            switch = self._switch_named(switch_name) if switch_name else None
            if boot_device and boot_device not in _boot_devices(generation):
                raise refused.bad_argument(f"BootDevice {boot_device} is not valid for this generation.", boot_device)
            folder = ntpath.join(path, name) if path else self.host.vm_folder
            if not self.storage.has_volume(folder):
                raise refused.path_missing(folder, "configuration store")
        self._take("new-vm", name)
        if new_vhd_path:
            if not ntpath.isabs(new_vhd_path):
                base = ntpath.join(folder, "Virtual Hard Disks") if path else self.host.disk_folder
                new_vhd_path = ntpath.join(base, new_vhd_path)
            if generation == 2 and not new_vhd_path.lower().endswith(".vhdx"):
                raise refused.bad_argument("A Generation 2 virtual machine needs a .vhdx file.", new_vhd_path)
            self._folder_for(new_vhd_path)
            self.new_vhd(new_vhd_path, new_vhd_bytes)
        disk = new_vhd_path or vhd_path
        with self.kernel.lock:
            self._guard("New-VM")
            if vhd_path and self.storage.find(vhd_path) is None:
                raise refused.attachment_missing(name, vhd_path)
            self._folder_for(ntpath.join(folder, name))
            vm = Vm(
                id=self.network.new_guid(),
                name=name,
                generation=generation,
                created=self.kernel.now(),
                path=ntpath.normpath(folder),
                memory_bytes=memory_bytes,
                dynamic_memory=not self.host.is_server,  # seen on client Windows (fact 17)
                automatic_checkpoints=self.host.client_checkpoints,
                bios_uuid=self.network.new_guid(),
                secure_boot=generation == 2,
                nics=[VmNic(name="Network Adapter", mac=DYNAMIC_MAC, switch_id=switch.id if switch else "")],
                disabled_services=["Guest Service Interface"],
            )
            if disk:
                vm.hard_drives.append(HardDrive(0, 0, ntpath.normpath(disk)))
            if generation == 1:
                vm.dvd_drives.append(DvdDrive(1, 0))
            elif boot_device == "CD":
                vm.dvd_drives.append(DvdDrive(0, 1 if disk else 0))
            vm.boot_order = _first_boot_order(vm, boot_device, existing_disk=bool(vhd_path))
            self.host.vms[vm.id] = vm
            self.kernel.note("vm_new", vm.id, name=name)
            self._changed(vm)
            return self._view(vm)

    def set_vm(self, vm_id: str, **settings: Unpack[VmSettings]) -> VmView:
        """Set-VM, Set-VMProcessor, Set-VMMemory, Rename-VM. Processors and memory only while Off."""
        with self.kernel.lock:
            self._guard("Set-VM")
            vm = self._vm(vm_id)
            if _OFF_ONLY & settings.keys():
                self._off(vm)
            if not 1 <= settings.get("cpus", 1) <= self.host.processors:
                raise refused.bad_argument("The number of virtual processors is out of range.", str(settings["cpus"]))
            memory = settings.get("memory_bytes", 512 * MIB)
            if memory < 32 * MIB or memory % (2 * MIB):
                raise refused.bad_argument("The memory amount is not valid: at least 32 MB, in steps of 2 MB.", vm.name)
        self._take("set-vm", vm_id)
        with self.kernel.lock:
            self._guard("Set-VM")
            vm = self._vm(vm_id)
            for field, value in settings.items():
                setattr(vm, field, value)
            self._changed(vm)
            return self._view(vm)

    def remove_vm(self, vm_id: str) -> VmView:
        """Remove-VM: Off or Saved only. Its disks and folder stay (fact 19)."""
        with self.kernel.lock:
            self._guard("Remove-VM")
            if self._vm(vm_id).state not in ("Off", "Saved"):
                raise refused.wrong_state(self._vm(vm_id).name)
        self._take("remove-vm", vm_id)
        with self.kernel.lock:
            self._guard("Remove-VM")
            vm = self._vm(vm_id)
            if vm.state not in ("Off", "Saved"):
                raise refused.wrong_state(vm.name)
            view = self._view(vm)
            del self.host.vms[vm.id]
            held = self.kernel.injected("file-locked", vm.name)
            if held is not None:
                for drive in vm.hard_drives:
                    file = self.storage.find(drive.path)
                    if file is not None:
                        file.locked_until = self.kernel.now() + held
            self.kernel.note("vm_removed", vm.id, name=vm.name)
            self._changed(vm)
            return view

    def _folder_for(self, path: str) -> None:
        """New-VM makes the folders it needs; those of its parts refuse a missing one."""
        try:
            self.storage.make_folder(ntpath.dirname(path))
        except FileFault as fault:
            raise refused.path_missing(ntpath.dirname(path), "configuration store") from fault


def _boot_devices(generation: int) -> set[str]:
    common = {"CD", "VHD", "NetworkAdapter"}
    return common if generation == 2 else common | {"Floppy", "IDE", "LegacyNetworkAdapter"}


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
