"""Step 7: the machine config. Holds every key of the cluster, so the proof of identity comes first, even before the dry run."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from dataclasses import dataclass

from provisioner.errors import (
    Dropped,
    Fault,
    Malformed,
    NotTrusted,
    Rejected,
    TalosRefused,
    TransportError,
    Unreachable,
)
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.facts import MachineFacts, Observed
from provisioner.model.naming import spaced_mac
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import STEP, StepId
from provisioner.model.wording import count
from provisioner.model.work import ApplyConfig
from provisioner.steps.actions import Kept, act, keep
from provisioner.steps.blame import unless_host_lost
from provisioner.steps.discovery import identity_problem
from provisioner.steps.left_disks import to_attach
from provisioner.steps.run_context import Run
from provisioner.steps.waiting import Pending, Ready, TimedOut


def plan(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    for machine in cluster.machines:
        facts = seen.machines.get(machine.name)
        if facts is not None and facts.mode == "secure":
            yield keep(StepId.CONFIG, machine, f"has its config, stage {facts.stage}")
        elif facts is None and (machine.name in seen.installed or to_attach(cluster, machine, seen) is not None):
            why = "has its config already; sent only if it comes up in maintenance"
            yield act(StepId.CONFIG, machine, Verb.WAIT, why, ApplyConfig())
        else:
            patches = len(cluster.patches) + len(machine.patches)
            of_role = cluster.control_plane_patches if machine in cluster.control_planes else cluster.worker_patches
            patches += len(of_role)
            why = f"{machine.role.words}, {count(patches, 'patch', 'patches')}" if patches else machine.role.words
            yield act(StepId.CONFIG, machine, Verb.APPLY, why, ApplyConfig())


async def apply(action: Action, run: Run) -> str:
    machine = run.cluster.machine(action.machine)
    if run.facts_of(machine.name).mode == "secure":
        return Kept("has its config already")
    endpoint = await _endpoint(action, run)
    config = run.ports.configs.machine_config(run.cluster, machine, run.bundle, endpoint=endpoint)
    _check_disk(run, machine)
    _check_address(run, machine)
    run.ports.store.write_machine_config(machine.name, config)
    run.remember(endpoint=endpoint)
    delivery = _Delivery(run, machine, config)

    def late(late: TimedOut) -> Awaitable[Fault]:
        message = f"the config of {machine.name} could not be delivered"
        if delivery.sent:
            message = f"whether {machine.name} took its config cannot be told"
        fault = late.fault("P-CONFIG-LOSTANSWER", message, expected="an answer", machine=machine.name)
        return unless_host_lost(run, fault)

    why = "dry run, then the config itself"
    return (await run.wait(action, delivery.probe, what="config accepted", why=why, late=late)).seen


async def _endpoint(action: Action, run: Run) -> str:
    """The first control plane's own config knows its address already; all others wait for it."""
    first = run.cluster.control_planes[0].name

    async def probe() -> Ready[str] | Pending:
        url = run.endpoint()
        return Ready(url, url) if url else Pending(f"the address of {first} is not known yet")

    met = await run.wait(
        action,
        probe,
        what="endpoint known",
        why=f"it is the address of {first}",
        bound_s=STEP[StepId.MAINTENANCE].bound_s,
        every_s=5.0,
        wake=run.learned,
        late=lambda late: late.fault(
            "P-BOOT-NOMAINT",
            f"{action.machine} waits for the address of {first}, which did not come",
            expected=f"{first} in maintenance",
            machine=action.machine,
        ),
    )
    return met.value


def _check_disk(run: Run, machine: MachineSpec) -> None:
    """Talos accepts a config with a disk it does not have, and never installs (talos issue 11940): look first."""
    disks = run.facts_of(machine.name).disks
    wanted = run.config_of(machine).install_disk  # empty where a selector chooses
    usable = [d for d in disks if not d.readonly and not d.cdrom]
    if wanted and disks and wanted not in {d.path for d in usable}:
        raise Fault(
            "P-CONFIG-NODISK",
            f"{machine.name} has no disk {wanted}",
            expected=f"the install disk {wanted}",
            seen=tuple(f"{d.path}, {d.size_bytes / 1e9:.0f} GB" for d in usable) or ("no disk at all",),
            next_steps=("put one of them into install_disk:, or into the patch that names the disk",),
            machine=machine.name,
        )


