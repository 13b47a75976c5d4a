"""One failure, one panel: what was expected, what was seen, what is likely, what to type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from provisioner import faults
from provisioner.errors import Fault, Finding, SourceLocation
from provisioner.model.events import FaultReported
from provisioner.views.console import Console, Glyph, Line, Span, Style, line
from provisioner.views.formatting import count

_LABELS = 11
"""Columns of the labels' column."""


@dataclass(frozen=True, kw_only=True)
class ErrorPanel:
    """What a panel tells, whether it comes from an event or from a fault before any run."""

    id: str
    message: str
    exit: int
    expected: str = ""
    seen: tuple[str, ...] = ()
    probable_cause: str = ""
    next_steps: tuple[str, ...] = ()
    see_also: tuple[str, ...] = ()
    resume_command: tuple[str, ...] = ()
    picture: str = ""
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of_event(cls, met: FaultReported) -> ErrorPanel:
        return cls(
            id=met.id,
            message=met.message,
            exit=met.exit,
            expected=met.expected,
            seen=met.seen,
            probable_cause=met.probable_cause,
            next_steps=met.next_steps,
            see_also=met.see_also,
            resume_command=met.resume_command,
            picture=met.picture,
            findings=tuple(_finding(item) for item in met.findings),
        )

    @classmethod
    def of_fault(cls, fault: Fault, *, resume_command: Sequence[str] = ()) -> ErrorPanel:
        return cls(
            id=fault.id,
            message=fault.message,
            exit=faults.exit_code(fault.id),
            expected=fault.expected,
            seen=tuple(fault.seen),
            probable_cause=fault.probable_cause,
            next_steps=tuple(fault.next_steps),
            see_also=tuple(fault.see_also),
            resume_command=tuple(resume_command) or ((fault.resume,) if fault.resume else ()),
            picture=fault.picture,
            findings=tuple(fault.findings),
        )


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding as events and `--json` carry it."""
    return asdict(finding)


def _finding(item: Mapping[str, Any]) -> Finding:
    return Finding(**{**item, "place": SourceLocation(**item["place"])})


def render_error_panel(panel: ErrorPanel, console: Console, *, exit_code: bool = True) -> list[Line]:
    """The panel; its last line carries the exit code, unless the lines of a run that follow do."""
    rule = line(Span(console.glyph(Glyph.RULE), Style.BAD), " ")
    inner = Console(width=console.width - 2 if console.width > 0 else 0, ascii=console.ascii)
    head = line(Span(panel.id, Style.BAD), "   ", panel.message)
    lines = [
        line(Span(console.glyph(Glyph.TOP if index == 0 else Glyph.RULE), Style.BAD), " ", each)
        for index, each in enumerate(inner.wrapped(head, indent=len(panel.id) + 3))
    ]
    lines.append(rule)
    lines += [line(rule, each) for each in _rows(panel, inner)]
    last = line(Span(console.glyph(Glyph.BOTTOM), Style.BAD))
    return [*lines, *console.between(last, line(f"exit {panel.exit}" if exit_code else ""))]


def _rows(panel: ErrorPanel, inner: Console) -> Iterator[Line]:
    yield from render_findings(panel.findings, inner)
    if panel.findings:
        yield line()
    rows = (
        ("expected", [panel.expected] if panel.expected else []),
        ("seen", panel.seen),
        ("screen", [panel.picture] if panel.picture else []),
        ("likely", [panel.probable_cause] if panel.probable_cause else []),
        ("then", panel.next_steps or _remedy(panel)),
        ("look", panel.see_also),
        ("go on", panel.resume_command),
        ("more", [f"provision explain {panel.id}"]),
    )
    for label, texts in rows:
        yield from inner.labelled(label, list(texts), column=_LABELS)


def _remedy(panel: ErrorPanel) -> tuple[str, ...]:
    """What helps with faults of this kind, where the fault itself names nothing; findings say it line by line."""
    kind = faults.FAULTS.get(panel.id)
    return () if panel.findings or kind is None else (kind.remedy,)


MOST_FINDINGS = 50
"""Nobody mends more at once."""


def render_findings(findings: Sequence[Finding], console: Console) -> Iterator[Line]:
    """Each finding in two lines: where, then what is wrong there and what was expected. Of very many the first ones."""
    for finding in findings[:MOST_FINDINGS]:
        warning = finding.severity == "warning"
        path = Span(f"   {finding.path}" if finding.path else "", Style.STRONG)
        where = line(str(finding.place), path)
        yield from console.wrapped(where, indent=4)
        words = finding.problem
        if finding.did_you_mean:
            words += f"; did you mean {finding.did_you_mean}?"
        elif finding.expected:
            words += f"; expected {finding.expected}"
        sign = Span("warning: ", Style.SLOW) if warning else Span("")
        yield from console.wrapped(line("    ", sign, words), indent=4)
    if len(findings) > MOST_FINDINGS:
        yield line(f"... and {len(findings) - MOST_FINDINGS} more; --json lists all")


def found(findings: Sequence[Finding]) -> str:
    """`2 findings, 1 warning`."""
    warnings = sum(finding.severity == "warning" for finding in findings)
    words = [count(len(findings) - warnings, "finding")] if len(findings) > warnings else []
    return ", ".join(words + ([count(warnings, "warning")] if warnings else [])) or "no findings"
