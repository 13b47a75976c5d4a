"""Time that passes when everybody sleeps, and at no other moment."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

from provisioner.ports import Clock

BEGIN = datetime(2026, 5, 23, 12, 0, tzinfo=UTC)

TURNS = 5
"""Turns of the loop that others are given before time moves on: an answer of a fake takes one or two."""


class FakeClock:
    """A wait of twenty minutes takes no time; sleepers wake in the order of their time. `now` begins at 0."""

    def __init__(self, rate: float = 1.0) -> None:
        self.rate = rate
        self.time = 0.0
        self._sleepers: set[tuple[float, int]] = set()
        self._numbers = itertools.count()

    def now(self) -> float:
        return self.time

    def wall(self) -> datetime:
        return BEGIN + timedelta(seconds=self.time)

    async def sleep(self, seconds: float) -> None:
        me = (self.time + seconds, next(self._numbers))
        self._sleepers.add(me)
        turns = 0
        try:
            while turns < TURNS:
                await asyncio.sleep(0)
                turns = turns + 1 if min(self._sleepers) == me else 0
            self.time = max(self.time, me[0])
        finally:
            self._sleepers.discard(me)


_: type[Clock] = FakeClock
