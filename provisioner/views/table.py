"""The table of a run as lines: one row per step, the steps at work opened to their machines. Pure; painted by `live.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from provisioner.model.events import RunStarted
from provisioner.model.steps import STEP
from provisioner.views.console import BLANK, Console, Glyph, Line, Span, Style, cells, line, pad
from provisioner.views.formatting import about, duration, lab_words
from provisioner.views.run_state import Lane, RunState, State, StepRow, Wait

RUN = "run"
"""Key of a whole run among the usual times."""
_TITLE = max(len(step.title) for step in STEP.values()) + 2
_LANES = 8
"""Machines that an open step lists at most; the slowest tell the story of a hundred."""
_NO_TIME_S = 0.05
"""What a step that keeps everything may take without a word about it."""
_SLOW = 2.0
"""Beyond this many times the usual time a wait turns yellow."""

_SIGNS: Mapping[State, tuple[Glyph, Style]] = {
    State.AHEAD: (Glyph.NONE, Style.PLAIN),
    State.WORKING: (Glyph.WORKING, Style.WORK),
    State.DONE: (Glyph.DONE, Style.GOOD),
    State.KEPT: (Glyph.DONE, Style.KEPT),
    State.FAILED: (Glyph.FAILED, Style.BAD),
    State.STOPPED: (Glyph.WARNING, Style.SLOW),
}


@dataclass(frozen=True, kw_only=True)
class TableOptions:
    """How a picture is shown, beside the console."""

    now_s: float
    """Seconds since the run began."""
    usual: Mapping[str, float] = field(default_factory=dict)
    """How long steps took in earlier runs, by step id, and a whole one by `run`."""
    height: int = 0
    """Rows of the terminal; 0 means enough."""
    verbosity: int = 0


def render_table(state: RunState, console: Console, options: TableOptions) -> list[Line]:
    """The whole picture, from the headline to the line at the foot."""
    rows = [(row, list(_step(state, row, console, options))) for row in state.rows]
    head = [*headline(state.run, console), BLANK]
    foot = list(_foot(state, console, options))
    if options.height and len(head) + sum(len(lines) for _, lines in rows) + len(foot) > options.height - 1:
        rows = [(row, lines) for row, lines in rows if row.state is not State.AHEAD]
    if options.height and len(head) + sum(len(lines) for _, lines in rows) + len(foot) > options.height - 1:
        rows = [(row, lines) for row, lines in rows if row.state in (State.WORKING, State.FAILED)]
    body = [each for _, lines in rows for each in lines]
    whole = [*head, *body, *foot]
    return whole[: options.height - 1] if options.height else whole


def headline(run: RunStarted | None, console: Console) -> list[Line]:
    """`home on hv01.lan    Talos v1.11.5    Kubernetes v1.34.1    run 142`, and the lab's speed."""
    if run is None:
        return []
    parts = [Span(f"{run.cluster} on {run.host}", Style.STRONG)]
    versions = {"Talos": run.versions.get("talos"), "Kubernetes": run.versions.get("kubernetes")}
    parts += [Span(f"{name} {version}") for name, version in versions.items() if version]
    parts.append(Span(f"run {run.run}"))
    if run.lab:
        parts.append(Span(lab_words(run.speed), Style.WORK))
    lines: list[Line] = []
    current = line(parts[0])
    for part in parts[1:]:
        if console.width > 0 and current.cells + 4 + cells(part.text) > console.width:
            lines.append(current)
            current = line("    ", part)
        else:
            current = line(current, "    ", part)
    return [wrapped for each in [*lines, current] for wrapped in console.wrapped(each, indent=4)]


def step_left(row: StepRow, console: Console) -> Line:
    """Sign, number and title of a row."""
    glyph, style = _SIGNS[row.state]
    dim = Style.KEPT if row.state is State.AHEAD else Style.PLAIN
    title = pad(row.title, _TITLE)
    return line(" ", console.sign(glyph, style), f" {row.number:2d} ", Span(title, dim))


def _step(state: RunState, row: StepRow, console: Console, options: TableOptions) -> Iterator[Line]:
    left = step_left(row, console)
    indent = left.cells + 1
    if row.state is State.AHEAD:
        yield left
        return
    late = row.state is State.WORKING and _is_late(row, options)
    text = Span(_text(row), Style.SLOW if late else Style.KEPT if row.state is State.KEPT else Style.PLAIN)
    yield from console.between(line(left, " ", text), line(_time(row, options)), indent=indent)
    if row.state in (State.WORKING, State.FAILED) or options.verbosity > 0:
        yield from _lanes(row, console, options, late=late)
    for name, why in state.kept(row.id) if options.verbosity > 0 else ():
        yield from console.wrapped(line(" " * 10, Span(f"{name}  kept: {why}", Style.KEPT)), indent=14)


