"""What the views of a run share that people look at: the picture of the run, its faults and last lines, and time that passes."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, TextIO

from provisioner.model.events import Event, FaultReported, RunEnded
from provisioner.model.status import FinalObject
from provisioner.views.console import Console
from provisioner.views.error_panel import render_error_panel
from provisioner.views.final import render_final
from provisioner.views.run_state import RunState


class Ticker:
    """Calls `tick` every so many real seconds, once armed from within a running loop; outside of one it does nothing. Needs no thread."""

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


class RunView(ABC):
    """Progress on `err`, the result on `out`."""

    TICK_S: ClassVar[float]
    """Real seconds between two calls of `tick`."""

    def __init__(
        self,
        *,
        console: Console,
        verbosity: int,
        out: TextIO,
        err: TextIO,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._verbosity = verbosity
        self._out = out
        self._err = err
        self._monotonic = monotonic
        self._state = RunState()
        self._received = monotonic()
        """When the last event came."""
        self._ticker = Ticker(self.TICK_S, self.tick)

    def emit(self, event: Event) -> None:
        self._state = self._state.apply(event)
        self._received = self._monotonic()
        if isinstance(event, RunEnded):
            self._ticker.stop()
        self._show(event)
        if self._state.ended is None:
            self._ticker.arm()

    @abstractmethod
    def _show(self, event: Event) -> None:
        """What the event is worth; the picture has it already."""

    @abstractmethod
    def tick(self) -> None:
        """Time has passed, and perhaps no event came."""

    def close(self, final: FinalObject | None = None) -> None:  # noqa: ARG002 - it adds nothing to what the events said
        """Ends the reminders."""
        self._ticker.stop()

    def _silent_s(self) -> float:
        """Real seconds since the last event."""
        return self._monotonic() - self._received

    def _write_fault(self, fault: FaultReported, lead: str = "") -> None:
        panel = render_error_panel(fault, self._console, exit_code=self._state.run is None)
        self._write(self._err, lead + self._console.render(panel))

    def _write_final(self, ended: RunEnded, lead: str = "") -> None:
        lines = render_final(self._state, self._console, brief=self._verbosity < 0)
        self._write(self._out if ended.succeeded else self._err, lead + self._console.render(lines))

    @staticmethod
    def _write(stream: TextIO, text: str) -> None:
        stream.write(text)
        stream.flush()
