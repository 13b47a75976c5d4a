"""Bad days on demand: every fault of the lab, by name and place.

Some happen at once; the others wait in `State.injections` until the rules or the endpoint whose business they are come to
the place named and use them up with `Kernel.injected(name, place)`. An empty place means: wherever it comes first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import yaml

from provisioner.lab.descriptor import Refused
from provisioner.lab.world import by_hand
from provisioner.lab.world.guests.guests import add_foreign
from provisioner.lab.world.hyperv.service import DYNAMIC_MAC
from provisioner.lab.world.state import Failure, Injection, Vm, VmNic

if TYPE_CHECKING:
    from provisioner.lab.world.world import World


FOREIGN_NOTES = "not ours"


@dataclass(frozen=True, kw_only=True)
class FaultRow:
    """One fault: what it does, what its place names, and what its value means. Empty words: it takes none."""

    does: str
    place: str = ""
    value: str = ""
    default: float = 0.0
    needs_place: bool = False
    at_once: bool = False


@dataclass(frozen=True)
class Cleared:
    """What `clear` came to, each in words."""

    forgotten: tuple[str, ...] = ()
    """Waited, and will not happen."""
    undone: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()


def inject(world: World, name: str, place: str = "", times: int = 1, value: float | None = None) -> None:
    """Lets a fault happen, now or when its place is reached. Raises Refused for what cannot be, by a flat list of checks."""
    row = FAULTS.get(name)
    if row is None:
        raise Refused(f"the lab knows no fault {name!r}; it knows {', '.join(sorted(FAULTS))}")
    if row.needs_place and not place:
        raise Refused(f"{name} needs --place: {row.place}")
    if place and not row.place:
        raise Refused(f"{name} has no place: leave --place out")
    if value and not row.value:
        raise Refused(f"{name} has no measure: leave --value out")
    if value is not None and not 0 <= value < float("inf"):
        raise Refused(f"--value of {name} is {row.value}, from 0 up, not {value:g}")
    if times < 1 or (row.at_once and times > 1):
        raise Refused(f"{name} happens {'at once' if row.at_once else 'as often as said'}: --times {times} cannot be")
    amount = row.default if value is None else value
    with world.kernel.lock:
        if row.at_once:
            _AT_ONCE[name](world, place, amount)
        else:
            world.state.injections.append(Injection(name=name, place=place, times=times, value=amount))


def clear(world: World, name: str = "") -> Cleared:
    """Forgets faults that still wait and undoes what happened to the host, those of that name or all; tells what stays."""
    with world.kernel.lock:
        waiting = [i for i in world.state.injections if name in ("", i.name)]
        world.state.injections[:] = [i for i in world.state.injections if i not in waiting]
        undone, stays = (
            tuple(word for key in table if name in ("", key) for word in table[key](world)) for table in (_UNDO, _STAYS)
        )
        world.kernel.changed("host")
    forgotten = (f"{i.name} {i.place}".rstrip() for i in waiting if i.times > 0)
    return Cleared(tuple(forgotten), undone, stays)


def _disk_full(world: World, place: str, left: float) -> None:
    volume = (place or "C:").upper()
    if volume not in world.state.host.volumes:
        raise Refused(f"the host has no volume {place}; it has {', '.join(world.state.host.volumes)}")
    world.storage.fill(volume, int(left))


def _memory_short(world: World, _place: str, left: float) -> None:
    host = world.state.host
    taken = max(0, world.hyperv.service.memory_free_bytes() - int(left))
    host.memory_used_bytes += taken
    host.memory_taken_bytes += taken
    world.kernel.changed("host")


def _adapter_gone(world: World, place: str, _value: float) -> None:
    """Only one that carries nothing: what pulling out the host's own network does is `link-drop`."""
    adapters = world.state.host.adapters
    gone = [a for a in adapters if a.name.lower() == place.lower() and world.network.carrier(a) == a and not a.gateway]
    if not gone:
        raise Refused(f"no adapter {place!r} that carries nothing; the host's own network is lost by link-drop")
    world.state.host.pulled_out += gone
    adapters[:] = [a for a in adapters if a not in gone]
    world.kernel.changed("host")


def _rights_lost(world: World, place: str, _value: float) -> None:
    found = [account for account in world.state.accounts if account.user.lower() == place.lower()]
    if not found:
        known = ", ".join(account.user for account in world.state.accounts)
        raise Refused(f"the host has no account {place!r}; it has {known}")
    for account in found:
        if not account.lost_groups:
            account.lost_groups, account.groups = account.groups, ["Remote Management Users"]
    world.kernel.changed("host")


def _foreign_vm(world: World, place: str, _value: float) -> None:
    is_mac = re.fullmatch(r"[0-9A-F]{12}", place) is not None
    host, vm_id = world.state.host, world.network.new_guid()
    name = "nightly-build" if is_mac or not place else place
    nic = VmNic("Network Adapter", place if is_mac else DYNAMIC_MAC, static_mac=is_mac)
    host.vms[vm_id] = Vm(
        id=vm_id,
        name=name,
        generation=2,
        created=world.kernel.now(),
        path=f"D:\\VMs\\{name}",
        notes=FOREIGN_NOTES,
        start_action="Nothing",
        bios_uuid=world.network.new_guid(),
        nics=[nic],
        boot_order=["network:0"],
    )
    world.kernel.changed("vm", vm_id)


