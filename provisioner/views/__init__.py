"""What a person or a program sees of a run: live table, plain lines, JSON Lines, all made of the run's events alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

if TYPE_CHECKING:
    from provisioner.model.events import Event
    from provisioner.model.status import FinalObject
    from provisioner.views.console import Console

Kind = Literal["auto", "live", "plain", "json", "none"]
"""How a run may be shown."""


class View(Protocol):
    """Receives every event of a run."""

    def emit(self, event: Event) -> None: ...
    def close(self, final: FinalObject | None = None) -> None:
        """Ends the view; to be called once, whatever happened."""


def make_view(
    kind: Kind,
    *,
    console: Console,
    verbosity: int = 0,
    terminal: bool = False,
    usual: Mapping[str, float] | None = None,
    out: TextIO | None = None,
    err: TextIO | None = None,
) -> View:
    """The view of that kind; `auto` is live on a terminal, else plain.

    `out` takes the result, `err` the conversation. `usual` says how long steps took in earlier runs (`store.durations`).
    `none` tells faults and the result on `err` alone. Verbosity -1 does the same with the result on `out`.
    """
    out = sys.stdout if out is None else out
    err = sys.stderr if err is None else err
    if kind == "json":
        from provisioner.views.jsonl import JsonView

        return JsonView(out=out)
    if kind == "live" or (kind == "auto" and terminal and verbosity >= 0):
        from provisioner.views.live import LiveView

        return LiveView(console=console, verbosity=verbosity, out=out, err=err, usual=usual or {})
    from provisioner.views.plain import PlainView

    if kind == "none":  # `out` belongs to another program
        return PlainView(console=console, verbosity=-1, out=err, err=err)
    return PlainView(console=console, verbosity=verbosity, out=out, err=err)
