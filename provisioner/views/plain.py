"""One line on each change, for pipes, logs and screen readers: no carriage returns, no dots, complete.

While nothing changes, what is waited for is said once a minute of real time, so that no runner takes the silence for a hang.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import TextIO

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
from provisioner.model.plan import Verb
from provisioner.model.status import FinalObject
from provisioner.model.steps import StepId
from provisioner.views.console import Console, Span, Style, line
from provisioner.views.error_panel import render_error_panel
from provisioner.views.final import render_final
from provisioner.views.formatting import clock_time, count, duration, lab_words
from provisioner.views.run_state import RunState, Wait, in_wall_time
from provisioner.views.table import done_of, elapsed_of
from provisioner.views.ticking import Ticker

REPEAT_S = 60.0
_CHECK_S = 5.0

Words = tuple[Span, ...]


class PlainView:
    """Lines on `err`; the result goes to `out`. With `quiet` only faults and the result."""

    def __init__(
        self,
        *,
        console: Console,
        verbosity: int,
        out: TextIO,
        err: TextIO,
        monotonic: Callable[[], float] = time.monotonic,
        silent: bool = False,
    ) -> None:
        self._console = console
        self._verbosity = verbosity
        self._out = out
        self._err = err
        self._monotonic = monotonic
        self._silent = silent
        """Everything to `err`, the result too: `out` belongs to somebody else."""
        self._state = RunState()
        self._spoke = monotonic()
        self._heard = monotonic()
        self._last_t: datetime | None = None
        self._reasons: dict[tuple[StepId, str, str], str] = {}
        self._ticker = Ticker(_CHECK_S, self.tick)

    def emit(self, event: Event) -> None:
        self._state = self._state.apply(event)
        event = in_wall_time(event, self._state.speed)
        self._heard = self._monotonic()
        self._last_t = event.t
        if self._verbosity >= 0:
            for words in self._words(event):
                self._say(event.t, words)
        if isinstance(event, FaultReported):
            self._err.write(
                self._console.render(render_error_panel(event, self._console, exit_code=self._state.run is None))
            )
            self._err.flush()
        if isinstance(event, RunEnded):
            self._ticker.stop()
            good = event.outcome in ("ok", "unchanged")
            stream = self._out if good and not self._silent else self._err
            stream.write(self._console.render(render_final(self._state, self._console)))
            stream.flush()
        else:
            self._ticker.arm()

    def tick(self) -> None:
        """Says again what is at work, when nothing was said for a minute."""
        if self._verbosity < 0 or self._last_t is None or self._state.ended is not None:
            return
        silent_s = self._monotonic() - self._spoke
        if silent_s < REPEAT_S:
            return
        moment = self._last_t + timedelta(seconds=self._monotonic() - self._heard)
        for words in self._still():
            self._say(moment, words)

    def close(self, final: FinalObject | None = None) -> None:
        del final
        self._ticker.stop()

    def _say(self, moment: datetime, words: Words) -> None:
        self._spoke = self._monotonic()
        said = line(Span(f"{clock_time(moment)} ", Style.KEPT), *words)
        self._err.write(self._console.render(self._console.wrapped(said, indent=9)))
        self._err.flush()

    def _words(self, event: Event) -> Iterator[Words]:
        match event:
            case RunStarted():
                parts = [f"{event.command} {event.cluster} on {event.host}", f"run {event.run}"]
                names = (("Talos", "talos"), ("Kubernetes", "kubernetes"))
                parts += [f"{name} {event.versions[key]}" for name, key in names if key in event.versions]
                yield (Span(", ".join(parts + ([lab_words(event.speed)] if event.lab else []))),)
            case PlanMade():
                yield from self._plan(event)
            case StepEnded():
                yield self._step_ended(event)
            case ActionEnded() if event.machine:
                outcome = "" if event.outcome == "done" else f"{event.outcome}: "
                style = Style.BAD if event.outcome == "failed" else Style.PLAIN
                proof = event.proof or "done"
                took = duration(event.elapsed_s)
                yield (*self._head(event.step), Span(f"{event.machine}: {outcome}{proof}, {took}", style))
            case WaitProgressed():
                key = (event.step, event.machine or "", event.what)
                shape = re.sub(r"[0-9]+", "#", event.reason)  # a count that moves is no change
                if self._reasons.get(key) != shape:
                    self._reasons[key] = shape
                    wait = self._state.steps[event.step].lanes[event.machine or ""].waits[event.what]
                    yield self._waiting(event.step, event.machine or "", wait, event.at_s)
            case Note():
                head = self._head(event.step) if event.step else ()
                sign = (Span("warning: ", Style.SLOW),) if event.level == "warning" else ()
                yield (*head, *sign, Span(event.message))
            case CallEnded() if self._verbosity > 1:
                yield call_words(event)
            case _:
                return

    def _plan(self, plan: PlanMade) -> Iterator[Words]:
        destroys = f", {plan.destroys} destroy something" if plan.destroys else ""
        yield (Span(f"plan: {count(plan.changes, 'action')} to do, {plan.keeps} kept{destroys}"),)
        for warning in plan.warnings:
            yield Span("warning: ", Style.SLOW), Span(str(warning.get("message", "")))
        several = Counter(action["step"] for action in plan.actions)
        for action in plan.actions if self._verbosity > 0 else ():
            if action["verb"] == Verb.KEEP and several[action["step"]] > 1:  # one alone is told when its step ends
                yield (
                    *self._head(StepId(action["step"])),
                    Span(f"{action['object']} kept: {action['why']}", Style.KEPT),
                )

    def _step_ended(self, event: StepEnded) -> Words:
        style = {"failed": Style.BAD, "stopped": Style.SLOW, "kept": Style.KEPT}.get(event.outcome, Style.PLAIN)
        if event.outcome in ("done", "kept"):
            said = event.summary or event.outcome
        else:
            said = f"{event.outcome}{': ' if event.summary else ''}{event.summary}"
        took = "" if event.outcome == "kept" else f", {duration(event.elapsed_s, fine=True)}"
        return (*self._head(event.step), Span(f"{said}{took}", style))

    def _waiting(self, step: StepId, machine: str, wait: Wait, now_s: float) -> Words:
        row = self._state.steps[step]
        parts = [done_of(row)] if len(row.machines) > 1 else []
        parts.append(f"{machine}: {wait.reason}" if machine else wait.reason)
        parts.append(elapsed_of(wait, now_s))
        return (*self._head(step), Span("; ".join(parts)))

    def _head(self, step: StepId) -> Words:
        row = self._state.steps[step]
        return (Span(f"[{row.number:2d}/{len(self._state.steps)}] "), Span(f"{row.title}: "))

    def _still(self) -> Iterator[Words]:
        """What is at work, the waits with their reasons."""
        now_s = self._state.at_s + (self._monotonic() - self._heard)
        for row in self._state.at_work:
            waiting = [lane for lane in row.lanes.values() if lane.wait]
            for lane in waiting:
                assert lane.wait is not None
                yield self._waiting(row.id, lane.name, lane.wait, now_s)
            if not waiting:
                doing = next((lane.doing for lane in row.lanes.values() if lane.doing), row.note or "at work")
                yield (*self._head(row.id), Span(f"{doing}, {duration(now_s - row.begun_s)} so far"))


def call_words(event: CallEnded) -> Words:
    """A call to a host, for `-vv`."""
    names = ", ".join(event.functions)
    requests = count(event.requests, "request")
    text = f"call {event.host}: {names}: {event.outcome}, {requests}, {duration(event.elapsed_s, fine=True)}"
    return (Span(text, Style.KEPT),)
