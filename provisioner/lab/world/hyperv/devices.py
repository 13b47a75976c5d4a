"""Firmware, network adapters and the screen of a VM."""

from __future__ import annotations

import re
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from provisioner.lab.world.hyperv import errors as refused
from provisioner.lab.world.hyperv.service import DYNAMIC_MAC, ManagementService, off
from provisioner.lab.world.state import Vm, VmNic

NATIVE_SCREEN = (1024, 768)
LINE_PIXELS, MARGIN_PIXELS = 14, 8
WMI_OK, WMI_INVALID_STATE = 0, 32775


@dataclass(frozen=True)
class BootEntry:
    """A VMBootSource: its kind, and which device it stands for."""

    kind: str
    """disk, dvd, network, file, unknown."""
    number: int = 0
    """Of the controller, or of the network adapter."""
    location: int = 0
    path: str = ""


class FirmwareSettings:
    """Set-VMFirmware. A Generation 1 VM has no firmware."""

    def __init__(self, service: ManagementService) -> None:
        self._service = service

    def set_firmware(self, vm_id: str, *, boot_order: list[str] | None = None, secure_boot: bool | None = None) -> None:
        """While Off. `boot_order` replaces the whole list: what is not passed is gone. Entries as in `Vm.boot_order`."""

        def check(vm: Vm) -> None:
            has_firmware(vm)
            off(vm)
            for entry in boot_order or []:
                if boot_entry(vm, entry).kind == "unknown":
                    raise refused.no_device(f"the boot device {entry}", vm.name)

        with self._service.changing("Set-VMFirmware", vm_id, "firmware", check) as vm:
            if boot_order is not None:
                vm.boot_order = list(boot_order)
            if secure_boot is not None:
                vm.secure_boot = secure_boot


def has_firmware(vm: Vm) -> None:
    if vm.generation == 1:
        raise refused.not_applicable("The operation is not supported on a Generation 1 virtual machine.", vm.name)


class Adapters:
    """A VM's network adapters, by their index."""

    def __init__(self, service: ManagementService) -> None:
        self._service = service

    def add_adapter(self, vm_id: str) -> None:
        """Add-VMNetworkAdapter."""

        def check(vm: Vm) -> None:
            if vm.generation == 1:
                off(vm)

        with self._service.changing("Add-VMNetworkAdapter", vm_id, "adapter", check) as vm:
            self._service.put_nic(vm, VmNic("Network Adapter", DYNAMIC_MAC))

    def set_mac(self, vm_id: str, mac: str | None, *, index: int = 0) -> None:
        """Set-VMNetworkAdapter -StaticMacAddress, or -DynamicMacAddress with None; while Off."""

        def check(vm: Vm) -> None:
            off(vm)
            nic_of(vm, index)
            bare_mac(mac)

        with self._service.changing("Set-VMNetworkAdapter", vm_id, "adapter", check) as vm:
            nic = nic_of(vm, index)
            nic.mac, nic.static_mac = bare_mac(mac), mac is not None

    def connect_adapter(self, vm_id: str, switch_name: str | None, *, index: int = 0) -> None:
        """Connect-VMNetworkAdapter, or Disconnect- with None; while running too."""

        def check(vm: Vm) -> None:
            nic_of(vm, index)
            if switch_name is not None:
                self._service.switch_named(switch_name)

        with self._service.changing("Connect-VMNetworkAdapter", vm_id, "adapter", check) as vm:
            switch = self._service.switch_named(switch_name) if switch_name is not None else None
            nic_of(vm, index).switch_id = switch.id if switch else ""

    def set_vlan(self, vm_id: str, vlan_id: int, *, index: int = 0) -> None:
        """Set-VMNetworkAdapterVlan -Access -VlanId 1..4094, or -Untagged with 0; while running too."""

        def check(vm: Vm) -> None:
            if not 0 <= vlan_id <= 4094:
                raise refused.bad_argument("The VLAN ID is not valid: 1 to 4094.", str(vlan_id))
            nic_of(vm, index)

        with self._service.changing("Set-VMNetworkAdapterVlan", vm_id, "adapter", check) as vm:
            nic_of(vm, index).vlan_id = vlan_id


