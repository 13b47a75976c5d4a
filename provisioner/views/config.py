"""The screens of `provision config`: a file without errors, and every value with its origin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from provisioner.errors import Finding
from provisioner.model.cluster import Cluster, Origin
from provisioner.model.wording import count
from provisioner.views.console import Console, Glyph, Line, Span, Style, line, pad
from provisioner.views.error_panel import found, render_findings
from provisioner.views.formatting import shown_path

_WIDEST = 36
"""Columns at most for names and for values; one that is longer pushes its own row only."""


def render_good(path: Path, cluster: Cluster, warnings: Sequence[Finding], console: Console) -> Iterator[Line]:
    """What `config check` says of a file that may be used."""
    sign = console.sign(Glyph.WARNING, Style.SLOW) if warnings else console.sign(Glyph.DONE, Style.GOOD)
    said = f"{shown_path(path)}: {found(warnings)}"
    yield from console.wrapped(line(sign, " ", said), indent=console.glyph_cells + 1)
    yield from render_findings(warnings, console)
    machines = f"{count(len(cluster.control_planes), 'control plane')}, {count(len(cluster.workers), 'worker')}"
    hosts = ", ".join(cluster.hosts)
    about = f"{cluster.name} on {hosts}: {machines}, Talos {cluster.talos}, Kubernetes {cluster.kubernetes}"
    yield from console.wrapped(line("  ", about), indent=2)


def render_values(origins: Sequence[Origin], console: Console) -> Iterator[Line]:
    """`path   value   origin`, the origin dim where the value is a default or computed."""
    names = min(_WIDEST, max(len(origin.path) for origin in origins))
    values = min(_WIDEST, max(len(_shown(origin.value)) for origin in origins))
    for origin in origins:
        chosen = origin.source not in ("default", "computed")
        name, value = pad(origin.path, names), pad(_shown(origin.value), values)
        where = str(origin.place) if origin.place else origin.source
        row = line(name, "  ", value, "  ", Span(where, Style.PLAIN if chosen else Style.KEPT))
        yield from console.wrapped(row, indent=4)


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "-"
    return str(value)
