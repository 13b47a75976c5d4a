"""What `down` would remove and what it keeps, before the question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from provisioner.model.cluster import Cluster
from provisioner.model.plan import Action, Plan, Verb
from provisioner.model.steps import StepId
from provisioner.model.wording import count, listed
from provisioner.model.work import RemoveFolder
from provisioner.views.console import Console, Line, Span, Style, cells, line, pad

_WIDEST = 34
"""Columns at most for names; one that is longer pushes its own text only."""
_WORDS = {StepId.SWITCH: "switch", StepId.IMAGE: "ISO", StepId.ACCESS: "context"}


def render_down(plan: Plan, cluster: Cluster, console: Console) -> Iterator[Line]:
    """Removals, then what stays with the reason why."""
    hosts = ", ".join(cluster.hosts)
    removed = [action for action in plan.actions if action.verb.changes]
    if not removed:
        yield line(f"{cluster.name} on {hosts}: nothing of it is there.")
    else:
        said = f"On {hosts}, this removes what {cluster.name} made:"
        yield from console.indented(0, Span(said, Style.STRONG), hang=2)
        yield from _removals(removed, console)
    kept = [(_named(action), action.why) for action in plan.actions if action.verb is Verb.KEEP and not action.absent]
    if kept:
        yield line("and keeps:" if removed else "Kept:")
        yield from _listed(kept, console)
    for action in plan.refusals:
        yield from console.indented(2, Span("refused  ", Style.BAD), f"{action.object}: {action.why}", hang=9)
    if any(action.destroys for action in removed):
        yield from console.indented(0, "Other VMs on the host are not touched. Data in the cluster is lost.")


def _removals(actions: Sequence[Action], console: Console) -> Iterator[Line]:
    machines = [action for action in actions if action.machine and action.destroys]
    rows = _machine_rows(machines) if machines else []
    for action in (action for action in actions if action not in machines):
        why = f"the folder {action.object}" if isinstance(action.work, RemoveFolder) else action.why
        rows.append((_named(action), action.destroys or why))
    yield from _listed(rows, console)


def _machine_rows(machines: Sequence[Action]) -> list[tuple[str, str]]:
    lost = " or ".join(sorted({action.destroys for action in machines})[:3])
    names = listed([action.object for action in machines])
    return [(count(len(machines), "VM"), names), ("", f"{'each ' if len(machines) > 1 else ''}with {lost}")]


def _named(action: Action) -> str:
    """With the word for what it is, where the name alone does not tell."""
    if isinstance(action.work, RemoveFolder):
        return f"left of {action.work.machine}"
    word = _WORDS.get(action.step, "")
    return action.object if not word or action.object.startswith(word) else f"{word} {action.object}"


def _listed(rows: Sequence[tuple[str, str]], console: Console) -> Iterator[Line]:
    widest = min(_WIDEST, max(cells(name) for name, _ in rows)) + 2
    for name, text in rows:
        gap = "  " if cells(name) > _WIDEST else ""
        yield from console.wrapped(line("  ", pad(name, widest), gap, text), indent=widest + 2)