def _check_address(run: Run, machine: MachineSpec) -> None:
    """`address:` is what the router shall hand out. Where it did not, and the endpoint hangs on it, no worker would ever come up."""
    cluster, seen = run.cluster, run.facts_of(machine.name).address
    if machine.address in ("", seen, *run.config_of(machine).addresses):
        return  # a static one is taken when the machine has its config
    reserve = f"reserve {machine.address} for {spaced_mac(machine.mac)} on the router"
    if machine is not cluster.control_planes[0] or cluster.endpoint or cluster.vip:
        message = f"{machine.name} is at {seen}, the file says {machine.address}: {reserve}"
        run.note("warning", message, step=StepId.CONFIG, machine=machine.name)
        return
    raise Fault(
        "P-CONFIG-ENDPOINT",
        f"{machine.name} is at {seen}, but the endpoint would be {machine.address}",
        expected=f"the first control plane at the address: of the file, {machine.address}",
        seen=(f"{machine.name} at {seen}", "no config was sent to it"),
        next_steps=(f"{reserve} and restart the VM, or put address: {seen} into {cluster.file.name}",),
        machine=machine.name,
    )


@dataclass
class _Delivery:
    """One config on its way. Remembers that it was sent, since the answer may be lost with the maintenance server."""

    run: Run
    machine: MachineSpec
    config: bytes
    sent: bool = False

    async def probe(self) -> Ready[None] | Pending:
        run, machine = self.run, self.machine
        address = run.address_of(machine.name)
        try:
            facts = await run.ports.machines.read(address, None)
        except Unreachable as error:
            if self.sent:
                return Ready(None, "taken: the machine left maintenance")
            return Pending(f"{address}: {error}")
        except (NotTrusted, Rejected):
            return Ready(None, "taken: the machine serves with its config")
        except TransportError as error:
            return Pending(str(error))
        if facts.stage != "maintenance":
            return Ready(None, f"taken: stage {facts.stage}") if self.sent else Pending(f"stage {facts.stage}")
        return await self._send(facts)

    async def _send(self, facts: MachineFacts) -> Ready[None] | Pending:
        """Proof, dry run, config: all over the one key that the proof was read from."""
        run, machine = self.run, self.machine
        problem = identity_problem(machine, run.vm_of(machine.name), facts, run.finder_of(machine))
        if problem:
            raise Fault(
                "P-BOOT-FOREIGN",
                f"another machine answers where {machine.name} did",
                expected="the machine that was proven a moment ago",
                seen=(problem, "no config was sent to it"),
                machine=machine.name,
            )
        in_earnest = False
        try:
            await run.ports.machines.apply(facts.address, None, self.config, dry_run=True, pin=facts.fingerprint)
            in_earnest = True
            outcome = await run.ports.machines.apply(
                facts.address, None, self.config, dry_run=False, pin=facts.fingerprint
            )
        except TalosRefused as refusal:
            raise Fault(
                "P-CONFIG-REFUSED",
                f"Talos refuses the config of {machine.name}",
                expected="a config that Talos takes",
                seen=tuple(line.strip() for line in refusal.message.splitlines() if line.strip()),
                next_steps=(f"provision config machine {run.cluster.name} {machine.name}",),
                machine=machine.name,
            ) from refusal
        except Dropped as lost:
            self.sent = True
            return Pending(f"the connection broke ({lost}); looking whether the config arrived")
        except Malformed as error:  # it was proven to be ours: what it made of the config shows when it is looked at
            self.sent = self.sent or in_earnest
            return Pending(str(error))
        except NotTrusted:
            return Pending("the machine made a new key since the proof; proving again")
        except TransportError as error:
            return Pending(str(error))
        for warning in outcome.warnings:
            run.note("warning", f"{machine.name}: {warning}", step=StepId.CONFIG, machine=machine.name)
        run.of(machine.name).configured = True
        return Ready(None, "dry run and config taken")
