"""Time that passes between events, without a thread: the running loop calls back while the view is open."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Ticker:
    """Calls `tick` every so many real seconds, once armed from within a running loop; outside of one it does nothing."""

    def __init__(self, every_s: float, tick: Callable[[], None]) -> None:
        self._every_s = every_s
        self._tick = tick
        self._handle: asyncio.TimerHandle | None = None
        self._stopped = False

    def arm(self) -> None:
        if self._handle is not None or self._stopped:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return
        self._handle = loop.call_later(self._every_s, self._fire)

    def stop(self) -> None:
        self._stopped = True
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        self._tick()
        self.arm()
