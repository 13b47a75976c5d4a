"""What the flow needs from outside, as protocols. Adapters implement them; `context.py` puts them together.

All failures of a port are `errors.TransportError`s (or, where said, a `Fault`). Times are seconds of the clock port unless a
name says otherwise. Nothing here is safe to call from another thread than the loop's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from provisioner.errors import Finding, HostRefused
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.effective import EffectiveConfig
from provisioner.model.events import Event
from provisioner.model.facts import (
    ConsoleFacts,
    ContextFacts,
    EtcdMemberFacts,
    HostFacts,
    HostState,
    ImageFacts,
    MachineFacts,
    NeighborFacts,
    NodeFacts,
    PodFacts,
    SecretsFacts,
    ServiceFacts,
    SwitchFacts,
    SwitchJobFacts,
    VmFacts,
)

Emit = Callable[[Event], None]
"""Where events go. Called on the loop's thread; must not block."""


class Clock(Protocol):
    """Time of the world that the flow works on. A lab's may run at 1x to 1000x; every wait, bound and back-off uses it."""

    rate: float

    def now(self) -> float:
        """Monotonic seconds."""

    def wall(self) -> datetime:
        """The wall time of this computer, UTC; for records, never for waits."""

    async def sleep(self, seconds: float) -> None:
        """Sleep that many seconds of this clock."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where to connect, and which name the certificate there must bear."""

    host: str
    port: int
    server_name: str


class Dialer(Protocol):
    """Every connection of the product asks here where to go. The lab's LAN is virtual: the lab publishes where each of its
    addresses and ports can be reached; elsewhere the answer is the question.
    """

    def resolve(self, address: str, port: int) -> Endpoint:
        """Where `address:port` is reached. Called from any thread. Raises `Unreachable` when the LAN has no such place."""


# --- the Hyper-V host -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ObserveQuery:
    """What one observing call shall bring, beside the host itself and all of its VMs."""

    switch: str = ""
    image_path: str = ""
    """Full path on the host, when the file gives one."""
    image_name: str = ""
    """Else the name in the host's own cache (`HostFacts.image_folder`)."""
    folder: str = ""
    """Where the file has machines' folders made, when it says so: marked ones are looked for there too."""


@dataclass(frozen=True, kw_only=True)
class VmRequest:
    """A VM as it shall be: what `New-TalosVM` takes."""

    name: str
    cpus: int
    memory_mib: int
    disk_gib: int
    mac: str
    switch: str
    vlan: int | None
    iso_path: str
    folder: str
    """The machine's own folder is made below it. Empty: the host's VirtualHardDiskPath."""
    mark: str
    start_delay_s: int
    start: bool = True


@dataclass(frozen=True, kw_only=True)
class VmChange:
    """What `Set-TalosVM` shall change; None leaves a value as it is."""

    id: str
    mark: str
    cpus: int | None = None
    memory_mib: int | None = None
    disk_gib: int | None = None
    vlan: int | None = None
    switch: str | None = None
    mac: str | None = None
    """Static."""
    start_delay_s: int | None = None
    static_memory: bool = False
    secure_boot_off: bool = False
    boot_order: bool = False
    """Put the boot order right: disk, DVD, network."""
    actions: bool = False
    """Start with the host, shut down with it, no checkpoints."""
    notes: bool = False
    """Write the mark into the Notes again, below what is there."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A progress record of a long host function."""

    activity: str
    status: str
    percent: int


class CallInfo(Protocol):
    """One call to a host that ended, for events."""

    @property
    def host(self) -> str: ...
    @property
    def functions(self) -> tuple[str, ...]: ...
    @property
    def requests(self) -> int: ...
    @property
    def elapsed_s(self) -> float: ...
    @property
    def outcome(self) -> str:
        """`ok`, `refused`, `dropped`."""


class HyperVUnavailable(HostRefused):
    """The host refused a call since Hyper-V does not run there any more, or is not for this account: `host` are its facts, read anew."""

    def __init__(self, refusal: HostRefused, host: HostFacts) -> None:
        super().__init__(
            id=refusal.id,
            message=refusal.message,
            category=refusal.category,
            target=refusal.target,
            function=refusal.function,
        )
        self.host = host


