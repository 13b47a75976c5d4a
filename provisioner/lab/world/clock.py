"""Time in the lab's world: seconds since the world began, at 1 to 1000 times the speed of this computer's own clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
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

    def let_pass(self, condition: threading.Condition, until: float, step: Callable[[float], bool]) -> bool:
        """Waits on the held condition for what happens next, `until` at the latest; False once that moment has come.

        A clock that does not run by itself calls `step`, which lets the next thing due by then happen, and tells whether there was one.
        """


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

    def let_pass(self, condition: threading.Condition, until: float, step: Callable[[float], bool]) -> bool:  # noqa: ARG002
        left = until - self.now()
        if left > 0:
            self.wait(condition, left)
        return left > 0
