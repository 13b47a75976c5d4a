"""What Hyper-V does for cmdlets, and for parameters of cmdlets, that only the engine's stubs have: on the same service as the lab's own
areas, as further chapters of them.
"""

from __future__ import annotations

import copy
import ntpath
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

from provisioner.lab.world.hyperv import HyperV
from provisioner.lab.world.hyperv import errors as refused
from provisioner.lab.world.hyperv.devices import (
    Adapters,
    BootEntry,
    FirmwareSettings,
    bare_mac,
    boot_entry,
    has_firmware,
    nic_of,
)
from provisioner.lab.world.hyperv.disks import Disks
from provisioner.lab.world.hyperv.errors import CmdletError
from provisioner.lab.world.hyperv.power import Power
from provisioner.lab.world.hyperv.service import SECONDS, ManagementService, VmView, matches, off
from provisioner.lab.world.hyperv.switches import Switches
from provisioner.lab.world.hyperv.vms import Vms
from provisioner.lab.world.network import Network
from provisioner.lab.world.state import STOPPED, DvdDrive, HardDrive, NetAdapter, SwitchKind, VirtualSwitch, Vm, VmNic
from provisioner.lab.world.world import World

FORCE_GRACE_S = 300.0
"""Stop-VM -Force asks the guest, waits that long, then cuts the power."""
SETTLE_BOUND_S = 600.0

no_vm_of_name = refused.Refusal(  # by name it is a bad argument, not a missing object
    "InvalidParameter", "InvalidArgument", 'Hyper-V was unable to find a virtual machine with name "{target}".'
)
guest_silent = refused.Refusal(  # plain Stop-VM would ask whether to cut the power; without a console it cannot
    "InvalidOperation",
    "InvalidOperation",
    "Windows PowerShell is in NonInteractive mode. Read and Prompt functionality is not available. "
    "The integration service of '{target}' did not answer.",
)
INTEGRATION_SERVICES: Final = {
    "Guest Service Interface": "6C09BB55-D683-4DA0-8931-C9BF705F6480",
    "Heartbeat": "84EAAE65-2F2E-45F5-9BB5-0E857DC8EB47",
    "Key-Value Pair Exchange": "2A34B1C2-FD73-4043-8A5B-DD2159BC743F",
    "Shutdown": "9F8233AC-BE49-4C79-8EE3-E7E1985B2077",
    "Time Synchronization": "2497F4DE-E9FA-4204-80E4-4B75C46419C0",
    "VSS": "5CED1297-4598-4915-A5FC-AD21BB4D02A4",
}
"""Name in English and the GUID at the end of the component's Id."""

_Drive = TypeVar("_Drive", HardDrive, DvdDrive)


@dataclass(frozen=True)
class VolumeView:
    root: str
    """`C:`."""
    size_bytes: int
    free_bytes: int


def volumes(world: World) -> list[VolumeView]:
    with world.kernel.lock:
        kept = sorted(world.state.host.volumes.items())
        return [VolumeView(root, size, world.storage.free_bytes(root)) for root, (size, _used) in kept]


@dataclass(frozen=True)
class ServiceView:
    """An integration service: Ok while disabled, NoContact while nothing in the guest answers."""

    name: str
    guid: str
    enabled: bool
    status: str


def integration_services(hyperv: HyperV, vm_id: str) -> list[ServiceView]:
    """Get-VMIntegrationService."""
    with hyperv.service.reading("Get-VMIntegrationService"):
        vm = hyperv.service.vm(vm_id)
        beats = hyperv.service.heartbeat(vm).startswith("Ok")
        return [
            ServiceView(name, guid, name not in vm.disabled_services, _service_status(vm, name, beats=beats))
            for name, guid in INTEGRATION_SERVICES.items()
        ]


def set_integration_service(hyperv: HyperV, vm_id: str, name: str, *, enabled: bool) -> None:
    """Enable- and Disable-VMIntegrationService; a name may be a pattern."""
    with hyperv.service.reading("Enable-VMIntegrationService"):
        vm = hyperv.service.vm(vm_id)
        chosen = {service for service in INTEGRATION_SERVICES if matches(name, service)}
        if not chosen:
            raise refused.bad_argument(f"'{vm.name}' has no integration service '{name}'.", name)
        disabled = set(vm.disabled_services)
        vm.disabled_services[:] = sorted(disabled - chosen if enabled else disabled | chosen)
        hyperv.service.changed(vm)


