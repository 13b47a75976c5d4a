"""How a machine gets its address, and the time."""

from __future__ import annotations

import ipaddress

from provisioner.lab.world.guests import times
from provisioner.lab.world.guests.hardware import Hardware
from provisioner.lab.world.guests.machine import Machine
from provisioner.lab.world.guests.process import Steps
from provisioner.lab.world.kernel import Kernel


def lease(kernel: Kernel, hardware: Hardware) -> str:
    """What the router's DHCP gives: the reserved address, the one this MAC had before unless a fault moves it, else a free one.

    Empty while none is free.
    """
    lan = kernel.state.lan
    fixed = hardware.fixed_address or lan.reserved.get(hardware.mac)
    if fixed:
        return fixed
    moves = any(kernel.injected("lease-moves", place) is not None for place in (hardware.name, hardware.mac))
    if hardware.mac in lan.leases and not moves:
        return lan.leases[hardware.mac]
    taken = {*lan.leases.values(), *lan.reserved.values(), kernel.state.host.address}
    taken |= {machine.address for machine in kernel.state.foreign}
    network = ipaddress.ip_network(lan.subnet)
    for number in range(lan.dhcp_first, lan.dhcp_last + 1):
        address = str(network[number])
        if address not in taken:
            lan.leases[hardware.mac] = address
            return address
    return ""


def bring_up(machine: Machine) -> Steps:
    """Link, address, host name; then the time by NTP. Each that changes makes the maintenance server take a new key."""
    talos, kernel = machine.talos, machine.kernel
    talos.hostname = talos.hostname or machine.stable_hostname()
    while not machine.hardware.lan_up():
        yield times.LINK_CHECK.draw(kernel)
    if machine.config is not None and machine.config.static_address:
        talos.address = machine.config.static_address
    else:
        while not talos.address:
            yield times.DHCP.draw(kernel)
            talos.address = lease(kernel, machine.hardware)
    machine.say(f"[talos] address {talos.address}, host name {talos.hostname}")
    machine.note_beside("addressed")
    addressed(machine)
    if machine.config is not None and machine.config.time_disabled:
        synced(machine)
        return
    late = kernel.injected("time-not-synced", machine.name)
    yield times.TIME_SYNC.draw(kernel) + (late or 0)
    while not machine.hardware.lan_up():
        yield times.LINK_CHECK.draw(kernel)
    if late != 0:  # the fault without a length: no time server answers for the whole of this boot
        synced(machine)


def addressed(machine: Machine) -> None:
    """An address came, or another one."""
    _new_maintenance_key(machine)
    machine.refresh_status()
    machine.changed()
    machine.wake("apid", "etcd")


def synced(machine: Machine) -> None:
    machine.talos.time_synced = True
    machine.say("[talos] time is in sync")
    machine.note_beside("time_synced")
    _new_maintenance_key(machine)
    machine.refresh_status()
    machine.changed()


def _new_maintenance_key(machine: Machine) -> None:
    """Talos issues a new maintenance certificate at each change of addresses, name or time (controllers/secrets/maintenance.go)."""
    if machine.talos.api == "maintenance":
        machine.talos.key_generation += 1
