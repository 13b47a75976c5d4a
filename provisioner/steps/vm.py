"""Step 5: the VM of a machine. Known by its mark, never by its name; made whole or not at all; a drifted one is changed in place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from provisioner.errors import Fault, HostRefused, TransportError
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.facts import FolderFacts, HostState, Observed, SecretsFacts, VmFacts
from provisioner.model.naming import Mark, spaced_mac
from provisioner.model.ownership import OnHost, copies_of, vm_of
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.units import GIB, LEAST_DISK_GIB
from provisioner.model.work import ChangeVm, CreateVm, StartVm
from provisioner.ports import VmChange, VmRequest
from provisioner.steps.actions import act, keep, refuse
from provisioner.steps.etcd_life import lost
from provisioner.steps.host_faults import fault_of, on_host
from provisioner.steps.left_disks import fault_of_left_disks, to_attach
from provisioner.steps.run_context import Run
from provisioner.steps.vm_policy import differences, disk_of, start_delay_s, unchangeable
from provisioner.steps.waiting import Pending, Ready, TimedOut

FIRST_DISK_BYTES = LEAST_DISK_GIB * GIB
"""What a Talos disk takes in its first hour; Talos' own minimum. Disks are thin, so this is checked, not their full size."""

CRITICAL = "Critical"
"""Ends the states of a VM under which storage failed; Hyper-V itself lets it go on when the volume is back. Source: VMState."""

BUSY = "HyperV.InvalidState"
"""What the host answers of a VM that is between two states: it passes by itself."""


def find_vm(machine: MachineSpec, state: HostState, secrets: SecretsFacts) -> VmFacts | None:
    """The machine's VM on that host, or None: see `model.ownership` for what proves it."""
    mark = Mark(cluster_id=secrets.cluster_id, machine=machine.name)
    own = vm_of({machine.host: state}, mark) if secrets.cluster_id else None
    return own.vm if own else None


def fault_of_copies(hosts: Mapping[str, HostState], mark: Mark) -> Fault | None:
    """P-VM-TWICE with the machine and its copies by name and id, or None where every VM of that mark is the machine."""
    copies, own = copies_of(hosts, mark), vm_of(hosts, mark)
    if not copies:
        return None
    records = _records(hosts, mark) if own is None else []
    names = ", ".join(dict.fromkeys(one.vm.name for one in copies))
    message = f"{names} bears the mark of {mark.machine} and is not proven to be it"
    if own:
        message = f"{mark.machine} has a copy: {names} bears its mark too"
    then = [f"on {copies[0].host}: take the line {mark} out of the Notes of the copy, or remove that VM"]
    if records:
        then.append(f"or, where {names} is the machine itself, restored: delete {records[0].path}\\provision.json")
    return Fault(
        "P-VM-TWICE",
        message,
        expected=f"one VM with the mark of {mark.machine}, the one that provision.json in its folder names",
        seen=(
            *((f"{_words(own)}: the machine",) if own else ()),
            *(f"{_words(one)}: not named by any record" for one in copies),
            *(f"{folder.path}\\provision.json names {folder.vm_id}" for folder in records),
        ),
        next_steps=then,
        machine=mark.machine,
    )


def _records(hosts: Mapping[str, HostState], mark: Mark) -> list[FolderFacts]:
    return [folder for state in hosts.values() for folder in state.folders if folder.mark == mark and folder.vm_id]


def _words(one: OnHost) -> str:
    return f"VM {one.vm.name} ({one.vm.id}) on {one.host}, {one.vm.state}"


def plan(cluster: Cluster, seen: Observed) -> Iterator[Action]:
    loss = lost(cluster, seen)
    for machine in cluster.machines:
        state = seen.hosts[machine.host]
        vm = find_vm(machine, state, seen.secrets)
        if loss is not None and machine is cluster.control_planes[0]:
            yield refuse(StepId.VM, machine, loss)
        elif fault := fault_of_copies(seen.hosts, Mark(cluster_id=seen.secrets.cluster_id, machine=machine.name)):
            yield refuse(StepId.VM, machine, fault)
        elif vm is None:
            yield _elsewhere(cluster, machine, seen) or _missing(cluster, machine, seen)
        elif _half_made(cluster, machine, vm):
            yield _create(machine, "half-made by an earlier run: finish it")
        else:
            yield _existing(cluster, machine, vm)


