"""The status screen: what is there now, machine by machine; health and drift told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from provisioner.model.status import MachineStatus, StatusReport
from provisioner.model.wording import count, listed
from provisioner.views.console import BLANK, Console, Glyph, Line, Span, Style, cells, line, pad
from provisioner.views.formatting import gib, lab_words

_STATES = {
    "healthy": (Glyph.DONE, Style.GOOD),
    "not healthy": (Glyph.WARNING, Style.SLOW),
    "no CNI yet": (Glyph.WARNING, Style.SLOW),
    "absent": (Glyph.WAITING, Style.KEPT),
    "unknown": (Glyph.WARNING, Style.SLOW),
}
_COLUMNS: Mapping[str, Callable[[MachineStatus], object]] = {
    "NODE": lambda machine: machine.name,
    "ROLE": lambda machine: machine.role,
    "VM": lambda machine: machine.vm,
    "ADDRESS": lambda machine: machine.address,
    "STAGE": lambda machine: machine.stage,
    "READY": lambda machine: machine.ready if machine.ready is None else "yes" if machine.ready else "no",
    "TALOS": lambda machine: machine.talos,
    "KUBERNETES": lambda machine: machine.kubernetes,
    "CPUS": lambda machine: machine.cpus,
    "MEMORY": lambda machine: None if machine.memory_mib is None else gib(machine.memory_mib),
}
"""None and an empty text: not known."""
_DROPPED = ("CPUS", "ROLE", "MEMORY", "KUBERNETES")
"""What narrow terminals do without, the first first."""


def render_status(report: StatusReport, console: Console) -> Iterator[Line]:
    """The whole screen."""
    yield from _head(report, console)
    if report.state == "absent":
        yield BLANK
        yield line(f"Nothing of it is there. Make it: provision up {report.cluster}")
        return
    yield BLANK
    yield from _table(report, console)
    yield BLANK
    yield from _foot(report, console)


def _head(report: StatusReport, console: Console) -> Iterator[Line]:
    hosts = ", ".join(report.hosts)
    lab = f"    {lab_words(report.lab_speed)}" if report.lab_speed is not None else ""
    glyph, style = _STATES.get(report.state, (Glyph.WAITING, Style.PLAIN))
    drifts = len(report.drift) + sum(len(machine.drift) for machine in report.machines)
    drift = f", {count(drifts, 'drift')}" if drifts else ""
    left = line(
        Span(f"{report.cluster} on {hosts}", Style.STRONG),
        Span(lab, Style.WORK),
        "    ",
        Span(f"{console.glyph(glyph)} {report.state}", style),
        Span(drift, Style.SLOW),
    )
    yield from console.between(left, line(Span(f"read in {report.read_s:.1f} s", Style.KEPT)), indent=4)
    for why in report.host_unread:
        yield from console.wrapped(line("  ", Span(why, Style.SLOW)), indent=4)


def _table(report: StatusReport, console: Console) -> Iterator[Line]:
    rows = [
        {name: "?" if (value := read(machine)) in (None, "") else str(value) for name, read in _COLUMNS.items()}
        for machine in report.machines
    ]
    widths = _widths(rows, console.width)
    yield from console.wrapped(line(Span(_row({name: name for name in widths}, widths), Style.KEPT)), indent=2)
    for machine, row in zip(report.machines, rows, strict=True):
        style = Style.PLAIN if machine.ready or not machine.unmet else Style.SLOW
        yield from console.wrapped(line(Span(_row(row, widths), style)), indent=4)
        unread = (machine.unread,) if machine.unread else ()
        yield from _remarks(console, "    ", unmet=machine.unmet, drift=machine.drift, unread=unread)


def _remarks(console: Console, margin: str, **said: Sequence[str]) -> Iterator[Line]:
    """`unmet: ...`, each below the other."""
    for label, texts in said.items():
        for text in texts:
            remark = line(margin, Span(f"{label}: ", Style.SLOW), text)
            yield from console.wrapped(remark, indent=len(margin) + 2)


def _widths(rows: Sequence[Mapping[str, str]], room: int) -> dict[str, int]:
    """The columns that fit, with their widths."""
    widths = {name: max([len(name), *(cells(row[name]) for row in rows)]) for name in _COLUMNS}
    for dropped in _DROPPED:
        if room <= 0 or sum(widths.values()) + 2 * (len(widths) - 1) <= room:
            break
        del widths[dropped]
    return widths


def _row(row: Mapping[str, str], widths: Mapping[str, int]) -> str:
    return "  ".join(pad(row[name], width) for name, width in widths.items()).rstrip()


def _foot(report: StatusReport, console: Console) -> Iterator[Line]:
    yield from _remarks(console, "", unmet=report.unmet, unread=report.unread, drift=report.drift)
    etcd = "etcd not read" if report.etcd_members is None else f"etcd {report.etcd_members} of {report.control_planes}"
    isos = f"ISO in {listed(report.isos_mounted)}" if report.isos_mounted else "no ISO mounted"
    configs = "configs not compared" if report.uncompared else ""
    parts = [etcd, report.switch, "" if report.host_unread else isos, report.access, configs]
    yield from console.joined([Span(part) for part in parts if part], indent=0)
