"""What the command line asks for beyond the cluster file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How `up` and `rebuild` shall go about it."""

    wait_scale: float = 1.0
    """Stretches all bounds of waits."""
    retry_switch: bool = False
    """Make the switch again although the host undid it before."""


@dataclass(frozen=True, kw_only=True)
class RemovalScope:
    """How far `down` goes beyond the machines."""

    switch: bool = False
    image: bool = False
    secrets: bool = False
    contexts: bool = True
    """False within a rebuild: the same contexts are needed again a moment later."""
