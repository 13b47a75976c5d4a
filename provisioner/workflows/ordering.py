"""Which actions of a plan wait for which: made once, at plan time, and shown by `plan --json`. The engine runs the graph and knows no step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from provisioner.model.cluster import Cluster
from provisioner.model.plan import Action
from provisioner.model.steps import STEP, Order, Scope, StepId

RESTARTS = (StepId.VM, StepId.INSTALL)
"""What a restart of a machine consists of: it is shut down and started, and it is back."""


def linked(cluster: Cluster, table: Sequence[Order], actions: Sequence[Action]) -> tuple[Action, ...]:
    """The actions in the order of the table, each with the ids of those that it comes `after`. Pure.

    That is what the table says, of the same machine or host where both steps are done per machine or host; and machines that are
    restarted take turns (`serialise`).
    """
    rows = {order.step: order for order in table}
    turns = serialise(restarted(rows, actions), _ranks(cluster))
    first, workers = cluster.control_planes[0].name, {machine.name for machine in cluster.workers}

    def before(action: Action, other: Action) -> bool:
        order = rows[action.step]
        if action.machine in workers and other.step in order.workers_after:
            return True
        if other.step in order.after_first:
            return other.machine == first
        if other.step in order.after:
            return _same_place(action, other)
        return (
            order.restarts_in_turns and other.step in RESTARTS and turns.get(action.machine, "") == other.machine != ""
        )

    return tuple(
        replace(action, after=tuple(other.id for other in actions if other is not action and before(action, other)))
        for action in actions
    )


def serialise(machines: Iterable[str], ranks: Mapping[str, int]) -> dict[str, str]:
    """Each machine's predecessor, so that one is worked on at a time, lowest rank first; the first one has none. etcd and the pods
    tolerate the loss of one machine.
    """
    inline = sorted(set(machines), key=lambda name: ranks.get(name, len(ranks)))
    return dict(zip(inline[1:], inline, strict=False))


def restarted(rows: Mapping[StepId, Order], actions: Iterable[Action]) -> list[str]:
    """Machines that may be at work, and that are shut down and started."""
    return [action.machine for action in actions if action.restarts and rows[action.step].restarts_in_turns]


def _ranks(cluster: Cluster) -> dict[str, int]:
    """The first control plane first: workers come back through it."""
    return {machine.name: rank for rank, machine in enumerate((*cluster.control_planes, *cluster.workers))}


def _same_place(action: Action, other: Action) -> bool:
    scope = STEP[other.step].scope
    if scope is Scope.MACHINE and action.machine:
        return other.machine == action.machine
    if scope is Scope.HOST and action.host:
        return other.host == action.host
    return True
