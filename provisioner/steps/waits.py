"""Waiting, as one thing: what for, how long at most, and the last reason why not yet, in the probe's own words.

A probe returns `Met(value)` or `NotYet(reason)`; an exception ends the wait. Nothing here sleeps real time: the clock is a port.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from provisioner.errors import Interrupted, TransportError
from provisioner.model.events import Event, WaitEnded, WaitProgressed, WaitStarted
from provisioner.model.steps import StepId
from provisioner.ports import Clock

T = TypeVar("T")

FLOOR_REAL_S = 10.0
"""No bound is shorter than this in real time: connections take real time, also where a lab's clock runs fast."""

REPEAT_S = 60.0
"""The same reason is told again after this long, so that no screen is silent."""


@dataclass(frozen=True)
class Met(Generic[T]):
    """The condition holds; `seen` is the proof in words."""

    value: T
    seen: str = ""


@dataclass(frozen=True)
class NotYet:
    """It does not hold yet, because of this."""

    reason: str


class TimedOut(TransportError):
    """A wait ended at its bound; `reason` is the last one seen."""

    def __init__(self, what: str, bound_s: float, reason: str) -> None:
        super().__init__(f"{what}: not within {bound_s:g} s: {reason}")
        self.what = what
        self.bound_s = bound_s
        self.reason = reason


Probe = Callable[[], Awaitable[Met[T] | NotYet]]


@dataclass(frozen=True, kw_only=True)
class Waiter:
    """What every wait of a run shares."""

    clock: Clock
    started_s: float
    emit: Callable[[Event], None]
    stop: asyncio.Event
    scale: float = 1.0

    def stamp(self) -> dict[str, Any]:
        return {"t": self.clock.wall(), "at_s": self.clock.now() - self.started_s}

    async def sleep(self, seconds: float, wake: asyncio.Event | None = None) -> None:
        """Sleeps on the clock; ends early when the run is to stop (`Interrupted`) or when woken."""
        waiting = [asyncio.ensure_future(self.clock.sleep(seconds)), asyncio.ensure_future(self.stop.wait())]
        if wake is not None:
            waiting.append(asyncio.ensure_future(wake.wait()))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            for task in waiting:
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self.check()
        if wake is not None:
            wake.clear()

    def check(self) -> None:
        """Raises Interrupted when the run is to stop."""
        if self.stop.is_set():
            raise Interrupted

    async def until(
        self,
        probe: Probe[T],
        *,
        step: StepId,
        what: str,
        bound_s: float,
        why: str,
        machine: str | None = None,
        every_s: float = 0.5,
        wake: asyncio.Event | None = None,
    ) -> Met[T]:
        """Probes until met. Raises TimedOut at the bound, Interrupted when the run is to stop, and what the probe raises.

        `wake` lets a watch bring the next probe forward; `every_s` is then only the safety net.
        """
        clock, begun = self.clock, self.clock.now()
        bound = max(bound_s * self.scale, FLOOR_REAL_S * clock.rate)
        tries, reason, told_at = 0, "", begun

        def event(kind: type[Event], **more: object) -> None:
            common = {"step": step, "what": what, "machine": machine, "bound_s": bound, **self.stamp()}
            self.emit(kind(**common, **more))  # type: ignore[arg-type]  # the keys are those of the three wait events

        event(WaitStarted, why=why)
        outcome, seen = "failed", ""
        try:
            while True:
                self.check()
                tries += 1
                result = await probe()
                elapsed = clock.now() - begun
                if isinstance(result, Met):
                    outcome, seen = "met", result.seen
                    return result
                if result.reason != reason or clock.now() - told_at >= REPEAT_S:
                    reason, told_at = result.reason, clock.now()
                    event(WaitProgressed, reason=reason, elapsed_s=round(elapsed, 3), tries=tries)
                if elapsed >= bound:
                    outcome, seen = "timed_out", reason
                    raise TimedOut(what, bound, reason)
                await self.sleep(min(every_s, max(0.01, bound - elapsed)), wake)
        except (Interrupted, asyncio.CancelledError):
            outcome = "stopped"
            raise
        finally:
            event(WaitEnded, outcome=outcome, elapsed_s=round(clock.now() - begun, 3), tries=tries, seen=seen or reason)
