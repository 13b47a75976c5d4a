"""Step 6: from "the VM runs" to "this machine, at this address, in the Maintenance stage, is that VM"."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.errors import Abandoned, Fault, NotTrusted, Rejected, TransportError, Unreachable
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.facts import MachineFacts, Observed, VmFacts
from provisioner.model.naming import spaced_mac
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import STEP, StepId
from provisioner.model.work import FindMachine
from provisioner.ports import TALOS_PORT
from provisioner.steps.actions import act, keep
from provisioner.steps.blame import give_up_on_lost_host, guest_runs, running_vm
from provisioner.steps.discovery import identity_problem, same_uuid
from provisioner.steps.run_context import Run
from provisioner.steps.vm import find_vm, restart_from_disk
from provisioner.steps.waiting import Pending, Ready, TimedOut, first_ready

HALTED_AFTER_S = 90.0
"""A machine that was installed before and still does not answer after this long, with an ISO in its drive, is taken to have halted."""


def plan(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    for machine in cluster.machines:
        facts = seen.machines.get(machine.name)
        vm = find_vm(machine, seen.hosts[machine.host], seen.secrets)
        if facts is not None and facts.mode == "secure":
            yield keep(StepId.MAINTENANCE, machine, f"runs with its config at {facts.address}")
        elif facts is not None and facts.stage == "maintenance":
            why = f"in maintenance at {facts.address}: prove it"
            yield act(StepId.MAINTENANCE, machine, Verb.WAIT, why, FindMachine())
        else:
            why, bound_s = _why(machine, vm, seen), _bound_s(vm, seen)
            yield act(StepId.MAINTENANCE, machine, Verb.WAIT, why, FindMachine(), bound_s=bound_s)


def _why(machine: MachineSpec, vm: VmFacts | None, seen: Observed) -> str:
    if vm is None:
        return "until maintenance"
    if machine.name in seen.installed:
        return "until it answers: Talos is on its disk"
    return f"until it answers ({seen.unread.get(machine.name, f'the VM is {vm.state}')})"


def _bound_s(vm: VmFacts | None, seen: Observed) -> float:
    """A machine that an earlier run left may be installing, and a worker's API opens only after bootstrap: while that is not done, such
    a machine is given as long as an installation takes.
    """
    left_by_earlier_run = vm is not None and vm.state == "Running" and vm.complete and seen.etcd is None
    return STEP[StepId.INSTALL if left_by_earlier_run else StepId.MAINTENANCE].bound_s


async def apply(action: Action, run: Run) -> str:
    """Finds and proves the machine. One that turns out to run with our config already is as good: later steps keep."""
    machine = run.cluster.machine(action.machine)
    search = _Search(run, machine)
    finder = run.finder_of(machine)
    finder.want(machine.mac)
    try:
        met = await run.wait(
            action,
            search.probe,
            what="maintenance",
            why="the VM boots the ISO and asks for an address",
            bound_s=search.bound_s,
            wake=run.learned,
            late=search.fault,
        )
    finally:
        finder.enough(machine.mac)
    facts = met.value
    run.learn(machine.name, facts)
    run.remember_address(machine.name, facts.address, installed=facts.mode == "secure")
    return met.seen


class _Search:
    """What is remembered between two looks: machines of others that answered, and whether the machine may have halted."""

    def __init__(self, run: Run, machine: MachineSpec) -> None:
        self.run = run
        self.machine = machine
        self.others: dict[str, str] = {}
        self.silent_since = run.ports.clock.now()
        self.revived = False
        before = find_vm(machine, run.seen.hosts[machine.host], run.seen.secrets)
        self.bound_s = _bound_s(before, run.seen)
        self.left_by_earlier_run = self.bound_s > STEP[StepId.MAINTENANCE].bound_s
        self.was_installed = run.was_installed(machine.name)

    async def probe(self) -> Ready[MachineFacts] | Pending:
        run, machine = self.run, self.machine
        vm, finder = run.vm_of(machine.name), run.finder_of(machine)
        await give_up_on_lost_host(run, machine)
        self.others = {}  # what answered earlier says nothing about now
        first = run.cluster.control_planes[0].name
        if run.of(first).failed and self.left_by_earlier_run:
            raise Abandoned(f"{machine.name} may wait for bootstrap, and {first} failed")
        candidates = finder.addresses(machine.mac)
        if not candidates:
            await self._revive(vm)
            trouble = f"; {finder.trouble}" if finder.trouble else ""
            return Pending(f"VM {vm.state}, the host knows no address for {spaced_mac(machine.mac)} yet{trouble}")
        result = await first_ready(self._look(address, vm) for address in candidates)
        if isinstance(result, Ready):
            return result
        await self._revive(vm)
        return Pending(result)

    async def _look(self, address: str, vm: VmFacts) -> Ready[MachineFacts] | Pending:
        run, machine = self.run, self.machine
        try:
            facts = await run.ports.machines.read(address, None)
        except Unreachable:
            return Pending(f"{address}: port {TALOS_PORT} does not answer")
        except (NotTrusted, Rejected):
            return await self._look_secure(address, vm)
        except TransportError as error:
            return Pending(f"{address}: {error}")
        problem = identity_problem(machine, vm, facts, run.finder_of(machine))
        if problem:
            return self._another(address, problem)
        if facts.stage != "maintenance":
            return Pending(f"{address}: stage {facts.stage}")
        return Ready(facts, f"maintenance at {address}")

    async def _look_secure(self, address: str, vm: VmFacts) -> Ready[MachineFacts] | Pending:
        """It asks for a client certificate: a machine with a config. Ours, perhaps, from a run that was killed."""
        run = self.run
        try:
            facts = await run.ports.machines.read(address, run.access)
        except (NotTrusted, Rejected):
            return Pending(f"{address}: a machine with another cluster's config answers")
        except TransportError as error:
            return Pending(f"{address}: {error}")
        if not same_uuid(facts.uuid, vm.bios_uuid):
            return self._another(address, f"{address} has UUID {facts.uuid}, the VM has {vm.bios_uuid}")
        return Ready(facts, f"runs with our config at {address}")

    def _another(self, address: str, what: str) -> Pending:
        """A third-party machine answers there. In a lab it is one that the lab has for that, and nothing to worry about."""
        self.others[address] = what
        whose = ", which is part of the lab" if self.run.cluster.lab is not None else ""
        return Pending(f"another machine answers{whose}: {what}")

    async def _revive(self, vm: VmFacts) -> None:
        """`talos.halt_if_installed`: the ISO booted although Talos is on the disk. Nothing listens, for ever.

        A worker whose control plane is not up yet is as silent, and at work: its time is counted from when etcd runs.
        """
        now = self.run.ports.clock.now()
        if self.machine in self.run.cluster.workers and not self.run.etcd_runs:
            self.silent_since = now
        waited = now - self.silent_since
        if self.was_installed and not self.revived and vm.iso and waited > HALTED_AFTER_S:
            self.revived = True
            await restart_from_disk(
                self.run, self.machine, f"nothing answers since {waited / self.run.ports.clock.rate:.0f} s"
            )

    async def fault(self, late: TimedOut) -> Fault:
        run, machine = self.run, self.machine
        bound = f"within {late.bound} of its start"
        vm = await running_vm(run, machine, expected=f"the machine in stage maintenance, {bound}")
        picture = await run.picture(machine.name)
        facts = self._facts_of_vm(vm, late)
        if self._only_others(vm):
            address = next(iter(self.others))
            return Fault(
                "P-BOOT-FOREIGN",
                f"another machine answers at {address}, where {machine.name} should",
                expected=f"MAC {spaced_mac(machine.mac)} and UUID {run.vm_of(machine.name).bios_uuid}, {bound}",
                seen=(*self.others.values(), "no config was sent to it", *facts),
                next_steps=(f"find out which machine it is, or set mac: for {machine.name} in the cluster file",),
                picture=picture,
                machine=machine.name,
            )
        if self.was_installed and vm.iso:
            return Fault(
                "P-BOOT-HALTED",
                f"{machine.name} does not come up, although Talos was installed on it",
                expected=f"its API, {bound}",
                seen=facts,
                probable_cause="it boots the ISO again and halts (talos.halt_if_installed)",
                next_steps=(f"provision up {run.cluster.name}",),
                picture=picture,
                machine=machine.name,
            )
        return Fault(
            "P-BOOT-NOMAINT",
            f"{machine.name} runs, but no Talos API of it answers",
            expected=f"the machine in stage maintenance, {bound}",
            seen=(*facts, *(said for said in self.others.values() if said not in late.reason)),
            probable_cause=self._likely(vm),
            next_steps=self._then(vm),
            picture=picture,
            machine=machine.name,
        )

    def _only_others(self, vm: VmFacts) -> bool:
        """Whether another machine that answers where ours should is the cause: ours runs, and all its addresses are the other's. A VM in
        which nothing runs is silent by itself, whatever else has its MAC address.
        """
        known = self.run.finder_of(self.machine).addresses(self.machine.mac)
        return bool(self.others) and guest_runs(vm) and all(address in self.others for address in known)

    def _facts_of_vm(self, vm: VmFacts, late: TimedOut) -> tuple[str, ...]:
        return (
            f"VM {vm.state} for {vm.uptime_s} s, heartbeat {vm.heartbeat or 'none'}, ISO {'mounted' if vm.iso else 'not mounted'}",
            f"boot order: {', '.join(vm.boot_order)}",
            late.reason,
        )

    def _then(self, vm: VmFacts) -> tuple[str, ...]:
        if not vm.iso and not guest_runs(vm):
            found = self.run.images.get(self.machine.host)
            return (
                f"on the host: Set-VMDvdDrive -VMName '{vm.name}' -Path '{found.path if found else 'PATH OF THE ISO'}'",
                f"then: Stop-VM -Name '{vm.name}' -TurnOff, and the same command again",
            )
        if self.run.cluster.lab is not None:
            return ("look at the picture of its screen; provision lab status tells which faults are at work",)
        return (
            "look at the picture of its screen, and at the router's list of leases",
            f"if it hangs, on the host: Stop-VM -Name '{vm.name}' -TurnOff",
        )

    def _likely(self, vm: VmFacts) -> str:
        """A rule over facts: nothing to boot from; only this machine is missing, or all are."""
        if not guest_runs(vm):
            if not vm.iso:
                return "nothing runs in it: its disk does not boot, and there is no ISO in its drive"
            return "nothing runs in it: it hangs in its firmware, or does not boot what is in its drives"
        if self.others:
            return "another machine has its MAC address, and may hold its lease"
        run, machine = self.run, self.machine
        if run.finder_of(machine).addresses(machine.mac):
            return ""
        others = [m for m in run.cluster.machines if m is not machine and m.host == machine.host]
        up = sum(run.of(m.name).facts is not None for m in others)
        if others and up == len(others):
            return f"no address for {spaced_mac(machine.mac)}: the other {up} machines got theirs"
        return "" if up else "no machine got an address: no DHCP on the switch's network, or another VLAN"
