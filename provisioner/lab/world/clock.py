"""Time in the lab's world: seconds since the world began, at 1 to 1000 times the speed of this computer's own clock."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class WorldClock(Protocol):
    """What the world needs of time. `now` never goes back."""

    rate: float

    def now(self) -> float:
        """Seconds of the world since its beginning."""

    def wall(self) -> datetime:
        """The world's date, UTC: that of this computer, so that certificates mean the same on both sides. Only durations run fast."""

    def move_to(self, when: float) -> None:
        """Goes on from that second, if it is a later one."""

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        """Waits on the held condition until notified, at most that many seconds of the world."""


class RunningClock:
    """Runs `rate` times as fast as this computer's clock, from `start` seconds on."""

    def __init__(self, rate: float = 1.0, start: float = 0.0) -> None:
        if not 1.0 <= rate <= 1000.0:
            raise ValueError(f"the lab's clock runs at 1 to 1000 times real time, not {rate}")
        self.rate = rate
        self._start = start
        self._real = time.monotonic()

    def now(self) -> float:
        return self._start + (time.monotonic() - self._real) * self.rate

    def wall(self) -> datetime:
        return datetime.now(UTC)

    def move_to(self, when: float) -> None:
        if when > self.now():
            self._start, self._real = when, time.monotonic()

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        condition.wait(max(0.0, seconds) / self.rate)


class HandClock:
    """A clock that a test moves by hand (see `World.advance`)."""

    def __init__(self, start: float = 0.0) -> None:
        self.rate = 1000.0
        self._now = start
        self._wall = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> float:
        return self._now

    def wall(self) -> datetime:
        return self._wall + timedelta(seconds=self._now)

    def move_to(self, when: float) -> None:
        self._now = max(self._now, when)

    def wait(self, condition: threading.Condition, seconds: float) -> None:  # noqa: ARG002 - time stands still
        condition.wait(0.01)
