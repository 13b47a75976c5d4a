"""One failure, one panel: what was expected, what was seen, what is likely, what to type; and the long text of its kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from provisioner.errors import FailureReport, Finding, SourceLocation
from provisioner.faults import FAULTS, FaultKind
from provisioner.model.redaction import HIDDEN
from provisioner.model.wording import count
from provisioner.views.console import BLANK, Console, Glyph, Line, Span, Style, line, pad
from provisioner.views.machine_config import SECRET_KEYS

_LABELS = 11
"""Columns of the labels' column."""


def render_error_panel(report: FailureReport, console: Console, *, exit_code: bool = True) -> list[Line]:
    """The panel; its last line carries the exit code, unless the lines of a run that follow do."""
    rule = line(Span(console.glyph(Glyph.RULE), Style.BAD), " ")
    inner = Console(width=console.width - 2 if console.width > 0 else 0, ascii=console.ascii)
    head = line(Span(report.id, Style.BAD), "   ", report.message)
    lines = [
        line(Span(console.glyph(Glyph.TOP if index == 0 else Glyph.RULE), Style.BAD), " ", each)
        for index, each in enumerate(inner.wrapped(head, indent=len(report.id) + 3))
    ]
    lines.append(rule)
    lines += [line(rule, each) for each in _rows(report, inner)]
    last = line(Span(console.glyph(Glyph.BOTTOM), Style.BAD))
    return [*lines, *console.between(last, line(f"exit {report.exit}" if exit_code else ""))]


def _rows(report: FailureReport, inner: Console) -> Iterator[Line]:
    yield from render_findings(report.findings, inner)
    if report.findings:
        yield line()
    rows = (
        ("expected", [report.expected] if report.expected else []),
        ("seen", report.seen),
        ("screen", [report.picture] if report.picture else []),
        ("likely", [report.probable_cause] if report.probable_cause else []),
        ("then", report.next_steps or _remedy(report)),
        ("look", report.see_also),
        ("go on", report.resume_command),
        ("more", [f"provision explain {report.id}"]),
    )
    for label, texts in rows:
        yield from inner.labelled(label, list(texts), column=_LABELS)


def _remedy(report: FailureReport) -> tuple[str, ...]:
    """What helps with faults of this kind, where the fault itself names nothing; findings say it line by line."""
    kind = FAULTS.get(report.id)
    return () if report.findings or kind is None else (kind.remedy,)


MOST_FINDINGS = 50
"""More are not corrected at once."""
_LONGEST = 120
"""Letters of a line of the file that are shown."""


def render_findings(findings: Sequence[Finding], console: Console) -> Iterator[Line]:
    """Each finding in three lines: where, the line of the file, what is wrong with it. Of very many the first ones."""
    for finding in findings[:MOST_FINDINGS]:
        warning = finding.severity == "warning"
        path = Span(f"   {finding.path}" if finding.path else "", Style.STRONG)
        where = line(str(finding.place), path)
        yield from console.wrapped(where, indent=4)
        if source := _source(finding.place):
            number = f"{finding.place.line:>5} | "
            yield from console.wrapped(line(Span(number, Style.KEPT), source), indent=len(number))
        words = finding.problem
        if finding.did_you_mean:
            words += f"; did you mean {finding.did_you_mean}?"
        elif finding.expected:
            words += f"; expected {finding.expected}"
        sign = Span("warning: ", Style.SLOW) if warning else Span("")
        yield from console.wrapped(line("    ", sign, words), indent=4)
    if len(findings) > MOST_FINDINGS:
        yield line(f"... and {len(findings) - MOST_FINDINGS} more; --json lists all")


_SECRET = re.compile(rf"^(\s*(?:- )?(?:{'|'.join(sorted(SECRET_KEYS))}): *).+")


def _source(place: SourceLocation) -> str:
    """The line of the user's file, without the value of a secret; empty where it cannot be read any more."""
    try:
        with Path(place.file).open(encoding="utf-8", errors="replace") as file:
            text = next(islice(iter(partial(file.readline, _LONGEST), ""), place.line - 1, None), "")
    except OSError:
        return ""
    return _SECRET.sub(rf"\g<1>{HIDDEN}", text.rstrip())


def found(findings: Sequence[Finding]) -> str:
    """`2 findings, 1 warning`."""
    warnings = sum(finding.severity == "warning" for finding in findings)
    words = [count(len(findings) - warnings, "finding")] if len(findings) > warnings else []
    return ", ".join(words + ([count(warnings, "warning")] if warnings else [])) or "no findings"


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
