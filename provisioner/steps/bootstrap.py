"""Step 9: etcd, exactly once, on the first control plane. Talos' call is not idempotent; its effect is read back from the member list.

Once is meant for the life of the cluster (`etcd_life` says what that is). A first control plane that was recreated joins the others: told
to bootstrap, it would begin a second etcd beside theirs, and Talos would let it, for its own disk is empty. Where there are no others
whose data it could join, the life is over, and the step refuses. A machine whose etcd is known to have run is waited for, and never asked
again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from provisioner.errors import Fault, TalosRefused, TransportError
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.facts import EtcdMemberFacts, Observed
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import BootstrapEtcd
from provisioner.steps.actions import act, keep
from provisioner.steps.blame import unless_host_lost
from provisioner.steps.etcd_life import fault_of_loss, in_kubernetes, lost, signs_of_life
from provisioner.steps.left_disks import to_attach
from provisioner.steps.run_context import Run
from provisioner.steps.vm import find_vm
from provisioner.steps.waiting import Pending, Ready, TimedOut

NOT_YET = ("FAILED_PRECONDITION", "UNAVAILABLE")
"""Answers of Bootstrap that pass by themselves: CRI not up yet, time not in sync yet, apid restarting. Source: Talos' server."""

TIME = "time"
"""Talos' name of the condition that the clock is in sync. Source: MachineStatus, facts of Talos, 3.9."""

WITHOUT_DATA = ("", "Initialized", "Waiting", "Preparing")
"""States of the service etcd on a control plane that has not joined any etcd yet. Source: facts of Talos, 4.2."""


