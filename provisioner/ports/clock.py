"""Time, as the flow sees it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Time of the world that the flow works on. A lab's may run at 1x to 1000x; every wait, bound and back-off uses it."""

    rate: float
    """Seconds of this clock per second of this computer; 1 for a real host."""

    def now(self) -> float:
        """Monotonic seconds. For durations and bounds; two runs cannot be compared by it."""

    def wall(self) -> datetime:
        """The wall time of this computer, UTC; for records, never for waits."""

    async def sleep(self, seconds: float) -> None:
        """Sleeps that many seconds of this clock, at least one turn of the loop."""