class Host(Protocol):
    """A Hyper-V host. Calls that several lanes make at the same moment go out as one request (see `hyperv/`)."""

    name: str

    async def observe(self, query: ObserveQuery) -> HostState:
        """Everything by one call. Where Hyper-V does not run or is not for this account, only the host's own facts: `whole` is False."""

    async def new_switch(
        self,
        *,
        name: str,
        adapter: str,
        allow_management_os: bool,
        vlan: int | None,
        mark: str,
        watchdog_s: int,
        retry: bool,
    ) -> SwitchJobFacts:
        """Starts the detached job. The host's network drops soon after; `find_switch` tells how it went."""

    async def confirm_switch(self, *, name: str, job_id: str) -> SwitchFacts:
        """Tells the host's watchdog that this computer can reach the host again."""

    async def remove_switch(self, *, name: str, cluster_id: str) -> SwitchJobFacts:
        """Starts the detached job that removes a switch with a mark of that cluster; one that is not there is success. The host's network
        drops soon after; `find_switch` tells how it went. Raises `HostRefused`: SwitchNotOurs, SwitchInUse, SwitchJobRunning.
        """

    async def hand_over_switch(self, *, name: str, cluster_id: str, mark: str) -> SwitchFacts:
        """Gives a switch with a mark of that cluster the mark of another; idempotent, and nothing of the network is touched. Raises
        `HostRefused`: SwitchNotFound, SwitchNotOurs.
        """

    async def find_switch(self, name: str) -> SwitchFacts: ...
    async def save_image(
        self, *, url: str, sha256: str, sha256_url: str, path: str, progress: Callable[[Progress], None]
    ) -> ImageFacts: ...
    async def find_image(self, path: str, *, verify: bool) -> ImageFacts: ...
    async def remove_image(self, path: str) -> ImageFacts: ...
    async def new_vm(self, request: VmRequest) -> VmFacts: ...
    async def find_vms(self, ids: Sequence[str]) -> tuple[VmFacts, ...]:
        """Those of the ids that exist; one that is missing is missing in the answer."""

    async def set_vm(self, change: VmChange) -> VmFacts: ...
    async def start_vm(self, id: str) -> VmFacts: ...
    async def stop_vm(self, id: str, *, turn_off: bool) -> VmFacts: ...
    async def remove_vm(self, id: str, *, cluster_id: str, keep_mark: bool = False) -> None:
        """VM, disks and folder, only with a mark of that cluster. What is gone already is success. `keep_mark`: the folder stays with its
        record alone, which tells the machine from its copies. Raises `HostRefused`: VMNotOurs, VMFilesLocked (the VM is gone, the mark stays).
        """

    async def remove_folder(self, path: str, *, cluster_id: str) -> None:
        """A folder with a mark of that cluster whose VM is gone, with the disks in it; one that is not there is success. Raises
        `HostRefused`: FolderNotOurs, FolderInUse, VMFilesLocked (the mark stays, so it is found again).
        """

    async def mount_iso(self, id: str, path: str) -> VmFacts: ...
    async def dismount_iso(self, id: str) -> VmFacts: ...
    async def find_neighbors(self, macs: Sequence[str], *, sweep: bool) -> tuple[NeighborFacts, ...]:
        """Rows of the host's neighbour table; `sweep` makes the host talk to its subnet first, so that the table learns."""

    def watch_neighbors(self, macs: Sequence[str], *, wait_s: int) -> AsyncIterator[NeighborFacts]:
        """One call that waits on the host: each row as soon as the host's table has it, until all MACs have one or the time
        is up. Closing the iterator stops the call.
        """

    async def console(self, id: str, *, width: int, height: int) -> ConsoleFacts: ...
    async def close(self) -> None: ...


# --- Talos machines ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TalosAccess:
    """A client's credentials for Talos' API, PEM. The key never leaves this object but into a TLS context."""

    ca: bytes
    crt: bytes
    key: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ApplyOutcome:
    """Talos' answer to a config."""

    warnings: tuple[str, ...]
    mode: str
    details: str


