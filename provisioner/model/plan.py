"""What would be done: actions with reasons, grouped in steps. Made by pure functions, printed by `plan`, done by `up`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from provisioner.errors import Fault
from provisioner.model.steps import StepId


class Verb(StrEnum):
    """What an action does to its object; the sign is its mark on the screens."""

    KEEP = "keep"
    CREATE = "create"
    CHANGE = "change"
    REPLACE = "replace"
    REMOVE = "remove"
    START = "start"
    RESTART = "restart"
    APPLY = "apply"
    WAIT = "wait"
    WRITE = "write"
    FETCH = "fetch"
    ONCE = "once"
    EJECT = "eject"
    REFUSE = "refuse"

    @property
    def sign(self) -> str:
        return _SIGNS.get(self, "+")

    @property
    def changes(self) -> bool:
        """Whether anything outside differs after it."""
        return self not in (Verb.KEEP, Verb.WAIT, Verb.REFUSE)


_SIGNS = {Verb.KEEP: " ", Verb.CHANGE: "~", Verb.RESTART: "~", Verb.REPLACE: "-/+", Verb.REMOVE: "-", Verb.REFUSE: "x"}


@dataclass(frozen=True, kw_only=True)
class Action:
    """One change, or the reason why none is needed."""

    step: StepId
    verb: Verb
    object: str
    """What it is done to: a machine's name, the switch's name, `etcd`."""
    why: str
    """One line; never empty: a keep has its reason too."""
    kind: str = ""
    """Which function of the step's `apply` does it; a step may have several."""
    machine: str = ""
    host: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Plain values that `apply` needs and screens may show; no secrets."""
    destroys: str = ""
    """What is lost by it, in words; empty for most."""
    warning: str = ""
    """What the user should know beforehand."""
    fault: Fault | None = None
    """For REFUSE: the fault that `up` ends with."""

    @property
    def id(self) -> str:
        """Stable, and unique within a plan."""
        where = f"@{self.host}" if self.host and not self.machine and self.host != self.object else ""
        fault = self.fault.id if self.fault else ""
        return "/".join(part for part in (self.step, self.kind or self.verb, f"{self.object}{where}", fault) if part)


@dataclass(frozen=True, kw_only=True)
class PlanWarning:
    """A remark on the plan as a whole, with the id of the fault that may come of it."""

    id: str
    message: str
    then: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All actions in the order of the step table."""

    cluster: str
    actions: tuple[Action, ...]
    warnings: tuple[PlanWarning, ...] = ()

    @property
    def changes(self) -> tuple[Action, ...]:
        return tuple(a for a in self.actions if a.verb.changes)

    @property
    def refusals(self) -> tuple[Action, ...]:
        return tuple(a for a in self.actions if a.verb is Verb.REFUSE)

    @property
    def destroys(self) -> tuple[Action, ...]:
        return tuple(a for a in self.actions if a.destroys)

    def of(self, step: StepId) -> tuple[Action, ...]:
        return tuple(a for a in self.actions if a.step is step)
