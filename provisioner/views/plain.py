"""One line for each event worth telling, for pipes, logs and screen readers: no carriage returns, no dots, complete.

A wait is told once it has lasted a few seconds, and again when its reason changes, though no step more than once in a while. While nothing
changes, what is waited for is said once a minute of real time, so that no runner takes the silence for a hang.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from provisioner.model.events import (
    ActionEnded,
    CallEnded,
    Event,
    FaultReported,
    Note,
    PlanMade,
    RunEnded,
    RunStarted,
    StepEnded,
    WaitProgressed,
)
from provisioner.model.steps import StepId
from provisioner.model.wording import count
from provisioner.views.console import Span, Style, line
from provisioner.views.formatting import clock_time, duration
from provisioner.views.run_state import State, StepRow, Wait, in_wall_time
from provisioner.views.run_view import RunView
from provisioner.views.table import call_words, done_of, elapsed_of, run_titles

REPEAT_S = 60.0
"""Real seconds of silence after which what is at work is said again."""
TOLD_FROM_S = 3.0
"""Seconds that a wait lasts before it is told."""
QUIET_S = 15.0
"""Seconds between two lines about the waits of one step."""

Words = tuple[Span, ...]


class PlainView(RunView):
    """Lines on `err`. With verbosity -1 only faults and the result."""

    TICK_S = 5.0

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)
        self._spoke = self._received
        self._last_t: datetime | None = None
        self._reasons: dict[tuple[StepId, str, str], str] = {}
        self._told_at_s: dict[StepId, float] = {}
        """When a wait of the step was told last."""

    def _show(self, event: Event) -> None:
        event = in_wall_time(event, self._state.speed)
        self._last_t = event.t
        if self._verbosity >= 0:
            for words in self._words(event):
                self._say(event.t, words)
        if isinstance(event, FaultReported):
            self._write_fault(event)
        elif isinstance(event, RunEnded):
            self._write_final(event)

    def tick(self) -> None:
        """Says again what is at work, when nothing was said for a minute."""
        if self._verbosity < 0 or self._last_t is None or self._state.ended is not None:
            return
        if self._monotonic() - self._spoke >= REPEAT_S:
            silent_s = self._silent_s()
            for words in self._at_work(self._state.at_s + silent_s):
                self._say(self._last_t + timedelta(seconds=silent_s), words)

    def _say(self, moment: datetime, words: Words) -> None:
        self._spoke = self._monotonic()
        said = line(Span(f"{clock_time(moment)} ", Style.KEPT), *words)
        self._write(self._err, self._console.render(self._console.wrapped(said, indent=9)))

    def _words(self, event: Event) -> Iterator[Words]:
        match event:
            case RunStarted():
                yield (Span(", ".join((f"{event.command} {event.cluster} on {event.host}", *run_titles(event)))),)
            case PlanMade():
                yield from self._plan(event)
            case StepEnded():
                yield self._step_ended(event)
            case ActionEnded(machine=str()):
                yield from self._action_ended(event)
            case WaitProgressed():
                yield from self._wait_progressed(event)
            case Note():
                sign = (Span("warning: ", Style.SLOW),) if event.level == "warning" else ()
                yield (*(self._head(event.step) if event.step else ()), *sign, Span(event.message))
            case CallEnded() if self._verbosity > 1:
                yield (Span(call_words(event), Style.KEPT),)
            case _:
                return

    def _plan(self, plan: PlanMade) -> Iterator[Words]:
        destroys = f", {plan.destroys} of them destructive" if plan.destroys else ""
        yield (Span(f"plan: {count(plan.changes, 'action')} to do{destroys}, {plan.keeps} kept"),)
        for warning in plan.warnings:
            yield Span("warning: ", Style.SLOW), Span(str(warning.get("message", "")))
        for row in self._state.rows if self._verbosity > 0 else ():
            kept = self._state.kept(row.id)
            for name, why in (
                kept if len(self._state.planned(row.id)) > 1 else ()
            ):  # one alone is told when its step ends
                yield (*self._head(row.id), Span(f"{name} kept: {why}", Style.KEPT))

    def _step_ended(self, event: StepEnded) -> Words:
        style = {"failed": Style.BAD, "stopped": Style.SLOW, "kept": Style.KEPT}.get(event.outcome, Style.PLAIN)
        said = event.summary or event.outcome
        if event.outcome not in ("done", "kept") and event.summary:
            said = f"{event.outcome}: {event.summary}"
        took = "" if event.outcome == "kept" else f", {duration(event.elapsed_s, fine=True)}"
        return (*self._head(event.step), Span(f"{said}{took}", style))

    def _action_ended(self, event: ActionEnded) -> Iterator[Words]:
        """One machine of several; one alone is told when its step ends."""
        if event.outcome == "done" and len(self._state.steps[event.step].machines) == 1:
            return
        outcome = "" if event.outcome == "done" else f"{event.outcome}: "
        took = f", {duration(event.elapsed_s)}" if event.elapsed_s >= 1 else ""
        style = Style.BAD if event.outcome == "failed" else Style.PLAIN
        yield (*self._head(event.step), Span(f"{event.machine}: {outcome}{event.proof or 'done'}{took}", style))

    def _wait_progressed(self, event: WaitProgressed) -> Iterator[Words]:
        key = (event.step, event.machine or "", event.what)
        shape = re.sub(r"[0-9]+", "#", event.reason)  # a count that moves is no change
        quiet = event.at_s - self._told_at_s.get(event.step, -QUIET_S) < QUIET_S
        if event.elapsed_s < TOLD_FROM_S or quiet or self._reasons.get(key) == shape:
            return
        self._reasons[key] = shape
        self._told_at_s[event.step] = event.at_s
        row = self._state.steps[event.step]
        wait = row.lanes[event.machine or ""].waits[event.what]
        yield self._waiting(row, event.machine or "", wait, event.at_s)

    def _waiting(self, row: StepRow, machine: str, wait: Wait, now_s: float) -> Words:
        parts = [done_of(row)] if len(row.machines) > 1 else []
        parts.append(f"{machine}: {wait.reason}" if machine else wait.reason)
        parts.append(elapsed_of(wait, now_s))
        return (*self._head(row.id), Span("; ".join(parts)))

    def _at_work(self, now_s: float) -> Iterator[Words]:
        """What is at work, the waits with their reasons."""
        for row in (row for row in self._state.rows if row.state is State.WORKING):
            waiting = [(lane.name, lane.wait) for lane in row.lanes.values() if lane.wait]
            for name, wait in waiting:
                yield self._waiting(row, name, wait, now_s)
            if not waiting:
                doing = next((lane.doing for lane in row.lanes.values() if lane.doing), row.note or "at work")
                yield (*self._head(row.id), Span(f"{doing}, {duration(now_s - row.begun_s)} so far"))

    def _head(self, step: StepId) -> Words:
        row = self._state.steps[step]
        return (Span(f"[{row.number:2d}/{len(self._state.steps)}] {row.title}: "),)