def plan(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    first = cluster.control_planes[0]
    vm = find_vm(first, seen.hosts[first.host], seen.secrets)
    if seen.etcd is not None and any(member.hostname == first.name for member in seen.etcd):
        why = f"etcd runs with {len(seen.etcd)} of {len(cluster.control_planes)} members"
        yield keep(StepId.BOOTSTRAP, "etcd", why)
        return
    began = seen.etcd_began is not None and (vm is not None and vm.id in seen.etcd_began.vms)
    again = began or (vm is None and to_attach(cluster, first, seen) is not None)
    verb = Verb.WAIT if again else Verb.ONCE
    why = f"until it runs again, from the disk of {first.name}" if again else f"on {first.name}"
    yield act(StepId.BOOTSTRAP, "etcd", verb, why, BootstrapEtcd(), machine=first.name, host=first.host)


async def apply(action: Action, run: Run) -> str:
    """Looks at the member list first: a run that was killed may have bootstrapped already."""
    bootstrap = _Bootstrap(run, action.machine)

    async def late(late: TimedOut) -> Fault:
        fault = late.fault(
            "P-ETCD-STUCK",
            f"etcd did not start on {action.machine}",
            expected=f"etcd's member list naming {action.machine},",
            seen=(late.reason, *((bootstrap.ran_before,) if bootstrap.ran_before else ())),
            probable_cause="machines do not reach a time server" if await bootstrap.waits_for_time() else "",
            next_steps=bootstrap.way_out(),
            machine=action.machine,
        )
        return await unless_host_lost(run, fault)

    met = await run.wait(
        action,
        bootstrap.probe,
        what="etcd",
        why="etcd starts as a cluster of one",
        every_s=1.0,
        late=late,
    )
    run.remember_bootstrap()
    run.etcd_runs = True
    return met.seen


class _Bootstrap:
    """Whether the call was accepted is remembered, so that it is never sent again after that."""

    def __init__(self, run: Run, machine: str) -> None:
        self.run = run
        self.machine = machine
        began = run.seen.etcd_began or run.hints.etcd_began
        self.seen = replace(run.seen, etcd_began=began)
        self.ran_before = _why_it_ran_before(run, self.seen, machine)
        self.accepted = bool(self.ran_before)
        self.refused_as_done = False
        self.before = [m for m in run.cluster.control_planes if m.name != machine and _was_there(m, run)]
        """Other control planes that an earlier run made: they may hold etcd's data."""

    async def waits_for_time(self) -> bool:
        """Whether the machine itself says that its clock is not in sync."""
        run = self.run
        try:
            facts = await run.ports.machines.read(run.address_of(self.machine), run.access)
        except TransportError:
            return False
        return any(condition.name == TIME for condition in facts.unmet)

    def way_out(self) -> tuple[str, ...]:
        if not self.ran_before:
            return ()
        name = self.run.cluster.name
        return (
            f"look at it: talosctl --nodes {self.run.address_of(self.machine)} service etcd",
            f"only if its data is gone for good, to start over with an empty cluster: provision rebuild {name}",
        )

    async def probe(self) -> Ready[None] | Pending:
        members = await self._members()
        if isinstance(members, Pending):
            if self.accepted:
                return members
            joins = await self._joins()
            if joins is None:
                self._refuse_second_life()
            return joins or await self._call(members)
        if any(member.hostname == self.machine for member in members):
            return Ready(None, f"etcd's member list names {self.machine}")
        if self.refused_as_done and members:
            raise Fault(
                "P-ETCD-TWICE",
                f"etcd on {self.machine} belongs to another cluster",
                expected=f"a member list that names {self.machine}",
                seen=tuple(f"member {member.hostname}" for member in members),
                next_steps=(f"provision rebuild {self.run.cluster.name}",),
                machine=self.machine,
            )
        return Pending("etcd's member list does not name this machine yet")

    async def _members(self) -> tuple[EtcdMemberFacts, ...] | Pending:
        run = self.run
        try:
            return await run.ports.machines.etcd_members(run.address_of(self.machine), run.access)
        except TalosRefused as refusal:
            return Pending(f"etcd: {refusal.message}")
        except TransportError as error:
            return Pending(f"{self.machine}: {error}")

    async def _joins(self) -> Pending | None:
        """Why this machine must not bootstrap: etcd lives on another one, or may."""
        run = self.run
        for other in self.before:
            facts = run.of(other.name).facts
            if facts is None and run.of(other.name).failed:
                raise Fault(
                    "P-ETCD-STUCK",
                    f"etcd is not started on {self.machine}: {other.name} may hold its data, and could not be reached",
                    expected="every control plane of an earlier run reached, so that no second etcd begins",
                    seen=(f"{other.name} was made by an earlier run",),
                    machine=self.machine,
                )
            if facts is None:
                return Pending(f"{other.name} was not reached yet, and may hold etcd's data")
            if facts.mode == "secure" and (why := await self._why_data(other.name)):
                return Pending(f"{why}: {self.machine} joins it by itself")
        return None

    def _refuse_second_life(self) -> None:
        """Raises P-ETCD-LOST where Bootstrap would begin a second life: etcd began before, and this disk was empty in this run."""
        run = self.run
        evidence = signs_of_life(run.cluster, self.seen)
        if run.of(self.machine).configured and evidence and not self.before:
            empty = f"{self.machine} took its config in this run: its disk was empty"
            raise fault_of_loss(run.cluster, self.seen, (empty, *evidence))
        if fault := lost(run.cluster, self.seen):
            raise fault

    async def _why_data(self, other: str) -> str:
        """What says that etcd's data is on that machine; empty when nothing does."""
        run = self.run
        if run.hints.etcd_began is not None:
            return f"etcd was started in an earlier run, and {other} was there"
        try:
            services = await run.ports.machines.services(run.address_of(other), run.access)
        except TransportError as error:
            return f"{other} does not tell whether it has etcd ({error})"
        state = next((service.state for service in services if service.id == "etcd"), "")
        return "" if state in WITHOUT_DATA else f"etcd is {state} on {other}"

    async def _call(self, why_no_members: Pending) -> Ready[None] | Pending:
        run = self.run
        try:
            await run.ports.machines.bootstrap(run.address_of(self.machine), run.access)
        except TalosRefused as refusal:
            if refusal.status == "ALREADY_EXISTS":
                self.accepted = self.refused_as_done = True
                return why_no_members
            if refusal.status in NOT_YET:
                return Pending(refusal.message)
            raise Fault(
                "P-ETCD-STUCK",
                f"{self.machine} refuses to bootstrap",
                expected="Bootstrap accepted",
                seen=(f"{refusal.status}: {refusal.message}",),
                machine=self.machine,
            ) from refusal
        except TransportError as lost:
            return Pending(f"the answer was lost ({lost}); the member list tells")
        self.accepted = True
        return Pending("bootstrap accepted, etcd is starting")


def _why_it_ran_before(run: Run, seen: Observed, machine: str) -> str:
    """What says that etcd has run on the disk that the machine has now; empty where nothing does."""
    if run.of(machine).configured or lost(run.cluster, seen):
        return ""
    noted, vm = seen.etcd_began, run.of(machine).vm
    if noted is not None and vm is not None and vm.id in noted.vms:
        return f"an earlier run started etcd on {machine}"
    left = to_attach(run.cluster, run.cluster.machine(machine), seen)
    if noted is not None and left is not None and left.vm_id in noted.vms:
        return f"an earlier run started etcd on the disk in {left.path}"
    before = seen.machines.get(machine)
    if before is not None and before.mode == "secure" and (worker := in_kubernetes(run.cluster, seen)):
        return f"{worker} is a ready node, so etcd ran before"
    return ""


def _was_there(machine: MachineSpec, run: Run) -> bool:
    vm = find_vm(machine, run.seen.hosts[machine.host], run.seen.secrets)
    return vm is not None and vm.complete
