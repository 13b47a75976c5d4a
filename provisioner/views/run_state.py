"""The picture of a run: a pure fold of its events. Live table, plain lines and report are renderings of this.

`RunState.apply(event)` gives the next picture and changes nothing. Times are seconds of the wall since the run began; events count those of
the clock port, which runs faster in a lab.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

from provisioner.model.events import (
    ActionEnded,
    ActionStarted,
    Event,
    Note,
    PlanMade,
    RunEnded,
    RunStarted,
    StepEnded,
    StepStarted,
    WaitEnded,
    WaitProgressed,
    WaitStarted,
)
from provisioner.model.plan import Verb
from provisioner.model.steps import StepId

T = TypeVar("T")


class State(StrEnum):
    """How far a step or a machine within it is."""

    AHEAD = "ahead"
    WORKING = "working"
    DONE = "done"
    KEPT = "kept"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, kw_only=True)
class Wait:
    """A wait that is open."""

    what: str
    begun_s: float
    bound_s: float
    reason: str
    """Why not yet, in the probe's words; before the first probe, what the wait is for."""
    tries: int = 0


def _latest(wait: Wait) -> float:
    return wait.begun_s + wait.bound_s


@dataclass(frozen=True, kw_only=True)
class Lane:
    """What happens to one machine within a step; the lane named "" is the step's own, for what is done once."""

    name: str
    state: State = State.AHEAD
    begun_s: float = 0.0
    elapsed_s: float = 0.0
    """Once it has ended."""
    actions: Mapping[str, str] = field(default_factory=dict)
    """Those at work: id to words."""
    waits: Mapping[str, Wait] = field(default_factory=dict)
    """Those that are open."""
    seen: str = ""
    """The proof, once there is one."""

    @property
    def wait(self) -> Wait | None:
        """The wait that may last longest."""
        return max(self.waits.values(), key=_latest, default=None)

    @property
    def doing(self) -> str:
        """What it does or waits for, in words."""
        if self.wait:
            return self.wait.reason
        return next(iter(self.actions.values()), "")


@dataclass(frozen=True, kw_only=True)
class StepRow:
    """One row of the table."""

    id: StepId
    number: int = 0
    """Its place in the workflow, from 1."""
    title: str = ""
    done_word: str = ""
    """What machines are after it, as in `3 of 4 in maintenance`."""
    state: State = State.AHEAD
    begun_s: float = 0.0
    elapsed_s: float = 0.0
    summary: str = ""
    note: str = ""
    """The last announcement about it."""
    lanes: Mapping[str, Lane] = field(default_factory=dict)

    @property
    def machines(self) -> tuple[Lane, ...]:
        return tuple(lane for lane in self.lanes.values() if lane.name)

    @property
    def wait(self) -> Wait | None:
        """The wait that may last longest."""
        return max((lane.wait for lane in self.lanes.values() if lane.wait), key=_latest, default=None)


@dataclass(frozen=True, kw_only=True)
class RunState:
    """The whole picture."""

    run: RunStarted | None = None
    plan: PlanMade | None = None
    ended: RunEnded | None = None
    at_s: float = 0.0
    """Time of the last event."""
    steps: Mapping[StepId, StepRow] = field(default_factory=dict)
    """All of the workflow, in their order; known once the run has started."""
    warnings: tuple[str, ...] = ()
    stopping: str = ""
    """What is said after the first Ctrl-C."""
    news: tuple[float, str] = (0.0, "")
    """The last announcement that belongs to no step, and when it was made."""

    @property
    def rows(self) -> tuple[StepRow, ...]:
        """The steps that this run has to do with, in the order of the table."""
        if self.plan is None:
            return tuple(self.steps.values())
        planned = {str(action["step"]) for action in self.plan.actions}
        return tuple(row for row in self.steps.values() if row.id in planned or row.state is not State.AHEAD)

    @property
    def speed(self) -> float:
        """Seconds of the clock port in a second of the wall: 1 but for a lab."""
        return self.run.speed if self.run else 1.0

    def apply(self, event: Event) -> RunState:
        """The picture after one more event. All its times are the wall's."""
        event = in_wall_time(event, self.speed)
        state = replace(self, at_s=max(self.at_s, event.at_s))
        match event:
            case RunStarted():
                return replace(state, run=event, steps=_rows(event))
            case PlanMade():
                said = tuple(str(warning.get("message", "")) for warning in event.warnings)
                return replace(state, plan=event, warnings=state.warnings + said)
            case RunEnded():
                return replace(state, ended=event)
            case Note():
                return state._noted(event)
            case StepStarted():
                return state._step_started(event)
            case StepEnded():
                row = state.steps[event.step]
                ended = replace(row, state=_state(event.outcome), elapsed_s=event.elapsed_s, summary=event.summary)
                return state._with_row(ended)
            case ActionStarted() | ActionEnded() | WaitStarted() | WaitProgressed() | WaitEnded():
                return state._lane_moved(event)
            case _:
                return state

    def planned(self, step: StepId) -> tuple[Mapping[str, Any], ...]:
        """The plan's actions of that step."""
        return tuple(action for action in self.plan.actions if action["step"] == step) if self.plan else ()

    def kept(self, step: StepId) -> tuple[tuple[str, str], ...]:
        """What the plan keeps in that step, each with its reason."""
        kept = (action for action in self.planned(step) if action["verb"] == Verb.KEEP)
        return tuple((str(action["object"]), str(action["why"])) for action in kept)

    def _with_row(self, row: StepRow) -> RunState:
        return replace(self, steps={**self.steps, row.id: row})

    def _noted(self, note: Note) -> RunState:
        if note.level == "stopping":
            return replace(self, stopping=note.message)
        if note.level == "warning":
            return replace(self, warnings=(*self.warnings, note.message))
        if note.step is not None:
            return self._with_row(replace(self.steps[note.step], note=note.message))
        return replace(self, news=(note.at_s, note.message))

    def _step_started(self, event: StepStarted) -> RunState:
        lanes = {name: Lane(name=name) for name in event.machines}
        row = self.steps[event.step]
        return self._with_row(replace(row, state=State.WORKING, begun_s=event.at_s, lanes=lanes))

    def _lane_moved(self, event: ActionStarted | ActionEnded | WaitStarted | WaitProgressed | WaitEnded) -> RunState:
        row = self.steps[event.step]
        name = event.machine or ""
        lane = row.lanes.get(name, Lane(name=name))
        moved = _moved(lane, event)
        if row.state is State.AHEAD:
            row = replace(row, state=State.WORKING, begun_s=event.at_s)
        return self._with_row(replace(row, lanes={**row.lanes, name: moved}))


