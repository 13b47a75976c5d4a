"""What was read from the outside, each fact as it was seen; times are UTC.

`None` means: read, and it is not there (or not yet known). A failed read never ends here; it raises. The module is long because it is a
list of records: all that plans and status go by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from provisioner.model.effective import EffectiveConfig
from provisioner.model.naming import Mark


@dataclass(frozen=True, kw_only=True)
class AdapterFacts:
    """A network adapter of the host (physical)."""

    name: str
    description: str
    status: str
    """Up, Disconnected, Disabled, Not Present."""
    media: str
    """`802.3`, `Native 802.11`, ..."""
    addresses: tuple[str, ...] = ()
    has_default_route: bool = False
    link_speed: str = ""

    @property
    def is_wifi(self) -> bool:
        """Whether the adapter is Wi-Fi, by its media type."""
        return "802.11" in self.media


@dataclass(frozen=True, kw_only=True)
class VolumeFacts:
    """A volume of the host."""

    root: str
    """`C:\\`."""
    size_bytes: int
    free_bytes: int


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """The host itself."""

    computer_name: str
    ps_version: str
    module_version: str
    language_mode: str
    hyperv_module: bool
    hypervisor_present: bool
    vmms_status: str
    is_administrator: bool
    is_hyperv_administrator: bool
    memory_total_bytes: int
    memory_free_bytes: int
    time_utc: datetime
    disk_folder: str
    """The host's own VirtualHardDiskPath."""
    image_folder: str
    """Where this product keeps its ISO files."""
    volumes: tuple[VolumeFacts, ...]
    adapters: tuple[AdapterFacts, ...]


@dataclass(frozen=True, kw_only=True)
class SwitchJobFacts:
    """The detached job on the host that made or removed a switch."""

    id: str
    kind: str
    """`New` or `Remove`."""
    state: str
    """`Running`, `Done`, `Failed`, `Undone`."""
    error_id: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class SwitchFacts:
    """A virtual switch, with the last job for it."""

    name: str
    exists: bool
    kind: str = ""
    """`External`, `Internal`, `Private`; `NAT` for the built-in Default Switch."""
    adapter: str = ""
    """Name of the physical adapter, when External."""
    adapter_description: str = ""
    allow_management_os: bool = False
    mark: Mark | None = None
    addresses: tuple[str, ...] = ()
    dns_servers: tuple[str, ...] = ()
    network_category: str = ""
    vm_names: tuple[str, ...] = ()
    """VMs connected to it."""
    job: SwitchJobFacts | None = None


@dataclass(frozen=True, kw_only=True)
class ImageFacts:
    """An image file on the host."""

    path: str
    exists: bool
    size_bytes: int = 0
    sha256: str = ""
    """Lower-case hex; empty when not hashed (see Get-TalosImage)."""
    ours: bool = False
    """We downloaded it: its record lies beside it."""
    download: str = ""
    """`Running`: a download of it is at work; `Left`: a download of it was killed; or empty."""
    vm_names: tuple[str, ...] = ()
    """VMs whose DVD drive holds it."""


@dataclass(frozen=True, kw_only=True)
class DriveFacts:
    """A disk or DVD drive of a VM."""

    kind: str
    """`disk` or `dvd`."""
    path: str
    """Empty for an empty DVD drive."""
    size_bytes: int = 0
    """Virtual size of a disk; 0: it could not be read."""
    file_bytes: int | None = None
    """What a disk takes on its volume; None or 0: not known."""
    exists: bool = True
    """False: the file of the disk is gone. Its folder was read."""


