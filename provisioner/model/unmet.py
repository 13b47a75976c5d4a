"""What keeps a cluster from being healthy, as values: screens make sentences of them, code decides by the fields."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Layer(StrEnum):
    """Where a condition belongs; the lowest comes first in every list."""

    ETCD = "etcd"
    MACHINE = "machine"
    NODE = "node"
    PODS = "pods"


@dataclass(frozen=True, kw_only=True)
class Unmet:
    """One condition that does not hold, or that could not be looked at."""

    layer: Layer
    machine: str = ""
    """The machine it is about; empty for the cluster as a whole."""
    reason: str
    unread: bool = False
    """It could not be read: nothing is known about it, so it is told as such and never as an absence."""
    by_config: bool = False
    """The machine configs leave this to the user: a node without a CNI when the config says `cni: none`."""

    def __str__(self) -> str:
        about = f"node {self.machine}" if self.layer is Layer.NODE and self.machine else self.machine or self.layer
        return self.reason if self.reason.startswith(about) else f"{about}: {self.reason}"
