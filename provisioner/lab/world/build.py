"""Builds the lab's world as a newcomer finds it: one Windows host with Hyper-V in a small LAN, with another owner's VM on it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files

import yaml
from pydantic import TypeAdapter

from provisioner.lab.world.clock import RunningClock, WorldClock
from provisioner.lab.world.durable import Kept
from provisioner.lab.world.interfaces import Guests
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import (
    Account,
    Lan,
    State,
    VirtualSwitch,
    WebResource,
    WindowsHost,
)
from provisioner.lab.world.storage import key
from provisioner.lab.world.world import World

GIB = 1024**3
_TABLE = yaml.load(files(__package__).joinpath("host.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
HOST_NAME: str = _TABLE["name"]
FOREIGN_VM_ID: str = next(iter(_TABLE["vms"]))
TALOS_VERSIONS = ("v1.10.9", "v1.11.5", "v1.12.0")
"""Releases that the lab's internet has."""
ISO_BYTES = 318_767_104
RELEASES = "https://github.com/siderolabs/talos/releases/download"
FACTORY = "https://factory.talos.dev/image"
PLAIN_SCHEMATIC = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"
"""Id of the Image Factory's empty schematic."""


def new_world(
    *,
    seed: int = 1,
    rate: float = 1.0,
    clock: WorldClock | None = None,
    guests: Callable[[World], Guests],
    accounts: Sequence[Account] = (),
    memory_gib: int = 64,
    processors: int = 16,
    disk_gib: int = 500,
    is_server: bool = False,
    with_external_switch: str = "",
    state: Kept | None = None,
) -> World:
    """A fresh world whose host has just booted, or, with `state`, the world that `durable.load` gave back, booted again.

    `guests` makes what runs inside VMs.
    `with_external_switch` names an External switch that is on the adapter Ethernet already, as after an earlier run.
    """
    if state is None:
        host = _host(memory_gib, processors, disk_gib, is_server=is_server)
        fresh = State(host, Lan(leases={host.adapters[0].mac: host.address}, internet=_internet()))
        world = World(Kernel(fresh, clock or RunningClock(rate), seed))
    else:
        clock = clock or RunningClock(rate)
        clock.move_to(state.at)
        # Another seed than before: else new VMs would get the ids that those before the crash have.
        world = World(Kernel(state.state, clock, seed + 1 + int(state.at * 1000)))
    world.state.accounts = copy.deepcopy(list(accounts))
    world.use_guests(guests(world))
    if with_external_switch and state is None:
        _bind_ethernet(world, with_external_switch)
    world.boot()
    return world


def talos_iso(version: str) -> WebResource:
    """A release's ISO: its size and a hash of its own; 300 MB of zeros would serve no one."""
    sha256 = hashlib.sha256(f"metal-amd64.iso {version}".encode()).hexdigest()
    return WebResource(size_bytes=ISO_BYTES, sha256=sha256, talos_iso=version)


def _internet() -> dict[str, WebResource]:
    found: dict[str, WebResource] = {}
    for version in TALOS_VERSIONS:
        iso = talos_iso(version)
        other = hashlib.sha256(f"metal-arm64.iso {version}".encode()).hexdigest()
        sums = f"{other}  metal-arm64.iso\n{iso.sha256}  metal-amd64.iso\n".encode()
        found[f"{RELEASES}/{version}/metal-amd64.iso"] = iso
        found[f"{RELEASES}/{version}/sha256sum.txt"] = WebResource(
            size_bytes=len(sums), sha256=hashlib.sha256(sums).hexdigest(), content=sums
        )
        found[f"{FACTORY}/{PLAIN_SCHEMATIC}/{version}/metal-amd64.iso"] = talos_iso(version)
    return found


def _host(memory_gib: int, processors: int, disk_gib: int, *, is_server: bool) -> WindowsHost:
    host = TypeAdapter(WindowsHost).validate_python(_TABLE)
    host.processors, host.memory_bytes = processors, memory_gib * GIB
    host.volumes = {"C:": (disk_gib * GIB, 80 * GIB), "D:": (2 * disk_gib * GIB, 10 * GIB)}
    if is_server:
        plain = WindowsHost(name="", address="")
        host.is_server, host.client_checkpoints = True, False
        host.os_caption, host.os_build, host.disk_folder = plain.os_caption, plain.os_build, plain.disk_folder
        del host.switches[0]  # the Default Switch
    host.folders |= {key(folder) for folder in (host.disk_folder, host.vm_folder, host.program_data)}
    return host


def _bind_ethernet(world: World, name: str) -> None:
    """An External switch as after its outage: the vEthernet has what the adapter had."""
    with world.kernel.lock:
        adapter = world.state.host.adapters[0]
        switch = VirtualSwitch(id=world.network.new_guid(), name=name, kind="External", allow_management_os=True)
        world.network.take_over(switch, adapter)
