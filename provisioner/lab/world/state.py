"""The state of the lab's world: a Windows host, its VMs and disks, the LAN, and the Talos machines. Plain data, no behaviour.

What `durable.py` keeps is what would survive a crash of such a host: files and disks with what is on them, VM definitions,
switches, the host's settings. What runs in memory (guests, jobs at work, connections) does not. Over 400 lines, since it is one document:
`world.json`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal


class _WithBytes:
    """Bytes are base64 in JSON."""

    __pydantic_config__: ClassVar = {"ser_json_bytes": "base64", "val_json_bytes": "base64"}


VmState = Literal[
    "Off", "Saved", "Starting", "Running", "Stopping", "ForceShutdown", "Saving", "Paused", "PausedCritical"
]
SwitchKind = Literal["External", "Internal", "Private"]
NetworkCategory = Literal["Public", "Private", "DomainAuthenticated"]
Failure = Literal["reset", "silence"]
"""How connections to a host fail that cannot be reached: reset and refused, or packets vanish."""
Medium = Literal["iso", "disk"]
Stage = Literal["booting", "maintenance", "installing", "running", "rebooting", "shutting down", "resetting"]
"""Talos' own words."""
Api = Literal["closed", "maintenance", "apid"]
"""What answers at port 50000."""

# --- disks and files ------------------------------------------------------------------------------------------------


@dataclass
class EtcdData:
    """What lies in a control plane's etcd data directory."""

    cluster_id: str
    member_id: int
    hostname: str


@dataclass
class InstalledSystem(_WithBytes):
    """Talos on a disk: its version, the config it persists, and what its data partition holds."""

    version: str
    config: bytes
    etcd: EtcdData | None = None
    efi_entry: bool = True


@dataclass
class Vhd:
    """What a .vhdx file is, beyond its path."""

    size_bytes: int
    kind: str = "Dynamic"
    block_bytes: int = 32 * 1024 * 1024
    system: InstalledSystem | None = None
    other_system: str = ""
    """An operating system that is not Talos, as on the disk of another owner's VM: it boots, runs and has a heartbeat."""


@dataclass
class HostFile(_WithBytes):
    """A file on the host. Paths are Windows paths; the key in `HostState.files` is the path in lower case."""

    path: str
    size_bytes: int
    modified: float
    sha256: str = ""
    content: bytes | None = None
    """Small files only."""
    vhd: Vhd | None = None
    talos_iso: str = ""
    """Version of the Talos ISO that this file is, or empty."""
    locked_until: float = 0.0
    """Cannot be deleted before that (a merge, a virus scanner)."""


# --- the host -------------------------------------------------------------------------------------------------------


@dataclass
class NetAdapter:
    """A physical network adapter of the host."""

    name: str
    description: str
    mac: str
    guid: str
    if_index: int
    status: str = "Up"
    media: str = "802.3"
    link_speed: str = "1 Gbps"
    addresses: list[str] = field(default_factory=list)
    """With prefix length, as 192.0.2.10/24; moved to the vEthernet while bound to a switch."""
    gateway: str = ""
    dns_servers: list[str] = field(default_factory=list)
    category: NetworkCategory = "Private"
    dhcp: bool = True


@dataclass
class VirtualSwitch:
    id: str
    name: str
    kind: SwitchKind
    adapter_guid: str = ""
    allow_management_os: bool = False
    notes: str = ""
    vethernet: NetAdapter | None = None
    """`vEthernet (<name>)` of the host, when shared with the management OS."""
    vlan_id: int = 0
    """Of the vEthernet; 0 is untagged. VMs reach the LAN when theirs is the same."""
    adapter_before: NetAdapter | None = None
    """The physical adapter as it was before it was bound: it gets its settings back."""


@dataclass
class DvdDrive:
    controller_number: int
    controller_location: int
    path: str = ""


@dataclass
class HardDrive:
    controller_number: int
    controller_location: int
    path: str


@dataclass
class VmNic:
    name: str
    mac: str = "000000000000"
    static_mac: bool = False
    switch_id: str = ""
    vlan_id: int = 0


STOPPED = ("Off", "Saved")
"""States in which a VM takes no memory and holds no file."""
STANDS_STILL = ("Paused", "PausedCritical")
"""States in which the guest does nothing and is not heard, its memory taken all the same."""


