"""`provision status`: what is there now, and how it differs from the file. Reads only; a host that cannot be read does not hide the
machines.
"""

from __future__ import annotations

from provisioner.flow.observe import observe_what_answers
from provisioner.flow.up import plan_up
from provisioner.model.facts import ContextFacts, ContextState, HostState, NodeFacts, Observed, VmFacts
from provisioner.model.plan import Plan, Verb
from provisioner.model.spec import Cluster, MachineSpec
from provisioner.model.status import MachineStatus, StatusReport
from provisioner.model.steps import StepId
from provisioner.ports import Ports
from provisioner.steps.health import unmet_conditions
from provisioner.steps.removal import our_vms
from provisioner.steps.vm import find_vm


async def status(cluster: Cluster, ports: Ports) -> StatusReport:
    """Never raises for a host that does not answer: the report says so."""
    begun = ports.clock.now()
    seen, faults = await observe_what_answers(cluster, ports)
    read_s = (ports.clock.now() - begun) / ports.clock.rate
    unread = tuple(f"{fault.id}: {fault.message}" for fault in faults)
    return report(cluster, seen, host_unread=unread, read_s=read_s)


def report(cluster: Cluster, seen: Observed, *, host_unread: tuple[str, ...] = (), read_s: float = 0.0) -> StatusReport:
    """Pure: the report of what was observed."""
    plan = plan_up(cluster, seen) if set(seen.hosts) == set(cluster.hosts) else None
    unmet = tuple(unmet_conditions(cluster, seen.machines, seen.etcd, seen.nodes, None))
    rows = [_row(machine, seen, plan, unmet) for machine in cluster.machines]
    rows += _strangers(cluster, seen)
    names = {machine.name for machine in cluster.machines}
    return StatusReport(
        cluster=cluster.name,
        file=str(cluster.file),
        hosts=tuple(cluster.hosts),
        lab_speed=cluster.lab.speed if cluster.lab else None,
        state=_state(rows, unmet, host_unread),
        machines=tuple(rows),
        unmet=tuple(line for line in unmet if not any(_about(line, name) for name in names)),
        drift=_cluster_drift(plan),
        etcd_members=len(seen.etcd) if seen.etcd is not None else None,
        control_planes=len(cluster.control_planes),
        switch=_switch_line(seen),
        isos_mounted=tuple(vm.name for state in seen.hosts.values() for vm in our_vms(state, seen) if vm.iso),
        access=", ".join(_access(name, found) for name, found in sorted(seen.access.items())),
        host_unread=host_unread,
        read_utc=seen.read_utc,
        read_s=round(read_s, 2),
    )


def _access(name: str, found: ContextFacts) -> str:
    if found.nowhere:
        return f"{name} {found.state} (kept out of {found.path})"
    if found.state is ContextState.UNUSABLE:
        return f"{name} {found.state}: {found.problem}"
    return f"{name} {found.state}, as {found.name}" if found.taken and found.there else f"{name} {found.state}"


def _about(line: str, name: str) -> bool:
    return line.startswith((f"{name}:", f"node {name}:"))


def _row(machine: MachineSpec, seen: Observed, plan: Plan | None, unmet: tuple[str, ...]) -> MachineStatus:
    state: HostState | None = seen.hosts.get(machine.host)
    vm = find_vm(machine, state, seen.secrets) if state else None
    facts = seen.machines.get(machine.name)
    node = _node(seen, machine.name)
    exists = vm is not None or facts is not None
    return MachineStatus(
        name=machine.name,
        role=machine.role.words,
        host=machine.host,
        vm=_vm_state(vm, state),
        address=facts.address if facts else machine.address or None,
        stage=facts.stage if facts else None,
        ready=node.ready if node else (False if seen.nodes is not None else None),
        talos=facts.talos or None if facts else None,
        kubernetes=node.version if node else None,
        cpus=vm.cpus if vm else None,
        memory_mib=vm.memory_mib if vm else None,
        unmet=tuple(line for line in unmet if _about(line, machine.name)) if exists else (),
        drift=_drift(machine, plan) if exists else (),
        unread=seen.unread.get(machine.name, "") if exists else "",
    )


def _vm_state(vm: VmFacts | None, state: HostState | None) -> str | None:
    if vm is not None:
        return vm.state
    return "missing" if state is not None else None


def _node(seen: Observed, name: str) -> NodeFacts | None:
    return next((node for node in seen.nodes or () if node.name == name), None)


def _drift(machine: MachineSpec, plan: Plan | None) -> tuple[str, ...]:
    if plan is None:
        return ()
    drifted = (Verb.CHANGE, Verb.REFUSE)
    return tuple(a.why for a in plan.of(StepId.VM) if a.machine == machine.name and a.verb in drifted)


def _cluster_drift(plan: Plan | None) -> tuple[str, ...]:
    if plan is None:
        return ()
    return tuple(f"{a.object}: {a.why}" for a in plan.refusals if a.step in (StepId.SWITCH, StepId.IMAGE))


def _strangers(cluster: Cluster, seen: Observed) -> list[MachineStatus]:
    """VMs with this cluster's mark that the file does not name any more."""
    names = {machine.name for machine in cluster.machines}
    return [
        MachineStatus(
            name=vm.name,
            role="not in the file",
            host=host,
            vm=vm.state,
            cpus=vm.cpus,
            memory_mib=vm.memory_mib,
            drift=("not in the file",),
        )
        for host, state in seen.hosts.items()
        for vm in our_vms(state, seen)
        if vm.mark is not None and vm.mark.machine not in names
    ]


def _state(rows: list[MachineStatus], unmet: tuple[str, ...], host_unread: tuple[str, ...]) -> str:
    if host_unread and all(row.stage is None for row in rows):
        return "unknown"
    if all(row.vm == "missing" for row in rows):
        return "absent"
    return "not healthy" if unmet else "healthy"


def _switch_line(seen: Observed) -> str:
    lines = []
    for state in seen.hosts.values():
        switch = state.switch
        if switch is None or not switch.exists:
            lines.append("no switch")
        else:
            lines.append(f"switch {switch.name}, {switch.kind} on {switch.adapter or switch.adapter_description}")
    return "; ".join(lines)
