"""Waits: bound, reason, proof, and a stop that is heard at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from provisioner.errors import Interrupted
from provisioner.model.events import Event, WaitEnded, WaitProgressed, WaitStarted
from provisioner.model.steps import StepId
from provisioner.steps import waiting
from provisioner.steps.waiting import FLOOR_REAL_S, REPEAT_S, Pending, Ready, TimedOut, Waiter
from tests.fakes.clock import FakeClock


def waiter(events: list[Event], stop: asyncio.Event | None = None, scale: float = 1.0) -> Waiter:
    return Waiter(clock=FakeClock(), emit=events.append, stop=stop or asyncio.Event(), scale=scale)


async def test_met_with_its_proof() -> None:
    events: list[Event] = []
    answers: Iterator[Ready[int] | Pending] = iter(
        [Pending("port refuses"), Pending("port refuses"), Ready(7, "answers")]
    )

    async def probe() -> Ready[int] | Pending:
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

    async def probe() -> Ready[int] | Pending:
        return Pending(next(clock_reasons))

    with pytest.raises(TimedOut) as caught:
        await waiter(events, scale=2.0).until(probe, step=StepId.VM, what="VM", bound_s=15, why="", every_s=1.0)
    assert caught.value.bound_s == 30.0, "--wait-scale stretches the bound"
    assert caught.value.reason == "reason 30"
    assert isinstance(events[-1], WaitEnded)
    assert events[-1].outcome == "timed_out"


async def test_the_same_reason_is_told_again_each_minute_and_not_more_often() -> None:
    events: list[Event] = []

    async def probe() -> Ready[int] | Pending:
        return Pending("still")

    with pytest.raises(TimedOut):
        await waiter(events).until(probe, step=StepId.VM, what="VM", bound_s=5 * REPEAT_S, why="", every_s=1.0)
    told = [e for e in events if isinstance(e, WaitProgressed)]
    assert len(told) == 6


async def test_a_bound_has_a_floor_of_real_time() -> None:
    """At 100 times real time 60 s are 0.6 s: no time for a connection."""
    wait = waiter([])
    wait.clock.rate = 100.0

    async def probe() -> Ready[int] | Pending:
        return Pending("no")

    with pytest.raises(TimedOut) as caught:
        await wait.until(probe, step=StepId.VM, what="VM", bound_s=60, why="", every_s=50.0)
    assert caught.value.bound_s == FLOOR_REAL_S * 100


async def test_a_stop_ends_the_sleep() -> None:
    events: list[Event] = []
    stop = asyncio.Event()

    async def probe() -> Ready[int] | Pending:
        stop.set()
        return Pending("never")

    with pytest.raises(Interrupted):
        await waiter(events, stop).until(probe, step=StepId.VM, what="VM", bound_s=1e9, why="", every_s=1e8)
    assert isinstance(events[-1], WaitEnded)
    assert events[-1].outcome == "stopped"


async def test_a_bell_brings_the_next_look_forward() -> None:
    bell = asyncio.Event()
    looks = 0

    class StandingClock(FakeClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.Event().wait()  # only the bell can end it

    async def probe() -> Ready[int] | Pending:
        nonlocal looks
        looks += 1
        if looks == 1:
            bell.set()
            return Pending("not yet")
        return Ready(1)

    wait = Waiter(clock=StandingClock(), emit=lambda _event: None, stop=asyncio.Event())
    await asyncio.wait_for(
        wait.until(probe, step=StepId.HEALTH, what="healthy", bound_s=60, why="", every_s=30.0, wake=bell), timeout=10
    )
    assert looks == 2


async def test_what_the_probe_raises_ends_the_wait() -> None:
    events: list[Event] = []

    async def probe() -> Ready[int] | Pending:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await waiter(events).until(probe, step=StepId.VM, what="VM", bound_s=5, why="")
    assert isinstance(events[-1], WaitEnded)
    assert events[-1].outcome == "failed"


# --- probes that hang ---------------------------------------------------------------------------------------------------


class RunningClock(FakeClock):
    """Ten seconds pass between two looks at it."""

    def now(self) -> float:
        self.time += 10.0
        return self.time


async def hang() -> Ready[int] | Pending:
    await asyncio.Event().wait()
    raise AssertionError


async def test_a_probe_that_hangs_is_ended_by_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sick Hyper-V answers no call at all: that is no reason to wait for ever, nor to be silent."""
    monkeypatch.setattr(waiting, "CHECK_REAL_S", 0.001)
    monkeypatch.setattr(waiting, "CALL_REAL_S", 0.01)
    events: list[Event] = []
    wait = Waiter(clock=RunningClock(), emit=events.append, stop=asyncio.Event())
    with pytest.raises(TimedOut, match="no answer since"):
        await asyncio.wait_for(wait.until(hang, step=StepId.VM, what="VM", bound_s=600, why="Hyper-V does it"), 30)
    told = [e.reason for e in events if isinstance(e, WaitProgressed)]
    assert told[0] == "no answer yet", "the screen is not silent meanwhile"
    assert isinstance(events[-1], WaitEnded)
    assert events[-1].outcome == "timed_out"