@dataclass(frozen=True, kw_only=True)
class VmFacts:
    """A VM of the host."""

    id: str
    """Lower-case GUID."""
    name: str
    state: str
    """Hyper-V's word: Off, Running, Saved, Paused, Starting, Stopping ..."""
    generation: int
    cpus: int
    memory_mib: int
    dynamic_memory: bool
    mac: str
    """12 upper-case hex digits; zeros before the first start of a VM with a dynamic one."""
    static_mac: bool
    switch: str
    vlan: int | None
    drives: tuple[DriveFacts, ...]
    boot_order: tuple[str, ...]
    """`disk`, `dvd`, `network`, `file`, `unknown`."""
    secure_boot: bool
    automatic_checkpoints: bool
    checkpoint_type: str
    start_action: str
    stop_action: str
    start_delay_s: int
    heartbeat: str
    uptime_s: int
    bios_uuid: str
    """Lower-case; Talos shows the same text on a Generation 2 VM."""
    notes: str
    mark: Mark | None
    """From the Notes, or else from the `provision.json` in its folder."""
    folder: str
    complete: bool
    """False while a kill left it half-made."""

    @property
    def iso(self) -> str:
        """The mounted ISO, or empty."""
        return next((d.path for d in self.drives if d.kind == "dvd" and d.path), "")


@dataclass(frozen=True, kw_only=True)
class FolderFacts:
    """A folder that we made for a machine on the host, known by the `provision.json` in it."""

    path: str
    mark: Mark
    vm_id: str
    """The VM that was made there, a lower-case GUID; empty while there was none yet. The VM may be gone."""
    disk_bytes: int = 0
    """What the virtual disks in it take on the volume."""


@dataclass(frozen=True, kw_only=True)
class NeighborFacts:
    """A row of the host's neighbour table that maps a MAC to an address."""

    mac: str
    address: str


@dataclass(frozen=True, kw_only=True)
class ConsoleFacts:
    """A VM's screen: RGB565, little-endian, row by row."""

    width: int
    height: int
    pixels: bytes


@dataclass(frozen=True, kw_only=True)
class HostState:
    """One host, whole, by one call."""

    host: HostFacts
    switch: SwitchFacts | None
    """That of the cluster file."""
    marked_switches: tuple[SwitchFacts, ...] = ()
    """Others that bear a mark of ours or of another cluster: made before the file, or the switch was renamed at the host."""
    images: tuple[ImageFacts, ...]
    vms: tuple[VmFacts, ...]
    """All VMs of the host, ours and others'."""
    folders: tuple[FolderFacts, ...] = ()
    """Marked folders below the file's folder, the host's own folder for disks, and beside those of VMs; of all clusters."""
    read_utc: datetime
    whole: bool = True
    """False: only the host's own facts were read, since Hyper-V does not run there or is not for this account. Then switch, images,
    VMs and folders are not known; empty here says nothing about them.
    """


@dataclass(frozen=True, kw_only=True)
class DiskFacts:
    """A disk as the machine itself sees it."""

    path: str
    """`/dev/sda`."""
    size_bytes: int
    readonly: bool = False
    cdrom: bool = False


@dataclass(frozen=True, kw_only=True)
class UnmetFacts:
    """A condition that keeps a machine from being ready, in Talos' own words."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ServiceFacts:
    """A service of Talos."""

    id: str
    state: str
    healthy: bool


@dataclass(frozen=True, kw_only=True)
class MachineFacts:
    """What a machine says of itself by Talos' API."""

    address: str
    mode: str
    """`maintenance`: no client certificate asked. `secure`: signed by our own authority."""
    stage: str
    """Talos' word: booting, installing, maintenance, running, rebooting ..."""
    ready: bool
    unmet: tuple[UnmetFacts, ...] = ()
    uuid: str = ""
    macs: tuple[str, ...] = ()
    hostname: str = ""
    talos: str = ""
    disks: tuple[DiskFacts, ...] = ()
    system_disk: str = ""
    """Empty while Talos is not installed or runs from the ISO."""
    cmdline: str = ""
    fingerprint: str = ""
    """base64(SHA-256(SubjectPublicKeyInfo)) of the server's key, as talosctl prints it."""
    cluster_id: str = ""

    @property
    def from_disk(self) -> bool:
        """Whether it runs from its disk, by its own word (decisions: step install)."""
        return bool(self.system_disk) and "talos.halt_if_installed" not in self.cmdline