@dataclass
class Vm:
    """A VM as Hyper-V keeps it."""

    id: str
    name: str
    generation: int
    created: float
    path: str
    version: str = "12.0"
    state: VmState = "Off"
    state_since: float = 0.0
    cpus: int = 1
    memory_bytes: int = 512 * 1024 * 1024
    dynamic_memory: bool = False
    notes: str = ""
    start_action: str = "StartIfRunning"
    start_delay_s: int = 0
    stop_action: str = "Save"
    checkpoint_type: str = "Production"
    automatic_checkpoints: bool = False
    secure_boot: bool = True
    secure_boot_template: str = "MicrosoftWindows"
    bios_uuid: str = ""
    hard_drives: list[HardDrive] = field(default_factory=list)
    dvd_drives: list[DvdDrive] = field(default_factory=list)
    nics: list[VmNic] = field(default_factory=list)
    boot_order: list[str] = field(default_factory=list)
    """Entries `disk:<number>:<location>`, `dvd:<number>:<location>`, `network:<index>`, `file`."""
    disabled_services: list[str] = field(default_factory=list)
    ran_before_host_stopped: bool = False
    """For the start action StartIfRunning."""


@dataclass
class ScheduledTask:
    """A task of the task scheduler: the detached jobs of the module run by it."""

    name: str
    command: str
    arguments: str
    last_result: int = 267011
    """267011: has not run yet; 267009: running; 0: done."""


@dataclass
class WindowsHost:
    name: str
    address: str
    """Its present address on the LAN."""
    os_caption: str = "Microsoft Windows Server 2022 Datacenter"
    os_build: str = "20348"
    is_server: bool = True
    processors: int = 16
    memory_bytes: int = 64 * 1024**3
    memory_used_bytes: int = 6 * 1024**3
    """By the host itself, without VMs."""
    memory_taken_bytes: int = 0
    """How much of that a fault has taken."""
    volumes: dict[str, tuple[int, int]] = field(default_factory=dict)
    """`C:` -> size and bytes used by others."""
    filled: dict[str, int] = field(default_factory=dict)
    """By volume: how much of what others use a fault has put there."""
    adapters: list[NetAdapter] = field(default_factory=list)
    pulled_out: list[NetAdapter] = field(default_factory=list)
    """Adapters that a fault has taken away."""
    switches: list[VirtualSwitch] = field(default_factory=list)
    vms: dict[str, Vm] = field(default_factory=dict)
    files: dict[str, HostFile] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    """Lower-case paths; parents are there implicitly."""
    disk_folder: str = "C:\\Users\\Public\\Documents\\Hyper-V\\Virtual Hard Disks"
    vm_folder: str = "C:\\ProgramData\\Microsoft\\Windows\\Hyper-V"
    program_data: str = "C:\\ProgramData"
    program_files: str = "C:\\Program Files"
    vmms: str = "Running"
    hyperv_module: bool = True
    hypervisor_present: bool = True
    tasks: dict[str, ScheduledTask] = field(default_factory=dict)
    booted: float = 0.0
    booted_utc: float = 0.0
    """The same as Unix time."""
    clock_skew_s: float = 0.0
    """How far the host's clock is ahead of the true time."""
    neighbors: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Neighbour table of the host: address -> (bare MAC, state). It learns by traffic alone."""
    client_checkpoints: bool = False
    """Automatic checkpoints on by default, as on client Windows."""


@dataclass
class Account:
    """Who may sign in at the host."""

    user: str
    password: str
    groups: list[str] = field(default_factory=lambda: ["Administrators"])
    lost_groups: list[str] = field(default_factory=list)
    """Those that a fault took."""


# --- the LAN --------------------------------------------------------------------------------------------------------


@dataclass
class Link:
    """Whether the host can be reached at this moment, and how it fails when not."""

    up: bool = True
    failure: Failure = "reset"
    until: float = 0.0


@dataclass
class Lan:
    """A subnet of a documentation range with a router that hands out addresses."""

    subnet: str = "192.0.2.0/24"
    gateway: str = "192.0.2.1"
    dhcp_first: int = 100
    dhcp_last: int = 199
    leases: dict[str, str] = field(default_factory=dict)
    """Bare MAC -> address. Kept: a router gives a returning MAC its old address, unless a fault moves it."""
    reserved: dict[str, str] = field(default_factory=dict)
    internet: dict[str, WebResource] = field(default_factory=dict)
    """What the host can download, by URL."""
    link: Link = field(default_factory=Link)


@dataclass
class WebResource(_WithBytes):
    """Something that can be downloaded in the lab's world: real bytes for small things, size and hash for an ISO."""

    size_bytes: int
    sha256: str
    content: bytes | None = None
    status: int = 200
    talos_iso: str = ""
    bytes_per_s: float = 60_000_000.0