def _service_status(vm: Vm, name: str, *, beats: bool) -> str:
    if name in vm.disabled_services:
        return "Ok"
    answers = beats and name in ("Heartbeat", "Shutdown", "Time Synchronization")  # what Linux' hv_utils does
    return "Ok" if answers else "NoContact"


def remove_adapter(hyperv: HyperV, vm_id: str, index: int) -> None:
    """Remove-VMNetworkAdapter; the entries of the others keep pointing at theirs."""
    with hyperv.service.reading("Remove-VMNetworkAdapter"):
        vm = hyperv.service.vm(vm_id)
        if vm.generation == 1:
            off(vm)
        nic_of(vm, index)
        del vm.nics[index]
        kept = [entry for entry in vm.boot_order if entry != f"network:{index}"]
        vm.boot_order[:] = [_counted_down(entry, index) for entry in kept]
        hyperv.service.changed(vm)


def _counted_down(entry: str, removed: int) -> str:
    """A boot entry after the network adapter of that number is gone."""
    kind, _, number = entry.partition(":")
    return f"network:{int(number) - 1}" if kind == "network" and int(number) > removed else entry


def remove_hard_drive(hyperv: HyperV, vm_id: str, number: int, location: int) -> None:
    """Remove-VMHardDiskDrive: the file stays."""
    with hyperv.service.reading("Remove-VMHardDiskDrive"):
        vm = hyperv.service.vm(vm_id)
        _take_out(vm, vm.hard_drives, "disk", number, location)
        hyperv.service.changed(vm)


def remove_dvd(hyperv: HyperV, vm_id: str, number: int, location: int) -> None:
    """Remove-VMDvdDrive."""
    with hyperv.service.reading("Remove-VMDvdDrive"):
        vm = hyperv.service.vm(vm_id)
        _take_out(vm, vm.dvd_drives, "dvd", number, location)
        hyperv.service.changed(vm)


def _take_out(vm: Vm, drives: list[_Drive], kind: str, number: int, location: int) -> None:
    for drive in drives:
        if (drive.controller_number, drive.controller_location) == (number, location):
            drives.remove(drive)
            vm.boot_order[:] = [entry for entry in vm.boot_order if entry != f"{kind}:{number}:{location}"]
            return
    raise refused.no_device("a drive at that location", f"{number}:{location}")


def set_address(world: World, name: str, addresses: list[str], gateway: str) -> None:
    """New-NetIPAddress and New-NetRoute, on an adapter of the host."""
    with world.kernel.lock:
        adapter = world.network.by_name(name)
        assert adapter is not None
        adapter.addresses, adapter.gateway = list(addresses), gateway
        world.network.set_category(adapter.name, adapter.category)  # it is worked out anew who reaches the host


# --- the areas, whole ----------------------------------------------------------------------------------------------


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Thing = TypeVar("_Thing", bound=_Named)


def is_pattern(name: str) -> bool:
    return any(sign in name for sign in "*?[")


def _named(things: Iterable[_Thing], name: str, missing: Callable[[str], CmdletError]) -> list[_Thing]:
    """What a parameter -Name means: a name without wildcards that fits nothing is refused."""
    found = [thing for thing in things if matches(name, thing.name)]
    if not found and not is_pattern(name):
        raise missing(name)
    return found


class EngineVms(Vms):
    """Get-VM by name or id; New-VM with disks and a boot device."""

    def __init__(self, service: ManagementService, disks: Disks) -> None:
        super().__init__(service)
        self._disks = disks

    def get_vms(self, name: str | None = None, vm_id: str | None = None) -> list[VmView]:
        """A name may be a pattern; one without wildcards that fits nothing is a bad argument."""
        if vm_id is not None:
            return [self.get_vm(vm_id)]
        views = super().get_vms()
        return views if name is None else _named(views, name, no_vm_of_name)

    def new_vm(
        self,
        name: str,
        *,
        generation: int = 1,
        memory_bytes: int = 512 * 1024**2,
        path: str = "",
        switch_name: str = "",
        boot_device: str = "",
        new_vhd_path: str = "",
        new_vhd_bytes: int = 0,
        vhd_path: str = "",
    ) -> VmView:
        """What was made is taken back if a later part fails."""
        service = self._service
        with service.reading("New-VM"):
            if generation not in (1, 2):
                raise refused.bad_argument("The generation of a virtual machine is 1 or 2.", str(generation))
            if boot_device and boot_device not in _boot_devices(generation):
                raise refused.bad_argument(f"BootDevice {boot_device} is not valid for this generation.", boot_device)
            if switch_name:
                service.switch_named(switch_name)
            folder = self.folder_of(name, path)
            if vhd_path and service.storage.find(vhd_path) is None:
                raise refused.attachment_missing(vhd_path, vm=name)
        if new_vhd_path:
            base = ntpath.join(folder, "Virtual Hard Disks") if path else service.host.disk_folder
            new_vhd_path = ntpath.join(base, new_vhd_path)
            if generation == 2 and not new_vhd_path.lower().endswith(".vhdx"):
                raise refused.bad_argument("A Generation 2 virtual machine needs a .vhdx file.", new_vhd_path)
            self.make_folder_of(new_vhd_path)
            self._disks.new_vhd(new_vhd_path, new_vhd_bytes)
        made = super().new_vm(
            name, generation=generation, memory_bytes=memory_bytes, path=path, switch_name=switch_name
        )
        with service.kernel.lock:
            vm = service.vm(made.id)
            if disk := new_vhd_path or vhd_path:
                vm.hard_drives.append(HardDrive(0, 0, ntpath.normpath(disk)))
            if generation == 2 and boot_device == "CD":
                vm.dvd_drives.append(DvdDrive(0, 1 if disk else 0))
            vm.boot_order = _first_boot_order(vm, boot_device, existing_disk=bool(vhd_path))
            service.changed(vm)
            return service.view(vm)


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


