"""Refuses impossible worlds: whatever the rules did, what they left behind must be a world that could be. Tests call it after everything."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator

from provisioner.lab.world.hyperv.devices import boot_entry
from provisioner.lab.world.hyperv.service import DYNAMIC_MAC
from provisioner.lab.world.state import State, Vm
from provisioner.lab.world.storage import drives_of, key
from tests.engine.hyperv import INTEGRATION_SERVICES

STOPPED = ("Off", "Saved")
STATES = {*STOPPED, "Running", "Paused", "Starting", "Stopping", "Saving", "Reset", "ForceShutdown"}
STAGES_UNDER_POWER = ("Running", "Stopping", "ForceShutdown", "Saving")
"""States of a VM in which something can run in it."""


def check(state: State) -> list[str]:
    """All reasons why this world cannot be; empty for a sound one."""
    rules = (_vms, _devices, _drives, _memory, _macs, _switches, _files, _adapters, _guests, _addresses, _clusters)
    return [reason for rule in rules for reason in rule(state)]


def _running(state: State) -> list[Vm]:
    return [vm for vm in state.host.vms.values() if vm.state not in STOPPED]


def _twice(values: Iterable[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]


def _vms(state: State) -> Iterator[str]:
    for vm_id, vm in state.host.vms.items():
        if vm.id != vm_id or vm_id != vm_id.lower():
            yield f"the VM {vm.name} is kept under another id than its own"
        if vm.state not in STATES:
            yield f"{vm.name} is in the state {vm.state!r}, which no VM is in"
        if vm.generation not in (1, 2):
            yield f"{vm.name} is of generation {vm.generation}"
        if not 1 <= vm.cpus <= state.host.processors:
            yield f"{vm.name} has {vm.cpus} CPUs on a host with {state.host.processors}"
        if vm.state != "Off" and not state.host.hypervisor_present:
            yield f"{vm.name} is {vm.state} without a hypervisor"
        if set(vm.disabled_services) - set(INTEGRATION_SERVICES):
            yield f"{vm.name} has an unknown integration service disabled"
    yield from (
        f"the BIOS UUID {uuid} belongs to two VMs" for uuid in _twice(v.bios_uuid for v in state.host.vms.values())
    )


def _devices(state: State) -> Iterator[str]:
    """Boot entries point at devices; locations are taken once; switches exist."""
    known = {switch.id for switch in state.host.switches}
    for vm in state.host.vms.values():
        for entry in vm.boot_order:
            if boot_entry(vm, entry).kind == "unknown":
                yield f"{vm.name} would boot from {entry}, which it does not have"
        yield from (f"{vm.name} would boot from {entry} twice" for entry in _twice(vm.boot_order))
        places = [f"{drive.controller_number}:{drive.controller_location}" for drive in drives_of(vm)]
        yield from (f"{vm.name} has two drives at {place}" for place in _twice(places))
        for nic in vm.nics:
            if nic.switch_id and nic.switch_id not in known:
                yield f"{vm.name} is connected to a switch that does not exist"
            if not 0 <= nic.vlan_id <= 4094:
                yield f"{vm.name} is in the VLAN {nic.vlan_id}"


def _drives(state: State) -> Iterator[str]:
    """What a running VM has in its drives is on the host, and a disk is under one running VM only."""
    for vm in _running(state):
        for drive in drives_of(vm):
            if drive.path and key(drive.path) not in state.host.files:
                yield f"{vm.name} runs with {drive.path}, which is not on the host"
    for vm in state.host.vms.values():
        for disk in vm.hard_drives:
            file = state.host.files.get(key(disk.path))
            if file is not None and file.vhd is None:
                yield f"{vm.name} has {disk.path} as a disk, which is none"
    disks = [key(drive.path) for vm in _running(state) for drive in vm.hard_drives]
    yield from (f"two running VMs have the disk {disk}" for disk in _twice(disks))


def _memory(state: State) -> Iterator[str]:
    used = state.host.memory_used_bytes + sum(vm.memory_bytes for vm in _running(state))
    if used > state.host.memory_bytes:
        yield f"{used} bytes of memory are in use on a host with {state.host.memory_bytes}"


def _macs(state: State) -> Iterator[str]:
    running = [nic.mac for vm in _running(state) for nic in vm.nics]
    if DYNAMIC_MAC in running:
        yield "a running VM has no MAC address"
    yield from (f"two running VMs have the MAC address {mac}" for mac in _twice(running) if mac != DYNAMIC_MAC)
    for vm in state.host.vms.values():
        for nic in vm.nics:
            if len(nic.mac) != 12 or nic.mac != nic.mac.upper() or int(nic.mac[:2], 16) & 1:
                yield f"{vm.name} has {nic.mac!r} as a MAC address"


def _switches(state: State) -> Iterator[str]:
    host = state.host
    yield from (f"two switches have the id {same}" for same in _twice(switch.id for switch in host.switches))
    bound = [switch.adapter_guid.lower() for switch in host.switches if switch.adapter_guid]
    yield from (f"the adapter {guid} is bound to two switches" for guid in _twice(bound))
    physical = {adapter.guid.lower(): adapter for adapter in host.adapters}
    for switch in host.switches:
        if switch.kind not in ("External", "Internal", "Private"):
            yield f"the switch {switch.name} is of kind {switch.kind!r}"
        if switch.kind == "External":
            adapter = physical.get(switch.adapter_guid.lower())
            if adapter is None:
                yield f"the External switch {switch.name} is bound to no adapter of the host"
            elif adapter.addresses or adapter.gateway:
                yield f"the adapter {adapter.name} is bound to {switch.name} and carries addresses of its own"
        elif switch.adapter_guid:
            yield f"the {switch.kind} switch {switch.name} is bound to an adapter"
        if switch.vethernet is not None and (switch.kind == "Private" or not switch.allow_management_os):
            yield f"the host has an adapter on {switch.name}, which is not shared with it"


def _files(state: State) -> Iterator[str]:
    host = state.host
    for where, file in host.files.items():
        if where != key(file.path):
            yield f"the file {file.path} is kept under {where}"
        if where[:2].upper() not in host.volumes:
            yield f"the file {file.path} lies on no volume"
        if where in host.folders:
            yield f"{file.path} is a file and a folder"
        if file.vhd is not None and file.size_bytes > file.vhd.size_bytes + 64 * 1024**2:
            yield f"the disk {file.path} takes more room than it can hold"
    for volume, (size, used) in host.volumes.items():
        there = sum(file.size_bytes for where, file in host.files.items() if where.startswith(volume.lower()))
        if used + there > size:
            yield f"{used + there} bytes lie on {volume}, which has {size}"


def _adapters(state: State) -> Iterator[str]:
    host = state.host
    own = [*host.adapters, *(switch.vethernet for switch in host.switches if switch.vethernet)]
    yield from (f"two adapters of the host are called {name}" for name in _twice(a.name.lower() for a in own))
    yield from (f"two adapters of the host have the index {i}" for i in _twice(str(a.if_index) for a in own))
    yield from (f"two adapters of the host have {a}" for a in _twice(a for one in own for a in one.addresses))
    if state.lan.link.up and not any(address.split("/")[0] == host.address for a in own for address in a.addresses):
        yield f"the host is reachable at {host.address}, which none of its adapters has"


def _guests(state: State) -> Iterator[str]:
    foreign = {f"foreign:{machine.name}" for machine in state.foreign}
    for owner, guest in state.guests.items():
        if owner in foreign:
            continue
        vm = state.host.vms.get(owner)
        if vm is None:
            yield f"a guest runs in a VM that does not exist ({owner})"
            continue
        if vm.state not in STAGES_UNDER_POWER:
            yield f"a guest is {guest.stage} in {vm.name}, which is {vm.state}"
        if guest.api == "maintenance" and guest.config is not None and guest.stage == "maintenance":
            yield f"{vm.name} is in maintenance and has a config"
        if guest.booted_from == "disk" and not any(_holds_talos(state, drive.path) for drive in vm.hard_drives):
            yield f"{vm.name} booted from its disk, on which there is no Talos"
        if guest.uuid.lower() != vm.bios_uuid.lower():
            yield f"the guest of {vm.name} has another UUID than its firmware"


def _holds_talos(state: State, path: str) -> bool:
    file = state.host.files.get(key(path))
    return file is not None and file.vhd is not None and file.vhd.system is not None


def _addresses(state: State) -> Iterator[str]:
    """On one LAN an address belongs to one station."""
    taken = [guest.address for guest in state.guests.values() if guest.address and guest.reachable]
    yield from (f"two guests have the address {address}" for address in _twice(taken))
    if state.host.address in taken:
        yield f"a guest has the host's address {state.host.address}"
    subnet = ipaddress.ip_network(state.lan.subnet)
    yield from (f"{address} is outside the LAN" for address in taken if ipaddress.ip_address(address) not in subnet)
    yield from (f"two MAC addresses lease {address}" for address in _twice(state.lan.leases.values()))


def _clusters(state: State) -> Iterator[str]:
    """Etcd's members are distinct, and each lies on a disk or has been lost with it."""
    for cluster in state.clusters.values():
        yield from (
            f"two machines of the cluster {cluster.name} are the etcd member {member}"
            for member in _twice(str(member) for member in cluster.members.values())
        )
    on_disks = [
        f"{etcd.cluster_id}/{etcd.member_id}"
        for file in state.host.files.values()
        if file.vhd is not None and file.vhd.system is not None and (etcd := file.vhd.system.etcd) is not None
    ]
    yield from (f"the etcd member {member} lies on two disks" for member in _twice(on_disks))