def _text(row: StepRow) -> str:
    if row.state is not State.WORKING:
        return row.summary
    lane = row.lanes.get("")
    own = row.note or (lane.doing if lane else "")
    if not row.machines:
        return own
    counted = done_of(row)
    return f"{counted}; {own}" if own else counted


def done_of(row: StepRow) -> str:
    """`3 of 4 in maintenance`."""
    done = sum(lane.state is State.DONE for lane in row.machines)
    return f"{done} of {len(row.machines)} {row.done_word}".rstrip()


def _time(row: StepRow, options: TableOptions) -> Span:
    if row.state is not State.WORKING:
        if row.state is State.KEPT and row.elapsed_s < _NO_TIME_S:
            return Span("")
        style = Style.BAD if row.state is State.FAILED else Style.KEPT
        return Span(duration(row.elapsed_s, fine=True), style)
    wait = row.wait
    usual = f", usually {about(options.usual[row.id])}" if row.id in options.usual else ""
    if wait is None:
        return Span(f"{duration(max(0.0, options.now_s - row.begun_s))}{usual}")
    return Span(f"{elapsed_of(wait, options.now_s)}{usual}")


def elapsed_of(wait: Wait, now_s: float) -> str:
    """`1m12s of at most 5m`; never more than the bound, which is when the wait ends."""
    elapsed = min(max(0.0, now_s - wait.begun_s), wait.bound_s)
    return f"{duration(elapsed)} of at most {duration(wait.bound_s)}"


def _is_late(row: StepRow, options: TableOptions) -> bool:
    usual = options.usual.get(row.id)
    return usual is not None and options.now_s - row.begun_s > _SLOW * usual


def _lanes(row: StepRow, console: Console, options: TableOptions, *, late: bool) -> Iterator[Line]:
    lanes = list(row.machines)
    hidden = 0
    if len(lanes) > _LANES and options.verbosity == 0:
        order = (State.FAILED, State.STOPPED, State.WORKING, State.AHEAD, State.DONE, State.KEPT)
        shown = sorted(lanes, key=lambda lane: order.index(lane.state))[:_LANES]
        hidden = len(lanes) - len(shown)
        lanes = [lane for lane in lanes if lane in shown]
    names = min(32, max((cells(lane.name) for lane in lanes), default=0))
    for lane in lanes:
        yield from _lane(lane, console, names=names, late=late)
    if hidden:
        yield line(" " * 10, Span(f"and {hidden} more", Style.KEPT))


def _lane(lane: Lane, console: Console, *, names: int, late: bool) -> Iterator[Line]:
    indent = 10
    glyph, style = _SIGNS[lane.state]
    if lane.state is State.WORKING:
        glyph, style = Glyph.WAITING, Style.SLOW if late else Style.WORK
    left = line(" " * indent, pad(lane.name, names), "  ", console.sign(glyph, style), " ")
    if lane.state is State.AHEAD:
        yield line(" " * indent, Span(lane.name, Style.KEPT))
        return
    if lane.state is State.WORKING:
        tries = f" ({lane.wait.tries} tries)" if lane.wait and lane.wait.tries > 1 else ""
        yield from console.wrapped(
            line(left, Span(f"{lane.doing}{tries}", Style.SLOW if late else Style.PLAIN)), indent=left.cells
        )
        return
    time = Span(duration(lane.elapsed_s), Style.KEPT)
    yield from console.between(line(left, lane.seen), line(time), indent=left.cells)


def _foot(state: RunState, console: Console, options: TableOptions) -> Iterator[Line]:
    for warning in state.warnings[-3:]:
        yield from console.wrapped(
            line(" ", console.sign(Glyph.WARNING, Style.SLOW), " ", warning), indent=console.glyph_cells + 2
        )
    if state.ended is not None:
        return
    if state.news:
        yield from console.wrapped(
            line(" ", console.sign(Glyph.WAITING, Style.WORK), " ", state.news), indent=console.glyph_cells + 2
        )
    yield BLANK
    spent = duration(max(0.0, options.now_s))
    left_s = options.usual.get(RUN, 0.0) - options.now_s
    togo = f", about {about(left_s)} to go" if left_s > 0 else ""
    hint = state.stopping or "Ctrl-C stops after the current action"
    log = f"log: {state.run.folder}" if state.run and state.run.folder else ""
    text = f"{spent}{togo}    {hint}"
    yield from console.between(
        line(Span(text, Style.SLOW if state.stopping else Style.KEPT)), line(Span(log, Style.KEPT))
    )
