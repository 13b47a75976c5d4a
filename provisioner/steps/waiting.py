"""Waiting, as one thing: what for, how long at most, and the last reason why not yet, in the probe's own words.

A probe returns `Ready(value)` or `Pending(reason)`; an exception ends the wait. Nothing here sleeps real time: the clock is a port. A probe
that hangs itself (a sick Hyper-V answers no call for hours) is ended by the same bound, a minute later at most, and soon after Ctrl-C.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from provisioner.errors import Fault, Interrupted, TransportError
from provisioner.model.events import Event, WaitEnded, WaitProgressed, WaitStarted
from provisioner.model.steps import StepId
from provisioner.ports import Clock

T = TypeVar("T")

FLOOR_REAL_S = 10.0
"""No bound is shorter than this in real time: connections take real time, also where a lab's clock runs fast."""

REPEAT_S = 60.0
"""The same reason is told again after this long, so that no screen is silent."""

NEWS_S = 10.0
"""How often at most the news of a probe at work are told."""

CHECK_REAL_S = 0.5
"""How often a probe at work is looked after, in real time: it is a talk with the outside, which knows no other."""

CALL_REAL_S = 60.0
"""Real seconds that any call is given, whatever the bound: a host under load is slow, and not sick. A lab's fast clock does not hurry it."""

STOPPED_REAL_S = 5.0
"""When this process was not scheduled for so long beyond what it slept (Ctrl-Z, a computer asleep), the world went on unseen: that time
does not count against any bound.
"""

GRACE_REAL_S = 10.0
"""How long a probe at work may go on after Ctrl-C: a VM being made is made, a download of minutes is given up."""


@dataclass(frozen=True)
class Ready(Generic[T]):
    """The condition holds; `seen` is the proof in words."""

    value: T
    seen: str = ""


@dataclass(frozen=True)
class Pending:
    """It does not hold yet, because of this."""

    reason: str


class TimedOut(TransportError):
    """A wait ended at its bound; `reason` is the last one seen. `rate`: seconds of the clock in a second of the wall."""

    def __init__(self, what: str, bound_s: float, reason: str, *, rate: float = 1.0) -> None:
        super().__init__(f"{what}: not within {bound_s / rate:g} s: {reason}")
        self.what = what
        self.bound_s = bound_s
        self.reason = reason
        self.rate = rate

    @property
    def bound(self) -> str:
        """In words, by the wall's time: `45 s`, `20m`, `8m20s`."""
        minutes, seconds = divmod(round(self.bound_s / self.rate), 60)
        if not minutes:
            return f"{seconds} s"
        return f"{minutes}m{seconds:02}s" if seconds else f"{minutes}m"

    def fault(self, id: str, message: str, *, expected: str, **more: Any) -> Fault:
        """What the end of the wait means: `expected` was, within the bound, and the last reason was seen unless `more` says what was."""
        return Fault(id, message, expected=f"{expected} within {self.bound}", **{"seen": (self.reason,), **more})


async def first_ready(looks: Iterable[Awaitable[Ready[T] | Pending]]) -> Ready[T] | str:
    """The first look that finds what is looked for, or why none does."""
    reasons = []
    for look in looks:
        result = await look
        if isinstance(result, Ready):
            return result
        reasons.append(result.reason)
    return "; ".join(reasons)


Probe = Callable[[], Coroutine[Any, Any, Ready[T] | Pending]]


async def bounded(clock: Clock, call: Awaitable[T], *, what: str, bound_s: float) -> T:
    """One call that is no wait of its own, and yet must not last for ever. Raises TimedOut, and what the call raises."""
    limit = asyncio.timeout(max(bound_s / clock.rate, CALL_REAL_S))
    try:
        async with limit:
            return await call
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TimedOut(what, bound_s, "no answer to a call that was begun", rate=clock.rate) from error


def scaled_bound(bound_s: float, *, scale: float, rate: float) -> float:
    """The bound of a wait, in seconds of the clock: stretched as asked, and never under `FLOOR_REAL_S` of real time."""
    return max(bound_s * scale, FLOOR_REAL_S * rate)