class EnginePower(Power):
    """Stop-VM whole, Save-VM with it."""

    def stop_vm(
        self, vm_id: str, *, turn_off: bool = False, force: bool = False, save: bool = False, bound_s: float = 3600.0
    ) -> bool:
        """Stop-VM. False: it was Off already, a mere warning.

        Plain, it asks the guest and returns when the VM is Off; a guest that cannot be asked is refused at once, since no one is
        there to answer the prompt. `bound_s` ends the wait, never the shutdown; the VM is then still Stopping.
        """
        with self._service.reading("Stop-VM"):
            vm = self._service.vm(vm_id)
            if vm.state == "Off" or (vm.state == "Saved" and not turn_off):
                return False
            if save and turn_off:
                raise refused.bad_argument("Save and TurnOff exclude each other.", vm.name)
            if save and vm.state != "Running":
                raise refused.wrong_state(vm.name)
        if turn_off or vm.state in ("Saved", "Stopping"):
            self.turn_off(vm_id)
        elif save:
            self._save(vm)
        else:
            self._shut_down(vm, force=force, bound_s=bound_s)
        return True

    def _shut_down(self, vm: Vm, *, force: bool, bound_s: float) -> None:
        with self._kernel.lock:
            answered = self._ask_shutdown(vm)
        if not answered and not force:
            self._service.take("refuse", vm.id)
            raise guest_silent(vm.name)
        is_off = self._kernel.wait_for(lambda: vm.state == "Off", FORCE_GRACE_S if force else bound_s)
        if force and not is_off:
            with self._kernel.lock:
                self._set_state(vm, "ForceShutdown")
            self.turn_off(vm.id)

    def _save(self, vm: Vm) -> None:
        """Saved VMs resume as by a cold boot here: the lab keeps no picture of a guest's memory."""
        with self._kernel.lock:
            self._set_state(vm, "Saving")
        self._service.take("save-vm", vm.id)
        with self._kernel.lock:
            self._kernel.guests.power_off(vm)
            self._set_state(vm, "Saved")


@dataclass(frozen=True)
class Firmware:
    boot_order: list[BootEntry]
    secure_boot: bool
    secure_boot_template: str


class EngineFirmware(FirmwareSettings):
    """Get-VMFirmware, and Set-VMFirmware with all that the lab keeps of it."""

    def get_firmware(self, vm_id: str) -> Firmware:
        """A Generation 1 VM has none."""
        with self._service.reading("Get-VMFirmware"):
            vm = self._service.vm(vm_id)
            has_firmware(vm)
            return Firmware([boot_entry(vm, text) for text in vm.boot_order], vm.secure_boot, vm.secure_boot_template)

    def set_firmware(
        self,
        vm_id: str,
        *,
        boot_order: list[str] | None = None,
        secure_boot: bool | None = None,
        first: str | None = None,
        template: str | None = None,
    ) -> None:
        with self._service.reading("Set-VMFirmware"):
            vm = self._service.vm(vm_id)
            if first is not None:
                before = vm.boot_order if boot_order is None else boot_order
                boot_order = [first, *(entry for entry in before if entry != first)]
        super().set_firmware(vm_id, boot_order=boot_order, secure_boot=secure_boot)
        if template is not None:
            with self._service.kernel.lock:
                vm.secure_boot_template = template
                self._service.changed(vm)