# --- Talos machines -------------------------------------------------------------------------------------------------


@dataclass
class Service:
    """A service of Talos, as ServiceList shows it."""

    state: str
    healthy: bool = False
    unknown: bool = True
    message: str = ""
    since: float = 0.0
    history: list[tuple[float, str, str]] = field(default_factory=list)
    """(POSIX date, state, message), oldest first."""


@dataclass
class Guest:
    """A Talos that runs: on a VM of the host, or on a third-party machine in the same LAN. Lost with the power."""

    owner: str
    """VM id, or `foreign:<name>`."""
    booted_from: Medium
    version: str
    boot_id: str
    booted: float
    mac: str
    uuid: str
    stage: Stage = "booting"
    address: str = ""
    """On the LAN; empty before DHCP answered."""
    hostname: str = ""
    """Without a domain."""
    domainname: str = ""
    registers_with_domain: bool = False
    api: Api = "closed"
    config: bytes | None = None
    cmdline: str = ""
    disk_bytes: int = 0
    memory_bytes: int = 0
    services: dict[str, Service] = field(default_factory=dict)
    ready: bool = False
    unmet: list[tuple[str, str]] = field(default_factory=list)
    time_synced: bool = False
    halted: bool = False
    """Booted the ISO although Talos is on the disk."""
    key_generation: int = 0
    """Counts up each time the maintenance server makes a new key."""
    reachable: bool = True

    @property
    def nodename(self) -> str:
        """By which its kubelet registers."""
        whole = self.registers_with_domain and self.domainname
        return (f"{self.hostname}.{self.domainname}" if whole else self.hostname).lower()


@dataclass
class ForeignMachine(_WithBytes):
    """A third-party Talos machine on the LAN, in maintenance. What is sent to it is kept as evidence."""

    name: str
    mac: str
    uuid: str
    address: str
    received: list[bytes] = field(default_factory=list)


@dataclass
class KubeObject:
    """An object of the Kubernetes API, as its JSON."""

    body: dict[str, Any]


@dataclass
class EtcdMember:
    """What an etcd cluster keeps of one member, also while that one is off or gone."""

    id: int
    hostname: str
    address: str
    learner: bool = False


@dataclass
class KubeCluster:
    """A Kubernetes cluster: it exists from bootstrap until the last disk with its etcd data is gone."""

    id: str
    name: str
    bootstrapped: float
    members: dict[str, int] = field(default_factory=dict)
    """VM id -> etcd member id."""
    roster: dict[int, EtcdMember] = field(default_factory=dict)
    """Etcd's own list of its members, by id."""
    talos_id: str = ""
    """`cluster.id` of the machine configs: what Talos calls the cluster by, the same after a rebuild with kept secrets."""
    objects: dict[str, KubeObject] = field(default_factory=dict)
    """`nodes/<name>`, `pods/<namespace>/<name>`, ..."""
    resource_version: int = 1000
    api_up: float | None = None


# --- all of it ------------------------------------------------------------------------------------------------------


@dataclass
class Injection:
    """A fault that was asked for by name and place; see `faults.py`."""

    name: str
    place: str = ""
    times: int = 1
    value: float = 0.0


@dataclass
class State:
    """The whole world."""

    host: WindowsHost
    lan: Lan = field(default_factory=Lan)
    accounts: list[Account] = field(default_factory=list)
    guests: dict[str, Guest] = field(default_factory=dict)
    """By owner."""
    foreign: list[ForeignMachine] = field(default_factory=list)
    clusters: dict[str, KubeCluster] = field(default_factory=dict)
    injections: list[Injection] = field(default_factory=list)
    began: float = 0.0
    """Unix time that stands for second 0 of the world wherever a moment of it needs a date that stays (`Kernel.date_of`)."""
    routes: dict[str, int] = field(default_factory=dict)
    """`<address>:<port>` of the virtual LAN -> the loopback port that is kept for it."""
