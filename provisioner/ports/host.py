"""A Hyper-V host, by the functions of `powershell/TalosHyperV/contract.yaml`, which has the last word on every rule told here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from provisioner.errors import HostRefused
from provisioner.model.facts import (
    ConsoleFacts,
    HostFacts,
    HostState,
    ImageFacts,
    NeighborFacts,
    SwitchFacts,
    SwitchJobFacts,
    VmFacts,
)


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
class SwitchRequest:
    """An External switch as it shall be: what `New-TalosSwitch` takes."""

    name: str
    adapter: str
    allow_management_os: bool
    vlan: int | None
    mark: str
    watchdog_s: int
    """Seconds of the host until its watchdog undoes a switch that took the network away."""
    retry: bool
    """Also where the watchdog undid an earlier one."""


@dataclass(frozen=True, kw_only=True)
class VmRequest:
    """A VM as it shall be: what `New-TalosVM` takes."""

    name: str
    cpus: int
    memory_mib: int
    disk_gib: int
    mac: str
    """Static; bare hex."""
    switch: str
    vlan: int | None
    iso_path: str
    folder: str
    """The machine's own folder is made below it. Empty: the host's VirtualHardDiskPath."""
    mark: str
    start_delay_s: int


@dataclass(frozen=True, kw_only=True)
class VmChange:
    """What `Set-TalosVM` shall change; None leaves a value as it is."""

    id: str
    mark: str
    cpus: int | None = None
    memory_mib: int | None = None
    disk_gib: int | None = None
    """Growth only."""
    vlan: int | None = None
    switch: str | None = None
    mac: str | None = None
    """Static; bare hex."""
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


class HyperVUnavailable(HostRefused):
    """The host refused a call since Hyper-V does not run there any more, or is not for this account: `host` has its facts, read again."""

    def __init__(self, refusal: HostRefused, host: HostFacts) -> None:
        super().__init__(
            id=refusal.id,
            message=refusal.message,
            target=refusal.target,
            function=refusal.function,
        )
        self.host = host


class Host(Protocol):
    """A Hyper-V host. Calls that several lanes make at the same moment go out as one request (see `hyperv/`).

    Every method raises a `TransportError`: `Unreachable` when nothing was sent, `Dropped` when a change was sent and its answer lost (a
    read tells what became of it), `NotTrusted`, `Rejected`, `Malformed`, and `HostRefused` with the error id of the host's function; the
    ids are listed at each method. `HyperVUnavailable` is the refusal of a host whose Hyper-V has stopped. Reads can be repeated at any
    time; changes are idempotent where it is said.
    """

    name: str

    async def observe(self, query: ObserveQuery) -> HostState:
        """Everything by one call. Where Hyper-V does not run or is not for this account, only the host's own facts: `whole` is False."""

    async def new_switch(self, request: SwitchRequest) -> SwitchJobFacts:
        """Starts the detached job that makes an External switch. The host's network drops soon after; `find_switch` tells how it went.

        Idempotent: a switch of that name on that adapter is kept. Without a default gateway and
        without `confirm_switch` the watchdog undoes the switch; then the call is refused until `retry`. Raises `HostRefused`: SwitchAdapterNotFound,
        SwitchAdapterBound, SwitchOnOtherAdapter, SwitchOtherKind, SwitchAdapterWifi, SwitchUndone, SwitchJobRunning, NotAdministrator.
        """

    async def confirm_switch(self, *, name: str, job_id: str) -> SwitchFacts:
        """Tells the host's watchdog that this computer can reach the host again; idempotent. Raises `HostRefused`: SwitchJobNotFound."""

    async def remove_switch(self, *, name: str, cluster_id: str) -> SwitchJobFacts:
        """Starts the detached job that removes a switch with a mark of that cluster; one that is not there is success. The host's network
        drops soon after; `find_switch` tells how it went. Raises `HostRefused`: SwitchNotOurs, SwitchInUse, SwitchJobRunning,
        NotAdministrator.
        """

    async def hand_over_switch(self, *, name: str, cluster_id: str, mark: str) -> SwitchFacts:
        """Gives a switch with a mark of that cluster the mark of another; idempotent, and nothing of the network is touched. Raises
        `HostRefused`: SwitchNotFound, SwitchNotOurs.
        """

    async def find_switch(self, name: str) -> SwitchFacts:
        """The switch of that name, with the result of the last job for it; `exists` is False where there is none."""

    async def save_image(
        self, *, url: str, sha256: str, sha256_url: str, path: str, progress: Callable[[Progress], None]
    ) -> ImageFacts:
        """Downloads an image to the host and checks its hash, given or found in the file at `sha256_url`; with neither the hash found is
        the result. Takes minutes, calls `progress` on the loop's thread; cancelling stops it.

        Idempotent: a file with the right hash is kept, and what was not loaded whole is never at `path`. Raises `HostRefused`:
        ImageChecksum, ImageDownload, ImageNoSpace.
        """

    async def find_image(self, path: str, *, verify: bool) -> ImageFacts:
        """The image at that path, or of that name in the host's own cache; `verify` hashes it now, which takes seconds."""

    async def remove_image(self, path: str) -> ImageFacts:
        """Removes an image that a cluster of ours downloaded; one that is not there is success. Raises `HostRefused`: ImageNotOurs,
        ImageInUse.
        """

    async def new_vm(self, request: VmRequest) -> VmFacts:
        """Makes and starts a Generation 2 VM that bears the mark. Idempotent: one of ours of that name is completed where it is half-made,
        else kept as it is, and started when it is off. No disk that holds anything is deleted.

        Raises `HostRefused`: VMNotOurs, VMNameTwice, VMMacInUse, VMSwitchNotFound, VMIsoNotFound, VMDiskExists, VMNoSpace,
        VMFolderInvalid, VMNoMemory (the VM stays, complete and off).
        """

    async def find_vms(self, ids: Sequence[str]) -> tuple[VmFacts, ...]:
        """Those of the ids that exist; one that is missing is missing in the answer."""

    async def set_vm(self, change: VmChange) -> VmFacts:
        """Changes what is given of a VM that bears the mark; idempotent. Raises `HostRefused`: VMNotFound, VMNotOurs, VMMustBeOff (nothing
        was changed), VMSwitchNotFound, VMMacInUse, VMDiskShrink, VMNoSpace.
        """

    async def start_vm(self, id: str) -> VmFacts:
        """Starts a VM, or lets a paused one go on; one that runs is kept. Raises `HostRefused`: VMNotFound, VMNoMemory, VMIsoNotFound."""

    async def stop_vm(self, id: str, *, turn_off: bool) -> VmFacts:
        """Asks the guest to shut down and waits for it, at most 120 s of the host; with `turn_off` cuts its power. One that is off is kept.

        Raises `HostRefused`: VMNotFound, VMStopTimeout (the guest did not shut down; nothing was cut).
        """

    async def remove_vm(self, id: str, *, cluster_id: str, keep_mark: bool = False) -> None:
        """VM, disks and folder, only with a mark of that cluster. What is gone already is success. `keep_mark`: the folder stays with its
        record alone, which tells the machine from its copies. Raises `HostRefused`: VMNotOurs, VMFilesLocked (the VM is gone, the mark stays).
        """

    async def remove_folder(self, path: str, *, cluster_id: str) -> None:
        """A folder with a mark of that cluster whose VM is gone, with the disks in it; one that is not there is success. Raises
        `HostRefused`: FolderNotOurs, FolderInUse, VMFilesLocked (the mark stays, so it is found again).
        """

    async def dismount_iso(self, id: str) -> VmFacts:
        """Empties every DVD drive of the VM, running or not; the drives stay. Idempotent. Raises `HostRefused`: VMNotFound."""

    async def find_neighbors(self, macs: Sequence[str], *, sweep: bool) -> tuple[NeighborFacts, ...]:
        """Rows of the host's neighbour table; `sweep` makes the host talk to its subnet first, so that the table learns."""

    def watch_neighbors(self, macs: Sequence[str], *, wait_s: int) -> AsyncIterator[NeighborFacts]:
        """One call that waits on the host: each row as soon as the host's table has it, until all MACs have one or the time
        is up. Closing the iterator stops the call.
        """

    async def console(self, id: str, *, width: int, height: int) -> ConsoleFacts:
        """The screen of a running VM, in pixels of RGB565. Raises `HostRefused`: VMNotFound, VMNotRunning, NotAdministrator.

        Source: https://learn.microsoft.com/windows/win32/hyperv_v2/getvirtualsystemthumbnailimage-msvm-virtualsystemmanagementservice
        """

    async def close(self) -> None:
        """Ends all sessions with the host; what is at work there is stopped where it can be. Idempotent."""
