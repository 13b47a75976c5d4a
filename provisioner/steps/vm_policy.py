"""What a VM of ours must be: the one list, by which a new VM is checked and a living one is compared with the file.

Beside what the file says, it is what lets Talos boot, and boot again after the host did: Secure Boot off, since Hyper-V takes none of
Talos' keys; disk before DVD before network, since an empty disk falls through to the ISO and an installed one wins; static memory, since
ballooning ends in killed pods; start with the host and shut down with it, since a saved etcd wakes up with a jumped clock; no checkpoints,
since a cluster must not be set back machine by machine. Source: Hyper-V's reference of Set-VM, Set-VMFirmware, Set-VMNetworkAdapter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from provisioner.model.cluster import Cluster, MachineSpec, Role
from provisioner.model.facts import DriveFacts, VmFacts
from provisioner.model.naming import spaced_mac
from provisioner.model.units import GIB

WORKER_DELAY_S = 20
"""After a reboot of the host control planes go first: etcd and the API are up when workers ask for them."""

_RANK = {"file": 0, "disk": 1, "dvd": 2, "network": 3}
"""`file` is the entry of the installed system. Entries of other kinds lead nowhere, wherever they stand."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing that a VM is and must not be."""

    what: str
    seen: object
    wanted: object
    change: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `ports.VmChange` that set it right; empty: it cannot be changed while the VM exists."""
    needs_off: bool = False
    """Hyper-V changes it only while the VM is Off."""

    def __str__(self) -> str:
        return f"{self.what} {self.seen} -> {self.wanted}"


def start_delay_s(machine: MachineSpec) -> int:
    return 0 if machine.role is Role.CONTROL_PLANE else WORKER_DELAY_S


def disk_of(vm: VmFacts) -> DriveFacts | None:
    """The disk that Talos is on: the first one."""
    return next((drive for drive in vm.drives if drive.kind == "disk"), None)


def differences(cluster: Cluster, machine: MachineSpec, vm: VmFacts) -> tuple[Difference, ...]:
    """All that differs and can be changed in place, what needs the VM Off first."""
    return (*_while_off(machine, vm), *_any_time(cluster, machine, vm))


def unchangeable(machine: MachineSpec, vm: VmFacts) -> tuple[Difference, ...]:
    """What only another VM can have."""
    disk = disk_of(vm)
    found = [Difference(what="generation", seen=vm.generation, wanted=2)] if vm.generation != 2 else []
    if disk is not None and disk.size_bytes > machine.disk_gib * GIB:
        found.append(Difference(what="disk", seen=f"{disk.size_bytes / GIB:g} GiB", wanted=f"{machine.disk_gib} GiB"))
    return tuple(found)


def _while_off(machine: MachineSpec, vm: VmFacts) -> Iterator[Difference]:
    def off(what: str, seen: object, wanted: object, **change: Any) -> Iterator[Difference]:
        if seen != wanted:
            yield Difference(what=what, seen=seen, wanted=wanted, change=change, needs_off=True)

    yield from off("cpus", vm.cpus, machine.cpus, cpus=machine.cpus)
    yield from off("memory_mib", vm.memory_mib, machine.memory_mib, memory_mib=machine.memory_mib)
    yield from off("memory", _word("dynamic", "static", vm.dynamic_memory), "static", static_memory=True)
    mac = spaced_mac(machine.mac)
    yield from off("MAC", spaced_mac(vm.mac) if vm.mac else "none", mac, mac=machine.mac)
    if vm.mac == machine.mac:
        yield from off("MAC address", _word("static", "dynamic", vm.static_mac), "static", mac=machine.mac)
    yield from off("Secure Boot", _word("on", "off", vm.secure_boot), "off", secure_boot_off=True)
    order = [entry for entry in vm.boot_order if entry in _RANK]
    wanted = sorted(order, key=lambda entry: _RANK[entry])
    yield from off("boot order", ", ".join(order), ", ".join(wanted), boot_order=True)


def _any_time(cluster: Cluster, machine: MachineSpec, vm: VmFacts) -> Iterator[Difference]:
    def any_time(what: str, seen: object, wanted: object, **change: Any) -> Iterator[Difference]:
        if seen != wanted:
            yield Difference(what=what, seen=seen, wanted=wanted, change=change)

    switch = cluster.switch.name
    if vm.switch.lower() != switch.lower():
        yield from any_time("switch", vm.switch or "none", switch, switch=switch)
    yield from any_time("vlan", vm.vlan or 0, machine.vlan or 0, vlan=machine.vlan or 0)
    disk = disk_of(vm)
    if disk is not None and 0 < disk.size_bytes < machine.disk_gib * GIB:
        yield from any_time("disk_gib", disk.size_bytes // GIB, machine.disk_gib, disk_gib=machine.disk_gib)
    delay = start_delay_s(machine)
    yield from any_time("start delay", f"{vm.start_delay_s} s", f"{delay} s", start_delay_s=delay)
    yield from any_time("start action", vm.start_action, "Start", actions=True)
    yield from any_time("stop action", vm.stop_action, "ShutDown", actions=True)
    yield from any_time("checkpoints", vm.checkpoint_type, "Disabled", actions=True)
    automatic = _word("on", "off", vm.automatic_checkpoints)
    yield from any_time("automatic checkpoints", automatic, "off", actions=True)
    yield from any_time("our mark in the Notes", _word("there", "missing", vm.complete), "there", notes=True)


def _word(true: str, false: str, value: bool) -> str:
    return true if value else false