async def test_news_of_a_probe_at_work_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "CHECK_REAL_S", 0.001)
    monkeypatch.setattr(waiting, "CALL_REAL_S", 0.01)
    events: list[Event] = []
    percents = iter(range(0, 1000, 10))
    wait = Waiter(clock=RunningClock(), emit=events.append, stop=asyncio.Event())
    with pytest.raises(TimedOut):
        await asyncio.wait_for(
            wait.until(
                hang, step=StepId.IMAGE, what="ISO", bound_s=200, why="", news=lambda: f"{next(percents)} percent"
            ),
            30,
        )
    told = [e.reason for e in events if isinstance(e, WaitProgressed)]
    assert told[:2] == ["0 percent", "10 percent"]


@pytest.mark.parametrize("work", [0, 10_000])
async def test_after_a_stop_a_probe_at_work_may_end_within_its_grace(
    monkeypatch: pytest.MonkeyPatch, work: int
) -> None:
    monkeypatch.setattr(waiting, "CHECK_REAL_S", 0.001)
    monkeypatch.setattr(waiting, "GRACE_REAL_S", 0.005)
    stop, done = asyncio.Event(), []
    wait = waiter([], stop)

    async def make() -> Ready[int] | Pending:
        stop.set()
        await asyncio.sleep(work)
        done.append("made")
        return Ready(1)

    if work:
        with pytest.raises(Interrupted):
            await asyncio.wait_for(wait.until(make, step=StepId.VM, what="VM", bound_s=60, why=""), 30)
    else:
        assert (await wait.until(make, step=StepId.VM, what="VM", bound_s=60, why="")).value == 1
    assert done == ([] if work else ["made"])


async def test_a_single_call_has_a_bound_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "CALL_REAL_S", 0.01)
    with pytest.raises(TimedOut):
        await waiting.bounded(FakeClock(), asyncio.Event().wait(), what="reading", bound_s=0.01)


@pytest.mark.parametrize(("seconds", "words"), [(45, "45 s"), (150, "2m30s"), (500.4, "8m20s"), (1200, "20m")])
def test_a_bound_is_told_in_words(seconds: float, words: str) -> None:
    assert TimedOut("x", seconds, "").bound == words


async def test_a_slow_call_is_not_taken_for_one_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a lab's fast clock a bound passes in no time; a call in real time may still end, and its answer counts."""
    monkeypatch.setattr(waiting, "CHECK_REAL_S", 0.001)

    async def slow() -> Ready[int] | Pending:
        await asyncio.sleep(0.02)
        return Ready(1)

    wait = Waiter(clock=RunningClock(), emit=lambda _event: None, stop=asyncio.Event())
    assert (await wait.until(slow, step=StepId.VM, what="VM", bound_s=20, why="")).value == 1


class StoppedClock(FakeClock):
    """The process stands still for an hour in its third sleep, as after Ctrl-Z; the world goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeps = 0

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await super().sleep(seconds + (3600 if self.sleeps == 3 else 0))


async def test_time_in_which_this_process_stood_still_counts_against_no_bound() -> None:
    clock, looks = StoppedClock(), 0

    async def probe() -> Ready[int] | Pending:
        nonlocal looks
        looks += 1
        return Ready(looks) if looks == 6 else Pending("not yet")

    wait = Waiter(clock=clock, emit=lambda _event: None, stop=asyncio.Event())
    met = await wait.until(probe, step=StepId.INSTALL, what="installed", bound_s=60, why="it reboots")
    assert met.value == 6


async def test_a_world_that_stands_still_with_us_still_ends_at_its_bound() -> None:
    clock = StoppedClock()

    async def probe() -> Ready[int] | Pending:
        return Pending("never")

    wait = Waiter(clock=clock, emit=lambda _event: None, stop=asyncio.Event())
    with pytest.raises(TimedOut):
        await wait.until(probe, step=StepId.INSTALL, what="installed", bound_s=60, why="it reboots")
    assert clock.time < 3600 + 70
