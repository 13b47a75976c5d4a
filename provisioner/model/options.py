"""What the command line asks for beyond the cluster file."""

from __future__ import annotations

from dataclasses import dataclass, field

from provisioner.model.steps import StepId


@dataclass(frozen=True, kw_only=True)
class RemovalScope:
    """What `down` removes beside the machines."""

    switch: bool = False
    image: bool = False
    secrets: bool = False

    @property
    def flags(self) -> str:
        """As it is typed."""
        given = [f"--{name}" for name in ("switch", "image", "secrets") if getattr(self, name)]
        return "--all" if len(given) == 3 else " ".join(given)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a workflow goes about it."""

    wait_scale: float = 1.0
    """Stretches all bounds of waits."""
    retry_switch: bool = False
    """Make the switch again although the host undid it before."""
    until: StepId | None = None
    """The last step that is done; all, if not given."""
    remove: RemovalScope = field(default_factory=RemovalScope)
