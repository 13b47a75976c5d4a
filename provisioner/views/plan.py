"""The plan screen: what `up` would do, in the order and with the names of the steps of `up`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.naming import spaced_mac
from provisioner.model.plan import AS_THE_FILE_SAYS, Action, Plan, Verb
from provisioner.model.steps import STEP, Scope, StepId
from provisioner.model.wording import count, listed
from provisioner.model.work import CreateVm
from provisioner.views.console import BLANK, Console, Line, Span, Style, cells, line, pad
from provisioner.views.formatting import about, counted, duration, gib, lab_words, shown_path
from provisioner.views.table import RUN

_TITLE = max(len(step.title) for step in STEP.values()) + 2
_VERB = max(len(verb) for verb in Verb)

_WHOLE = f"Nothing to do: {AS_THE_FILE_SAYS}."
_UNCOMPARED = "Not compared yet: the configs of running machines (patches, certificate SANs, networks, taints)."

_SEEN = 3
"""Lines of what was seen that a refusal shows; `up` shows all."""

_STYLES: Mapping[Verb, Style] = {
    Verb.KEEP: Style.KEPT,
    Verb.CHANGE: Style.SLOW,
    Verb.RESTART: Style.SLOW,
    Verb.REPLACE: Style.BAD,
    Verb.REMOVE: Style.BAD,
    Verb.REFUSE: Style.BAD,
}


def render_plan(
    plan: Plan,
    cluster: Cluster,
    *,
    read_s: float,
    console: Console,
    verbosity: int = 0,
    usual: Mapping[str, float] | None = None,
) -> str:
    """The whole screen. With `verbosity`, machines that are kept are listed one by one."""
    speed = cluster.lab.speed if cluster.lab else 1.0
    usual = {key: seconds / speed for key, seconds in (usual or {}).items()}
    lines = [*_head(cluster, read_s, console), BLANK]
    for step in plan.steps:
        lines += _step(plan, step, cluster, console, usual, each=verbosity > 0)
    lines.append(BLANK)
    for warning in plan.warnings:
        lines += console.wrapped(line(Span(f"! {warning.id}: ", Style.SLOW), warning.message), indent=4)
        for command in warning.next_steps:
            lines += console.indented(4, command, hang=2)
    lines += _foot(plan, cluster, console, usual)
    return console.render(lines)


def _head(cluster: Cluster, read_s: float, console: Console) -> Sequence[Line]:
    hosts = ", ".join(cluster.hosts)
    lab = f"    {lab_words(cluster.lab.speed)}" if cluster.lab else ""
    left = line(Span(f"{cluster.name} on {hosts}", Style.STRONG), Span(lab, Style.WORK))
    return console.between(
        left, line(Span(f"{shown_path(cluster.file)}, read in {read_s:.1f} s", Style.KEPT)), indent=2
    )


def _step(
    plan: Plan,
    step: StepId,
    cluster: Cluster,
    console: Console,
    usual: Mapping[str, float],
    *,
    each: bool,
) -> Iterator[Line]:
    actions = plan.of(step)
    if not actions:
        return
    signs = [action.verb.sign.strip() for action in actions if action.verb.sign.strip()]
    sign = min(signs, key=_alarm, default="")
    warned = any(action.warning for action in actions)
    sign = "!" if warned and sign == "+" else sign
    label = f"{pad(sign, 3)} {plan.number(step):2d} {pad(STEP[step].title, _TITLE)} "
    widest = max((cells(action.object) for action in actions if action.machine), default=0)
    for action, number in _together(actions, each=each):
        machine = next((machine for machine in cluster.machines if machine.name == action.machine), None)
        yield from _row(label, action, _text(action, number, machine, widest), _right(action, cluster, usual), console)
        label = " " * len(label)


def _alarm(sign: str) -> int:
    return ("x", "-/+", "-", "~", "+").index(sign)


def _together(actions: Sequence[Action], *, each: bool) -> Iterator[tuple[Action, int]]:
    """Actions that read the same but for the machine come as one row with their number."""

    def key(action: Action) -> tuple[str, ...]:
        alone = each or not action.machine or bool(action.destroys or action.warning or action.verb is Verb.REFUSE)
        alone = alone or (action.step is StepId.VM and action.verb is not Verb.KEEP)
        return (action.id,) if alone else (action.verb, "" if action.verb is Verb.KEEP else action.why)

    for _, group in groupby(actions, key=key):
        members = list(group)
        yield members[0], len(members)


def _row(label: str, action: Action, text: str, right: str, console: Console) -> Iterator[Line]:
    verb = Span(pad(action.verb, _VERB), _STYLES.get(action.verb, Style.PLAIN))
    style = Style.KEPT if action.verb is Verb.KEEP else Style.PLAIN
    indent = len(label) + _VERB + 1
    left = line(label, verb, " ", Span(text, style))
    yield from console.between(left, line(Span(right, Style.KEPT)), indent=indent)
    if action.destroys:
        yield from console.indented(indent, Span(f"DESTROYS {action.destroys}", Style.BAD))
    if action.warning:
        yield from console.indented(indent, Span(action.warning, Style.SLOW))
    if action.fault is not None:
        said = "" if action.fault.message in text else f"  {action.fault.message}"
        yield from console.indented(indent, Span(action.fault.id, Style.BAD), said)
        for seen in action.fault.seen[:_SEEN]:
            yield from console.indented(indent, f"seen: {seen}", hang=2)
        for way in (*action.fault.next_steps, *action.fault.resume_command):
            yield from console.indented(indent, f"then: {way}", hang=2)


def _text(action: Action, number: int, machine: MachineSpec | None, widest: int) -> str:
    if number > 1:
        return count(number, "machine") if action.verb is Verb.KEEP else f"{count(number, 'machine')}: {action.why}"
    if machine and action.step is StepId.VM and action.work == CreateVm():
        facts = [f"{machine.cpus} CPUs", gib(machine.memory_mib), f"{machine.disk_gib} GiB", spaced_mac(machine.mac)]
        return "  ".join([pad(action.object, widest), *facts, *([machine.address] if machine.address else [])])
    if STEP[action.step].scope is Scope.MACHINE and action.machine:
        return f"{pad(action.object, widest)}  {action.why}"
    return action.why if action.why.startswith(action.object) else f"{action.object}: {action.why}"


def _right(action: Action, cluster: Cluster, usual: Mapping[str, float]) -> str:
    """The bound of a wait as the run will have it, by the wall's time."""
    if action.verb is not Verb.WAIT or not action.bound_s:
        return ""
    known = f", usually {about(usual[action.step])}" if action.step in usual else ""
    return f"at most {duration(action.bound_s / (cluster.lab.speed if cluster.lab else 1.0))}{known}"