@dataclass(frozen=True, kw_only=True)
class Waiter:
    """What every wait of a run shares."""

    clock: Clock
    emit: Callable[[Event], None]
    stop: asyncio.Event
    scale: float = 1.0

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
        news: Callable[[], str] = str,
    ) -> Ready[T]:
        """Probes until met. Raises TimedOut at the bound, Interrupted when the run is to stop, and what the probe raises.

        `wake` lets a watch bring the next probe forward; `every_s` is then only the safety net. `news` is asked how far a probe is that
        takes long.
        """
        clock, begun = self.clock, self.clock.now()
        bound = scaled_bound(bound_s, scale=self.scale, rate=clock.rate)
        tries, reason, told_at, unseen_s = 0, "", begun, 0.0

        def event(kind: type[Event], **more: object) -> None:
            common = {"step": step, "what": what, "machine": machine, "bound_s": bound}
            self.emit(kind(**common, **more))  # type: ignore[arg-type]  # the keys are those of the three wait events

        def tell(words: str) -> None:
            nonlocal reason, told_at
            reason, told_at = words, clock.now()
            event(WaitProgressed, reason=reason, elapsed_s=round(told_at - begun, 3), tries=tries)

        def look_after() -> bool:
            """Tells how far the probe at work is; whether its bound leaves it more time."""
            silent_s = clock.now() - told_at
            words = news()
            if (words and words != reason and silent_s >= NEWS_S) or silent_s >= REPEAT_S:
                tell(words or reason or "no answer yet")
            return clock.now() - begun - unseen_s < bound

        def missed(seconds: float) -> None:
            nonlocal unseen_s
            unseen_s += seconds

        event(WaitStarted, why=why)
        outcome, seen = "failed", ""
        try:
            while True:
                self.check()
                tries += 1
                result = await self._probed(probe, look_after, missed)
                if isinstance(result, Ready):
                    outcome, seen = "met", result.seen
                    return result
                if result.reason != reason or clock.now() - told_at >= REPEAT_S:
                    tell(result.reason)
                elapsed = clock.now() - begun - unseen_s
                if elapsed >= bound:
                    outcome, seen = "timed_out", reason
                    raise TimedOut(what, bound, reason, rate=clock.rate)
                asleep_s, before = min(every_s, max(0.01, bound - elapsed)), clock.now()
                await self.sleep(asleep_s, wake)
                missed(self._stopped(clock.now() - before, asleep_s))
        except (Interrupted, asyncio.CancelledError):
            outcome = "stopped"
            raise
        finally:
            event(WaitEnded, outcome=outcome, elapsed_s=round(clock.now() - begun, 3), tries=tries, seen=seen or reason)

    def _stopped(self, took_s: float, planned_s: float) -> float:
        """How long this process stood still while it meant to sleep, in seconds of the clock; 0 for what a busy computer does."""
        over_s = took_s - planned_s
        return over_s if over_s > STOPPED_REAL_S * self.clock.rate else 0.0

    async def _probed(
        self, probe: Probe[T], look_after: Callable[[], bool], missed: Callable[[float], None]
    ) -> Ready[T] | Pending:
        """The answer of one probe; Pending for one that was given up. Raises Interrupted when it outlasts its grace after Ctrl-C."""
        begun, at_work_s, stopped_s = self.clock.now(), 0.0, 0.0
        probing = asyncio.create_task(probe())
        try:
            while True:
                before = self.clock.now()
                await asyncio.wait({probing}, timeout=CHECK_REAL_S)
                missed(self._stopped(self.clock.now() - before, CHECK_REAL_S * self.clock.rate))
                if probing.done():
                    return probing.result()
                at_work_s += CHECK_REAL_S
                if self.stop.is_set():
                    stopped_s += CHECK_REAL_S
                    if stopped_s > GRACE_REAL_S:
                        raise Interrupted
                elif not look_after() and at_work_s >= CALL_REAL_S:
                    return Pending(f"no answer since {(self.clock.now() - begun) / self.clock.rate:.0f} s")
        finally:
            if not probing.done():
                probing.cancel()
                await asyncio.gather(probing, return_exceptions=True)
