"""Firmware, network adapters, integration services and the screen of a VM (facts/hyperv.md, 5.3, 5.6, 5.9 and 11.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from provisioner.lab.world import hyperv_errors as refused
from provisioner.lab.world.hyperv_power import Power
from provisioner.lab.world.hyperv_vms import DYNAMIC_MAC
from provisioner.lab.world.screen import render
from provisioner.lab.world.state import Vm, VmNic
from provisioner.lab.world.vmms import VmView, matches

INTEGRATION_SERVICES: Final = {
    "Guest Service Interface": "6C09BB55-D683-4DA0-8931-C9BF705F6480",
    "Heartbeat": "84EAAE65-2F2E-45F5-9BB5-0E857DC8EB47",
    "Key-Value Pair Exchange": "2A34B1C2-FD73-4043-8A5B-DD2159BC743F",
    "Shutdown": "9F8233AC-BE49-4C79-8EE3-E7E1985B2077",
    "Time Synchronization": "2497F4DE-E9FA-4204-80E4-4B75C46419C0",
    "VSS": "5CED1297-4598-4915-A5FC-AD21BB4D02A4",
}
"""Name in English and the GUID at the end of the component's Id."""
NATIVE_SCREEN = (1024, 768)
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


@dataclass(frozen=True)
class Firmware:
    boot_order: list[BootEntry]
    secure_boot: bool
    secure_boot_template: str


@dataclass(frozen=True)
class ServiceView:
    """An integration service: Ok while disabled, NoContact while nobody in the guest answers."""

    name: str
    guid: str
    enabled: bool
    status: str


