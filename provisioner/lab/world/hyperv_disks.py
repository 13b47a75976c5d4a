"""New-VHD, Get-VHD, Resize-VHD, and the drives of a VM: hard disks, DVD drives, what is in them (facts/hyperv.md, 5.4 and 5.5)."""

from __future__ import annotations

import ntpath
from dataclasses import dataclass
from typing import TypeVar

from provisioner.lab.world import hyperv_errors as refused
from provisioner.lab.world.hyperv_errors import CmdletError
from provisioner.lab.world.state import DvdDrive, HardDrive, HostFile, Vhd, Vm
from provisioner.lab.world.storage import FileFault, drives_of, key
from provisioner.lab.world.vmms import Vmms

MIB = 1024**2
THIN_BYTES = 4 * MIB
"""What an empty dynamic VHDX takes on the volume."""
TABLE_BYTES = MIB
"""What a dynamic VHDX may need to write its table of blocks anew when it grows; the disk's own size takes nothing."""
SMALLEST_BYTES, LARGEST_BYTES = 3 * MIB, 64 * 1024**4
SCSI_LOCATIONS = 64

_Drive = TypeVar("_Drive", HardDrive, DvdDrive)


@dataclass(frozen=True)
class VhdView:
    """A virtual disk as Get-VHD shows it."""

    path: str
    size_bytes: int
    file_bytes: int
    kind: str
    block_bytes: int
    attached: bool


