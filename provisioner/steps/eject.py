"""Step 10: the ISO goes out of the drive once the machine runs from its disk. A machine that boots it again halts."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.errors import Fault
from provisioner.model.cluster import Cluster
from provisioner.model.facts import Observed, VmFacts
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import EjectIso
from provisioner.steps.actions import act, keep
from provisioner.steps.host_faults import on_host
from provisioner.steps.run_context import Run
from provisioner.steps.vm import find_vm
from provisioner.steps.waiting import Pending, Ready


def plan(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    for machine in cluster.machines:
        vm = find_vm(machine, seen.hosts[machine.host], seen.secrets)
        if vm is not None and vm.complete and not vm.iso:
            yield keep(StepId.EJECT, machine, "the drive is empty")
        else:
            yield act(StepId.EJECT, machine, Verb.EJECT, "once it runs from its disk", EjectIso())


async def apply(action: Action, run: Run) -> str:
    machine = run.cluster.machine(action.machine)
    facts = run.of(machine.name).facts
    if facts is None or not facts.from_disk:
        raise Fault("P-RUN-BUG", f"{machine.name} is not proven to run from its disk, so its ISO stays")
    host, vm = run.host_of(machine), run.vm_of(machine.name)

    async def probe() -> Ready[VmFacts] | Pending:
        after = await host.dismount_iso(vm.id)
        if after.iso:
            return Pending(f"the drive still holds {after.iso}")
        return Ready(after, f"drive read back empty, runs from {facts.system_disk}")

    met = await run.wait(
        action,
        on_host(probe, host=machine.host, machine=machine.name),
        what="drive empty",
        why="the host empties the drive",
        every_s=2.0,
        late=lambda late: late.fault(
            "P-HOST-LOST",
            f"the ISO of {machine.name} could not be ejected",
            expected="an empty drive",
            next_steps=(f"provision up {run.cluster.name}, before the machine is restarted",),
            machine=machine.name,
        ),
    )
    run.of(machine.name).vm = met.value
    return met.seen
