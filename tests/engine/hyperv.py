"""What Hyper-V does for cmdlets that only the engine's stubs have: on the same service as the lab's own areas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

from provisioner.lab.world.hyperv import HyperV
from provisioner.lab.world.hyperv import errors as refused
from provisioner.lab.world.hyperv.devices import nic_of
from provisioner.lab.world.hyperv.service import matches, off
from provisioner.lab.world.state import DvdDrive, HardDrive, Vm
from provisioner.lab.world.world import World

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
