"""Builds the lab's world as a newcomer finds it: one Windows host with Hyper-V in a small LAN, with somebody else's VM on it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence

from provisioner.lab.world.clock import HandClock, RunningClock, WorldClock
from provisioner.lab.world.durable import Kept
from provisioner.lab.world.hyperv.service import DEFAULT_SWITCH_ID
from provisioner.lab.world.interfaces import Guests
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.network import ROUTER_MAC
from provisioner.lab.world.state import (
    Account,
    HardDrive,
    HostFile,
    Lan,
    NetAdapter,
    State,
    Vhd,
    VirtualSwitch,
    Vm,
    VmNic,
    WebResource,
    WindowsHost,
)
from provisioner.lab.world.storage import key
from provisioner.lab.world.world import World

GIB = 1024**3
HOST_NAME = "hv01.lab"
HOST_ADDRESS = "192.0.2.10"
FOREIGN_SWITCH_ID = "5b1e0f52-7c7e-4d0a-9d57-3f5f5d0b6a11"
FOREIGN_VM_ID = "7f3b1c1e-2a54-4f0e-8a0b-0c1d2e3f4a5b"
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
    guests: Callable[[World], Guests] | None = None,
    accounts: Sequence[Account] = (),
    memory_gib: int = 64,
    processors: int = 16,
    disk_gib: int = 500,
    is_server: bool = False,
    with_external_switch: str = "",
    state: Kept | None = None,
) -> World:
    """A fresh world whose host has just booted, or, with `state`, the world that `durable.load` gave back, booted again.

    With a hand clock nothing moves until it is advanced. `guests` makes what runs inside VMs; without it VMs run and do nothing.
    `with_external_switch` names an External switch that is on the adapter Ethernet already, as after an earlier run.
    """
    if state is None:
        fresh = State(host=_host(memory_gib, processors, disk_gib, is_server=is_server), lan=_lan())
        world = World(Kernel(fresh, clock or RunningClock(rate), seed))
    else:
        clock = clock or RunningClock(rate)
        clock.move_to(state.at)
        # Another seed than before: else new VMs would get the ids that those before the crash have.
        world = World(Kernel(state.state, clock, seed + 1 + int(state.at * 1000)))
    world.state.accounts = copy.deepcopy(list(accounts))
    if guests is not None:
        world.use_guests(guests(world))
    if with_external_switch and state is None:
        _bind_ethernet(world, with_external_switch)
    world.boot()
    if isinstance(world.kernel.clock, HandClock):
        world.kernel.advance(1.0)  # the foreign VM comes up
    return world


def talos_iso(version: str) -> WebResource:
    """A release's ISO: its size and a hash of its own; nobody needs 300 MB of zeros."""
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


def _lan() -> Lan:
    return Lan(leases={"A0369F112233": HOST_ADDRESS}, internet=_internet())


def _host(memory_gib: int, processors: int, disk_gib: int, *, is_server: bool) -> WindowsHost:
    host = WindowsHost(
        name=HOST_NAME,
        address=HOST_ADDRESS,
        os_caption="Microsoft Windows Server 2022 Datacenter" if is_server else "Microsoft Windows 11 Pro",
        os_build="20348" if is_server else "26100",
        is_server=is_server,
        processors=processors,
        memory_bytes=memory_gib * GIB,
        volumes={"C:": (disk_gib * GIB, 80 * GIB), "D:": (2 * disk_gib * GIB, 10 * GIB)},
        client_checkpoints=not is_server,
    )
    if not is_server:
        host.disk_folder = "C:\\ProgramData\\Microsoft\\Windows\\Virtual Hard Disks"
    host.adapters = [
        NetAdapter(
            name="Ethernet",
            description="Intel(R) Ethernet Controller I225-V",
            mac="A0369F112233",
            guid="{2F6E0C3A-51B7-4A54-8C1B-7B0A9D3E1F01}",
            if_index=7,
            link_speed="2.5 Gbps",
            addresses=[f"{HOST_ADDRESS}/24"],
            gateway="192.0.2.1",
            dns_servers=["192.0.2.1"],
        ),
        NetAdapter(
            name="Wi-Fi",
            description="Intel(R) Wi-Fi 6E AX211 160MHz",
            mac="A0369F445566",
            guid="{2F6E0C3A-51B7-4A54-8C1B-7B0A9D3E1F02}",
            if_index=9,
            status="Disconnected",
            media="Native 802.11",
            link_speed="0 bps",
        ),
        NetAdapter(
            name="Ethernet 2",
            description="Realtek PCIe GbE Family Controller",
            mac="A0369F778899",
            guid="{2F6E0C3A-51B7-4A54-8C1B-7B0A9D3E1F03}",
            if_index=12,
            status="Disconnected",
            link_speed="0 bps",
        ),
    ]
    host.switches = [VirtualSwitch(id=FOREIGN_SWITCH_ID, name="office", kind="Private", notes="file server only")]
    if not is_server:
        host.switches.insert(0, _default_switch())
    host.neighbors = {"192.0.2.1": (ROUTER_MAC, "Reachable")}
    host.folders = {key(folder) for folder in (host.disk_folder, host.vm_folder, host.program_data, "D:\\VMs")}
    _add_fileserver(host)
    return host


def _default_switch() -> VirtualSwitch:
    """The built-in NAT switch of client Windows; not usable for machines that anybody outside has to reach."""
    return VirtualSwitch(
        id=DEFAULT_SWITCH_ID,
        name="Default Switch",
        kind="Internal",
        allow_management_os=True,
        vethernet=NetAdapter(
            name="vEthernet (Default Switch)",
            description="Hyper-V Virtual Ethernet Adapter",
            mac="00155D7A1B00",
            guid="{2F6E0C3A-51B7-4A54-8C1B-7B0A9D3E1F04}",
            if_index=21,
            addresses=["172.28.64.1/20"],
            category="Public",
            dhcp=False,
        ),
    )


def _add_fileserver(host: WindowsHost) -> None:
    """Somebody else's VM, without our mark: it must be there, untouched, after everything we do."""
    folder = "D:\\VMs\\fileserver"
    disk = HostFile(
        path=f"{folder}\\fileserver.vhdx",
        size_bytes=40 * GIB,
        modified=0.0,
        vhd=Vhd(size_bytes=120 * GIB, other_system="Windows Server 2019"),
    )
    host.files[key(disk.path)] = disk
    host.folders.add(key(folder))
    host.vms[FOREIGN_VM_ID] = Vm(
        id=FOREIGN_VM_ID,
        name="fileserver",
        generation=2,
        created=0.0,
        path=folder,
        cpus=2,
        memory_bytes=4 * GIB,
        notes="Do not touch. Ask Kim first.",
        start_action="Start",
        bios_uuid="3c1f7a52-9b0e-4a3c-8f3e-55aa66bb77cc",
        hard_drives=[HardDrive(0, 0, disk.path)],
        nics=[VmNic(name="Network Adapter", mac="00155D0A0B0C", switch_id=FOREIGN_SWITCH_ID)],
        boot_order=["disk:0:0", "network:0"],
        disabled_services=["Guest Service Interface"],
    )


def _bind_ethernet(world: World, name: str) -> None:
    """An External switch as after its outage: the vEthernet has what the adapter had."""
    with world.kernel.lock:
        adapter = world.state.host.adapters[0]
        switch = VirtualSwitch(id=world.network.new_guid(), name=name, kind="External", allow_management_os=True)
        world.network.take_over(switch, adapter)
