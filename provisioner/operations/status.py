"""`provision status`: what is there now, and how it differs from the file. Reads only; a host that cannot be read does not hide the
machines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from provisioner.errors import Fault
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.facts import ContextFacts, ContextState, HostState, NodeFacts, Observed, VmFacts
from provisioner.model.ownership import namesakes, our_vms
from provisioner.model.plan import Action, Difference, Plan, Verb
from provisioner.model.status import MachineStatus, StatusReport
from provisioner.model.steps import StepId
from provisioner.model.unmet import Layer, Unmet
from provisioner.model.work import CreateVm
from provisioner.operations.differences import differences, uncompared
from provisioner.operations.observe import observe_what_answers
from provisioner.ports import Ports
from provisioner.steps.health import lacks_cni, unmet_conditions
from provisioner.steps.secrets import id_lost
from provisioner.steps.vm import find_vm
from provisioner.workflows.up import plan_up


async def status(cluster: Cluster, ports: Ports) -> StatusReport:
    """Never raises for a host that does not answer: the report says so."""
    begun = ports.clock.now()
    seen, faults = await observe_what_answers(cluster, ports)
    read_s = (ports.clock.now() - begun) / ports.clock.rate
    return report(cluster, seen, host_faults=faults, read_s=read_s)


def report(cluster: Cluster, seen: Observed, *, host_faults: Sequence[Fault] = (), read_s: float = 0.0) -> StatusReport:
    """Pure: the report of what was observed. A flat list of columns, each with its own condition."""
    whole = set(seen.hosts) == set(cluster.hosts) and all(state.whole for state in seen.hosts.values())
    plan = plan_up(cluster, seen) if whole else None
    unmet = tuple(unmet_conditions(cluster, seen))
    of_cluster = [each for each in unmet if not each.machine]
    told = tuple(differences(cluster, seen))
    rows = [_row(machine, seen, plan, unmet, told) for machine in cluster.machines]
    rows += _not_in_file(cluster, seen)
    namesake = tuple(_namesakes(cluster, seen))
    state = _state(rows, unmet, whole=whole)
    if namesake and state == "absent":
        state = "not healthy" if seen.lost_ids else "unknown"
    return StatusReport(
        cluster=cluster.name,
        file=str(cluster.file),
        hosts=tuple(cluster.hosts),
        lab_speed=cluster.lab.speed if cluster.lab else None,
        state=state,
        machines=tuple(rows),
        unmet=tuple(str(each) for each in of_cluster if not each.unread),
        drift=(*_cluster_drift(plan), *namesake),
        etcd_members=len(seen.etcd) if seen.etcd is not None else None,
        control_planes=len(cluster.control_planes),
        switch="; ".join(map(_switch_line, seen.hosts.values())),
        isos_mounted=tuple(own.vm.name for own in our_vms(seen.hosts, seen.secrets) if own.vm.iso),
        access=", ".join(_access(name, found) for name, found in sorted(seen.access.items())),
        host_unread=tuple(f"{fault.id}: {fault.message}" for fault in host_faults),
        unread=tuple(str(each) for each in of_cluster if each.unread and state != "absent"),
        uncompared=uncompared(cluster, seen),
        read_utc=seen.read_utc,
        read_s=round(read_s, 2),
    )


def _access(name: str, found: ContextFacts) -> str:
    if found.nowhere:
        return f"{name} {found.state} (kept out of {found.path})"
    if found.state is ContextState.UNUSABLE:
        return f"{name} {found.state}: {found.problem}"
    return f"{name} {found.state}, as {found.name}" if found.taken and found.there else f"{name} {found.state}"


def _namesakes(cluster: Cluster, seen: Observed) -> Iterator[str]:
    """Machines that may be ours, or are, and that are not known by their marks."""
    loss = id_lost(cluster, seen)
    if loss is not None and loss.fault is not None:
        yield f"{loss.why}: {loss.fault.next_steps[0]}"
        return
    for one in namesakes(seen.hosts, seen.secrets, {machine.name for machine in cluster.machines}):
        yield f"{one.vm.name}: marked {one.vm.mark}, which is not this cluster's id"


def _row(
    machine: MachineSpec, seen: Observed, plan: Plan | None, unmet: tuple[Unmet, ...], told: tuple[Difference, ...]
) -> MachineStatus:
    row = _looked_at(machine, seen)
    exists = row.vm not in (None, "missing") or row.stage is not None
    own = [each for each in unmet if exists and each.machine == machine.name]
    drift = _drift(machine, plan) if exists else _left(machine, plan)
    return replace(
        row,
        unmet=tuple(_about(each) for each in own if not each.unread),
        drift=drift + tuple(each.words for each in told if each.object == machine.name),
        unread=next((each.reason for each in own if each.unread), ""),
    )


def _looked_at(machine: MachineSpec, seen: Observed) -> MachineStatus:
    state: HostState | None = seen.hosts.get(machine.host)
    vm = find_vm(machine, state, seen.secrets) if state else None
    config = seen.configs.get(machine.name)
    node = _node(seen, config.node_name if config else machine.name)
    row = MachineStatus(
        name=machine.name,
        role=machine.role.words,
        host=machine.host,
        vm="missing" if state is not None and state.whole else None,
        address=machine.address or None,
        ready=None if seen.nodes is None else False,
    )
    return _columns(row, vm, node, seen)


def _columns(row: MachineStatus, vm: VmFacts | None, node: NodeFacts | None, seen: Observed) -> MachineStatus:
    """With what host, machine and Kubernetes say of a machine, as far as they do."""
    facts = seen.machines.get(row.name)
    if vm is not None:
        row = replace(row, vm=vm.state, cpus=vm.cpus, memory_mib=vm.memory_mib)
    if facts is not None:
        row = replace(row, address=facts.address, stage=facts.stage, talos=facts.talos or None)
    return replace(row, ready=node.ready, kubernetes=node.version) if node is not None else row


def _about(unmet: Unmet) -> str:
    """The condition in the row of its machine, whose name stands there already."""
    return f"node: {unmet.reason}" if unmet.layer is Layer.NODE else unmet.reason


def _node(seen: Observed, name: str) -> NodeFacts | None:
    return next((node for node in seen.nodes or () if node.name == name), None)


def _drift(machine: MachineSpec, plan: Plan | None) -> tuple[str, ...]:
    drifted = (Verb.CHANGE, Verb.REFUSE)
    return tuple(a.why for a in _of_vm(machine, plan) if a.verb in drifted)


def _left(machine: MachineSpec, plan: Plan | None) -> tuple[str, ...]:
    """What is known of a machine without a VM: the disk that it left, or the etcd that was lost with it."""
    told = ("P-VM-LEFTOVER", "P-ETCD-LOST")
    return tuple(
        a.why
        for a in _of_vm(machine, plan)
        if (isinstance(a.work, CreateVm) and a.work.attach) or (a.fault is not None and a.fault.id in told)
    )


def _of_vm(machine: MachineSpec, plan: Plan | None) -> list[Action]:
    return [a for a in plan.of(StepId.VM) if a.machine == machine.name] if plan is not None else []


def _cluster_drift(plan: Plan | None) -> tuple[str, ...]:
    if plan is None:
        return ()
    return tuple(f"{a.object}: {a.why}" for a in plan.refusals if a.step in (StepId.SWITCH, StepId.IMAGE))


def _not_in_file(cluster: Cluster, seen: Observed) -> list[MachineStatus]:
    """Machines of this cluster that the file does not name any more, as far as they can be told by their VMs and nodes."""
    names = {machine.name for machine in cluster.machines}
    rows = []
    for own in our_vms(seen.hosts, seen.secrets):
        name = own.vm.mark.machine if own.vm.mark else own.vm.name
        if name not in names:
            node = _node(seen, name)
            row = MachineStatus(name=name, role="not in the file", host=own.host, vm=None, drift=("not in the file",))
            row = replace(row, address=(node.address if node else "") or None, unread=seen.unread.get(name, ""))
            rows.append(_columns(row, own.vm, node, seen))
    return rows


def _state(rows: list[MachineStatus], unmet: tuple[Unmet, ...], *, whole: bool) -> str:
    """One word. `unknown` wherever nothing bad was seen and not all could be looked at: silence proves neither health nor its lack."""
    if whole and all(map(_is_absent, rows)):
        return "absent"
    read = [each for each in unmet if not each.unread]
    if any((row.vm, row.stage) != (None, None) for row in rows) and not all(each.by_config for each in read):
        return "not healthy"
    if not whole or len(read) < len(unmet):
        return "unknown"
    return "no CNI yet" if lacks_cni(unmet) else "healthy"


def _is_absent(row: MachineStatus) -> bool:
    return row.vm == "missing" and not row.drift


def _switch_line(state: HostState) -> str:
    switch = state.switch
    if not state.whole:
        return "switch not read"
    if switch is None or not switch.exists:
        return "no switch"
    return f"switch {switch.name}, {switch.kind} on {switch.adapter or switch.adapter_description}"