class Settings(Power):
    """What a VM's devices are set to."""

    # -- firmware

    def get_firmware(self, vm_id: str) -> Firmware:
        """Get-VMFirmware; a Generation 1 VM has none."""
        with self.kernel.lock:
            self._guard("Get-VMFirmware")
            vm = self._generation_2(vm_id)
            entries = [boot_entry(vm, text) for text in vm.boot_order]
            return Firmware(entries, vm.secure_boot, vm.secure_boot_template)

    def set_firmware(
        self,
        vm_id: str,
        *,
        boot_order: list[str] | None = None,
        first: str | None = None,
        secure_boot: bool | None = None,
        template: str | None = None,
    ) -> Firmware:
        """Set-VMFirmware, while Off. `boot_order` replaces the whole list: what is not passed is gone (5.2). Entries as in `Vm.boot_order`."""
        with self.kernel.lock:
            self._guard("Set-VMFirmware")
            vm = self._generation_2(vm_id)
            self._off(vm)
            for entry in [*(boot_order or []), *([first] if first else [])]:
                if boot_entry(vm, entry).kind == "unknown":
                    raise refused.no_device(f"the boot device {entry}", vm.name)
        self._take("firmware", vm_id)
        with self.kernel.lock:
            vm = self._generation_2(vm_id)
            self._off(vm)
            if boot_order is not None:
                vm.boot_order = list(boot_order)
            if first is not None:
                vm.boot_order = [first, *(entry for entry in vm.boot_order if entry != first)]
            if secure_boot is not None:
                vm.secure_boot = secure_boot
            if template is not None:
                vm.secure_boot_template = template
            self._changed(vm)
        return self.get_firmware(vm_id)

    def _generation_2(self, vm_id: str) -> Vm:
        vm = self._vm(vm_id)
        if vm.generation == 1:
            raise refused.not_applicable("The operation is not supported on a Generation 1 virtual machine.", vm.name)
        return vm

    # -- network adapters

    def add_adapter(
        self, vm_id: str, *, name: str = "Network Adapter", switch_name: str = "", static_mac: str = ""
    ) -> VmView:
        """Add-VMNetworkAdapter: its boot entry goes to the end."""
        with self.kernel.lock:
            self._guard("Add-VMNetworkAdapter")
            vm = self._vm(vm_id)
            if vm.generation == 1:
                self._off(vm)
            switch = self._switch_named(switch_name) if switch_name else None
            mac = _mac(static_mac) if static_mac else DYNAMIC_MAC
        self._take("adapter", vm_id)
        with self.kernel.lock:
            vm = self._vm(vm_id)
            nic = VmNic(name=name, mac=mac, static_mac=bool(static_mac), switch_id=switch.id if switch else "")
            if vm.state not in ("Off", "Saved"):
                if mac in self._macs_on_air():
                    raise refused.mac_collision(vm.name, mac)
                self._give_mac(nic)
            vm.nics.append(nic)
            if vm.generation != 1:
                vm.boot_order.append(f"network:{len(vm.nics) - 1}")
            self._changed(vm)
            return self._view(vm)

    def remove_adapter(self, vm_id: str, index: int) -> None:
        """Remove-VMNetworkAdapter; the entries of the others keep pointing at theirs."""
        with self.kernel.lock:
            self._guard("Remove-VMNetworkAdapter")
            vm = self._vm(vm_id)
            if vm.generation == 1:
                self._off(vm)
            self._nic(vm, index)
            del vm.nics[index]
            kept = [entry for entry in vm.boot_order if entry != f"network:{index}"]
            vm.boot_order[:] = [_counted_down(entry, index) for entry in kept]
            self._changed(vm)

    def set_mac(self, vm_id: str, mac: str | None, *, index: int = 0) -> None:
        """Set-VMNetworkAdapter -StaticMacAddress, or -DynamicMacAddress with None; while Off."""
        with self.kernel.lock:
            self._guard("Set-VMNetworkAdapter")
            vm = self._vm(vm_id)
            self._off(vm)
            self._nic(vm, index)
            bare = _mac(mac) if mac is not None else DYNAMIC_MAC
        self._take("adapter", vm_id)
        with self.kernel.lock:
            vm = self._vm(vm_id)
            self._off(vm)
            nic = self._nic(vm, index)
            nic.mac, nic.static_mac = bare, mac is not None
            self._changed(vm)

    def connect_adapter(self, vm_id: str, switch_name: str | None, *, index: int = 0) -> None:
        """Connect-VMNetworkAdapter, or Disconnect- with None; while running too."""
        with self.kernel.lock:
            self._guard("Connect-VMNetworkAdapter")
            vm = self._vm(vm_id)
            self._nic(vm, index)
            switch = self._switch_named(switch_name) if switch_name is not None else None
        self._take("adapter", vm_id)
        with self.kernel.lock:
            vm = self._vm(vm_id)
            self._nic(vm, index).switch_id = switch.id if switch else ""
            self._changed(vm)

    def set_vlan(self, vm_id: str, vlan_id: int, *, index: int = 0) -> None:
        """Set-VMNetworkAdapterVlan -Access -VlanId 1..4094, or -Untagged with 0; while running too."""
        with self.kernel.lock:
            self._guard("Set-VMNetworkAdapterVlan")
            if not 0 <= vlan_id <= 4094:
                raise refused.bad_argument("The VLAN ID is not valid: 1 to 4094.", str(vlan_id))
            self._nic(self._vm(vm_id), index)
        self._take("adapter", vm_id)
        with self.kernel.lock:
            vm = self._vm(vm_id)
            self._nic(vm, index).vlan_id = vlan_id
            self._changed(vm)

    def _nic(self, vm: Vm, index: int) -> VmNic:
        if not 0 <= index < len(vm.nics):
            raise refused.no_device(f"a network adapter of '{vm.name}'", vm.name)
        return vm.nics[index]

    # -- integration services

    def integration_services(self, vm_id: str) -> list[ServiceView]:
        with self.kernel.lock:
            self._guard("Get-VMIntegrationService")
            vm = self._vm(vm_id)
            beats = self._heartbeat(vm).startswith("Ok")
            return [
                ServiceView(name, guid, name not in vm.disabled_services, self._service_status(vm, name, beats=beats))
                for name, guid in INTEGRATION_SERVICES.items()
            ]

    def set_integration_service(self, vm_id: str, name: str, *, enabled: bool) -> None:
        """Enable- and Disable-VMIntegrationService; a name may be a pattern."""
        with self.kernel.lock:
            self._guard("Enable-VMIntegrationService")
            vm = self._vm(vm_id)
            chosen = [service for service in INTEGRATION_SERVICES if matches(name, service)]
            if not chosen:
                raise refused.bad_argument(f"'{vm.name}' has no integration service '{name}'.", name)
            vm.disabled_services[:] = sorted(
                set(vm.disabled_services) - set(chosen) if enabled else {*vm.disabled_services, *chosen}
            )
            self._changed(vm)

    def _service_status(self, vm: Vm, name: str, *, beats: bool) -> str:
        if name in vm.disabled_services:
            return "Ok"
        answers = beats and name in ("Heartbeat", "Shutdown", "Time Synchronization")  # what hv_utils does (fact 23)
        return "Ok" if answers else "NoContact"

    # -- the screen

    def thumbnail(self, vm_id: str, width: int, height: int, *, prefix: bool = True) -> tuple[int, bytes]:
        """GetVirtualSystemThumbnailImage: (ReturnValue, ImageData).

        RGB565, little-endian, row by row; with `prefix` four bytes before it hold the length of all, big-endian, as some systems
        send it. 32775 for a VM that does not run and for sizes of nothing or above the screen's own. Only elevated
        administrators may call it: others are refused as by any cmdlet.
        """
        with self.kernel.lock:
            self._guard("GetVirtualSystemThumbnailImage")
            if not self.caller.administrator:
                raise refused.no_permission()
            vm = self._vm(vm_id)
            fits = 0 < width <= NATIVE_SCREEN[0] and 0 < height <= NATIVE_SCREEN[1]
            if vm.state != "Running" or not fits:
                return WMI_INVALID_STATE, b""
            lines = list(self.registry.guests.screen(vm))
        self._take("thumbnail", vm_id)
        pixels = render(lines, width, height, NATIVE_SCREEN)
        return WMI_OK, (len(pixels) + 4).to_bytes(4, "big") + pixels if prefix else pixels


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


def _counted_down(entry: str, removed: int) -> str:
    """A boot entry after the network adapter of that number is gone."""
    kind, _, number = entry.partition(":")
    return f"network:{int(number) - 1}" if kind == "network" and int(number) > removed else entry


def _mac(text: str) -> str:
    """12 hex digits, separators tolerated; unicast only (5.6)."""
    bare = re.sub(r"[-:]", "", text).upper()
    if not re.fullmatch(r"[0-9A-F]{12}", bare) or int(bare[:2], 16) & 1 or bare == DYNAMIC_MAC:
        raise refused.bad_argument(f"The MAC address '{text}' is not valid.", text)
    return bare
