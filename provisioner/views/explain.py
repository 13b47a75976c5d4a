"""The long text of a fault, and the list of all of them; offline, since the network may be what is broken."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.faults import FAULTS, FaultKind
from provisioner.views.paper import BLANK, Line, Paper, Span, Style, line, pad


def render_explain(kind: FaultKind, paper: Paper) -> list[Line]:
    """Title, why it happens, what to do, exit code."""
    return [
        *paper.wrapped(line(Span(kind.id, Style.STRONG), "   ", kind.title), indent=4),
        BLANK,
        *paper.wrapped(line(kind.why), indent=0),
        BLANK,
        *paper.labelled("what to do", [kind.remedy], column=13),
        *paper.labelled("exit code", [str(int(kind.exit))], column=13),
    ]


def render_fault_list(paper: Paper) -> Iterator[Line]:
    """Every id with its title, in the order of the table."""
    widest = max(len(kind.id) for kind in FAULTS.values()) + 3
    for kind in FAULTS.values():
        yield from paper.wrapped(line(Span(pad(kind.id, widest), Style.STRONG), kind.title), indent=widest)
