"""What would be done: actions with reasons, grouped in steps. Made by pure functions, printed by `plan`, done by `up`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from provisioner.errors import Fault
from provisioner.model.steps import StepId
from provisioner.model.work import ChangeVm, Work


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
        """The character before the action on screens: `+` creates, `-` removes, `x` refuses."""
        return _SIGNS.get(self, "+")

    @property
    def done(self) -> str:
        """What the object is afterwards, as `created`."""
        return _DONE.get(self, str(self))

    @property
    def changes(self) -> bool:
        """Whether anything outside differs after it."""
        return self not in (Verb.KEEP, Verb.WAIT, Verb.REFUSE)


_SIGNS = {Verb.KEEP: " ", Verb.CHANGE: "~", Verb.RESTART: "~", Verb.REPLACE: "-/+", Verb.REMOVE: "-", Verb.REFUSE: "x"}
_DONE = {
    Verb.CREATE: "created",
    Verb.CHANGE: "changed",
    Verb.REMOVE: "removed",
    Verb.START: "started",
    Verb.APPLY: "applied",
    Verb.EJECT: "ejected",
    Verb.FETCH: "fetched",
    Verb.WRITE: "written",
}


@dataclass(frozen=True, kw_only=True)
class Action:
    """One change, or the reason why none is needed."""

    step: StepId
    verb: Verb
    object: str
    """What it is done to: a machine's name, the switch's name, `etcd`."""
    why: str
    """One line; never empty: a keep has its reason too."""
    work: Work | None = None
    """What the step's `apply` does; none for a keep and a refusal."""
    after: tuple[str, ...] = ()
    """Ids of the actions that must be done before it begins. Set for the whole plan by `workflows.ordering`."""
    machine: str = ""
    host: str = ""
    bound_s: float = 0.0
    """For a WAIT: how long the run will wait at most, seconds of the clock port, `--wait-scale` included."""
    destroys: str = ""
    """What is lost by it, in words; empty for most."""
    warning: str = ""
    """What the user should know beforehand."""
    fault: Fault | None = None
    """For REFUSE: the fault that `up` ends with."""
    absent: bool = False
    """For KEEP: there is nothing that could be kept."""
    seen: str = ""
    """For KEEP: what was found, in short, as `4 nodes Ready`."""
    command: str = ""
    """How the user reaches it, where that is not by the context of the cluster's name."""

    @property
    def kind(self) -> str:
        """What kind of work it is; empty for an action that changes nothing."""
        return self.work.kind if self.work else ""

    @property
    def restarts(self) -> bool:
        """Whether a machine that may be at work is shut down and started by it."""
        return isinstance(self.work, ChangeVm) and self.work.restart

    @property
    def id(self) -> str:
        """Stable, and unique within a plan."""
        where = f"@{self.host}" if self.host and not self.machine and self.host != self.object else ""
        fault = self.fault.id if self.fault else ""
        return "/".join(part for part in (self.step, self.kind or self.verb, f"{self.object}{where}", fault) if part)

    def to_json(self) -> dict[str, Any]:
        """As the plan's JSON and events show it; what does not apply is left out."""
        line: dict[str, Any] = {
            "id": self.id,
            "step": str(self.step),
            "verb": str(self.verb),
            "sign": self.verb.sign,
            "object": self.object,
            "why": self.why,
        }
        extra = {
            "after": list(self.after),
            "machine": self.machine,
            "host": self.host,
            "warning": self.warning,
            "destroys": self.destroys,
            "fault": self.fault.id if self.fault else "",
            "command": self.command,
        }
        return line | {key: value for key, value in extra.items() if value}


@dataclass(frozen=True, kw_only=True)
class PlanWarning:
    """A remark on the plan as a whole, with the id of the fault that may come of it."""

    id: str
    message: str
    next_steps: tuple[str, ...] = ()


AS_THE_FILE_SAYS = "VMs, versions and access are as the file says"
"""What may be said of a plan without changes and without differences."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What is there and what the file says, where `up` does not bring the two together."""

    object: str
    """A machine's name."""
    what: str
    """`Talos`, `Kubernetes`, `endpoint` or `machine`."""
    seen: str
    wanted: str
    next_steps: str = ""
    """What the user can do about it; one line."""

    @property
    def words(self) -> str:
        """The difference as a sentence, for screens."""
        return (
            f"{self.what} {self.seen}, the file says {self.wanted}"
            if self.what != "machine"
            else f"{self.wanted}: {self.seen}"
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All actions in the order of the workflow's steps."""

    cluster: str
    steps: tuple[StepId, ...]
    """All steps of the workflow, in their order; some may have no action."""
    actions: tuple[Action, ...]
    warnings: tuple[PlanWarning, ...] = ()
    differences: tuple[Difference, ...] = ()
    """Told by plan, status and up; none of them is changed by up."""
    uncompared: tuple[str, ...] = ()
    """Machines that run with a config which was not compared with the file's."""

    @property
    def told_differences(self) -> tuple[tuple[tuple[str, ...], Difference], ...]:
        """Differences that read the same but for their machines come as one, with all names."""
        groups: dict[tuple[str, str, str], list[Difference]] = {}
        for each in self.differences:
            groups.setdefault((each.what, each.seen, each.wanted), []).append(each)
        return tuple((tuple(each.object for each in group), group[0]) for group in groups.values())

    @property
    def changes(self) -> tuple[Action, ...]:
        """Actions that change something."""
        return tuple(a for a in self.actions if a.verb.changes)

    @property
    def refusals(self) -> tuple[Action, ...]:
        """Actions that the plan will not do, each with its fault."""
        return tuple(a for a in self.actions if a.verb is Verb.REFUSE)

    @property
    def destroys(self) -> tuple[Action, ...]:
        """Actions that destroy data."""
        return tuple(a for a in self.actions if a.destroys)

    def number(self, step: StepId) -> int:
        """The step's place in the workflow, from 1."""
        return self.steps.index(step) + 1

    def only(self, step: StepId) -> Plan:
        """The part of that step."""
        return replace(self, actions=self.of(step))

    def of(self, step: StepId) -> tuple[Action, ...]:
        """The actions of a step, in order."""
        return tuple(a for a in self.actions if a.step is step)