class Disks(Vmms):
    """Virtual disks and drives."""

    # -- files

    def new_vhd(self, path: str, size_bytes: int, *, fixed: bool = False, block_bytes: int = 32 * MIB) -> VhdView:
        """New-VHD. A file in the way is refused with 0x80070050, whatever it is (fact 28)."""
        with self.kernel.lock:
            self._guard("New-VHD")
            if not path.lower().endswith((".vhdx", ".vhd")):
                raise refused.bad_argument("The file name extension of a virtual hard disk is .vhdx or .vhd.", path)
            if size_bytes % 4096 or not SMALLEST_BYTES <= size_bytes <= LARGEST_BYTES:
                raise refused.bad_argument("The size of the virtual hard disk is not valid.", path)
            if self.storage.exists(path):
                raise refused.vhd_exists(path)
        self._take("vhd", path)
        with self.kernel.lock:
            file = HostFile(
                path=ntpath.normpath(path),
                size_bytes=size_bytes if fixed else THIN_BYTES,
                modified=self.kernel.now(),
                vhd=Vhd(size_bytes=size_bytes, kind="Fixed" if fixed else "Dynamic", block_bytes=block_bytes),
            )
            try:
                if self.storage.exists(path):
                    raise refused.vhd_exists(path)
                self.storage.put(file)
            except FileFault as fault:
                raise _refuse_file(fault) from fault
            return self._vhd_view(file)

    def get_vhd(self, path: str) -> VhdView:
        with self.kernel.lock:
            self._guard("Get-VHD")
            return self._vhd_view(self._vhd_file(path))

    def resize_vhd(self, path: str, size_bytes: int) -> VhdView:
        """Resize-VHD: growth, also under a running VM; no disk here has an unallocated tail to cut off."""
        with self.kernel.lock:
            self._guard("Resize-VHD")
            file = self._vhd_file(path)
            assert file.vhd is not None
            if size_bytes % 4096 or size_bytes < file.vhd.size_bytes or size_bytes > LARGEST_BYTES:
                raise refused.bad_argument("The size of the virtual hard disk is not valid.", path)
            if self.storage.free_bytes(path) == 0:
                raise refused.disk_full(path)  # its table of blocks grows with it
        self._take("vhd", path)
        with self.kernel.lock:
            file = self._vhd_file(path)
            assert file.vhd is not None
            more = size_bytes - file.vhd.size_bytes if file.vhd.kind == "Fixed" else TABLE_BYTES
            if self.storage.free_bytes(path) < more:
                raise refused.disk_full(path)
            if file.vhd.kind == "Fixed":
                file.size_bytes = size_bytes
            file.vhd.size_bytes = size_bytes
            self.kernel.changed("file", file.path)
            return self._vhd_view(file)

    def _vhd_file(self, path: str) -> HostFile:
        file = self.storage.find(path)
        if file is None:
            raise refused.no_device(f"the virtual hard disk '{path}'", path)
        if file.vhd is None:
            raise refused.bad_argument(f"'{path}' is not a virtual hard disk.", path)
        return file

    def _vhd_view(self, file: HostFile) -> VhdView:
        vhd = file.vhd
        assert vhd is not None
        attached = bool(self.storage.holders(file.path))
        return VhdView(file.path, vhd.size_bytes, file.size_bytes, vhd.kind, vhd.block_bytes, attached)

    # -- hard disk drives

    def add_hard_drive(
        self, vm_id: str, path: str, *, number: int | None = None, location: int | None = None
    ) -> HardDrive:
        """Add-VMHardDiskDrive on SCSI; its boot entry goes to the end."""
        with self.kernel.lock:
            self._guard("Add-VMHardDiskDrive")
            vm = self._vm(vm_id)
            where = self._place_for(vm, number, location)
            self._attachable(vm, path, (".vhdx", ".vhd"))
            if any(key(drive.path) == key(path) for drive in vm.hard_drives) or self.storage.holders(path):
                raise refused.vhd_in_use(path)
        self._take("disk", vm_id)
        with self.kernel.lock:
            vm = self._vm(vm_id)
            drive = HardDrive(*where, ntpath.normpath(path))
            vm.hard_drives.append(drive)
            _append_boot_entry(vm, f"disk:{where[0]}:{where[1]}")
            self._changed(vm)
            return HardDrive(*where, drive.path)

    def remove_hard_drive(self, vm_id: str, number: int, location: int) -> None:
        """Remove-VMHardDiskDrive: the file stays."""
        with self.kernel.lock:
            self._guard("Remove-VMHardDiskDrive")
            vm = self._vm(vm_id)
            drive = _at(vm.hard_drives, number, location)
            vm.hard_drives.remove(drive)
            _drop_boot_entry(vm, f"disk:{number}:{location}")
            self._changed(vm)

    # -- DVD drives

    def add_dvd(
        self, vm_id: str, path: str = "", *, number: int | None = None, location: int | None = None
    ) -> DvdDrive:
        """Add-VMDvdDrive: the next free SCSI location; works while the VM runs. Its boot entry goes to the end."""
        with self.kernel.lock:
            self._guard("Add-VMDvdDrive")
            vm = self._vm(vm_id)
            if vm.generation == 1:
                self._off(vm)
            where = self._place_for(vm, number, location)
            self._attachable(vm, path, (".iso",))
        self._take("dvd", vm_id)
        with self.kernel.lock:
            vm = self._vm(vm_id)
            drive = DvdDrive(*where, ntpath.normpath(path) if path else "")
            vm.dvd_drives.append(drive)
            _append_boot_entry(vm, f"dvd:{where[0]}:{where[1]}")
            self._changed(vm)
            return DvdDrive(*where, drive.path)

    def set_dvd(
        self, vm_id: str, path: str, *, number: int | None = None, location: int | None = None
    ) -> list[DvdDrive]:
        """Set-VMDvdDrive -Path: another medium, or none when empty; while running too. Without numbers, in every drive (fact 10)."""
        with self.kernel.lock:
            self._guard("Set-VMDvdDrive")
            vm = self._vm(vm_id)
            if not _chosen(vm, number, location):
                raise refused.no_device(f"the DVD drive of '{vm.name}'", vm.name)
            self._attachable(vm, path, (".iso",))
        self._take("dvd", vm_id)
        with self.kernel.lock:
            vm = self._vm(vm_id)
            chosen = _chosen(vm, number, location)
            for drive in chosen:
                drive.path = ntpath.normpath(path) if path else ""
            self._changed(vm)
            return [DvdDrive(d.controller_number, d.controller_location, d.path) for d in chosen]

    def remove_dvd(self, vm_id: str, number: int, location: int) -> None:
        with self.kernel.lock:
            self._guard("Remove-VMDvdDrive")
            vm = self._vm(vm_id)
            vm.dvd_drives.remove(_at(vm.dvd_drives, number, location))
            _drop_boot_entry(vm, f"dvd:{number}:{location}")
            self._changed(vm)

    # -- rules

    def _attachable(self, vm: Vm, path: str, endings: tuple[str, ...]) -> None:
        if not path:
            return
        if path.startswith("\\\\"):
            raise refused.access_denied(vm.name, path)  # no delegation to a file server (fact 37)
        if not path.lower().endswith(endings):
            raise refused.bad_argument(f"'{path}' cannot be attached here.", path)
        if self.storage.find(path) is None:
            raise refused.attachment_missing(vm.name, path)

    def _place_for(self, vm: Vm, number: int | None, location: int | None) -> tuple[int, int]:
        """The location asked for, or the next free one of the controller."""
        taken = {(d.controller_number, d.controller_location) for d in drives_of(vm)}
        controller = 0 if number is None else number
        if location is not None:
            if (controller, location) in taken:
                raise refused.bad_argument("A drive is attached at that location already.", vm.name)
            return controller, location
        free = next((place for place in range(SCSI_LOCATIONS) if (controller, place) not in taken), None)
        if free is None:
            raise refused.bad_argument("The controller has no free location.", vm.name)
        return controller, free


def _refuse_file(fault: FileFault) -> CmdletError:
    if fault.kind == "no-space":
        return refused.disk_full(fault.path)
    if fault.kind == "in-use":
        return refused.vhd_in_use(fault.path)
    if fault.kind == "exists":
        return refused.vhd_exists(fault.path)
    return refused.vhd_folder_missing(fault.path)


def _chosen(vm: Vm, number: int | None, location: int | None) -> list[DvdDrive]:
    """The DVD drives that the numbers given fit; all without numbers."""
    return [
        drive
        for drive in vm.dvd_drives
        if number in (None, drive.controller_number) and location in (None, drive.controller_location)
    ]


def _at(drives: list[_Drive], number: int, location: int) -> _Drive:
    for drive in drives:
        if (drive.controller_number, drive.controller_location) == (number, location):
            return drive
    raise refused.no_device("a drive at that location", f"{number}:{location}")


def _append_boot_entry(vm: Vm, entry: str) -> None:
    if vm.generation != 1:
        vm.boot_order.append(entry)


def _drop_boot_entry(vm: Vm, entry: str) -> None:
    vm.boot_order[:] = [other for other in vm.boot_order if other != entry]
