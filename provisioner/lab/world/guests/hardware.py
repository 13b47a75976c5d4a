"""What Talos finds itself on: a VM of the host, or a third-party machine in the same LAN."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import Any

from provisioner.lab.world.guests import scalars
from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.interfaces import PowerSwitch
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import DvdDrive, ForeignMachine, HardDrive, HostFile, InstalledSystem, Vhd, Vm, VmNic
from provisioner.lab.world.storage import FileFault, Storage, drives_of

GIB = 1024**3
MODEL = "Virtual Disk"
_COMPARED = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
    "": operator.eq,
    "==": operator.eq,
}


@dataclass(frozen=True)
class Disk:
    """A disk as Linux names it."""

    device: str
    """`sda`"""
    bus_path: str
    vhd: Vhd


@dataclass(frozen=True)
class BootOption:
    """One entry of the firmware's list, and what lies behind it now."""

    entry: str
    kind: str
    """`disk`, `dvd`, `network` or `file` (an entry that an installed system wrote)."""
    medium: str = ""
    """`iso` or `talos` when something bootable is there, `other` for a system that is not Talos, else empty."""
    version: str = ""


def installed(hardware: Hardware) -> InstalledSystem | None:
    """Talos on one of the disks, or None. Talos itself looks for a META volume on any disk."""
    return next((disk.vhd.system for disk in hardware.disks() if disk.vhd.system is not None), None)


class Hardware:
    """A VM of the lab's host, as a live view: a medium that is ejected is gone at the next look."""

    manufacturer = "Microsoft Corporation"
    product = "Virtual Machine"
    fixed_address = ""
    """An address that the router always gives to this machine, or empty."""
    bus_path = "/vmbus/scsi{0.controller_number}/{0.controller_location}"

    def __init__(self, kernel: Kernel, power: PowerSwitch, vm: Vm) -> None:
        self._kernel = kernel
        self._power = power
        self._vm = vm
        self.owner = vm.id
        """VM id, or `foreign:<name>`."""
        self.name = vm.name

    @property
    def mac(self) -> str:
        """12 upper-case hex digits."""
        return self._vm.nics[0].mac if self._vm.nics else ""

    @property
    def uuid(self) -> str:
        """Lower case, as Talos prints it."""
        return self._vm.bios_uuid.strip("{}").lower()

    @property
    def cpus(self) -> int:
        return self._vm.cpus

    @property
    def memory_bytes(self) -> int:
        return self._vm.memory_bytes

    @property
    def secure_boot(self) -> bool:
        return self._vm.generation == 2 and self._vm.secure_boot

    def disks(self) -> list[Disk]:
        drives = sorted(self._vm.hard_drives, key=lambda drive: (drive.controller_number, drive.controller_location))
        found = [(drive, vhd) for drive in drives if (vhd := self._vhd(drive.path)) is not None]
        return [
            Disk(f"sd{chr(ord('a') + i)}", self.bus_path.format(drive), vhd) for i, (drive, vhd) in enumerate(found)
        ]

    def write_disk(self, disk: Disk, size_bytes: int) -> bool:
        """The system wrote that much to the disk. False: there is no room for it where the disk lies."""
        path = next(drive.path for drive in self._vm.hard_drives if self._vhd(drive.path) is disk.vhd)
        storage = Storage(self._kernel)
        try:
            if storage.has_volume(path):
                storage.grow(path, size_bytes)
        except FileFault:
            return False
        return True

    def dvd_media(self) -> list[str]:
        """Talos versions of the ISOs in its drives; an empty word for a drive without one."""
        return [self._iso(drive.path) for drive in self._vm.dvd_drives]

    def boot_options(self) -> list[BootOption]:
        return [self._option(entry) for entry in self._vm.boot_order]

    def put_efi_entry_first(self) -> None:
        """The installer writes a boot entry for the installed system and puts it first."""
        if self._vm.generation == 2:
            self._vm.boot_order[:] = ["file", *(entry for entry in self._vm.boot_order if entry != "file")]
            self._kernel.changed("vm", self._vm.id)

    def lan_up(self) -> bool:
        return bool(self._vm.nics) and self._power.lan_up(self._vm)

    def powered_off(self) -> None:
        self._power.powered_off(self._vm.id)

    def keep_received(self, data: bytes) -> None:
        """A config was sent to it: evidence on machines that are none of ours."""

    def _file(self, path: str) -> HostFile | None:
        return self._kernel.state.host.files.get(path.lower())

    def _vhd(self, path: str) -> Vhd | None:
        file = self._file(path)
        return file.vhd if file is not None else None

    def _iso(self, path: str) -> str:
        file = self._file(path)
        return file.talos_iso if file is not None else ""

    def _option(self, entry: str) -> BootOption:
        kind, _, place = entry.partition(":")
        if kind == "file":
            system = installed(self)
            return _option(entry, kind, "talos", system.version if system is not None and system.efi_entry else "")
        drives = [drive for drive in drives_of(self._vm) if _at(drive) == place]
        path = next((drive.path for drive in drives if isinstance(drive, DvdDrive) == (kind == "dvd")), "")
        if kind == "dvd":
            return _option(entry, kind, "iso", self._iso(path))
        vhd = self._vhd(path) or Vhd(0)
        if vhd.system is not None:
            return _option(entry, kind, "talos", vhd.system.version)
        return BootOption(entry, kind, "other" if vhd.other_system else "")


