"""What `provision status` shows: health and drift told apart, per machine and for the cluster. Rendered by `views/status.py`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class MachineStatus:
    """One row. `None` means that it could not be read; the reason stands in `unread`."""

    name: str
    role: str
    """`control plane`, `worker`, or `not in the file`."""
    host: str
    vm: str | None
    """Hyper-V's state, `missing`, or None."""
    address: str | None = None
    stage: str | None = None
    ready: bool | None = None
    """As Kubernetes says."""
    talos: str | None = None
    kubernetes: str | None = None
    cpus: int | None = None
    memory_mib: int | None = None
    unmet: tuple[str, ...] = ()
    """Why it is not healthy."""
    drift: tuple[str, ...] = ()
    """How its VM differs from the file."""
    unread: str = ""
    """Why a column could not be read."""


@dataclass(frozen=True, kw_only=True)
class StatusReport:
    """The whole cluster at one moment."""

    cluster: str
    file: str
    hosts: tuple[str, ...]
    lab_speed: float | None
    """The lab's speed, or None on a real host."""
    state: str
    """`healthy`; `no CNI yet` (all that is missing is the CNI that its configs leave to the user); `not healthy`; `absent` (nothing of it
    exists); `unknown` (what could be read is good or says nothing, and not all could be read).
    """
    machines: tuple[MachineStatus, ...]
    unmet: tuple[str, ...] = ()
    """What keeps the cluster from being healthy beyond single machines."""
    drift: tuple[str, ...] = ()
    """What differs beyond single machines: switch, image, access."""
    etcd_members: int | None = None
    control_planes: int = 0
    switch: str = ""
    """One line about the switch."""
    isos_mounted: tuple[str, ...] = ()
    """Machines with an ISO in their drive."""
    access: str = ""
    """One line about our contexts in the user's files."""
    host_unread: tuple[str, ...] = ()
    """Why a host could not be read."""
    unread: tuple[str, ...] = ()
    """What else could not be read beyond single machines, and why."""
    uncompared: tuple[str, ...] = ()
    """Machines whose running config was not compared with the file's."""
    read_utc: datetime
    read_s: float
    """How long reading took, real seconds."""

    @property
    def healthy(self) -> bool:
        """Whether every part of the cluster is as it should be."""
        return self.state == "healthy"

    @property
    def complete(self) -> bool:
        """Whether all that this report should tell could be read."""
        return not (self.host_unread or self.unread or any(machine.unread for machine in self.machines))

    @property
    def drifted(self) -> bool:
        """Whether anything differs from the cluster file."""
        return bool(self.drift) or any(machine.drift for machine in self.machines)

    def to_json(self) -> dict[str, Any]:
        """The object of `status --json`."""
        from dataclasses import asdict

        line = asdict(self)
        line["read_utc"] = self.read_utc.isoformat().replace("+00:00", "Z")
        return {
            "schema": "provision/status/1",
            **line,
            "healthy": self.healthy,
            "drifted": self.drifted,
            "complete": self.complete,
        }


@dataclass(frozen=True, kw_only=True)
class FinalObject:
    """The one object of `--json` for commands that change things, and the last line of `--progress json`."""

    command: str
    cluster: str
    outcome: str
    exit: int
    elapsed_s: float
    summary: str
    fault: dict[str, Any] | None = None
    left: tuple[str, ...] = ()
    run: int = 0
    folder: str = ""
    files: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The object that a run prints with `--json`."""
        from dataclasses import asdict

        return {"schema": "provision/result/1", **asdict(self)}
