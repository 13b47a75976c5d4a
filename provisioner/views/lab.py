"""What `provision lab fault` says."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from provisioner.errors import Fault
from provisioner.views.console import Console, Line, Span, Style, line, pad

_NAMES = 22
"""Columns of the names' column."""


def render_faults(rows: Iterable[Mapping[str, Any]], console: Console) -> Iterator[Line]:
    """Every fault with what it does; below it where, and how much, as far as it takes either."""
    for row in rows:
        name = Span(pad(row["name"], _NAMES), Style.STRONG)
        yield from console.wrapped(line(name, row["does"]), indent=_NAMES)
        if row["place"]:
            told = f"--place  {row['place']}{', required' if row['needs_place'] else ', default the first'}"
            yield from console.indented(_NAMES + 2, told, hang=9)
        if row["value"]:
            told = f"--value  {row['value']}, default {row['default']:g}"
            yield from console.indented(_NAMES + 2, told, hang=9)


def injected(row: Mapping[str, Any], times: int) -> str:
    """What becomes of a fault that was asked for."""
    if row["at_once"]:
        return f"{row['name']} has happened\n"
    return f"{row['name']} will happen {'once' if times == 1 else f'{times} times'}\n"


def cleared(answer: Mapping[str, Any], cluster: str) -> str:
    """What `clear` cancelled and undid, what stays, and the way to a clean lab."""
    words = {"forgotten": "cancelled", "undone": "undone", "stays": "stays"}
    lines = [f"{word}: {item}" for key, word in words.items() for item in answer[key]]
    if answer["stays"]:
        lines.append(f"for a clean lab: provision lab reset {cluster} --yes")
    return "\n".join(lines or ["no faults are pending or in effect"]) + "\n"


def unknown_fault(name: str, known: Iterable[str]) -> Fault:
    """The refusal of a name that is none."""
    close = difflib.get_close_matches(name, known, n=1)
    return Fault(
        "P-RUN-UNKNOWN",
        f"the lab has no fault {name}",
        expected="a name that provision lab fault lists",
        seen=(name,),
        probable_cause=f"{close[0]} was meant" if close else "",
        next_steps=("provision lab fault",),
    )