def _option(entry: str, kind: str, medium: str, version: str) -> BootOption:
    """Nothing boots from there without a version."""
    return BootOption(entry, kind, medium if version else "", version)


def _at(drive: HardDrive | DvdDrive) -> str:
    return f"{drive.controller_number}:{drive.controller_location}"


class ForeignHardware(Hardware):
    """A third-party machine: an ISO that stays in, one disk, and an address that its router reserves for it."""

    manufacturer = "Intel(R) Client Systems"
    product = "NUC11TNHi5"
    bus_path = "/pci0000:00/ata1/0"

    def __init__(self, kernel: Kernel, power: PowerSwitch, machine: ForeignMachine, iso_version: str) -> None:
        vm = Vm(
            id=f"foreign:{machine.name}",
            name=machine.name,
            generation=2,
            created=0.0,
            path="",
            cpus=4,
            memory_bytes=16 * GIB,
            secure_boot=False,
            bios_uuid=machine.uuid,
            hard_drives=[HardDrive(0, 0, "disk")],
            dvd_drives=[DvdDrive(0, 1, "iso")],
            nics=[VmNic("eth0", machine.mac)],
            boot_order=["disk:0:0", "dvd:0:1"],
        )
        super().__init__(kernel, power, vm)
        self._machine = machine
        self.fixed_address = machine.address
        self._files = {
            "disk": HostFile("disk", 0, 0.0, vhd=Vhd(size_bytes=240 * GIB)),
            "iso": HostFile("iso", 0, 0.0, talos_iso=iso_version),
        }

    def _file(self, path: str) -> HostFile | None:
        return self._files.get(path)

    def write_disk(self, disk: Disk, size_bytes: int) -> bool:  # noqa: ARG002 - its own disk has room
        return True

    def put_efi_entry_first(self) -> None:
        """Its disk is first already."""

    def lan_up(self) -> bool:
        return True

    def powered_off(self) -> None:
        """Nothing in the lab's world switches it on again."""

    def keep_received(self, data: bytes) -> None:
        self._machine.received.append(data)


# --- which disk a config means --------------------------------------------------------------------------------------


def install_disk(hardware: Hardware, config: MachineConfig) -> Disk | None:
    """The disk to install to, or None if the config names one that is not there. A selector goes before a name."""
    selector = config.get("machine", "install", "diskSelector")
    if selector:
        return next((disk for disk in hardware.disks() if _matches(disk, selector)), None)
    wanted = str(config.get("machine", "install", "disk") or "")
    return next((disk for disk in hardware.disks() if wanted == f"/dev/{disk.device}"), None)


def _matches(disk: Disk, selector: dict[str, Any]) -> bool:
    facts = {"name": f"/dev/{disk.device}", "model": MODEL, "busPath": disk.bus_path, "type": "hdd"}
    for key, wanted in selector.items():
        if key == "size":
            if not _size_matches(disk.vhd.size_bytes, str(wanted)):
                return False
        elif not _glob(str(wanted), facts.get(key, "")):
            return False
    return True


def _glob(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None


def _size_matches(size: int, text: str) -> bool:
    sign, wanted = scalars.size_match(text)
    return bool(_COMPARED[sign](size, scalars.size(wanted)))
