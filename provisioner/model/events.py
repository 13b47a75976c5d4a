"""What can happen in a run: one frozen class per event. Journal, screens, JSON Lines and report are all made of these.

Each event is one line of `events.jsonl` (see `to_json`). `t` is the wall time in UTC; `at_s` counts seconds of the clock
port since the run began (a lab's clock may run faster than the wall's). New fields may come; meanings do not change within
a schema number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, ClassVar

from provisioner.errors import FailureReport, Finding, SourceLocation, json_ready
from provisioner.model.steps import StepId

SCHEMA = "provision/events/1"
NOT_YET = datetime.min.replace(tzinfo=UTC)
"""Of an event that has not been recorded."""
BY_TYPE: dict[str, type[Event]] = {}


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base: when it happened. The run's recorder sets the times."""

    type: ClassVar[str] = ""
    """The name of the event in journals and JSON Lines; given with the class."""
    t: datetime = NOT_YET
    at_s: float = 0.0

    def __init_subclass__(cls, *, type: str = "") -> None:
        cls.type = type
        if type:
            BY_TYPE[type] = cls

    def to_json(self) -> dict[str, Any]:
        """Flat, JSON-ready, `type` and times first; None values are left out."""
        line: dict[str, Any] = {
            "t": self.t.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "type": self.type,
            "at_s": round(self.at_s, 3),
        }
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name not in ("t", "at_s") and value is not None:
                line[item.name] = str(value) if isinstance(value, StepId) else value
        return line


@dataclass(frozen=True, kw_only=True)
class CallInfo:
    """One call to a host that ended."""

    host: str
    functions: tuple[str, ...]
    requests: int
    elapsed_s: float
    """Seconds of the clock port, waiting for a worker not included."""
    outcome: str
    """`ok`, `refused`, `dropped`."""


@dataclass(frozen=True, kw_only=True)
class StepEvent(Event):
    """Base of events that belong to a step, or may."""

    step: StepId | None = None
    number: int | None = None
    """The step's place in the run's workflow, from 1."""
    of: int | None = None
    """Steps of the workflow."""


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event, type="run_started"):
    """The first event of a run."""

    command: str
    """`up`, `down`, `rebuild`."""
    cluster: str
    host: str
    run: int
    schema: str = SCHEMA
    lab: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    """`provision`, `talos`, `kubernetes`."""
    folder: str = ""
    """Folder of this run."""
    speed: float = 1.0
    """How fast the clock port runs: 1 but for the lab."""
    steps: tuple[Mapping[str, str], ...] = ()
    """All steps of the workflow in their order: `id`, `title`, and `done`, what machines are after it."""


@dataclass(frozen=True, kw_only=True)
class RunEnded(Event, type="run_ended"):
    """The last event of a run."""

    outcome: str
    """`ok`, `unchanged`, `failed`, `interrupted`."""
    exit: int
    elapsed_s: float
    fault: str | None = None
    summary: str = ""
    left: tuple[str, ...] = ()
    """What is left to do, or what was left in place, in words."""
    resume_command: str = ""
    """The command that goes on, after a run that did not get to its end."""

    @property
    def succeeded(self) -> bool:
        """Whether the run got to its end."""
        return self.outcome in ("ok", "unchanged")


@dataclass(frozen=True, kw_only=True)
class PlanMade(Event, type="plan_made"):
    """What the run will do."""

    changes: int
    keeps: int
    destroys: int
    actions: tuple[Mapping[str, Any], ...]
    warnings: tuple[Mapping[str, Any], ...] = ()
    differences: tuple[Mapping[str, Any], ...] = ()
    """What differs from the file and is not changed: `object`, `what`, `seen`, `wanted`, `then`."""


@dataclass(frozen=True, kw_only=True)
class StepStarted(StepEvent, type="step_started"):
    """The first action of a step begins."""

    step: StepId
    machines: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepEnded(StepEvent, type="step_ended"):
    """All actions of a step have ended."""

    step: StepId
    outcome: str
    """`done`, `kept`, `failed`, `stopped`."""
    elapsed_s: float
    summary: str = ""


@dataclass(frozen=True, kw_only=True)
class ActionStarted(StepEvent, type="action_started"):
    """An action begins."""

    step: StepId
    action: str
    """Action.id."""
    verb: str
    object: str
    machine: str | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class ActionEnded(StepEvent, type="action_ended"):
    """An action has ended."""

    step: StepId
    action: str
    outcome: str
    """`done`, `kept`, `failed`, `stopped`."""
    elapsed_s: float
    machine: str | None = None
    proof: str = ""
    """The observation that proves it, in words."""


@dataclass(frozen=True, kw_only=True)
class WaitStarted(StepEvent, type="wait_started"):
    """A wait begins."""

    step: StepId
    what: str
    """What for, as `maintenance`."""
    bound_s: float
    machine: str | None = None
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class WaitProgressed(StepEvent, type="wait_progressed"):
    """Why a wait goes on."""

    step: StepId
    what: str
    reason: str
    """Why not yet, in the probe's words."""
    elapsed_s: float
    bound_s: float
    tries: int
    machine: str | None = None


@dataclass(frozen=True, kw_only=True)
class WaitEnded(StepEvent, type="wait_ended"):
    """A wait has ended."""

    step: StepId
    what: str
    outcome: str
    """`met`, `timed_out`, `stopped`, `failed`."""
    elapsed_s: float
    bound_s: float
    tries: int
    machine: str | None = None
    seen: str = ""


@dataclass(frozen=True, kw_only=True)
class CallEnded(Event, CallInfo, type="call_ended"):
    """One call to a host: for `-vv`, the report and the bench."""


@dataclass(frozen=True, kw_only=True)
class Note(StepEvent, type="note"):
    """Something worth a line: `info` for announcements, `warning` for what the user should look at, `stopping` once after
    the first Ctrl-C.
    """

    level: str
    message: str
    machine: str | None = None


@dataclass(frozen=True, kw_only=True)
class FaultReported(StepEvent, FailureReport, type="fault"):
    """A fault, with everything its panel shows."""

    @classmethod
    def from_report(cls, fault: FailureReport, *, resume_command: str, **event: Any) -> FaultReported:
        """The fault as an event; `resume_command` is what to type when it names nothing itself, `event` the fields that all events have."""
        values = {item.name: getattr(fault, item.name) for item in fields(FailureReport)}
        resume = fault.resume_command or (resume_command,)
        steps = tuple(line for line in fault.next_steps if line not in resume)
        return cls(**{**values, "resume_command": resume, "next_steps": steps, **event})

    def to_json(self) -> dict[str, Any]:
        """Flat, with findings as objects."""
        return {key: json_ready(value) for key, value in super().to_json().items()}


def from_json(line: Mapping[str, Any]) -> Event | None:
    """The event of a journal line; None for a type that this version does not know."""
    kind = BY_TYPE.get(str(line.get("type")))
    if kind is None:
        return None
    known = {item.name for item in fields(kind)}
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in line.items() if key in known
    }
    values["t"] = datetime.fromisoformat(str(line["t"]))
    if values.get("step") is not None and "step" in values:
        values["step"] = StepId(values["step"])
    if kind is FaultReported:
        values["findings"] = tuple(
            Finding(**{**each, "place": SourceLocation(**each["place"])}) for each in values.get("findings", ())
        )
    return kind(**values)
