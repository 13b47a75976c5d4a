"""Waits: bound, reason, proof, and a stop that is heard at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from provisioner.errors import Interrupted
from provisioner.model.events import Event, WaitEnded, WaitProgressed, WaitStarted
from provisioner.model.steps import StepId
from provisioner.steps.waits import FLOOR_REAL_S, REPEAT_S, Met, NotYet, TimedOut, Waiter


class SkippingClock:
    """Sleeping moves it on at once."""

    rate = 1.0

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    def wall(self) -> datetime:
        return datetime(2026, 5, 23, tzinfo=UTC)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.time += seconds


def waiter(events: list[Event], stop: asyncio.Event | None = None, scale: float = 1.0) -> Waiter:
    return Waiter(clock=SkippingClock(), started_s=0.0, emit=events.append, stop=stop or asyncio.Event(), scale=scale)


async def test_met_with_its_proof() -> None:
    events: list[Event] = []
    answers = iter([NotYet("port refuses"), NotYet("port refuses"), Met(7, "answers")])

    async def probe() -> Met[int] | NotYet:
        return next(answers)

    met = await waiter(events).until(probe, step=StepId.INSTALL, what="installed", bound_s=60, why="it reboots")
    assert met.value == 7
    assert [type(e) for e in events] == [WaitStarted, WaitProgressed, WaitEnded]
    ended = events[-1]
    assert isinstance(ended, WaitEnded)
    assert (ended.outcome, ended.seen, ended.tries) == ("met", "answers", 3)


async def test_the_bound_ends_it_with_the_last_reason() -> None:
    events: list[Event] = []
    clock_reasons = iter(f"reason {n}" for n in range(1000))

    async def probe() -> Met[int] | NotYet:
        return NotYet(next(clock_reasons))

    with pytest.raises(TimedOut) as caught:
        await waiter(events, scale=2.0).until(probe, step=StepId.VM, what="VM", bound_s=15, why="", every_s=1.0)
    assert caught.value.bound_s == 30.0, "--wait-scale stretches the bound"
    assert caught.value.reason == "reason 30"
    assert isinstance(events[-1], WaitEnded)
    assert events[-1].outcome == "timed_out"


async def test_the_same_reason_is_told_again_each_minute_and_not_more_often() -> None:
    events: list[Event] = []

    async def probe() -> Met[int] | NotYet:
        return NotYet("still")

    with pytest.raises(TimedOut):
        await waiter(events).until(probe, step=StepId.VM, what="VM", bound_s=5 * REPEAT_S, why="", every_s=1.0)
    told = [e for e in events if isinstance(e, WaitProgressed)]
    assert len(told) == 6


async def test_a_bound_has_a_floor_of_real_time() -> None:
    """At 100 times real time 60 s are 0.6 s: no time for a connection."""
    wait = waiter([])
    wait.clock.rate = 100.0

    async def probe() -> Met[int] | NotYet:
        return NotYet("no")

    with pytest.raises(TimedOut) as caught:
        await wait.until(probe, step=StepId.VM, what="VM", bound_s=60, why="", every_s=50.0)
    assert caught.value.bound_s == FLOOR_REAL_S * 100


async def test_a_stop_ends_the_sleep() -> None:
    events: list[Event] = []
    stop = asyncio.Event()

    async def probe() -> Met[int] | NotYet:
        stop.set()
        return NotYet("never")

    with pytest.raises(Interrupted):
        await waiter(events, stop).until(probe, step=StepId.VM, what="VM", bound_s=1e9, why="", every_s=1e8)
    assert isinstance(events[-1], WaitEnded)
    assert events[-1].outcome == "stopped"


async def test_a_bell_brings_the_next_look_forward() -> None:
    bell = asyncio.Event()
    looks = 0

    class StandingClock(SkippingClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.Event().wait()  # only the bell can end it

    async def probe() -> Met[int] | NotYet:
        nonlocal looks
        looks += 1
        if looks == 1:
            bell.set()
            return NotYet("not yet")
        return Met(1)

    wait = Waiter(clock=StandingClock(), started_s=0.0, emit=lambda _event: None, stop=asyncio.Event())
    await asyncio.wait_for(
        wait.until(probe, step=StepId.HEALTH, what="healthy", bound_s=60, why="", every_s=30.0, wake=bell), timeout=10
    )
    assert looks == 2


async def test_what_the_probe_raises_ends_the_wait() -> None:
    events: list[Event] = []

    async def probe() -> Met[int] | NotYet:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await waiter(events).until(probe, step=StepId.VM, what="VM", bound_s=5, why="")
    assert isinstance(events[-1], WaitEnded)
    assert events[-1].outcome == "failed"