def _foot(plan: Plan, cluster: Cluster, console: Console, usual: Mapping[str, float]) -> Iterator[Line]:
    yield from _differences(plan, console)
    if plan.refusals:
        said = f"{count(len(plan.refusals), 'refusal')}: up would change nothing until that is fixed."
        yield from console.wrapped(line(Span(said, Style.BAD)), indent=0)
        return
    if plan.changes:
        kept = sum(all(action.verb is Verb.KEEP for action in plan.of(step)) for step in plan.steps if plan.of(step))
        verbs = counted(Counter(action.verb for action in plan.changes))
        done = f"To do: {verbs}; {len(plan.destroys)} destroyed; {count(kept, 'step')} kept."
        guess = f"about {about(usual[RUN])}" if RUN in usual else ""
        yield from console.between(line(done), line(Span(guess, Style.KEPT)), indent=2)
    else:
        yield from console.wrapped(line(_nothing(plan)), indent=2)
    if plan.uncompared:
        yield from console.wrapped(line(Span(_UNCOMPARED, Style.KEPT)), indent=2)
    if plan.changes:
        yield line(f"Next: provision up {cluster.name}")


def _nothing(plan: Plan) -> str:
    """Why there is nothing to change."""
    waits = dict.fromkeys(STEP[action.step].title for action in plan.actions if action.verb is Verb.WAIT)
    if waits:
        return f"Nothing to change; up would wait for {listed(list(waits))}."
    if plan.differences:
        return f"Nothing that up would do; {count(len(plan.differences), 'difference')} from the file."
    return _WHOLE


def _differences(plan: Plan, console: Console) -> Iterator[Line]:
    for names, each in plan.told_differences:
        said = f"differs: {listed(names)}: {each.words}"
        yield from console.wrapped(line(Span("! ", Style.SLOW), said), indent=4)
        yield from console.indented(4, Span(f"up does not change it: {each.next_steps}", Style.KEPT), hang=2)
