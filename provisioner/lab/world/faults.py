"""Bad days on demand: every fault of the lab, by name and place.

Some happen at once; the others wait in `State.injections` until the rules or the endpoint whose business they are come to
the place named and use them up with `Kernel.injected(name, place)`. An empty place means: wherever it comes first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from provisioner.lab.descriptor import Refused
from provisioner.lab.world import by_hand
from provisioner.lab.world.hyperv.service import DYNAMIC_MAC
from provisioner.lab.world.state import ForeignMachine, Injection, Vm, VmNic

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
    at_once: bool = False
    needs_place: bool = False


@dataclass(frozen=True)
class Cleared:
    """What `clear` came to, each in words."""

    forgotten: tuple[str, ...] = ()
    """Waited, and will not happen."""
    undone: tuple[str, ...] = ()
    stays: tuple[str, ...] = ()


FAULTS: dict[str, FaultRow] = {
    # the host
    "host-reboot": FaultRow(
        does="the host restarts: VMs lose their power, connections end", value="seconds", default=60, at_once=True
    ),
    "vmms-stopped": FaultRow(does="Hyper-V's management service stops", value="seconds, 0 for good", at_once=True),
    "module-missing": FaultRow(does="the Hyper-V PowerShell module is not installed", at_once=True),
    "clock-skew": FaultRow(
        does="the host's clock is wrong", value="seconds ahead of the true time", default=900, at_once=True
    ),
    "disk-full": FaultRow(
        does="others fill a volume", place="volume, as C:", value="bytes left", default=1024**2, at_once=True
    ),
    "memory-short": FaultRow(
        does="the host's own programs take memory", value="bytes left", default=1024**3, at_once=True
    ),
    "adapter-gone": FaultRow(
        does="a network adapter is pulled out", place="adapter name", needs_place=True, at_once=True
    ),
    "rights-lost": FaultRow(
        does="an account is no administrator any more", place="user", needs_place=True, at_once=True
    ),
    "foreign-vm": FaultRow(
        does="somebody else's VM appears, Off and without a mark", place="its name, or its bare MAC", at_once=True
    ),
    "vm-deleted": FaultRow(
        does="somebody deletes a VM in Hyper-V Manager, which keeps its disk",
        place="VM name",
        value="1: the folder with the disk too",
        needs_place=True,
        at_once=True,
    ),
    "disk-deleted": FaultRow(
        does="somebody turns a VM off and deletes the file of its disk", place="VM name", needs_place=True, at_once=True
    ),
    "vm-copied": FaultRow(
        does="somebody exports a VM and imports it as a copy, which has its notes and its MAC address; Off",
        place="VM name",
        value="1: the host lists the copy first",
        needs_place=True,
        at_once=True,
    ),
    "vm-paused": FaultRow(does="somebody pauses a VM", place="VM name", needs_place=True, at_once=True),
    "storage-lost": FaultRow(
        does="the volume under a VM fails, and Hyper-V pauses it as critical",
        place="VM name",
        needs_place=True,
        at_once=True,
    ),
    "no-memory": FaultRow(does="Start-VM is refused for want of memory", place="VM name"),
    "worker-failed": FaultRow(does="Start-VM fails: no worker process", place="VM name"),
    "file-locked": FaultRow(
        does="a virus scanner holds the disks of a VM after its removal", place="VM name", value="seconds", default=20
    ),
    "image-checksum": FaultRow(does="a download arrives with other bytes than it should", place="URL"),
    "image-status": FaultRow(does="the download is refused", place="URL", value="HTTP status", default=503),
    "image-unreachable": FaultRow(does="the server of a download cannot be reached", place="URL"),
    "image-slow": FaultRow(does="a download is slow", place="URL", value="how many times slower", default=20),
    # the switch and the link
    "switch-outage": FaultRow(
        does="the outage at a switch lasts as long as said", place="switch name", value="seconds", default=45
    ),
    "switch-silence": FaultRow(
        does="during the outage packets vanish instead of connections being reset", place="switch name"
    ),
    "switch-bind": FaultRow(does="the adapter cannot be bound; the host comes back as it was", place="switch name"),
    "switch-offline": FaultRow(
        does="the new vEthernet gets no address and no gateway, until the switch is removed or the host restarts",
        place="switch name",
    ),
    "switch-address": FaultRow(
        does="the host comes back with another address", place="switch name", value="last octet", default=77
    ),
    "switch-public": FaultRow(
        does="the new network counts as Public, and the firewall closes WinRM", place="switch name"
    ),
    "switch-dns": FaultRow(does="the new vEthernet has no DNS servers", place="switch name"),
    "link-drop": FaultRow(
        does="the host cannot be reached", place="`reset` or `silence`", value="seconds", default=20, at_once=True
    ),
    # WinRM; the place is the name of a host function, or the verb of a WSMan request as Create, Command, Receive
    "winrm-drop": FaultRow(does="the connection ends before the request was worked on", place="function or verb"),
    "winrm-lose-answer": FaultRow(
        does="the work is done, and its answer is lost", place="function or verb", value="1: the endpoint notices"
    ),
    "winrm-drop-after": FaultRow(
        does="all connections are reset once so many more pipelines have started", value="pipelines", default=1
    ),
    "winrm-forget": FaultRow(does="the service was restarted: all shells are gone", place="function or verb"),
    "winrm-stall": FaultRow(
        does="the answer does not come for a while", place="function or verb", value="seconds, real time", default=30
    ),
    "winrm-slow": FaultRow(
        does="the answer trickles", place="function or verb", value="bytes per second", default=10_000
    ),
    "winrm-refuse": FaultRow(does="a sign-in is refused with 401", place="user"),
    "winrm-quota": FaultRow(does="a shell is refused: too many of this user", place="user"),
    "winrm-certificate": FaultRow(does="the endpoint has a new certificate that nobody signed"),
    # machines; the place is the VM's name
    "vm-never-boots": FaultRow(does="the VM stays in its firmware", place="VM name"),
    "boots-iso-again": FaultRow(does="a reset boots the ISO although Talos is on the disk", place="VM name"),
    "guest-silent": FaultRow(does="the guest does not answer the shutdown service", place="VM name"),
    "lease-moves": FaultRow(
        does="the router gives the machine another address at its next boot", place="VM name or bare MAC"
    ),
    "talos-lose-answer": FaultRow(
        does="a call of Talos' API is worked on, and the connection ends before its answer", place="method"
    ),
    "config-refused": FaultRow(does="Talos refuses a machine config", place="VM name"),
    "install-fails": FaultRow(does="the installer cannot write the disk", place="VM name"),
    "install-slow": FaultRow(
        does="the installer image is pulled slowly", place="VM name", value="seconds more", default=120
    ),
    "image-pull-fails": FaultRow(does="the installer image cannot be pulled", place="VM name"),
    "kexec-fails": FaultRow(does="the reboot after the install goes through the firmware", place="VM name"),
    "time-not-synced": FaultRow(
        does="no time server answers the machine", place="VM name", value="seconds, 0 for the whole of a boot"
    ),
    "etcd-slow": FaultRow(does="etcd takes its time to start", place="VM name", value="seconds more", default=60),
    "foreign-machine": FaultRow(
        does="somebody else's Talos machine in maintenance appears on the LAN",
        place="its bare MAC",
        value="last octet",
        default=60,
        at_once=True,
    ),
    # Kubernetes; the place is the node's name
    "node-never-ready": FaultRow(
        does="the node registers and does not become Ready until its machine starts anew", place="node name"
    ),
    "kube-slow": FaultRow(
        does="the Kubernetes API takes its time to come up", place="node name", value="seconds more", default=60
    ),
}


def inject(world: World, name: str, place: str = "", times: int = 1, value: float | None = None) -> None:
    """Lets a fault happen, now or when its place is reached. Raises Refused for what cannot be."""
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
        undone = [word for key, undo in _UNDO.items() if name in ("", key) for word in undo(world)]
        stays = [word for key, told in _STAYS.items() if name in ("", key) for word in told(world)]
        world.kernel.changed("host")
    forgotten = (f"{i.name} {i.place}".rstrip() for i in waiting if i.times > 0)
    return Cleared(tuple(forgotten), tuple(undone), tuple(stays))


def _host_reboot(world: World, _place: str, seconds: float) -> None:
    world.reboot_host(seconds)


def _vmms_stopped(world: World, _place: str, seconds: float) -> None:
    world.hyperv.service.stop_service(seconds)


def _module_missing(world: World, _place: str, _value: float) -> None:
    world.state.host.hyperv_module = False
    world.kernel.changed("host")


def _clock_skew(world: World, _place: str, seconds: float) -> None:
    world.state.host.clock_skew_s = seconds
    world.kernel.changed("host")


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


def _by_hand(world: World, what: Callable[[World, str], None], place: str) -> None:
    try:
        what(world, place)
    except by_hand.NoSuchVmError as refusal:
        raise Refused(str(refusal)) from refusal


def _vm_deleted(world: World, place: str, files: float) -> None:
    _by_hand(world, lambda world, name: by_hand.delete_vm(world, name, files=bool(files)), place)


def _disk_deleted(world: World, place: str, _value: float) -> None:
    _by_hand(world, by_hand.delete_disk, place)


def _vm_copied(world: World, place: str, first: float) -> None:
    _by_hand(world, lambda world, name: by_hand.copy_vm(world, name, listed_first=bool(first)), place)


def _vm_paused(world: World, place: str, _value: float) -> None:
    _by_hand(world, by_hand.pause_vm, place)


def _storage_lost(world: World, place: str, _value: float) -> None:
    _by_hand(world, by_hand.lose_storage, place)


def _link_drop(world: World, place: str, seconds: float) -> None:
    if place not in ("", "reset", "silence"):
        raise Refused(f"link-drop happens by reset or silence, not by {place!r}")
    world.network.cut(seconds, place or "reset")


def _foreign_machine(world: World, place: str, octet: float) -> None:
    number = len(world.state.foreign) + 1
    if place and not re.fullmatch(r"[0-9A-F]{12}", place):
        raise Refused(f"the place of foreign-machine is a bare MAC address as 02155D000011, not {place!r}")
    if not 1 <= octet <= 254:
        raise Refused(f"--value of foreign-machine is the last octet of its address, 1 to 254, not {octet:g}")
    mac = place or f"02F0F0F0F0{number:02X}"
    address = world.state.lan.subnet.split("/")[0].rsplit(".", 1)[0] + f".{int(octet) + number - 1}"
    uuid = f"f0f0f0f0-0000-4000-8000-{number:012x}"
    machine = ForeignMachine(name=f"foreign-{number}", mac=mac, uuid=uuid, address=address)
    world.state.foreign.append(machine)
    world.kernel.changed("guest", f"foreign:{machine.name}")


_AT_ONCE: dict[str, Callable[[World, str, float], None]] = {
    "host-reboot": _host_reboot,
    "vmms-stopped": _vmms_stopped,
    "module-missing": _module_missing,
    "clock-skew": _clock_skew,
    "disk-full": _disk_full,
    "memory-short": _memory_short,
    "adapter-gone": _adapter_gone,
    "rights-lost": _rights_lost,
    "foreign-vm": _foreign_vm,
    "vm-deleted": _vm_deleted,
    "disk-deleted": _disk_deleted,
    "vm-copied": _vm_copied,
    "vm-paused": _vm_paused,
    "storage-lost": _storage_lost,
    "link-drop": _link_drop,
    "foreign-machine": _foreign_machine,
}


def _start_vmms(world: World) -> Iterator[str]:
    if world.state.host.vmms != "Running":
        world.hyperv.service.start_service()
        yield "vmms-stopped: the service runs again"


def _install_module(world: World) -> Iterator[str]:
    if not world.state.host.hyperv_module:
        world.state.host.hyperv_module = True
        yield "module-missing: the module is installed"


def _set_clock(world: World) -> Iterator[str]:
    if world.state.host.clock_skew_s:
        world.state.host.clock_skew_s = 0.0
        yield "clock-skew: the host's clock is right"


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
            yield f"file-locked: nobody holds {file.path} any more"


def _foreign_vms(world: World) -> Iterator[str]:
    for vm in world.state.host.vms.values():
        if vm.notes == FOREIGN_NOTES:
            yield f"foreign-vm: the VM {vm.name} is somebody else's by now; a user would remove it in Hyper-V Manager"


def _foreign_machines(world: World) -> Iterator[str]:
    for machine in world.state.foreign:
        if machine.name.startswith("foreign-"):
            yield f"foreign-machine: {machine.name} at {machine.address} keeps what was sent to it, as evidence"


_UNDO: dict[str, Callable[[World], Iterator[str]]] = {
    "vmms-stopped": _start_vmms,
    "module-missing": _install_module,
    "clock-skew": _set_clock,
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
