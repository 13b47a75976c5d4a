"""New-VHD, Get-VHD, Resize-VHD, and the drives of a VM: hard disks, DVD drives, what is in them."""

from __future__ import annotations

import copy
import ntpath
from dataclasses import dataclass

from provisioner.lab.world.hyperv import errors as refused
from provisioner.lab.world.hyperv.errors import CmdletError
from provisioner.lab.world.hyperv.service import ManagementService, off
from provisioner.lab.world.state import DvdDrive, HardDrive, HostFile, Vhd, Vm
from provisioner.lab.world.storage import FileFault, drives_of, key

MIB = 1024**2
THIN_BYTES = 4 * MIB
"""What an empty dynamic VHDX takes on the volume."""
TABLE_BYTES = MIB
"""What a dynamic VHDX may need to rewrite its table of blocks when it grows; the disk's own size takes nothing."""
SMALLEST_BYTES, LARGEST_BYTES = 3 * MIB, 64 * 1024**4
SCSI_LOCATIONS = 64


@dataclass(frozen=True)
class VhdView:
    """A virtual disk as Get-VHD shows it."""

    path: str
    size_bytes: int
    file_bytes: int
    kind: str
    block_bytes: int
    attached: bool


class Disks:
    """Virtual disks and drives."""

    def __init__(self, service: ManagementService) -> None:
        self._service = service
        self._storage = service.storage

    # -- files

    def new_vhd(self, path: str, size_bytes: int, *, fixed: bool = False, block_bytes: int = 32 * MIB) -> VhdView:
        """New-VHD. A file in the way is refused with 0x80070050, whatever it is."""
        with self._service.reading("New-VHD"):
            if not path.lower().endswith((".vhdx", ".vhd")):
                raise refused.bad_argument("The file name extension of a virtual hard disk is .vhdx or .vhd.", path)
            if size_bytes % 4096 or not SMALLEST_BYTES <= size_bytes <= LARGEST_BYTES:
                raise refused.bad_argument("The size of the virtual hard disk is not valid.", path)
            if self._storage.exists(path):
                raise refused.vhd_exists(path)
        self._service.take("vhd", path)
        with self._service.kernel.lock:
            file = HostFile(
                path=ntpath.normpath(path),
                size_bytes=size_bytes if fixed else THIN_BYTES,
                modified=self._service.kernel.now(),
                vhd=Vhd(size_bytes=size_bytes, kind="Fixed" if fixed else "Dynamic", block_bytes=block_bytes),
            )
            try:
                if self._storage.exists(path):
                    raise refused.vhd_exists(path)
                self._storage.put(file)
            except FileFault as fault:
                raise _refuse_file(fault) from fault
            return self._vhd_view(file)

    def get_vhd(self, path: str) -> VhdView:
        with self._service.reading("Get-VHD"):
            return self._vhd_view(self._vhd_file(path))

    def resize_vhd(self, path: str, size_bytes: int) -> VhdView:
        """Resize-VHD: growth, also under a running VM; no disk here has an unallocated tail to cut off."""
        with self._service.reading("Resize-VHD"):
            vhd = self._vhd_file(path).vhd
            if vhd is None or size_bytes % 4096 or size_bytes < vhd.size_bytes or size_bytes > LARGEST_BYTES:
                raise refused.bad_argument("The size of the virtual hard disk is not valid.", path)
            if self._storage.free_bytes(path) == 0:
                raise refused.disk_full(path)  # its table of blocks grows with it
        self._service.take("vhd", path)
        with self._service.kernel.lock:
            file = self._vhd_file(path)
            assert file.vhd is not None
            more = size_bytes - file.vhd.size_bytes if file.vhd.kind == "Fixed" else TABLE_BYTES
            if self._storage.free_bytes(path) < more:
                raise refused.disk_full(path)
            if file.vhd.kind == "Fixed":
                file.size_bytes = size_bytes
            file.vhd.size_bytes = size_bytes
            self._service.kernel.changed("file", file.path)
            return self._vhd_view(file)

    def _vhd_file(self, path: str) -> HostFile:
        file = self._storage.find(path)
        if file is None:
            raise refused.no_device(f"the virtual hard disk '{path}'", path)
        if file.vhd is None:
            raise refused.bad_argument(f"'{path}' is not a virtual hard disk.", path)
        return file

    def _vhd_view(self, file: HostFile) -> VhdView:
        vhd = file.vhd
        assert vhd is not None
        attached = bool(self._storage.holders(file.path))
        return VhdView(file.path, vhd.size_bytes, file.size_bytes, vhd.kind, vhd.block_bytes, attached)

    # -- drives

    def add_hard_drive(
        self, vm_id: str, path: str, *, number: int | None = None, location: int | None = None
    ) -> HardDrive:
        """Add-VMHardDiskDrive on SCSI; its boot entry goes to the end."""

        def check(vm: Vm) -> None:
            _place_for(vm, number, location)
            self._attachable(vm, path, (".vhdx", ".vhd"))
            if any(key(drive.path) == key(path) for drive in vm.hard_drives) or self._storage.holders(path):
                raise refused.vhd_in_use(path)

        with self._service.changing("Add-VMHardDiskDrive", vm_id, "disk", check) as vm:
            drive = HardDrive(*_place_for(vm, number, location), ntpath.normpath(path))
            vm.hard_drives.append(drive)
            _append_boot_entry(vm, "disk", drive)
            return copy.copy(drive)

    def add_dvd(
        self, vm_id: str, path: str = "", *, number: int | None = None, location: int | None = None
    ) -> DvdDrive:
        """Add-VMDvdDrive: the next free SCSI location; works while the VM runs. Its boot entry goes to the end."""

        def check(vm: Vm) -> None:
            if vm.generation == 1:
                off(vm)
            _place_for(vm, number, location)
            self._attachable(vm, path, (".iso",))

        with self._service.changing("Add-VMDvdDrive", vm_id, "dvd", check) as vm:
            drive = DvdDrive(*_place_for(vm, number, location), ntpath.normpath(path) if path else "")
            vm.dvd_drives.append(drive)
            _append_boot_entry(vm, "dvd", drive)
            return copy.copy(drive)

    def set_dvd(
        self, vm_id: str, path: str, *, number: int | None = None, location: int | None = None
    ) -> list[DvdDrive]:
        """Set-VMDvdDrive -Path: another medium, or none when empty; while running too. Without numbers, in every drive."""

        def chosen(vm: Vm) -> list[DvdDrive]:
            return [
                drive
                for drive in vm.dvd_drives
                if number in (None, drive.controller_number) and location in (None, drive.controller_location)
            ]

        def check(vm: Vm) -> None:
            if not chosen(vm):
                raise refused.no_device(f"the DVD drive of '{vm.name}'", vm.name)
            self._attachable(vm, path, (".iso",))

        with self._service.changing("Set-VMDvdDrive", vm_id, "dvd", check) as vm:
            for drive in chosen(vm):
                drive.path = ntpath.normpath(path) if path else ""
            return [copy.copy(drive) for drive in chosen(vm)]

    # -- rules

    def _attachable(self, vm: Vm, path: str, endings: tuple[str, ...]) -> None:
        if not path:
            return
        if path.startswith("\\\\"):
            raise refused.access_denied(path, vm=vm.name)  # no delegation to a file server
        if not path.lower().endswith(endings):
            raise refused.bad_argument(f"'{path}' cannot be attached here.", path)
        if self._storage.find(path) is None:
            raise refused.attachment_missing(path, vm=vm.name)


def _place_for(vm: Vm, number: int | None, location: int | None) -> tuple[int, int]:
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
    known = {"no-space": refused.disk_full, "in-use": refused.vhd_in_use, "exists": refused.vhd_exists}
    return known.get(fault.kind, refused.vhd_folder_missing)(fault.path)


def _append_boot_entry(vm: Vm, kind: str, drive: HardDrive | DvdDrive) -> None:
    if vm.generation != 1:
        vm.boot_order.append(f"{kind}:{drive.controller_number}:{drive.controller_location}")
