"""`provision up`: make it so. Reads what is there, plans the difference, does it, and proves each action by looking again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from provisioner.model.cluster import Cluster
from provisioner.model.effective import EffectiveConfig
from provisioner.model.endpoint import endpoint_of, is_fixed, moved_endpoint
from provisioner.model.facts import Observed
from provisioner.model.hints import Hints
from provisioner.model.naming import spaced_mac
from provisioner.model.options import RunOptions
from provisioner.model.plan import AS_THE_FILE_SAYS, Action, Plan, PlanWarning, Verb
from provisioner.model.steps import STEP, StepId
from provisioner.operations.differences import differences, uncompared
from provisioner.operations.observe import observe
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
from provisioner.steps.waiting import scaled_bound
from provisioner.workflows import tables
from provisioner.workflows.engine import Outcome
from provisioner.workflows.ordering import linked
from provisioner.workflows.session import Session
from provisioner.workflows.workflow import Result, Workflow

DEFAULT = RunOptions()


def plan_up(cluster: Cluster, seen: Observed, options: RunOptions = DEFAULT) -> Plan:
    """What `up` would do. Pure. `until` leaves out the steps after that one; with `until=install` also the installation of workers,
    which cannot be seen before bootstrap. Waits carry the bounds that the run will have.
    """
    loss = secrets.id_lost(cluster, seen)
    if loss is not None:
        return Plan(cluster=cluster.name, steps=UP.steps, actions=(loss,))
    actions: list[Action] = []

    def restarted() -> frozenset[str]:
        return frozenset(action.machine for action in actions if action.restarts)

    planners: Mapping[StepId, Callable[[], Iterable[Action]]] = {
        StepId.HOST: lambda: host.plan(cluster, seen),
        StepId.SWITCH: lambda: switch.plan(cluster, seen, retry=options.retry_switch),
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
    for step in UP.steps:
        actions += planners[step]()
        if step is options.until:
            break
    if options.until is StepId.INSTALL:
        workers = {machine.name for machine in cluster.workers}
        actions = [a for a in actions if a.step is not StepId.INSTALL or a.machine not in workers]
    bounded = [_bounded(action, cluster, options.wait_scale) for action in actions]
    return Plan(
        cluster=cluster.name,
        steps=UP.steps,
        actions=linked(cluster, UP.table, bounded),
        warnings=tuple(_warnings(cluster, seen)),
        differences=tuple(differences(cluster, seen)),
        uncompared=uncompared(cluster, seen),
    )


async def up(session: Session, _shown: Plan | None) -> Result:
    """Reads, plans, does, proves. A plan with a refusal changes nothing."""
    seen = await session.read(observe(session.cluster, session.ports))
    plan = plan_up(session.cluster, seen, session.options)
    session.tell(plan)
    if plan.refusals:
        return session.refused(plan)
    session.stays = "nothing was removed"
    return ended(session, plan, await session.carry_out(seen, plan))


def ended(session: Session, plan: Plan, outcome: Outcome) -> Result:
    """The last word of a run that made a cluster."""
    name, last = session.cluster.name, plan.actions[-1].step
    done = f"{name} is done up to step {last}"
    if last is StepId.ACCESS:
        done = f"{name} is up: {session.health or plan.of(StepId.HEALTH)[-1].seen}"
    return session.ended(plan, outcome, done=done, nothing=_why_nothing(plan))


def _why_nothing(plan: Plan) -> str:
    """Why `up` had nothing to do, and of what that is not said."""
    if plan.differences:
        return f"differences that up does not change: {len(plan.differences)}, see provision plan {plan.cluster}"
    configs = "; the configs of running machines are not compared" if plan.uncompared else ""
    return f"{AS_THE_FILE_SAYS}{configs}"


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


def expected_endpoint(cluster: Cluster, config: EffectiveConfig, hints: Hints) -> str:
    """The endpoint as far as it is known before a run: the file's, or where the first control plane was last."""
    known = hints.of(cluster.control_planes[0].name).address
    return endpoint_of(cluster, config, known or "FIRST-CONTROL-PLANE") or ""


UP = Workflow(
    name="up",
    table=tables.UP,
    observe=observe,
    plan=plan_up,
    apply={
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
    },
    story=up,
)