@dataclass(frozen=True, kw_only=True)
class EtcdMemberFacts:
    """A member of etcd."""

    hostname: str
    learner: bool = False


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """A node as Kubernetes sees it."""

    name: str
    ready: bool
    reason: str = ""
    lacks_network: bool = False
    """Not Ready because no network plugin has set itself up on it."""
    schedulable: bool = True
    version: str = ""
    address: str = ""


@dataclass(frozen=True, kw_only=True)
class PodFacts:
    """A pod of Kubernetes."""

    namespace: str
    name: str
    node: str
    ready: bool
    app: str = ""
    """Value of the label `k8s-app` or `component`."""


@dataclass(frozen=True, kw_only=True)
class SecretsFacts:
    """What is kept on this computer about a cluster; never the secrets themselves."""

    exists: bool
    cluster_id: str = ""
    former_ids: tuple[str, ...] = ()
    """Ids of earlier lives of this cluster that something on a host still bore when its secrets were given up."""
    path: str = ""
    opened: tuple[str, ...] = ()
    """Files with keys that others could read, each with its mode; they are closed now."""


@dataclass(frozen=True, kw_only=True)
class EtcdBegan:
    """The note of an earlier run that it started etcd: a hint, and forgotten when the machines are removed."""

    vms: tuple[str, ...] = ()
    """Ids of the control planes' VMs then; empty where the note does not tell."""


class ContextState(StrEnum):
    """How our context in one of the user's own files is."""

    CURRENT = "current"
    STALE = "stale"
    """It differs from our own file, or its certificate runs out."""
    MISSING = "missing"
    UNUSABLE = "unusable"
    """The file cannot be read as one, or cannot be changed."""


@dataclass(frozen=True, kw_only=True)
class ContextFacts:
    """Our context in the user's own talosconfig or kubeconfig."""

    state: ContextState
    path: str = ""
    """The file."""
    name: str = ""
    """Of our context in it, or the one that it will get."""
    wanted: str = ""
    """The name that it would have if another cluster's context had not got it already."""
    nowhere: bool = False
    """The file is the null device: no context is kept there, and the state is that of our own file."""
    problem: str = ""
    """Why the file is unusable."""

    @property
    def there(self) -> bool:
        """Whether our context is in the user's file."""
        return not self.nowhere and self.state in (ContextState.CURRENT, ContextState.STALE)

    @property
    def taken(self) -> bool:
        """Whether the wanted name is another cluster's."""
        return self.name != self.wanted


@dataclass(frozen=True, kw_only=True)
class Observed:
    """Everything a plan is made from."""

    hosts: Mapping[str, HostState]
    secrets: SecretsFacts
    image_pin: str = ""
    """SHA-256 that an earlier run pinned for an image without a published checksum."""
    machines: Mapping[str, MachineFacts] = field(default_factory=dict)
    """By machine name; a machine that does not answer is missing here."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """By machine name: why its VM runs and it could not be read all the same."""
    etcd: tuple[EtcdMemberFacts, ...] | None = None
    etcd_unread: str = ""
    """Why there is no member list, where one was asked for."""
    etcd_began: EtcdBegan | None = None
    nodes: tuple[NodeFacts, ...] | None = None
    nodes_unread: str = ""
    configs: Mapping[str, EffectiveConfig] = field(default_factory=dict)
    """By machine name: what its config says after all patches."""
    not_ours: Mapping[str, str] = field(default_factory=dict)
    """Machines whose VM is ours, and which answer under another authority than our secrets': name -> address."""
    endpoint_sent: str = ""
    """The endpoint that the machines' configs carry, by the notes of earlier runs."""
    client_endpoint: str = ""
    """The endpoint that our files for clients name."""
    installed: frozenset[str] = frozenset()
    """Machines on whose present VM Talos was seen installed before: a hint, for what a plan may expect of one that is silent now."""
    lost_ids: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Ids of marks that nothing here tells, and the machines under them whose API our own secrets open all the same."""
    access: Mapping[str, ContextFacts] = field(default_factory=dict)
    """`talosconfig`, `kubeconfig`: our context in the user's own file."""
    kubeconfig: str = ""
    """Path of the cluster's own one."""
    read_utc: datetime