def _rows(run: RunStarted) -> dict[StepId, StepRow]:
    rows = (
        StepRow(id=StepId(step["id"]), number=number, title=step["title"], done_word=step["done"])
        for number, step in enumerate(run.steps, start=1)
    )
    return {row.id: row for row in rows}


def in_wall_time(event: Event, speed: float) -> Event:
    """The event with its durations by the wall: people have one clock, however fast a lab's world runs."""
    if speed == 1.0:
        return event
    times = {name: getattr(event, name) / speed for name in _TIMES if hasattr(event, name)}
    return replace(event, **times)


_TIMES = ("at_s", "elapsed_s", "bound_s")


def _moved(lane: Lane, event: ActionStarted | ActionEnded | WaitStarted | WaitProgressed | WaitEnded) -> Lane:
    begun = lane.begun_s if lane.state is not State.AHEAD else event.at_s
    lane = replace(lane, begun_s=begun, state=State.WORKING)
    match event:
        case ActionStarted():
            words = f"{_AT_WORK.get(event.verb, event.verb)} {event.object}"
            return replace(lane, actions={**lane.actions, event.action: words})
        case ActionEnded():
            lane = replace(lane, actions=_without(lane.actions, event.action))
            return _settled(replace(lane, seen=event.proof or lane.seen), event)
        case WaitStarted():
            wait = Wait(what=event.what, begun_s=event.at_s, bound_s=event.bound_s, reason=event.why or event.what)
            return replace(lane, waits={**lane.waits, event.what: wait})
        case WaitProgressed():
            began = event.at_s - event.elapsed_s
            reason = event.reason.removeprefix(f"{event.machine}: ")  # the lane has the name already
            wait = Wait(what=event.what, begun_s=began, bound_s=event.bound_s, reason=reason, tries=event.tries)
            return replace(lane, waits={**lane.waits, event.what: wait})
        case WaitEnded():
            return _settled(replace(lane, waits=_without(lane.waits, event.what), seen=event.seen or lane.seen), event)


def _settled(lane: Lane, event: ActionEnded | WaitEnded) -> Lane:
    """Ended when nothing of it is open; a failure ends it at once."""
    state = _state(event.outcome)
    if state in (State.FAILED, State.STOPPED) or not (lane.actions or lane.waits):
        return replace(lane, state=state, elapsed_s=event.at_s - lane.begun_s)
    return lane


def _state(outcome: str) -> State:
    return _STATES.get(outcome, State.DONE)  # done, met


_STATES = {"kept": State.KEPT, "failed": State.FAILED, "timed_out": State.FAILED, "stopped": State.STOPPED}


def _without(items: Mapping[str, T], key: str) -> dict[str, T]:
    return {name: item for name, item in items.items() if name != key}


_AT_WORK: Mapping[str, str] = {
    Verb.CREATE: "making",
    Verb.CHANGE: "changing",
    Verb.REPLACE: "replacing",
    Verb.REMOVE: "removing",
    Verb.START: "starting",
    Verb.RESTART: "restarting",
    Verb.APPLY: "applying to",
    Verb.WAIT: "waiting for",
    Verb.WRITE: "writing",
    Verb.FETCH: "fetching",
    Verb.ONCE: "starting",
    Verb.EJECT: "ejecting from",
}
