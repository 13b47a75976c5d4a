"""The table of a run, painted in place on a terminal: on every change, at most eight times a second.

Only lines that differ are written again; after the terminal was resized, all. The cursor stays visible, so that nothing is left to
repair when the process is killed.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TextIO

from provisioner.model.events import CallEnded, Event, FaultReported, RunEnded
from provisioner.model.status import FinalObject
from provisioner.views.console import BLANK, Console, Line, Span, Style, cells, fitting_width, line
from provisioner.views.error_panel import render_error_panel
from provisioner.views.final import render_final
from provisioner.views.run_state import RunState
from provisioner.views.table import TableOptions, call_words, render_table
from provisioner.views.ticking import Ticker

EVERY_S = 0.125
"""Real seconds between two paintings at least."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class LiveView:
    """Paints on `err`; the result goes to `out`."""

    def __init__(
        self,
        *,
        console: Console,
        verbosity: int,
        out: TextIO,
        err: TextIO,
        usual: Mapping[str, float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console
        self._verbosity = verbosity
        self._out = out
        self._err = err
        self._usual = usual
        self._monotonic = monotonic
        self._state = RunState()
        self._received = monotonic()
        self._painted_at = float("-inf")
        self._lines: list[str] = []
        """What stands on the terminal above the cursor."""
        self._columns, self._rows = self._size()
        """The terminal's; 0 where there is none."""
        self._ticker = Ticker(EVERY_S, self.tick)
        self._faults: list[FaultReported] = []

    def emit(self, event: Event) -> None:
        self._state = self._state.apply(event)
        self._received = self._monotonic()
        match event:
            case FaultReported():
                self._faults.append(event)
            case RunEnded():
                self._finish()
                return
            case CallEnded() if self._verbosity > 1:
                self._above(self._console.wrapped(line(Span(call_words(event), Style.KEPT)), indent=4))
            case _:
                pass
        self.tick()
        self._ticker.arm()

    def tick(self) -> None:
        """Paints if the last painting is long enough ago; otherwise the next tick does."""
        running = self._state.run is not None and self._state.ended is None
        if running and self._monotonic() - self._painted_at >= EVERY_S:
            self._paint()

    def close(self, final: FinalObject | None = None) -> None:
        """Tells what has not been told yet. `final` adds nothing to what the events said."""
        del final
        self._ticker.stop()
        if self._state.ended is None and self._lines:
            self._paint()
        self._write_faults()

    def _finish(self) -> None:
        self._ticker.stop()
        self._paint(height=0)
        self._lines = []
        self._write_faults()
        ended = self._state.ended
        good = ended is not None and ended.outcome in ("ok", "unchanged")
        stream = self._out if good else self._err
        stream.write("\n" + self._console.render(render_final(self._state, self._console, brief=self._verbosity < 0)))
        stream.flush()

    def _write_faults(self) -> None:
        for met in self._faults:
            panel = render_error_panel(met, self._console, exit_code=self._state.run is None)
            self._err.write(self._console.render([BLANK, *panel]))
        self._faults = []
        self._err.flush()

    def _now_s(self) -> float:
        """That of the last event, and what has passed since."""
        return self._state.at_s + (self._monotonic() - self._received)

    def _paint(self, height: int | None = None) -> None:
        self._painted_at = self._monotonic()
        self._fit()
        rows = self._rows if height is None else height
        now_s = self._state.ended.at_s if self._state.ended else self._now_s()
        usual = {key: seconds / self._state.speed for key, seconds in self._usual.items()}
        options = TableOptions(now_s=now_s, usual=usual, height=rows, verbosity=self._verbosity)
        lines = [self._console.render_line(each) for each in render_table(self._state, self._console, options)]
        self._replace(lines)

    def _above(self, lines: Sequence[Line]) -> None:
        """Lines that stay, above the table."""
        self._fit()
        text = "".join(f"{self._console.render_line(each)}\x1b[K\r\n" for each in lines)
        self._wipe()
        self._err.write(text)
        self._paint()

    def _replace(self, lines: list[str]) -> None:
        if lines == self._lines:
            return
        if 0 < self._columns < self._console.width:
            self._wipe()  # lines that the terminal breaks cannot be written over one by one
        written = [f"\x1b[{len(self._lines)}A\r"] if self._lines else []
        for index, text in enumerate(lines):
            same = index < len(self._lines) and self._lines[index] == text
            written.append("\r\n" if same else f"{text}\x1b[K\r\n")
        if len(lines) < len(self._lines):
            written.append("\x1b[J")
        self._err.write("".join(written))
        self._err.flush()
        self._lines = lines

    def _fit(self) -> None:
        """When the terminal was resized: a console to match, and nothing on it yet."""
        columns, self._rows = self._size()
        if columns != self._columns:
            self._columns = columns
            self._wipe()
            self._console = replace(self._console, width=fitting_width(columns))

    def _wipe(self) -> None:
        """Takes the table off the terminal, which has broken lines that are too long for it into several."""
        tall = sum(max(1, -(-_cells(text) // (self._columns or self._console.width))) for text in self._lines)
        self._err.write((f"\x1b[{tall}A" if tall else "") + "\r\x1b[J")
        self._lines = []

    def _size(self) -> tuple[int, int]:
        try:
            return os.get_terminal_size(self._err.fileno())
        except (OSError, ValueError):
            return 0, 0


def _cells(text: str) -> int:
    return cells(_COLOURS.sub("", text))
