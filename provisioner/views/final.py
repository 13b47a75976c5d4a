"""The last lines of a run: what is now, and what one can type next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from provisioner.model.events import RunEnded, RunStarted
from provisioner.model.naming import kube_context
from provisioner.model.steps import StepId
from provisioner.model.wording import count
from provisioner.views.console import BLANK, Console, Glyph, Line, Span, Style, line
from provisioner.views.formatting import duration
from provisioner.views.run_state import RunState, State


def render_final(state: RunState, console: Console, *, brief: bool = False) -> list[Line]:
    """Nothing while the run is still at work. `brief` leaves out the log and what one can type next."""
    run, ended = state.run, state.ended
    if run is None or ended is None:
        return []
    took = duration(ended.elapsed_s, fine=True)
    if ended.succeeded:
        return list(_succeeded(state, run, ended, console, took, brief=brief))
    return list(_stopped(state, run, ended, console, took))


def _succeeded(
    state: RunState, run: RunStarted, ended: RunEnded, console: Console, took: str, *, brief: bool
) -> Iterator[Line]:
    said = ended.summary or f"{run.cluster}: done"
    text = said if ended.outcome == "unchanged" else f"{said}, in {took}"
    left = line(" ", console.sign(Glyph.DONE, Style.GOOD), " ", Span(text, Style.STRONG))
    log = f"log: {run.folder}" if run.folder and not brief else ""
    yield from console.between(left, line(Span(log, Style.KEPT)), indent=console.glyph_cells + 2)
    for remark in ended.left:
        yield from console.indented(console.glyph_cells + 2, remark, hang=2)
    commands = [] if brief else _next(state, run)
    yield from ([BLANK] if commands else [])
    for command in commands:
        yield line(" " * (console.glyph_cells + 2), command)


def _stopped(state: RunState, run: RunStarted, ended: RunEnded, console: Console, took: str) -> Iterator[Line]:
    """What was reached, what stays, how to go on; a panel above says why."""
    where = _where(state)
    words = [f"Stopped{where} after {took}"]
    if ended.summary:
        words.append(ended.summary[0].upper() + ended.summary[1:])
    said = f"{'. '.join(words)}."
    exit_words = line(f"exit {ended.exit}")
    if ended.outcome != "interrupted":
        yield from console.between(line(said), exit_words)
        return
    yield from console.wrapped(line(said), indent=0)
    if ended.left:
        yield from console.wrapped(line(f"  left     {', '.join(_by_step(ended.left, list(state.steps)))}"), indent=11)
    yield line(f"  go on    {ended.resume_command or f'provision {run.command} {run.cluster}'}")
    last = f"  undo     provision down {run.cluster}" if run.command != "down" else ""
    yield from console.between(line(last), exit_words)


def _by_step(left: Sequence[str], order: Sequence[str]) -> list[str]:
    """`vm: a` and `vm: b` as `vm (2)`, in the order of the steps; one alone keeps its name."""
    steps: dict[str, list[str]] = {step: [] for step in order}
    for item in left:
        step, _, name = item.partition(": ")
        steps.setdefault(step, []).append(name)
    return [
        f"{step} {names[0]}".rstrip() if len(names) == 1 else f"{step} ({len(names)})"
        for step, names in steps.items()
        if names
    ]


def _where(state: RunState) -> str:
    """` in step 4 of 12 with 2 of 4 machines done`: the first step that did not get through."""
    for row in state.rows:
        if row.state in (State.FAILED, State.STOPPED, State.WORKING):
            machines = row.machines
            done = sum(lane.state is State.DONE for lane in machines)
            of = f" with {done} of {count(len(machines), 'machine')} done" if len(machines) > 1 else ""
            return f" in step {row.number} of {len(state.steps)}{of}"
    ahead = next((row for row in state.rows if row.state is State.AHEAD), None)
    return f" before step {ahead.number} of {len(state.steps)}" if ahead and state.plan else ""


def _next(state: RunState, run: RunStarted) -> list[str]:
    """Commands that make sense now."""
    if run.command == "down":
        return []
    whole = state.rows and state.rows[-1].number == len(state.steps)
    kubectl = [f"{_kubectl(state, run)} get nodes"] if whole else [f"provision up {run.cluster}"]
    return [*kubectl, f"provision status {run.cluster}"]


def _kubectl(state: RunState, run: RunStarted) -> str:
    """With the context as the plan names it, or with the cluster's own file where none of the user's is written."""
    access = next(iter(state.planned(StepId.ACCESS)), {})
    return str(access.get("command") or f"kubectl --context {access.get('object') or kube_context(run.cluster)}")
