"""`provision up`: make it so. Reads what is there, plans the difference, does it, and proves each action by looking again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from provisioner.model.cluster import Cluster
from provisioner.model.effective import EffectiveConfig
from provisioner.model.endpoint import endpoint_of, is_fixed, moved_endpoint
from provisioner.model.facts import Observed
from provisioner.model.naming import spaced_mac
from provisioner.model.plan import Action, Plan, PlanWarning, Verb
from provisioner.model.steps import STEP, STEPS, Scope, Step, StepId
from provisioner.operations.differences import differences, uncompared
from provisioner.steps import (
    access,
    bootstrap,
    config,
    eject,
    health,
    host,
    image,
    install,
    maintenance,
    secrets,
    switch,
    vm,
)
from provisioner.steps.run_context import machine_hint
from provisioner.steps.waiting import scaled_bound
from provisioner.workflows.engine import Apply

APPLY: Mapping[StepId, Apply] = {
    StepId.SWITCH: switch.apply,
    StepId.IMAGE: image.apply,
    StepId.SECRETS: secrets.apply,
    StepId.VM: vm.apply,
    StepId.MAINTENANCE: maintenance.apply,
    StepId.CONFIG: config.apply,
    StepId.INSTALL: install.apply,
    StepId.BOOTSTRAP: bootstrap.apply,
    StepId.EJECT: eject.apply,
    StepId.HEALTH: health.apply,
    StepId.ACCESS: access.apply,
}


def plan_up(
    cluster: Cluster,
    seen: Observed,
    *,
    retry_switch: bool = False,
    until: StepId | None = None,
    wait_scale: float = 1.0,
) -> Plan:
    """What `up` would do. Pure. `until` leaves out the steps after that one; with `until=install` also the installation of workers,
    which cannot be seen before bootstrap. Waits carry the bounds that the run will have.
    """
    loss = secrets.id_lost(cluster, seen)
    if loss is not None:
        return Plan(cluster=cluster.name, actions=(loss,))
    actions: list[Action] = []

    def restarted() -> frozenset[str]:
        return frozenset(action.machine for action in actions if restarts(action))

    planners: Mapping[StepId, Callable[[], Iterable[Action]]] = {
        StepId.HOST: lambda: host.plan(cluster, seen),
        StepId.SWITCH: lambda: switch.plan(cluster, seen, retry=retry_switch),
        StepId.IMAGE: lambda: image.plan(cluster, seen),
        StepId.SECRETS: lambda: secrets.plan(cluster, seen),
        StepId.VM: lambda: vm.plan(cluster, seen),
        StepId.MAINTENANCE: lambda: maintenance.plan(cluster, seen),
        StepId.CONFIG: lambda: config.plan(cluster, seen),
        StepId.INSTALL: lambda: install.plan(cluster, seen, restarted()),
        StepId.BOOTSTRAP: lambda: bootstrap.plan(cluster, seen),
        StepId.EJECT: lambda: eject.plan(cluster, seen),
        StepId.HEALTH: lambda: health.plan(cluster, seen, restarted()),
        StepId.ACCESS: lambda: access.plan(cluster, seen),
    }
    for step in STEPS:
        actions += planners[step.id]()
        if step.id is until:
            break
    if until is StepId.INSTALL:
        workers = {machine.name for machine in cluster.workers}
        actions = [a for a in actions if a.step is not StepId.INSTALL or a.machine not in workers]
    return Plan(
        cluster=cluster.name,
        actions=tuple(_bounded(action, cluster, wait_scale) for action in actions),
        warnings=tuple(_warnings(cluster, seen)),
        differences=tuple(differences(cluster, seen)),
        uncompared=uncompared(cluster, seen),
    )


def _bounded(action: Action, cluster: Cluster, scale: float) -> Action:
    """A wait with the bound of the run: the step's own, or the one that the step has set."""
    if action.verb is not Verb.WAIT:
        return action
    bound_s = action.bound_s or STEP[action.step].bound_s
    speed = cluster.lab.speed if cluster.lab else 1.0
    return replace(action, bound_s=scaled_bound(bound_s, scale=scale, rate=speed))


def _warnings(cluster: Cluster, seen: Observed) -> list[PlanWarning]:
    first = cluster.control_planes[0]
    if moved_endpoint(cluster, seen):
        where = seen.machines[first.name].address
        old = urlsplit(seen.endpoint_sent).hostname
        return [
            PlanWarning(
                id="P-CONFIG-ENDPOINT",
                message=f"the machines' configs name {seen.endpoint_sent}, but {first.name} is at {where} now: its lease has changed",
                next_steps=(
                    f"reserve {old} for {spaced_mac(first.mac)} on the router, and restart the VM {first.name}",
                ),
            )
        ]
    if is_fixed(cluster, seen.configs.get(first.name)) or cluster.lab is not None:
        return []
    known = seen.machines.get(first.name)
    where = f" (now {known.address})" if known else ""
    return [
        PlanWarning(
            id="P-CONFIG-ENDPOINT",
            message=f"the endpoint will be the DHCP address of {first.name}{where}; workers lose it when the lease changes",
            next_steps=(
                f"reserve an address for {spaced_mac(first.mac)}, or set endpoint:, vip: or address: in the file",
            ),
        )
    ]


def needs_of(cluster: Cluster) -> Callable[[Action, Sequence[Action]], Sequence[Action]]:
    """Which actions an action waits for: the table's `after`, on the same machine or host, the orders that Talos forces, and of machines
    that must be restarted one after the other: etcd and the pods bear the loss of one.
    """
    first = cluster.control_planes[0].name
    workers = {machine.name for machine in cluster.workers}
    # the first control plane first: workers come back through it
    ranks = {machine.name: rank for rank, machine in enumerate((*cluster.control_planes, *cluster.workers))}

    def needs(action: Action, actions: Sequence[Action]) -> list[Action]:
        step = STEP[action.step]
        turn = _turn_before(action, actions, ranks)
        return [
            other
            for other in actions
            if other is not action
            and (
                _before(action, step, other, first, workers)
                or (turn and other.machine == turn and other.step in (StepId.VM, StepId.INSTALL))
            )
        ]

    return needs


def _turn_before(action: Action, actions: Sequence[Action], ranks: Mapping[str, int]) -> str:
    """The machine whose restart must have ended before this action restarts its own; empty for none."""
    if not restarts(action):
        return ""
    earlier = [a.machine for a in actions if restarts(a) and ranks[a.machine] < ranks[action.machine]]
    return max(earlier, key=lambda name: ranks[name], default="")


def restarts(action: Action) -> bool:
    """Whether a machine that may be at work is shut down and started by it."""
    return STEP[action.step].restarts_in_turns and bool(action.details.get("restart"))


def _before(action: Action, step: Step, other: Action, first: str, workers: set[str]) -> bool:
    if action.machine in workers and other.step in step.workers_after:
        return True
    if other.step in step.after_first:
        return other.machine == first
    if other.step not in step.after:
        return False
    scope = STEP[other.step].scope
    if scope is Scope.MACHINE and action.machine:
        return other.machine == action.machine
    if scope is Scope.HOST and action.host:
        return other.host == action.host
    return True


def expected_endpoint(cluster: Cluster, config: EffectiveConfig, notes: Mapping[str, Any]) -> str:
    """The endpoint as far as it is known before a run: the file's, or where the first control plane was last."""
    known = machine_hint(notes, cluster.control_planes[0].name).get("address")
    return endpoint_of(cluster, config, str(known or "FIRST-CONTROL-PLANE")) or ""