def _half_made(cluster: Cluster, machine: MachineSpec, vm: VmFacts) -> bool:
    """Left by a kill between New-VM and the Notes: never started, and something is missing. A whole one whose Notes lost our mark only
    needs them back.
    """
    if vm.complete or vm.state != "Off":
        return False
    return disk_of(vm) is None or any(not one.change.get("notes") for one in differences(cluster, machine, vm))


def _elsewhere(cluster: Cluster, machine: MachineSpec, seen: Observed) -> Action | None:
    """A machine that stands on another host of the cluster: VMs never move, and a second one of its MAC address would fight with it."""
    for host, state in seen.hosts.items():
        vm = find_vm(machine, state, seen.secrets)
        if vm is not None:
            fault = Fault(
                "P-VM-DRIFT",
                f"{machine.name} is on {host}, the file says {machine.host}",
                expected=f"{machine.name} where it was made: VMs do not move by themselves",
                seen=(f"VM {vm.name} ({vm.id}) on {host}, {vm.state}",),
                next_steps=(f"put host: {host} back, or: provision rebuild {cluster.name}",),
                machine=machine.name,
            )
            return refuse(StepId.VM, machine, fault)
    return None


def _missing(cluster: Cluster, machine: MachineSpec, seen: Observed) -> Action:
    state, secrets = seen.hosts[machine.host], seen.secrets
    other = next((vm for vm in state.vms if vm.name.lower() == machine.name.lower()), None)
    if other is None:
        return _new(cluster, machine, seen)
    marked = f"marked {other.mark}" if other.mark else "without a mark of ours"
    then = ["rename the VM on the host, or give the machine another name in the cluster file"]
    if other.mark and other.mark.machine == machine.name:
        place = Path(secrets.path).with_name("cluster-id")
        then.insert(0, f"if it is this cluster's, whose id was lost here: write {other.mark.cluster_id} into {place}")
    fault = Fault(
        "P-VM-FOREIGN",
        f"a VM named {machine.name} is on {machine.host}, and it is not ours",
        expected="no VM of that name, or one with this cluster's mark",
        seen=(f"VM {other.name} ({other.id}), {other.state}, {marked}",),
        next_steps=then,
        machine=machine.name,
    )
    return refuse(StepId.VM, machine, fault)


def _new(cluster: Cluster, machine: MachineSpec, seen: Observed) -> Action:
    if fault := fault_of_left_disks(cluster, machine, seen):
        return refuse(StepId.VM, machine, fault)
    size = _size(machine)
    left = to_attach(cluster, machine, seen)
    if left is not None:
        why = f"attach again the disk that is there, {left.disk_bytes / GIB:.1f} GiB written in {left.path}; {size}"
        return _create(machine, why, attach=left.path)
    return _create(machine, f"{size}, disk {machine.disk_gib} GiB, {spaced_mac(machine.mac)}")


def _size(of: MachineSpec | VmFacts) -> str:
    return f"{of.cpus} CPUs, {of.memory_mib / 1024:g} GiB"


def _create(machine: MachineSpec, why: str, *, attach: str = "") -> Action:
    return act(StepId.VM, machine, Verb.CREATE, why, CreateVm(attach=attach))


def _existing(cluster: Cluster, machine: MachineSpec, vm: VmFacts) -> Action:
    fault = _fault_of_disk(cluster, machine, vm) or _fault_of_storage(machine, vm)
    if fault := fault or _fault_of_drift(cluster, machine, vm):
        return refuse(StepId.VM, machine, fault)
    found = differences(cluster, machine, vm)
    if found:
        restart = vm.state != "Off" and any(one.needs_off for one in found)
        changes = {name: value for one in found for name, value in one.change.items()}
        work, why = ChangeVm(vm_id=vm.id, restart=restart, changes=changes), ", ".join(map(str, found))
        warning = "stops the node for about a minute" if restart else ""
        return act(StepId.VM, machine, Verb.CHANGE, why, work, warning=warning)
    if vm.state == "Running":
        return keep(StepId.VM, machine, f"as the file says: {_size(vm)}, running")
    return act(StepId.VM, machine, Verb.START, f"the VM is {vm.state}", StartVm(vm_id=vm.id))


