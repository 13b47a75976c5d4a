"""Step 9: etcd, exactly once, on the first control plane. Talos' call is not idempotent; its effect is read back from the member list."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.errors import Dropped, Fault, NotTrusted, Rejected, TalosRefused, TransportError, Unreachable
from provisioner.model.facts import EtcdMemberFacts, Observed
from provisioner.model.plan import Action, Verb
from provisioner.model.spec import Cluster
from provisioner.model.steps import StepId
from provisioner.steps.run import Run
from provisioner.steps.waits import Met, NotYet, TimedOut

NOT_YET = ("FAILED_PRECONDITION", "UNAVAILABLE")
"""Answers of Bootstrap that pass by themselves: CRI not up yet, time not in sync yet, apid restarting. Source: Talos' server."""


def plan(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    first = cluster.control_planes[0]
    if seen.etcd is not None and any(member.hostname == first.name for member in seen.etcd):
        why = f"etcd runs with {len(seen.etcd)} of {len(cluster.control_planes)} members"
        yield Action(step=StepId.BOOTSTRAP, verb=Verb.KEEP, object="etcd", why=why)
        return
    yield Action(
        step=StepId.BOOTSTRAP,
        verb=Verb.ONCE,
        object="etcd",
        kind="once",
        machine=first.name,
        host=first.host,
        why=f"on {first.name}",
    )


async def apply(action: Action, run: Run) -> str:
    """Looks at the member list first: a run that was killed may have bootstrapped already."""
    bootstrap = _Bootstrap(run, action.machine)
    try:
        met = await run.wait(
            bootstrap.probe,
            step=StepId.BOOTSTRAP,
            what="etcd",
            why="etcd starts as a cluster of one",
            machine=action.machine,
            every_s=1.0,
        )
    except TimedOut as late:
        raise Fault(
            "P-ETCD-STUCK",
            f"etcd did not start on {action.machine}",
            expected=f"etcd's member list naming {action.machine}, within {late.bound_s:g} s",
            seen=(late.reason,),
            likely="machines do not reach a time server" if "time" in late.reason else "",
            machine=action.machine,
        ) from late
    return met.seen


class _Bootstrap:
    """Whether the call was accepted is remembered, so that it is never sent again after that."""

    def __init__(self, run: Run, machine: str) -> None:
        self.run = run
        self.machine = machine
        self.accepted = False
        self.refused_as_done = False

    async def probe(self) -> Met[None] | NotYet:
        members = await self._members()
        if isinstance(members, NotYet):
            if self.accepted:
                return members
            return await self._call(members)
        if any(member.hostname == self.machine for member in members):
            return Met(None, f"etcd's member list names {self.machine}")
        if self.refused_as_done and members:
            raise Fault(
                "P-ETCD-TWICE",
                f"etcd on {self.machine} belongs to another cluster",
                expected=f"a member list that names {self.machine}",
                seen=tuple(f"member {member.hostname}" for member in members),
                then=(f"provision rebuild {self.run.cluster.name}",),
                machine=self.machine,
            )
        return NotYet("etcd's member list does not name this machine yet")

    async def _members(self) -> tuple[EtcdMemberFacts, ...] | NotYet:
        run = self.run
        _, access = run.keys()
        try:
            return await run.ports.machines.etcd_members(run.addresses[self.machine], access)
        except TalosRefused as refusal:
            return NotYet(f"etcd: {refusal.message}")
        except (NotTrusted, Rejected):
            raise
        except TransportError as error:
            return NotYet(f"{self.machine}: {error}")

    async def _call(self, why_no_members: NotYet) -> Met[None] | NotYet:
        run = self.run
        _, access = run.keys()
        try:
            await run.ports.machines.bootstrap(run.addresses[self.machine], access)
        except TalosRefused as refusal:
            if refusal.status == "ALREADY_EXISTS":
                self.accepted = self.refused_as_done = True
                return why_no_members
            if refusal.status in NOT_YET:
                return NotYet(refusal.message)
            raise Fault(
                "P-ETCD-STUCK",
                f"{self.machine} refuses to bootstrap",
                expected="Bootstrap accepted",
                seen=(f"{refusal.status}: {refusal.message}",),
                machine=self.machine,
            ) from refusal
        except (Dropped, Unreachable) as lost:
            return NotYet(f"the answer was lost ({lost}); the member list tells")
        self.accepted = True
        return NotYet("bootstrap accepted, etcd is starting")