def _link_drop(world: World, place: str, seconds: float) -> None:
    ways: dict[str, Failure] = {"": "reset", "reset": "reset", "silence": "silence"}
    if place not in ways:
        raise Refused(f"link-drop happens by reset or silence, not by {place!r}")
    world.network.cut(seconds, ways[place])


def _foreign_machine(world: World, place: str, octet: float) -> None:
    number = len(world.state.foreign) + 1
    if place and not re.fullmatch(r"[0-9A-F]{12}", place):
        raise Refused(f"the place of foreign-machine is a bare MAC address as 02155D000011, not {place!r}")
    if not 1 <= octet <= 254:
        raise Refused(f"--value of foreign-machine is the last octet of its address, 1 to 254, not {octet:g}")
    mac = place or f"02F0F0F0F0{number:02X}"
    address = world.state.lan.subnet.split("/")[0].rsplit(".", 1)[0] + f".{int(octet) + number - 1}"
    uuid = f"f0f0f0f0-0000-4000-8000-{number:012x}"
    add_foreign(world.kernel, f"foreign-{number}", mac, uuid, address)


def _set_host(world: World, **fields: object) -> None:
    for name, value in fields.items():
        setattr(world.state.host, name, value)
    world.kernel.changed("host")


_AT_ONCE: dict[str, Callable[[World, str, float], None]] = {
    "host-reboot": lambda world, _place, seconds: world.reboot_host(seconds),
    "vmms-stopped": lambda world, _place, seconds: world.hyperv.service.stop_service(seconds),
    "module-missing": lambda world, _place, _value: _set_host(world, hyperv_module=False),
    "clock-skew": lambda world, _place, seconds: _set_host(world, clock_skew_s=seconds),
    "disk-full": _disk_full,
    "memory-short": _memory_short,
    "adapter-gone": _adapter_gone,
    "rights-lost": _rights_lost,
    "foreign-vm": _foreign_vm,
    "vm-deleted": by_hand.delete_vm,
    "disk-deleted": by_hand.delete_disk,
    "vm-copied": by_hand.copy_vm,
    "vm-paused": by_hand.pause_vm,
    "storage-lost": by_hand.lose_storage,
    "link-drop": _link_drop,
    "foreign-machine": _foreign_machine,
}
_TABLE = yaml.load(files(__package__).joinpath("faults.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
FAULTS = {name: FaultRow(**row, at_once=name in _AT_ONCE) for name, row in _TABLE.items()}


def _restores(field: str, right: object, told: str) -> Callable[[World], Iterator[str]]:
    """Sets a field of the host right again."""

    def undo(world: World) -> Iterator[str]:
        if getattr(world.state.host, field) != right:
            _set_host(world, **{field: right})
            yield told

    return undo


def _empty_volumes(world: World) -> Iterator[str]:
    host = world.state.host
    for volume, filled in host.filled.items():
        size, used = host.volumes[volume]
        host.volumes[volume] = (size, used - filled)
        yield f"disk-full: {volume} has its room again"
    host.filled.clear()


def _give_memory(world: World) -> Iterator[str]:
    host = world.state.host
    if host.memory_taken_bytes:
        host.memory_used_bytes, host.memory_taken_bytes = host.memory_used_bytes - host.memory_taken_bytes, 0
        yield "memory-short: the host has its memory again"


def _plug_in(world: World) -> Iterator[str]:
    host = world.state.host
    for adapter in host.pulled_out:
        host.adapters.append(adapter)
        yield f"adapter-gone: {adapter.name} is back"
    host.pulled_out.clear()


def _give_rights(world: World) -> Iterator[str]:
    for account in world.state.accounts:
        if account.lost_groups:
            account.groups, account.lost_groups = account.lost_groups, []
            yield f"rights-lost: {account.user} is an administrator again"


def _let_go(world: World) -> Iterator[str]:
    for file in world.state.host.files.values():
        if file.locked_until > world.kernel.now():
            file.locked_until = 0.0
            yield f"file-locked: {file.path} is free again"


def _foreign_vms(world: World) -> Iterator[str]:
    for vm in world.state.host.vms.values():
        if vm.notes == FOREIGN_NOTES:
            yield f"foreign-vm: the VM {vm.name} has another owner by now; a user would remove it in Hyper-V Manager"


def _foreign_machines(world: World) -> Iterator[str]:
    for machine in world.state.foreign:
        if machine.name.startswith("foreign-"):
            yield f"foreign-machine: {machine.name} at {machine.address} keeps what was sent to it, as evidence"


_UNDO: dict[str, Callable[[World], Iterator[str]]] = {
    "vmms-stopped": _restores("vmms", "Running", "vmms-stopped: the service runs again"),
    "module-missing": _restores("hyperv_module", True, "module-missing: the module is installed"),
    "clock-skew": _restores("clock_skew_s", 0.0, "clock-skew: the host's clock is right"),
    "disk-full": _empty_volumes,
    "memory-short": _give_memory,
    "adapter-gone": _plug_in,
    "rights-lost": _give_rights,
    "file-locked": _let_go,
}
_STAYS: dict[str, Callable[[World], Iterator[str]]] = {
    "foreign-vm": _foreign_vms,
    "foreign-machine": _foreign_machines,
}
"""Faults that end by themselves (host-reboot, link-drop) are in neither table."""