class Machines(Protocol):
    """Talos' API. `access=None` means the Maintenance stage: no client certificate, the server's key pinned if given."""

    async def read(self, address: str, access: TalosAccess | None, *, pin: str = "") -> MachineFacts:
        """What the machine says of itself. Raises `Unreachable` while nothing answers, `NotTrusted` when the server is not
        what `access` or `pin` expects, `Rejected` when it refuses our certificate.
        """

    def watch(self, address: str, access: TalosAccess | None, *, pin: str = "") -> AsyncIterator[MachineFacts]:
        """`read`, then again at each change of the machine's status, pushed by Talos. Ends with the connection."""

    async def apply(
        self, address: str, access: TalosAccess | None, config: bytes, *, dry_run: bool, pin: str = ""
    ) -> ApplyOutcome:
        """Raises `TalosRefused` with Talos' findings, `Dropped` when the answer was lost."""

    async def bootstrap(self, address: str, access: TalosAccess) -> None: ...
    async def etcd_members(self, address: str, access: TalosAccess) -> tuple[EtcdMemberFacts, ...]: ...
    async def services(self, address: str, access: TalosAccess) -> tuple[ServiceFacts, ...]: ...
    async def close(self) -> None: ...


class Bundle(Protocol):
    """A cluster's secrets. Opaque to the flow; never printed."""

    @property
    def cluster_id(self) -> str: ...


class Configs(Protocol):
    """Talos' files, made natively: secrets bundle, machine configs, client files. Pure but for randomness and time."""

    def new_bundle(self, cluster: Cluster, mark_id: str) -> Bundle:
        """Fresh secrets, from which the id that the cluster's marks bear can be told again (`naming.id_from_secrets`)."""

    def read_bundle(self, text: bytes) -> Bundle:
        """Raises a Fault that names what is missing."""

    def write_bundle(self, bundle: Bundle) -> bytes: ...
    def machine_config(self, cluster: Cluster, machine: MachineSpec, bundle: Bundle, *, endpoint: str) -> bytes:
        """The whole config with all patches, validated. Raises a Fault P-CONFIG-REFUSED with all findings."""

    def findings(self, cluster: Cluster) -> tuple[Finding, ...]:
        """What Talos would refuse in the configs of this cluster file, without secrets and before anything is made."""

    def effective(self, cluster: Cluster, machine: MachineSpec, *, endpoint: str = "") -> EffectiveConfig:
        """What the machine's config says after all patches; no secrets needed. Pure, and remembered: many ask.

        `endpoint` is the one decided on, where it is known. Values of a config that cannot be made (`findings` tells) are the file's.
        """

    def access(self, bundle: Bundle) -> TalosAccess:
        """A fresh admin certificate."""

    def talosconfig(
        self, cluster: Cluster, bundle: Bundle, *, endpoints: Sequence[str], nodes: Sequence[str]
    ) -> bytes: ...
    def kubeconfig(self, cluster: Cluster, bundle: Bundle, *, server: str) -> bytes: ...


# --- Kubernetes -------------------------------------------------------------------------------------------------------


class Kubernetes(Protocol):
    """The cluster's Kubernetes API, by a kubeconfig of ours."""

    async def ready(self, kubeconfig: bytes) -> bool: ...
    async def nodes(self, kubeconfig: bytes) -> tuple[NodeFacts, ...]: ...
    async def pods(self, kubeconfig: bytes, namespace: str) -> tuple[PodFacts, ...]: ...
    def watch_nodes(self, kubeconfig: bytes) -> AsyncIterator[tuple[NodeFacts, ...]]:
        """All nodes, again at each change, pushed by the API. Ends after a while; ask again."""

    async def close(self) -> None: ...


# --- this computer ----------------------------------------------------------------------------------------------------