def _fault_of_disk(cluster: Cluster, machine: MachineSpec, vm: VmFacts) -> Fault | None:
    """The disk was taken away or deleted: what is lost with it, and how this one machine is recreated."""
    disk = disk_of(vm)
    if disk is not None and disk.exists:
        return None
    only = cluster.control_planes == (machine,)
    lost_with_it = "what its pods kept on it"
    if machine in cluster.control_planes:
        lost_with_it = (
            "etcd, and all that was in the cluster"
            if only
            else "its copy of etcd; the other control planes have theirs"
        )
    recreate = f"on {machine.host} remove the VM {vm.name} in Hyper-V Manager, then: provision up {cluster.name}"
    return Fault(
        "P-VM-NODISK",
        f"{machine.name} has lost its disk, and with it {lost_with_it}",
        expected=f"the disk {disk.path}" if disk else "a disk in the VM",
        seen=(
            f"VM {vm.name} ({vm.id}) on {machine.host}, {vm.state}",
            "no such file" if disk else "no disk is attached",
        ),
        next_steps=(
            "put the file back where it was, from a backup" if disk else "attach its disk again in Hyper-V Manager",
            f"to start over with an empty cluster: provision rebuild {cluster.name}"
            if only
            else f"or have it recreated: {recreate}",
        ),
        machine=machine.name,
    )


def _fault_of_storage(machine: MachineSpec, vm: VmFacts) -> Fault | None:
    if not vm.state.endswith(CRITICAL):
        return None
    disk = disk_of(vm)
    return Fault(
        "P-VM-CRITICAL",
        f"{machine.name} is {vm.state}: Hyper-V cannot reach or write its disk, and holds the VM",
        expected=f"a VM that is Running, its volume there and with space left: {disk.path if disk else vm.folder}",
        seen=(f"VM {vm.name} ({vm.id}) on {machine.host}, {vm.state}",),
        next_steps=(
            f"on {machine.host}: free space on that volume, or bring it back; Hyper-V then lets the VM go on, with all that is in it",
            f"if it stays: Resume-VM {vm.name}; where Hyper-V refuses that, Restart-Service vmms",
        ),
        machine=machine.name,
    )


def _fault_of_drift(cluster: Cluster, machine: MachineSpec, vm: VmFacts) -> Fault | None:
    fixed = unchangeable(machine, vm)
    if not fixed:
        return None
    larger = any(one.what == "disk" for one in fixed)
    gentle = ("put disk: back to what it is: disks only grow",) if larger else ()
    return Fault(
        "P-VM-DRIFT",
        f"{machine.name} differs from the file in what cannot be changed while it exists",
        expected=", ".join(f"{one.what} {one.wanted}" for one in fixed),
        seen=tuple(f"{one.what} {one.seen}" for one in fixed),
        next_steps=(
            *gentle,
            f"only another VM can have that, and an empty cluster with it: provision rebuild {cluster.name}",
        ),
        machine=machine.name,
    )


Settle = Callable[[str, Callable[[], Awaitable[VmFacts]]], Awaitable[VmFacts]]
"""`_settle` for one action: what the call does to the machine's VM, and the call."""


async def apply(action: Action, run: Run) -> str:
    machine, settle = run.cluster.machine(action.machine), partial(_settle, action, run)
    match action.work:
        case CreateVm() as work:
            return await _do_create(work, machine, settle, run)
        case ChangeVm() as work:
            return await _do_change(work, machine, settle, run)
        case StartVm() as work:
            return (await settle("start", lambda: run.host_of(machine).start_vm(work.vm_id))).state
    raise AssertionError(action)


async def _settle(action: Action, run: Run, what: str, call: Callable[[], Awaitable[VmFacts]]) -> VmFacts:
    """Does an idempotent call until it was answered, within the step's bound: a lost answer is asked for again, and a VM between two states
    is left to settle.
    """
    busy, machine = "", run.cluster.machine(action.machine)
    what = f"{what} {machine.name}"

    async def probe() -> Ready[VmFacts] | Pending:
        nonlocal busy
        busy = ""
        try:
            vm = await call()
        except HostRefused as refusal:
            if refusal.id != BUSY:
                raise
            busy = refusal.message
            return Pending(busy)
        return Ready(vm, f"{vm.state}, {_size(vm)}")

    def late(late: TimedOut) -> Fault:
        if busy:
            return late.fault(
                "P-VM-STUCK",
                f"the VM of {machine.name} does not leave the state that it is in: {what} failed",
                expected="a VM that Hyper-V can act on,",
                seen=(busy,),
                next_steps=("look at the VM in Hyper-V Manager",),
                machine=machine.name,
            )
        message = f"{machine.host} did not answer about {machine.name}"
        return late.fault("P-HOST-LOST", message, expected="an answer", machine=machine.name)

    met = await run.wait(
        action,
        on_host(probe, host=machine.host, machine=machine.name),
        what=what,
        why="Hyper-V does it",
        every_s=2.0,
        late=late,
    )
    run.of(machine.name).vm = met.value
    return met.value


