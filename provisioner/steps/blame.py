"""Before a machine is blamed, its host is asked: a machine whose host is gone is silent too, and nothing is wrong with it."""

from __future__ import annotations

from provisioner.errors import Answered, Fault, Malformed, TransportError
from provisioner.model.cluster import MachineSpec
from provisioner.model.facts import VmFacts
from provisioner.steps.host_faults import fault_of
from provisioner.steps.run_context import Run
from provisioner.steps.waiting import TimedOut, bounded

GONE_S = 120.0
"""A host that could not be asked for so long is asked once more by itself, and blamed if that fails too."""
GONE_REAL_S = 10.0
"""The same in real time at least: connections take real time, also where a lab's clock runs fast."""

ASK_S = 60.0
"""For one question to a host, in seconds of the clock port; an outage that the session tolerates comes on top."""


async def ask_about(run: Run, machine: MachineSpec) -> VmFacts | None:
    """The machine's VM as it is at this moment; None when it is gone, or never was.

    Raises the Fault that the host deserves when it cannot be asked: P-HOST-LOST, or what it answers instead of the VM.
    """
    known = run.of(machine.name).vm
    if known is None:
        return None
    asking = run.host_of(machine).find_vms([known.id])
    try:
        found = await bounded(run.ports.clock, asking, what=f"VM {machine.name}", bound_s=ASK_S)
    except (Answered, Malformed) as refusal:
        raise fault_of(refusal, host=machine.host, machine=machine.name) from refusal
    except TransportError as error:
        raise _lost(error, machine.host) from error
    return found[0] if found else None


async def give_up_on_lost_host(run: Run, machine: MachineSpec) -> None:
    """For waits whose search on the host fails: after `GONE_S` the host itself is asked. Raises its Fault when it is gone."""
    finder, clock = run.finder_of(machine), run.ports.clock
    if finder.trouble_since is not None and clock.now() - finder.trouble_since > max(GONE_S, GONE_REAL_S * clock.rate):
        await ask_about(run, machine)
        finder.trouble_since = None


def guest_runs(vm: VmFacts) -> bool:
    """Whether an operating system is at work in the VM, by its heartbeat. A hint for what a fault names, never a proof of identity.

    Source: https://learn.microsoft.com/powershell/module/hyper-v/get-vm; Linux answers it by its module hv_utils.
    """
    return vm.heartbeat.startswith("Ok")


async def running_vm(run: Run, machine: MachineSpec, *, expected: str) -> VmFacts:
    """The machine's VM, which runs. Raises the Fault of its host, and P-VM-STUCK for a machine that cannot answer, since its VM does not
    run any more.
    """
    vm = await ask_about(run, machine)
    if vm is not None and vm.state == "Running":
        return vm
    raise Fault(
        "P-VM-STUCK",
        f"{machine.name} does not run: its VM is {vm.state if vm else 'gone'}",
        expected=expected,
        seen=(
            f"VM {vm.name} is {vm.state}" if vm else f"its VM is not on {machine.host} any more",
            "it ran when this step began",
        ),
        probable_cause="someone, or the host itself, stopped or removed the VM",
        machine=machine.name,
    )


async def check_hosts(run: Run) -> None:
    """Raises the Fault of the first host that cannot be asked."""
    of_host: dict[str, MachineSpec] = {}
    for machine in run.cluster.machines:
        if run.of(machine.name).vm is not None:
            of_host.setdefault(machine.host, machine)
    for machine in of_host.values():
        await ask_about(run, machine)


async def unless_host_lost(run: Run, fault: Fault) -> Fault:
    """The fault of a wait that ended at its bound. Raises that of the host when it is the host that is gone."""
    await check_hosts(run)
    return fault


def _lost(error: TransportError, host: str) -> Fault:
    reason = error.reason if isinstance(error, TimedOut) else str(error)
    return Fault(
        "P-HOST-LOST",
        f"{host} does not answer any more, and its machines with it",
        expected="an answer of the host about its VMs",
        seen=(reason,),
        next_steps=("look at the host: its power, its network, the services WinRM and vmms",),
    )
