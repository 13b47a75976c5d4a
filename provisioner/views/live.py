"""The table of a run, painted in place on a terminal: on every change, at most eight times a second.

Only lines that differ are written again; after the terminal was resized, all. The cursor stays visible, so that nothing is left to
repair when the process is killed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from provisioner.model.events import CallEnded, Event, FaultReported, RunEnded
from provisioner.model.status import FinalObject
from provisioner.views.console import Line, Span, Style, cells, fitting_width, line
from provisioner.views.run_view import RunView
from provisioner.views.table import TableOptions, call_words, render_table

EVERY_S = 0.125
"""Real seconds between two paintings at least."""

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class LiveView(RunView):
    """Paints on `err`; faults stand below the table when it is done. `usual`: how long steps took in earlier runs."""

    TICK_S = EVERY_S

    def __init__(self, *, usual: Mapping[str, float], **shared: Any) -> None:
        super().__init__(**shared)
        self._usual = usual
        self._painted_at = float("-inf")
        self._lines: list[str] = []
        """What stands on the terminal above the cursor."""
        self._columns, self._rows = self._size()
        """The terminal's; 0 where there is none."""
        self._faults: list[FaultReported] = []

    def _show(self, event: Event) -> None:
        match event:
            case FaultReported():
                self._faults.append(event)
            case RunEnded():
                self._paint(height=0)
                self._lines = []
                self._write_faults()
                self._write_final(event, "\n")
            case CallEnded() if self._verbosity > 1:
                self._above(self._console.wrapped(line(Span(call_words(event), Style.KEPT)), indent=4))
            case _:
                pass
        self.tick()

    def tick(self) -> None:
        """Paints if the last painting is long enough ago; otherwise the next tick does."""
        running = self._state.run is not None and self._state.ended is None
        if running and self._monotonic() - self._painted_at >= EVERY_S:
            self._paint()

    def close(self, final: FinalObject | None = None) -> None:
        """Tells what has not been told yet."""
        super().close(final)
        if self._state.ended is None and self._lines:
            self._paint()
        self._write_faults()

    def _write_faults(self) -> None:
        for fault in self._faults:
            self._write_fault(fault, "\n")
        self._faults = []

    def _paint(self, height: int | None = None) -> None:
        self._painted_at = self._monotonic()
        self._fit()
        rows = self._rows if height is None else height
        now_s = self._state.at_s + (0.0 if self._state.ended else self._silent_s())
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
        self._write(self._err, "".join(written))
        self._lines = lines

    def _fit(self) -> None:
        """When the terminal was resized: a console to match, and nothing on it yet."""
        columns, self._rows = self._size()
        if columns != self._columns:
            self._columns = columns
            self._wipe()
            self._console = replace(self._console, width=fitting_width(columns))

    def _wipe(self) -> None:
        """Takes the table off the terminal, which wraps lines that are too long."""
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
