"""The table of a run as lines: one row per step, the steps at work opened to their machines. Pure; painted by `live.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from provisioner.model.events import CallInfo, RunStarted
from provisioner.model.steps import STEP
from provisioner.model.wording import count
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

_LEFT_OUT: Sequence[tuple[State, ...]] = (
    (),
    (State.AHEAD,),
    (State.AHEAD, State.DONE, State.KEPT, State.STOPPED),
)
"""Which rows low terminals do without, the first that is enough."""
_NEWS_S = 10.0
"""How long an announcement that belongs to no step stays."""

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
    rows = [(row.state, list(_step(state, row, console, options))) for row in state.rows]
    head = [*_headline(state.run, console), BLANK]
    foot = list(_foot(state, console, options))
    whole: list[Line] = []
    for left_out in _LEFT_OUT:
        body = [each for row_state, lines in rows if row_state not in left_out for each in lines]
        whole = [*head, *body, *foot]
        if not options.height or len(whole) < options.height:
            return whole
    return whole[: options.height - 1]


def _headline(run: RunStarted | None, console: Console) -> list[Line]:
    """`home on hv01.lan    Talos v1.11.5    Kubernetes v1.34.1    run 142`, and the lab's speed."""
    if run is None:
        return []
    titles = [Span(title) for title in run_titles(run)]
    if run.lab:
        titles[-1] = Span(titles[-1].text, Style.WORK)
    return console.joined([Span(f"{run.cluster} on {run.host}", Style.STRONG), *titles], indent=4)


def run_titles(run: RunStarted) -> list[str]:
    """`Talos v1.11.5`, `Kubernetes v1.34.1`, `run 142`, and at last whether it is a lab."""
    versions = {"Talos": run.versions.get("talos"), "Kubernetes": run.versions.get("kubernetes")}
    titles = [f"{name} {version}" for name, version in versions.items() if version]
    return [*titles, f"run {run.run}", *([lab_words(run.speed)] if run.lab else [])]


def call_words(call: CallInfo) -> str:
    """A call to a host, as `-vv` shows it."""
    names, requests = ", ".join(call.functions), count(call.requests, "request")
    return f"call {call.host}: {names}: {call.outcome}, {requests}, {duration(call.elapsed_s, fine=True)}"


def _step(state: RunState, row: StepRow, console: Console, options: TableOptions) -> Iterator[Line]:
    dim = Style.KEPT if row.state is State.AHEAD else Style.PLAIN
    left = line(" ", console.sign(*_SIGNS[row.state]), f" {row.number:2d} ", Span(pad(row.title, _TITLE), dim))
    if row.state is State.AHEAD:
        yield left
        return
    late = row.state is State.WORKING and _is_late(row, options)
    text = Span(_text(row), Style.SLOW if late else Style.KEPT if row.state is State.KEPT else Style.PLAIN)
    yield from console.between(line(left, " ", text), line(_time(row, options)), indent=left.cells + 1)
    if row.state in (State.WORKING, State.FAILED) or options.verbosity > 0:
        yield from _lanes(row, console, options, late=late)
    for name, why in state.kept(row.id) if options.verbosity > 0 else ():
        yield from console.indented(10, Span(f"{name}  kept: {why}", Style.KEPT), hang=4)


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
        doing = Span(f"{lane.doing}{tries}", Style.SLOW if late else Style.PLAIN)
        yield from console.wrapped(line(left, doing), indent=left.cells)
        return
    time = Span(duration(lane.elapsed_s), Style.KEPT)
    yield from console.between(line(left, lane.seen), line(time), indent=left.cells)


def _foot(state: RunState, console: Console, options: TableOptions) -> Iterator[Line]:
    def signed(glyph: Glyph, style: Style, text: str) -> list[Line]:
        return console.indented(1, console.sign(glyph, style), " ", text, hang=console.glyph_cells + 1)

    for warning in state.warnings[-3:]:
        yield from signed(Glyph.WARNING, Style.SLOW, warning)
    if state.ended is not None:
        return
    told_at_s, news = state.news
    if news and options.now_s - told_at_s < _NEWS_S:
        yield from signed(Glyph.WAITING, Style.WORK, news)
    yield BLANK
    spent = duration(max(0.0, options.now_s))
    left_s = options.usual.get(RUN, 0.0) - options.now_s
    togo = f", about {about(left_s)} to go" if left_s > 0 else ""
    hint = state.stopping or "Ctrl-C stops after the current action"
    log = f"log: {state.run.folder}" if state.run and state.run.folder else ""
    text = Span(f"{spent}{togo}    {hint}", Style.SLOW if state.stopping else Style.KEPT)
    yield from console.between(line(text), line(Span(log, Style.KEPT)))