class Store(Protocol):
    """What is kept on this computer: `$PROVISION_HOME/<cluster>/`. All writes are atomic (temporary file, fsync, rename),
    secrets 0600, folders 0700. What the disk refuses is a Fault: P-LOCAL-HOME, for the user's own files P-LOCAL-CONTEXTS.
    """

    folder: Path

    def read_secrets(self) -> bytes | None: ...
    def write_secrets(self, text: bytes) -> None:
        """Fsynced, and read back."""

    def remove_secrets(self) -> None:
        """Moves them aside with the date in the name; nothing is ever lost at once."""

    def secrets_facts(self) -> SecretsFacts: ...
    def ensure_cluster_id(self) -> str:
        """The id in our marks. Kept beside the secrets, so that `down` needs none; else told by them; else made, for new secrets to tell."""

    def forget_cluster(self, *, keep_id: str = "") -> None:
        """After `down --secrets`: client files, machine configs, notes and the id; the secrets were moved aside before. `keep_id`: the id
        that something on a host still bears; the next secrets are made for it.
        """

    def write_client_files(self, *, talosconfig: bytes, kubeconfig: bytes) -> None: ...
    def read_client_file(self, name: str) -> bytes | None:
        """`talosconfig` or `kubeconfig` of this cluster's folder."""

    def write_machine_config(self, machine: str, config: bytes) -> None: ...
    def merge_contexts(self) -> tuple[str, ...]:
        """Adds our contexts to the user's own kubeconfig and talosconfig, touching no other; returns what was changed."""

    def contexts(self) -> Mapping[str, ContextFacts]:
        """`Observed.access`: never fails for a file of the user that cannot be read."""

    def remove_contexts(self) -> tuple[str, ...]: ...
    def read_notes(self) -> dict[str, Any]:
        """Small facts worth keeping between runs (pinned hash of a factory image, undone switch); never needed for truth."""

    def write_notes(self, notes: Mapping[str, Any]) -> None: ...
    def save_picture(self, run_folder: Path, machine: str, console: ConsoleFacts) -> Path: ...


class Journal(Protocol):
    """One run's record, `runs/<n>/events.jsonl`."""

    run: int
    folder: Path

    def emit(self, event: Event) -> None: ...
    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class FoundContext:
    """Our context in a file of the user."""

    name: str
    """Its name there, or the one that it would get."""
    entry: object | None
    """It and what it refers to, as a value to compare; None when it is not there."""


class ContextFile(Protocol):
    """How one kind of client file (talosconfig, kubeconfig) is edited: pure, and without touching what is not ours.

    What is ours is told by the cluster's authority, which stands in our `own` file and in the `secrets` bundle, never by a name. `others`
    are further files that are read as one with this one. All raise ValueError for a file that is none of that kind, but never for
    damaged secrets.
    """

    def context_of(self, cluster: str) -> str:
        """The name that our context has where nobody else's has it."""

    def find(
        self, existing: bytes, context: str, own: bytes | None, secrets: bytes | None, others: Sequence[bytes]
    ) -> FoundContext: ...
    def merge(self, existing: bytes, ours: bytes, others: Sequence[bytes]) -> bytes:
        """The user's file with our context in it, new or renewed. The current context is set only if there was none."""

    def remove(self, existing: bytes, context: str, own: bytes | None, secrets: bytes | None) -> bytes:
        """The user's file without our context and what only it used."""

    def entry(self, own: bytes) -> object | None:
        """What `find` gives when the user's file says the same as our own."""

    def expires(self, own: bytes) -> datetime | None:
        """Until when the client certificate of our own file is good, UTC; None when there is none, or none that can be read."""


# --- all of them ------------------------------------------------------------------------------------------------------

TALOS_PORT = 50000
"""Where a Talos machine's API listens, in maintenance and later."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Everything outside that a run talks to."""

    hosts: Mapping[str, Host]
    machines: Machines
    kubernetes: Kubernetes
    configs: Configs
    store: Store
    clock: Clock
    dialer: Dialer

    def outside(self, addresses: Sequence[str]) -> list[str]:
        """Talos endpoints as a stranger's client must dial them; the port is left out where it is Talos' own."""
        places = [self.dialer.resolve(address, TALOS_PORT) for address in addresses]
        return [p.host if p.port == TALOS_PORT else f"{p.host}:{p.port}" for p in places]

    def outside_url(self, url: str) -> str:
        """A URL as a stranger's client must dial it."""
        parts = urlsplit(url)
        place = self.dialer.resolve(parts.hostname or "", parts.port or 443)
        return f"{parts.scheme}://{place.host}:{place.port}"