class EngineAdapters(Adapters):
    """Add-VMNetworkAdapter with a name, a switch and an address."""

    def add_adapter(
        self, vm_id: str, *, name: str = "Network Adapter", switch_name: str = "", static_mac: str = ""
    ) -> None:
        service = self._service

        def check(vm: Vm) -> None:
            if vm.generation == 1:
                off(vm)
            if switch_name:
                service.switch_named(switch_name)
            bare_mac(static_mac or None)

        with service.changing("Add-VMNetworkAdapter", vm_id, "adapter", check) as vm:
            switch_id = service.switch_named(switch_name).id if switch_name else ""
            mac = bare_mac(static_mac or None)
            if vm.state not in STOPPED and mac in service.macs_on_air():
                raise refused.mac_collision(vm.name, mac=mac)
            service.put_nic(vm, VmNic(name=name, mac=mac, static_mac=bool(static_mac), switch_id=switch_id))


class EngineSwitches(Switches):
    """Get-VMSwitch by name or id; New- and Remove-VMSwitch with their waits; switches without an adapter of the host."""

    def get_switches(self, name: str | None = None, switch_id: str | None = None) -> list[VirtualSwitch]:
        if switch_id is not None:
            with self._service.reading("Get-VMSwitch"):
                return [copy.deepcopy(self._service.switch(switch_id))]
        switches = super().get_switches()
        return switches if name is None else _named(switches, name, refused.no_switch_of_name)

    def new_switch(
        self, name: str, *, kind: SwitchKind = "External", adapter_description: str = "", **wanted: Any
    ) -> VirtualSwitch:
        """Returns when the host's network is settled."""
        outcome: list[CmdletError | None] = []
        with self._kernel.lock:
            if kind == "External":
                wanted.setdefault("adapter_name", "")
                for adapter in self._service.host.adapters:
                    if adapter.description.lower() == adapter_description.lower():
                        wanted["adapter_name"] = adapter.name
                switch = self.begin_new_switch(name, outcome.append, **wanted)
            else:
                switch = self._begin_inner(name, kind, wanted.get("notes", ""), lambda: outcome.append(None))
        self._kernel.wait_for(lambda: bool(outcome), SETTLE_BOUND_S)
        if outcome and outcome[0] is not None:
            raise outcome[0]
        with self._kernel.lock:
            return copy.deepcopy(switch)

    def _begin_inner(self, name: str, kind: SwitchKind, notes: str, done: Callable[[], None]) -> VirtualSwitch:
        with self._service.reading("New-VMSwitch"):
            is_internal = kind == "Internal"
            switch = VirtualSwitch(self._network.new_guid(), name, kind, allow_management_os=is_internal, notes=notes)

        def appear() -> None:
            if is_internal:
                switch.vethernet = _internal_vethernet(self._network, switch)
            self._service.host.switches.append(switch)
            self._kernel.changed("switch", switch.id)
            done()

        self._kernel.after(SECONDS["switch"], f"switch {name}", appear)
        return switch

    def remove_switch(self, switch_id: str) -> None:
        """Returns when the network is settled."""
        outcome: list[None] = []
        with self._kernel.lock:
            self.begin_remove_switch(switch_id, lambda: outcome.append(None))
        self._kernel.wait_for(lambda: bool(outcome), SETTLE_BOUND_S)


def _internal_vethernet(network: Network, switch: VirtualSwitch) -> NetAdapter:
    """The host's own adapter on an Internal switch: no address that can be reached from outside."""
    guid = network.new_guid()
    return NetAdapter(
        name=f"vEthernet ({switch.name})",
        description="Hyper-V Virtual Ethernet Adapter",
        mac=f"00155D{guid[:6].upper()}",
        guid=f"{{{guid.upper()}}}",
        if_index=1 + max(other.if_index for other in network.adapters()),
        category="Public",
        dhcp=False,
    )


class EngineHyperV(HyperV):
    """All areas, for the stub cmdlets."""

    vms: EngineVms
    power: EnginePower
    firmware: EngineFirmware
    adapters: EngineAdapters
    switches: EngineSwitches

    def __init__(self, service: ManagementService) -> None:
        super().__init__(service)
        self.vms = EngineVms(service, self.disks)
        self.power = EnginePower(service)
        self.firmware = EngineFirmware(service)
        self.adapters = EngineAdapters(service)
        self.switches = EngineSwitches(service)


def cmdlets(world: World) -> EngineHyperV:
    """The world's Hyper-V, asked by the system itself."""
    return EngineHyperV(world.hyperv.service)
