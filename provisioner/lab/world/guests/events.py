"""What a machine tells of its course, as Talos' Events stream carries it (runtime/v1alpha1/v1alpha1_events.go). Words are Talos' own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sequence:
    name: str
    action: str
    """START, STOP, or NOOP with an error: the sequence failed."""
    error: str = ""


@dataclass(frozen=True)
class Phase:
    name: str
    action: str


@dataclass(frozen=True)
class Task:
    name: str
    action: str


@dataclass(frozen=True)
class ServiceState:
    service: str
    state: str
    message: str
    healthy: bool
    unknown: bool


@dataclass(frozen=True)
class MachineStatus:
    stage: str
    ready: bool
    unmet: tuple[tuple[str, str], ...]


Body = Sequence | Phase | Task | ServiceState | MachineStatus


@dataclass(frozen=True)
class MachineEvent:
    """One entry of the ring of the last 1000 events since boot."""

    number: int
    at: float
    actor: str
    """The request that caused it, or empty."""
    body: Body


RING = 1000
