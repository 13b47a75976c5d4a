"""The long text of a fault, and the list of all of them; offline, since the network may be what is broken."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.faults import FAULTS, FaultKind
from provisioner.views.console import BLANK, Console, Line, Span, Style, line, pad


def render_explain(kind: FaultKind, console: Console) -> list[Line]:
    """Title, why it happens, what to do, exit code."""
    return [
        *console.wrapped(line(Span(kind.id, Style.STRONG), "   ", kind.title), indent=4),
        BLANK,
        *console.wrapped(line(kind.why), indent=0),
        BLANK,
        *console.labelled("what to do", [kind.remedy], column=13),
        *console.labelled("exit code", [str(int(kind.exit))], column=13),
    ]


def render_fault_list(console: Console) -> Iterator[Line]:
    """Every id with its title, in the order of the table."""
    widest = max(len(kind.id) for kind in FAULTS.values()) + 3
    for kind in FAULTS.values():
        yield from console.wrapped(line(Span(pad(kind.id, widest), Style.STRONG), kind.title), indent=widest)
