"""Step 8: Talos installs itself to the disk and comes back. Proven by the machine's own word under our own authority."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from provisioner.errors import Dropped, Fault, Malformed, NotTrusted, Rejected, TransportError, Unreachable
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.facts import MachineFacts, Observed
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import AwaitDisk
from provisioner.ports import TALOS_PORT
from provisioner.steps.actions import act, keep
from provisioner.steps.blame import give_up_on_lost_host, running_vm
from provisioner.steps.discovery import same_uuid
from provisioner.steps.run_context import Run
from provisioner.steps.waiting import Pending, Ready, first_ready

BACK_S = 180.0
"""A machine that stands in maintenance this long after it took its config has lost it: nothing will change by waiting."""
BACK_REAL_S = 4.0
"""The same in real time at least."""

MOVED_AFTER_S = 150.0
"""A machine that is silent this long, an installation and a reboot included, may have another address: look for it by its MAC."""


def plan(cluster: Cluster, seen: Observed, restarted: Collection[str] = ()) -> Iterator[Action]:
    """`restarted`: machines that the step of the VMs restarts."""
    for machine in cluster.machines:
        facts = seen.machines.get(machine.name)
        installed = facts is not None and facts.mode == "secure" and facts.from_disk
        if installed and machine.name in restarted:
            why = "until it runs again after its restart"
            yield act(StepId.INSTALL, machine, Verb.WAIT, why, AwaitDisk(running=True))
        elif facts is not None and installed:
            yield keep(StepId.INSTALL, machine, f"{facts.talos} runs from {facts.system_disk}")
        else:
            yield act(StepId.INSTALL, machine, Verb.WAIT, _why(machine, seen), AwaitDisk())


def _why(machine: MachineSpec, seen: Observed) -> str:
    if machine.name in seen.installed and machine.name not in seen.machines:
        return "until it runs from its disk again"
    config = seen.configs.get(machine.name)
    disk = config.install_disk if config else ""
    return f"to {disk}, then reboot" if disk else "to the disk that its diskSelector chooses, then reboot"


async def apply(action: Action, run: Run) -> str:
    machine = run.cluster.machine(action.machine)
    watcher = _Return(run, machine, running=isinstance(action.work, AwaitDisk) and action.work.running)
    finder = run.finder_of(machine)
    try:
        met = await run.wait(
            action,
            watcher.probe,
            what="installed",
            why="Talos pulls its installer, writes the disk and reboots",
            every_s=1.0,
            wake=run.learned,
            late=lambda late: watcher.fault(late.reason, within=f", within {late.bound}"),
        )
    finally:
        finder.enough(machine.mac)
    run.learn(machine.name, met.value)
    run.remember_address(machine.name, met.value.address, installed=True)
    return met.seen


class _Return:
    """Looks for the machine under our own authority, at its last address and at any new one. `running`: it must be in that stage too."""

    def __init__(self, run: Run, machine: MachineSpec, *, running: bool) -> None:
        self.run = run
        self.machine = machine
        self.running = running
        self.last_answer = run.ports.clock.now()
        self.other_authority = False
        self.in_maintenance_since: float | None = None
        """Since when it stands in maintenance again, without a break."""

    async def probe(self) -> Ready[MachineFacts] | Pending:
        run, machine, clock = self.run, self.machine, self.run.ports.clock
        finder = run.finder_of(machine)
        # a patch may give it the address of the file
        places = dict.fromkeys((run.of(machine.name).address, machine.address, *finder.addresses(machine.mac)))
        result = await first_ready(self._look(address) for address in places if address)
        if isinstance(result, Ready):
            return result
        if clock.now() - self.last_answer > MOVED_AFTER_S:
            finder.want(machine.mac)
            await give_up_on_lost_host(run, machine)
        if self.in_maintenance_since is not None:
            waited = clock.now() - self.in_maintenance_since
            if waited > max(BACK_S, BACK_REAL_S * clock.rate):
                raise await self.fault(f"stage maintenance for {waited / clock.rate:.0f} s")
        return Pending(result or "no address known")

    async def _look(self, address: str) -> Ready[MachineFacts] | Pending:
        run, machine = self.run, self.machine
        try:
            facts = await run.ports.machines.read(address, run.access)
        except (Unreachable, Dropped):
            return Pending(f"{address}: installing or rebooting, port {TALOS_PORT} does not answer")
        except NotTrusted:
            return await self._why_not_trusted(address)
        except Rejected as error:
            self.other_authority = True
            return Pending(f"{address}: refuses our certificate ({error})")
        except TransportError as error:
            return Pending(f"{address}: {error}")
        if not same_uuid(facts.uuid, run.vm_of(machine.name).bios_uuid):
            return Pending(f"{address}: another machine of this cluster")
        self.last_answer, self.in_maintenance_since = run.ports.clock.now(), None
        if not facts.from_disk:
            return Pending(f"{address}: stage {facts.stage}, not from its disk yet")
        if self.running and facts.stage != "running":
            return Pending(f"{address}: stage {facts.stage}")
        return Ready(facts, f"{facts.talos} runs from {facts.system_disk} at {address}")

    async def _why_not_trusted(self, address: str) -> Pending:
        """Not our authority: still, or again, in maintenance; or installed by someone else."""
        try:
            facts = await self.run.ports.machines.read(address, None)
        except Malformed as error:  # not Talos: it says nothing about our machine
            return Pending(f"{address}: {error}")
        except TransportError:
            self.other_authority = True
            return Pending(f"{address}: its certificate is not of this cluster")
        if not same_uuid(facts.uuid, self.run.vm_of(self.machine.name).bios_uuid):
            return Pending(f"{address}: another machine, stage {facts.stage}")
        self.last_answer = self.run.ports.clock.now()
        if facts.stage != "maintenance":
            self.in_maintenance_since = None
        elif self.in_maintenance_since is None:
            self.in_maintenance_since = self.last_answer
        return Pending(f"{address}: stage {facts.stage}")

    async def fault(self, reason: str, *, within: str = "") -> Fault:
        """What to tell of it. The host is asked first: a machine whose host is gone is silent too."""
        run, machine = self.run, self.machine
        expected = f"Talos from its disk{within}"
        vm = await running_vm(run, machine, expected=expected)
        picture = await run.picture(machine.name)
        back = self.in_maintenance_since is not None
        if self.other_authority and not back:
            return Fault(
                "P-INSTALL-NOTOURS",
                f"{machine.name} answers, but not under this cluster's authority",
                expected="a certificate signed by the secrets of this cluster",
                seen=(reason,),
                next_steps=(f"restore the right secrets, or: provision down {run.cluster.name}",),
                picture=picture,
                machine=machine.name,
            )
        return Fault(
            "P-INSTALL-STUCK",
            f"{machine.name} did not come back from its installation",
            expected=expected,
            seen=(reason, f"VM {vm.state} for {vm.uptime_s} s, heartbeat {vm.heartbeat or 'none'}"),
            probable_cause="its installation was cut short (no installer image, or a restart), and it went back to maintenance"
            if back
            else "",
            next_steps=("look at the picture of its screen; check that machines reach the registry",),
            picture=picture,
            machine=machine.name,
        )
