"""Step 1: is the host ready? Everything that can be known before anything is changed is checked here, all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta

from provisioner.errors import Fault
from provisioner.model.cluster import Cluster, HostSpec, MachineSpec
from provisioner.model.facts import HostState, Observed, VmFacts
from provisioner.model.naming import Mark, spaced_mac
from provisioner.model.ownership import claims, namesakes
from provisioner.model.plan import Action
from provisioner.model.steps import StepId
from provisioner.model.units import GIB, MIB
from provisioner.steps.actions import keep, refuse
from provisioner.steps.host_faults import hyperv_fault
from provisioner.steps.vm import FIRST_DISK_BYTES, find_vm

SPARE_MEMORY_BYTES = 2 * GIB
"""What Windows itself needs; Hyper-V refuses VM by VM, so without a sum beforehand three start and the fourth fails."""

CLOCK_TOLERANCE = timedelta(minutes=5)
"""Guests take their first time from the host; our certificates are back-dated by less than this."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One host, with all that its checks may look at."""

    cluster: Cluster
    spec: HostSpec
    state: HostState
    seen: Observed

    @property
    def machines(self) -> list[MachineSpec]:
        """Those that the file puts there."""
        return [machine for machine in self.cluster.machines if machine.host == self.spec.name]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that must be true of a host before anything is changed on it. Pure: it looks at what was observed."""

    question: str
    """What it asks, as a user would: `enough memory for the machines?`."""
    faults: Callable[[Subject], Iterable[Fault]]
    """What is wrong; nothing where all is well."""
    first: bool = False
    """The others say nothing while this one fails."""


def plan(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    """One keep or one refusal per host; a refusal names everything that is missing there."""
    for name, spec in cluster.hosts.items():
        state = seen.hosts[name]
        faults = list(failures(Subject(cluster=cluster, spec=spec, state=state, seen=seen)))
        if not faults:
            yield keep(StepId.HOST, name, _summary(state), host=name)
        for fault in faults:
            yield refuse(StepId.HOST, name, fault, name)


def failures(subject: Subject) -> Iterator[Fault]:
    """What the checks find on a host, in their order."""
    for check in CHECKS:
        found = list(check.faults(subject))
        yield from found
        if found and check.first:
            return


def _summary(state: HostState) -> str:
    host = state.host
    free = sum(volume.free_bytes for volume in host.volumes)
    return (
        f"Hyper-V ready, PowerShell {'.'.join(host.ps_version.split('.')[:2])}, "
        f"{host.memory_free_bytes // GIB} GiB memory and {free // GIB} GiB disk free"
    )


def _hyperv(subject: Subject) -> Iterator[Fault]:
    if fault := hyperv_fault(subject.spec.name, subject.state.host, user=subject.spec.user):
        yield fault


def _language(subject: Subject) -> Iterator[Fault]:
    spec, mode = subject.spec, subject.state.host.language_mode
    if mode not in ("FullLanguage", "") and spec.endpoint == "Microsoft.PowerShell":
        yield Fault(
            "P-HOST-CONSTRAINED",
            f"PowerShell on {spec.name} runs in {mode}",
            expected="FullLanguage, or a session configuration with the module installed",
            seen=(f"language mode {mode}",),
        )


def _clock(subject: Subject) -> Iterator[Fault]:
    host, here = subject.state.host, subject.state.read_utc
    skew = abs(host.time_utc - here)
    if skew > CLOCK_TOLERANCE:
        yield Fault(
            "P-HOST-CLOCK",
            f"the clock of {subject.spec.name} is off by {int(skew.total_seconds())} s",
            expected=f"within {int(CLOCK_TOLERANCE.total_seconds())} s of this computer's",
            seen=(f"host {host.time_utc:%Y-%m-%d %H:%M:%S} UTC, here {here:%Y-%m-%d %H:%M:%S} UTC",),
            next_steps=("on the host: w32tm /resync",),
        )


def _memory(subject: Subject) -> Iterator[Fault]:
    spec, state = subject.spec, subject.state
    more = {m.name: _more_memory_mib(m, find_vm(m, state, subject.seen.secrets)) for m in subject.machines}
    asked = sum(more.values()) * MIB
    free = state.host.memory_free_bytes - SPARE_MEMORY_BYTES
    if asked and asked > free:
        yield Fault(
            "P-VM-MEMORY",
            f"{spec.name} has too little memory for {sum(mib > 0 for mib in more.values())} machines",
            expected=f"{asked / GIB:.1f} GiB free, and {SPARE_MEMORY_BYTES // GIB} GiB more for Windows",
            seen=(f"{state.host.memory_free_bytes / GIB:.1f} GiB free of {state.host.memory_total_bytes / GIB:.0f}",),
            next_steps=("lower memory: or the count in the cluster file, or stop other VMs",),
        )


def _more_memory_mib(machine: MachineSpec, vm: VmFacts | None) -> int:
    """What the machine will take beyond what it has now: one that grows is stopped first, and must be able to start again."""
    if vm is None or vm.state != "Running":
        return machine.memory_mib
    return max(0, machine.memory_mib - vm.memory_mib)


def _space(subject: Subject) -> Iterator[Fault]:
    spec, state = subject.spec, subject.state
    folder = subject.cluster.folder or state.host.disk_folder
    volume = next((v for v in state.host.volumes if folder.lower().startswith(v.root.lower())), None)
    new = [m for m in subject.machines if find_vm(m, state, subject.seen.secrets) is None]
    if volume is None:
        if new:
            yield Fault(
                "P-VM-SPACE",
                f"{spec.name} has no volume for {folder}",
                expected="a folder on one of the host's volumes",
                seen=tuple(f"{v.root} {v.free_bytes // GIB} GiB free" for v in state.host.volumes),
            )
        return
    least = len(new) * FIRST_DISK_BYTES
    if least > volume.free_bytes:
        yield Fault(
            "P-VM-SPACE",
            f"{spec.name} has too little disk space for {len(new)} machines on {volume.root}",
            expected=f"{least / GIB:.0f} GiB free: {FIRST_DISK_BYTES // GIB} GiB for each new machine",
            seen=(f"{volume.free_bytes / GIB:.1f} GiB free of {volume.size_bytes / GIB:.0f}",),
        )


def _collisions(subject: Subject) -> Iterator[Fault]:
    """On all hosts of the cluster: their machines share one network. A VM that is marked as that machine is no collision, wherever it
    stands: the step that makes VMs tells of it.
    """
    seen = subject.seen
    for machine in subject.machines:
        mark = Mark(cluster_id=seen.secrets.cluster_id, machine=machine.name)
        ours = {one.vm.id for one in (*claims(seen.hosts, mark), *namesakes(seen.hosts, seen.secrets, [machine.name]))}
        for host, vm in ((name, vm) for name, each in seen.hosts.items() for vm in each.vms):
            if vm.mac == machine.mac and vm.id not in ours:
                yield Fault(
                    "P-VM-MACTWICE",
                    f"the MAC address of {machine.name} is used by the VM {vm.name} on {host}",
                    expected=f"{spaced_mac(machine.mac)} for {machine.name} alone",
                    seen=(f"VM {vm.name} ({vm.id}) has it",),
                    next_steps=(f"set mac: for {machine.name} in the cluster file, or change the other VM",),
                    machine=machine.name,
                )


CHECKS = (
    Check(question="is Hyper-V there, and may this account manage it?", faults=_hyperv, first=True),
    Check(question="does PowerShell run what it is sent?", faults=_language),
    Check(question="is its clock right?", faults=_clock),
    Check(question="is there memory for the machines?", faults=_memory),
    Check(question="is there disk space for them?", faults=_space),
    Check(question="are their MAC addresses theirs alone?", faults=_collisions),
)