async def _do_create(work: CreateVm, machine: MachineSpec, settle: Settle, run: Run) -> str:
    host = run.host_of(machine)
    request = VmRequest(
        name=machine.name,
        cpus=machine.cpus,
        memory_mib=machine.memory_mib,
        disk_gib=machine.disk_gib,
        mac=machine.mac,
        switch=run.cluster.switch.name,
        vlan=machine.vlan,
        iso_path=run.images[machine.host].path,
        folder=run.cluster.folder,
        mark=run.mark_of(machine.name),
        start_delay_s=start_delay_s(machine),
    )
    vm = await settle("VM", lambda: host.new_vm(request))
    disk = disk_of(vm)
    if work.attach and disk is not None and disk.size_bytes < machine.disk_gib * GIB:
        growth = VmChange(id=vm.id, mark=request.mark, disk_gib=machine.disk_gib)
        vm = await settle("disk of", lambda: host.set_vm(growth))
    sizes = ("cpus", "memory_mib", "disk_gib")  # a VM that was finished may have been begun by an older file
    _check(run.cluster, machine, vm, "made", but=sizes)
    return f"{vm.state}, {_size(vm)}, boot order {', '.join(vm.boot_order)}"


def _check(cluster: Cluster, machine: MachineSpec, vm: VmFacts, done: str, *, but: Container[str] = ()) -> None:
    """What was read back must be what was asked for: it decides whether Talos boots, and boots again; a change that a host forgets would
    stop the node with every run, without a visible reason. `but`: fields of the change that are not looked at.
    """
    wrong = [str(one) for one in differences(cluster, machine, vm) if not all(name in but for name in one.change)]
    if vm.state != "Running":
        wrong.append(f"state {vm.state}")
    if wrong:
        raise Fault(
            "P-VM-STUCK",
            f"{machine.name} was {done}, but reads back otherwise than asked",
            expected="running, and set as asked",
            seen=tuple(wrong),
            machine=machine.name,
        )


async def _do_change(work: ChangeVm, machine: MachineSpec, settle: Settle, run: Run) -> str:
    """Shuts the guest down where the change needs it, changes, starts again. Asked, never cut: the node keeps its data."""
    host, vm_id = run.host_of(machine), work.vm_id
    if work.restart:
        if run.vm_of(machine.name).state != "Running":  # only a guest that runs can be asked
            await settle("start", lambda: host.start_vm(vm_id))
        await settle("shut down", lambda: host.stop_vm(vm_id, turn_off=False))
    change = VmChange(id=vm_id, mark=run.mark_of(machine.name), **work.changes)
    refused: list[str] = []

    async def set_vm() -> VmFacts:
        try:
            return await host.set_vm(change)
        except HostRefused as refusal:
            if refusal.id != "VMMustBeOff" or refusal.target != "FixActions":
                raise
            run.note(
                "warning",
                f"{machine.name}: this host changes the stop action only of a VM that is Off; it stays for now",
                step=StepId.VM,
                machine=machine.name,
            )
            refused.append("actions")
            return await host.set_vm(replace(change, actions=False))

    await settle("change", set_vm)
    vm = await settle("start", lambda: host.start_vm(vm_id))
    _check(run.cluster, machine, vm, "changed", but=refused)
    return f"{vm.state}, {_size(vm)}"


async def restart_from_disk(run: Run, machine: MachineSpec, reason: str) -> None:
    """Ejects the ISO and restarts a machine that booted it although Talos is on its disk (it has halted and does nothing)."""
    host, vm_id = run.host_of(machine), run.vm_of(machine.name).id
    run.note(
        "warning", f"{machine.name} booted the ISO again ({reason}): ejecting it and restarting", machine=machine.name
    )
    try:
        await host.dismount_iso(vm_id)
        await host.stop_vm(vm_id, turn_off=True)
        run.of(machine.name).vm = await host.start_vm(vm_id)
    except TransportError as error:
        raise fault_of(error, host=machine.host, machine=machine.name) from error
