"""`provision rebuild`: remove the machines and make them again, as one run. Switch, image, secrets and contexts stay."""

from __future__ import annotations

from dataclasses import replace

from provisioner.model.cluster import Cluster
from provisioner.model.facts import Observed
from provisioner.model.options import RemovalScope, RunOptions
from provisioner.model.ownership import copies_of, our_ids
from provisioner.model.plan import Plan
from provisioner.model.steps import StepId
from provisioner.model.units import MIB
from provisioner.operations.observe import observe
from provisioner.steps import removal
from provisioner.workflows import tables
from provisioner.workflows.down import plan_down
from provisioner.workflows.ordering import linked
from provisioner.workflows.session import Session
from provisioner.workflows.up import UP, ended, plan_up
from provisioner.workflows.workflow import Result, Workflow

GONE = "the old machines are removed"
"""What is left in place when a rebuild stops in its second half."""


def plan_rebuild(cluster: Cluster, seen: Observed, options: RunOptions) -> Plan:
    """Both halves as one plan, the second as far as it is known before the first. Pure. What either refuses, the rebuild refuses: nothing
    is removed for a cluster that could not be made again.
    """
    going = plan_down(cluster, seen, replace(options, remove=RemovalScope()))
    after = plan_up(cluster, without_machines(seen), options)
    actions = [*going.of(StepId.REMOVE), *after.actions]
    return replace(after, steps=REBUILD.steps, actions=linked(cluster, REBUILD.table, actions))


async def rebuild(session: Session, shown: Plan | None) -> Result:
    """Down and up as one run; the second half is planned again from what is there after the first."""
    seen = await session.read(observe(session.cluster, session.ports))
    plan = plan_rebuild(session.cluster, seen, session.options)
    if plan.refusals:
        session.tell(plan)
        return session.refused(plan)
    session.check_confirmed(plan, shown)
    session.tell(plan)
    going = replace(plan, actions=plan.of(StepId.REMOVE))
    session.stays = "what was not removed yet stays" if going.destroys else "nothing was removed"
    outcome = await session.carry_out(seen, going, keys=False)
    if outcome.faults or outcome.interrupted:
        return session.ended(going, outcome, done="", nothing="")
    session.stays = GONE
    session.resume_command = f"provision up {session.cluster.name}"  # there is nothing left to remove
    seen = await session.read(observe(session.cluster, session.ports))
    made = replace(plan_up(session.cluster, seen, session.options), steps=REBUILD.steps)
    if made.refusals:
        return session.refused(made, GONE)
    return ended(session, made, await session.carry_out(seen, made))


def without_machines(seen: Observed) -> Observed:
    """What would be seen after `down`: the same hosts without our VMs."""
    hosts = {}
    for name, state in seen.hosts.items():
        ours = removal.our_vms(state, seen)
        freed = sum(vm.memory_mib for vm in ours if vm.state == "Running") * MIB
        ids = our_ids(seen.secrets)
        others = tuple(
            folder
            for folder in state.folders
            if folder.mark.cluster_id not in ids
            or copies_of(seen.hosts, folder.mark)  # the record that tells them apart
        )
        host = replace(state.host, memory_free_bytes=state.host.memory_free_bytes + freed)
        hosts[name] = replace(state, host=host, vms=tuple(vm for vm in state.vms if vm not in ours), folders=others)
    return replace(seen, hosts=hosts, machines={}, unread={}, etcd=None, etcd_began=None, nodes=None)


REBUILD = Workflow(
    name="rebuild",
    table=tables.REBUILD,
    observe=observe,
    plan=plan_rebuild,
    apply={StepId.REMOVE: removal.apply, **UP.apply},
    story=rebuild,
)