def nic_of(vm: Vm, index: int) -> VmNic:
    """The adapter of that number. Raises CmdletError."""
    if not 0 <= index < len(vm.nics):
        raise refused.no_device(f"a network adapter of '{vm.name}'", vm.name)
    return vm.nics[index]


class Console:
    """The screen of a VM."""

    def __init__(self, service: ManagementService) -> None:
        self._service = service

    def thumbnail(self, vm_id: str, width: int, height: int, *, prefix: bool = True) -> tuple[int, bytes]:
        """GetVirtualSystemThumbnailImage: (ReturnValue, ImageData).

        RGB565, little-endian, row by row; with `prefix` four bytes before it hold the length of all, big-endian, as some systems
        send it. 32775 for a VM that does not run and for sizes of nothing or above the screen's own. Only elevated
        administrators may call it: others are refused as by any cmdlet.
        """
        service = self._service
        with service.reading("GetVirtualSystemThumbnailImage"):
            if not service.caller.administrator:
                raise refused.no_permission()
            vm = service.vm(vm_id)
            fits = 0 < width <= NATIVE_SCREEN[0] and 0 < height <= NATIVE_SCREEN[1]
            if vm.state != "Running" or not fits:
                return WMI_INVALID_STATE, b""
            lines = list(service.kernel.guests.screen(vm))
        service.take("thumbnail", vm_id)
        pixels = _draw(lines, width, height)
        return WMI_OK, (len(pixels) + 4).to_bytes(4, "big") + pixels if prefix else pixels


def _draw(lines: list[str], width: int, height: int) -> bytes:
    """Text in white on black at the screen's own size, scaled: little-endian RGB565, `width * height * 2` bytes, no row padding."""
    image = Image.new("RGB", NATIVE_SCREEN, "black")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=12)
    for row, line in enumerate(lines):
        draw.text((MARGIN_PIXELS, MARGIN_PIXELS + row * LINE_PIXELS), line, fill="white", font=font)
    if (width, height) != NATIVE_SCREEN:
        image = image.resize((width, height))
    rgb, packed = image.tobytes(), bytearray()
    known: dict[bytes, bytes] = {}  # screens have few colours: each is worked out once
    for start in range(0, len(rgb), 3):
        pixel = rgb[start : start + 3]
        if pixel not in known:
            red, green, blue = pixel
            known[pixel] = ((red >> 3) << 11 | (green >> 2) << 5 | blue >> 3).to_bytes(2, "little")
        packed += known[pixel]
    return bytes(packed)


def boot_entry(vm: Vm, text: str) -> BootEntry:
    """An entry of `Vm.boot_order` as a boot source; one whose device is gone is of kind unknown."""
    kind, *numbers = text.split(":")
    if kind == "file":
        return BootEntry("file")
    if kind == "network":
        index = int(numbers[0])
        return BootEntry("network", index) if index < len(vm.nics) else BootEntry("unknown")
    if kind in ("disk", "dvd"):
        number, location = (int(part) for part in numbers)
        for drive in vm.hard_drives if kind == "disk" else vm.dvd_drives:
            if (drive.controller_number, drive.controller_location) == (number, location):
                return BootEntry(kind, number, location, drive.path)
    return BootEntry("unknown")


def bare_mac(text: str | None) -> str:
    """12 hex digits, separators tolerated; unicast only. None: a dynamic one."""
    if text is None:
        return DYNAMIC_MAC
    bare = re.sub(r"[-:]", "", text).upper()
    if not re.fullmatch(r"[0-9A-F]{12}", bare) or int(bare[:2], 16) & 1 or bare == DYNAMIC_MAC:
        raise refused.bad_argument(f"The MAC address '{text}' is not valid.", text)
    return bare
