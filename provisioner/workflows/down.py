"""`provision down`: remove what this cluster made, and nothing else. Keeps switch, image and secrets unless told otherwise."""

from __future__ import annotations

from provisioner.model.cluster import Cluster
from provisioner.model.facts import Observed
from provisioner.model.options import RunOptions
from provisioner.model.plan import Plan
from provisioner.model.steps import StepId
from provisioner.model.work import RemoveVm
from provisioner.operations.observe import observe_hosts
from provisioner.steps import removal
from provisioner.workflows import tables
from provisioner.workflows.ordering import linked
from provisioner.workflows.session import Session
from provisioner.workflows.workflow import Result, Workflow


def plan_down(cluster: Cluster, seen: Observed, options: RunOptions) -> Plan:
    """What `down` would remove, and what it keeps. Pure."""
    actions = list(removal.plan(cluster, seen, options.remove))
    return Plan(cluster=cluster.name, steps=DOWN.steps, actions=linked(cluster, DOWN.table, actions))


async def down(session: Session, shown: Plan | None) -> Result:
    """Removes what is proven to be ours, also where something else is refused; never ends well with something of ours left."""
    seen = await session.read(observe_hosts(session.cluster, session.ports))
    plan = plan_down(session.cluster, seen, session.options)
    session.check_confirmed(plan, shown)
    session.tell(plan)
    session.stays = "what was not removed yet stays" if plan.destroys else "nothing was removed"
    outcome = await session.carry_out(seen, plan, keys=False)
    done = f"{_removed(plan)} removed"
    if plan.refusals and not outcome.faults and not outcome.interrupted:
        before = f"{done}; " if plan.changes else ""
        return session.refused(plan, f"{before}VMs that bear its mark and are not proven to be its machines stay")
    nothing = "no VM is proven to be ours" if plan.of(StepId.REMOVE) else "nothing of it is there"
    return session.ended(plan, outcome, done=done, nothing=nothing)


def _removed(plan: Plan) -> str:
    vms = sum(isinstance(action.work, RemoveVm) for action in plan.changes)
    others = [action.object for action in plan.changes if not isinstance(action.work, RemoveVm)]
    return ", ".join(([f"{vms} VMs"] if vms else []) + others)


DOWN = Workflow(
    name="down",
    table=tables.DOWN,
    observe=observe_hosts,
    plan=plan_down,
    apply=dict.fromkeys((order.step for order in tables.DOWN), removal.apply),
    story=down,
)
