"""Step 5: the VM of a machine. Known by its mark, never by its name; made whole or not at all; a drifted one is changed in place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from provisioner.errors import Dropped, Fault, TransportError, Unreachable
from provisioner.model.facts import HostState, Observed, SecretsFacts, VmFacts
from provisioner.model.naming import Mark, spaced_mac
from provisioner.model.ownership import vm_of
from provisioner.model.plan import Action, Verb
from provisioner.model.spec import Cluster, MachineSpec, Role
from provisioner.model.steps import StepId
from provisioner.ports import VmChange, VmRequest
from provisioner.steps.actions import for_machine, refuse
from provisioner.steps.copies import fault_of_copies
from provisioner.steps.etcd_life import lost
from provisioner.steps.left_disks import fault_of_left_disks, to_attach
from provisioner.steps.refusals import fault_of
from provisioner.steps.run import Run
from provisioner.steps.waits import Met, NotYet, TimedOut

GIB = 1024**3

FIRST_DISK_BYTES = 6 * GIB
"""What a Talos disk takes in its first hour; Talos' own minimum. Disks are thin, so this is checked, not their full size."""

WORKER_DELAY_S = 20
"""After a reboot of the host control planes go first: etcd and the API are up when workers ask for them."""


def find_vm(machine: MachineSpec, state: HostState, secrets: SecretsFacts) -> VmFacts | None:
    """The machine's VM on that host, or None: see `model.ownership` for what proves it."""
    mark = Mark(cluster_id=secrets.cluster_id, machine=machine.name)
    own = vm_of({machine.host: state}, mark) if secrets.cluster_id else None
    return own.vm if own else None


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
        elif not vm.complete:
            yield _create(machine, "half-made by an earlier run: finish it")
        else:
            yield from _existing(cluster, machine, vm)


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
                then=(f"put host: {host} back, or: provision rebuild {cluster.name}",),
                machine=machine.name,
            )
            return refuse(StepId.VM, machine, fault)
    return None


def _missing(cluster: Cluster, machine: MachineSpec, seen: Observed) -> Action:
    state, secrets = seen.hosts[machine.host], seen.secrets
    stranger = next((vm for vm in state.vms if vm.name.lower() == machine.name.lower()), None)
    if stranger is None:
        return _new(cluster, machine, seen)
    marked = f"marked {stranger.mark}" if stranger.mark else "without a mark of ours"
    then = ["rename the VM on the host, or give the machine another name in the cluster file"]
    if stranger.mark and stranger.mark.machine == machine.name and not secrets.cluster_id:
        place = Path(secrets.path).with_name("cluster-id")
        then.insert(
            0, f"if it is this cluster's, whose id was lost here: write {stranger.mark.cluster_id} into {place}"
        )
    fault = Fault(
        "P-VM-FOREIGN",
        f"a VM named {machine.name} is on {machine.host}, and it is not ours",
        expected="no VM of that name, or one with this cluster's mark",
        seen=(f"VM {stranger.name} ({stranger.id}), {stranger.state}, {marked}",),
        then=then,
        machine=machine.name,
    )
    return refuse(StepId.VM, machine, fault)


def _new(cluster: Cluster, machine: MachineSpec, seen: Observed) -> Action:
    if fault := fault_of_left_disks(cluster, machine, seen):
        return refuse(StepId.VM, machine, fault)
    size = f"{machine.cpus} CPUs, {machine.memory_mib / 1024:g} GiB"
    left = to_attach(cluster, machine, seen)
    if left is not None:
        why = f"attach again the disk that is there, {left.disk_bytes / GIB:.1f} GiB written in {left.path}; {size}"
        return _create(machine, why, attach=left.path)
    return _create(machine, f"{size}, disk {machine.disk_gib} GiB, {spaced_mac(machine.mac)}")


def _create(machine: MachineSpec, why: str, *, attach: str = "") -> Action:
    details = {"attach": attach} if attach else {}
    return for_machine(StepId.VM, machine, Verb.CREATE, why, kind="create", details=details)


def _existing(cluster: Cluster, machine: MachineSpec, vm: VmFacts) -> Iterator[Action]:
    fixed = _unchangeable(cluster, machine, vm)
    if fixed:
        fault = Fault(
            "P-VM-DRIFT",
            f"{machine.name} differs from the file in what cannot be changed while it exists",
            expected=", ".join(want for want, _ in fixed),
            seen=tuple(have for _, have in fixed),
            then=(f"change the file back, or: provision rebuild {cluster.name}",),
            machine=machine.name,
        )
        yield refuse(StepId.VM, machine, fault)
        return
    drift = _drift(machine, vm)
    if drift:
        needs_off = vm.state != "Off" and any(name in ("cpus", "memory_mib") for name in drift)
        why = ", ".join(f"{name} {have} -> {want}" for name, (have, want) in drift.items())
        yield for_machine(
            StepId.VM,
            machine,
            Verb.CHANGE,
            why,
            kind="change",
            details={"id": vm.id, "restart": needs_off, **{name: want for name, (_, want) in drift.items()}},
            warning="stops the node for about a minute" if needs_off else "",
        )
    elif vm.state == "Running":
        yield for_machine(
            StepId.VM, machine, Verb.KEEP, f"as the file says: {vm.cpus} CPUs, {vm.memory_mib / 1024:g} GiB, running"
        )
    else:
        yield for_machine(StepId.VM, machine, Verb.START, f"the VM is {vm.state}", kind="start", details={"id": vm.id})


def _unchangeable(cluster: Cluster, machine: MachineSpec, vm: VmFacts) -> list[tuple[str, str]]:
    disk = next((d for d in vm.drives if d.kind == "disk"), None)
    pairs = [
        (vm.generation == 2, "generation 2", f"generation {vm.generation}"),
        (vm.mac == machine.mac, f"MAC {spaced_mac(machine.mac)}", f"MAC {spaced_mac(vm.mac)}"),
        (
            vm.switch.lower() == cluster.switch.name.lower(),
            f"switch {cluster.switch.name}",
            f"switch {vm.switch or 'none'}",
        ),
        (
            disk is None or disk.size_bytes <= machine.disk_gib * GIB,
            f"disk {machine.disk_gib} GiB",
            f"disk {disk.size_bytes / GIB:g} GiB" if disk else "",
        ),
    ]
    return [(want, have) for good, want, have in pairs if not good]


def _drift(machine: MachineSpec, vm: VmFacts) -> dict[str, tuple[object, object]]:
    """What differs and can be changed: name -> (seen, wanted)."""
    disk = next((d for d in vm.drives if d.kind == "disk"), None)
    pairs: dict[str, tuple[object, object]] = {
        "cpus": (vm.cpus, machine.cpus),
        "memory_mib": (vm.memory_mib, machine.memory_mib),
        "vlan": (vm.vlan or 0, machine.vlan or 0),
    }
    if disk is not None:
        pairs["disk_gib"] = (disk.size_bytes // GIB, machine.disk_gib)
    return {name: (have, want) for name, (have, want) in pairs.items() if have != want}


async def apply(action: Action, run: Run) -> str:
    machine = run.cluster.machine(action.machine)
    doing = {"create": _do_create, "change": _do_change, "start": _do_start}[action.kind]
    return await doing(action, machine, run)


async def _settle(run: Run, machine: MachineSpec, what: str, call: Callable[[], Awaitable[VmFacts]]) -> VmFacts:
    """Does an idempotent call until it was answered: a lost answer is asked for again, within the step's bound."""

    async def probe() -> Met[VmFacts] | NotYet:
        try:
            vm = await call()
        except (Dropped, Unreachable) as gone:
            return NotYet(f"{machine.host} is away ({gone})")
        except TransportError as error:
            raise fault_of(error, host=machine.host, machine=machine.name) from error
        return Met(vm, f"{vm.state}, {vm.cpus} CPUs, {vm.memory_mib / 1024:g} GiB")

    try:
        met = await run.wait(probe, step=StepId.VM, what=what, why="Hyper-V does it", machine=machine.name, every_s=2.0)
    except TimedOut as late:
        raise Fault(
            "P-HOST-LOST",
            f"{machine.host} did not answer about {machine.name}",
            expected=f"an answer within {late.bound}",
            seen=(late.reason,),
            machine=machine.name,
        ) from late
    run.vms[machine.name] = met.value
    return met.value


async def _do_create(_action: Action, machine: MachineSpec, run: Run) -> str:
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
        start_delay_s=0 if machine.role is Role.CONTROL_PLANE else WORKER_DELAY_S,
    )
    vm = await _settle(run, machine, f"VM {machine.name}", lambda: host.new_vm(request))
    _check_made(machine, vm)
    return f"{vm.state}, {vm.cpus} CPUs, {vm.memory_mib / 1024:g} GiB, boot order {', '.join(vm.boot_order)}"


def _check_made(machine: MachineSpec, vm: VmFacts) -> None:
    """What was read back must be what was asked for: these decide whether Talos boots, and boots again."""
    wrong = [
        what
        for good, what in (
            (vm.state == "Running", f"state {vm.state}"),
            (vm.mac == machine.mac, f"MAC {vm.mac}"),
            (not vm.secure_boot, "Secure Boot is on"),
            (not vm.dynamic_memory, "memory is dynamic"),
            (tuple(vm.boot_order[:2]) == ("disk", "dvd"), f"boot order {', '.join(vm.boot_order)}"),
            (vm.complete and vm.mark is not None, "no mark"),
        )
        if not good
    ]
    if wrong:
        raise Fault(
            "P-VM-STUCK",
            f"{machine.name} was made, but reads back otherwise than asked",
            expected="running, static MAC and memory, Secure Boot off, boot order disk then DVD, our mark",
            seen=tuple(wrong),
            machine=machine.name,
        )


async def _do_start(action: Action, machine: MachineSpec, run: Run) -> str:
    host, vm_id = run.host_of(machine), str(action.details["id"])
    vm = await _settle(run, machine, f"start {machine.name}", lambda: host.start_vm(vm_id))
    return vm.state


async def _do_change(action: Action, machine: MachineSpec, run: Run) -> str:
    """Shuts the guest down where the change needs it, changes, starts again. Asked, never cut: the node keeps its data."""
    host, vm_id = run.host_of(machine), str(action.details["id"])
    details = action.details
    if details["restart"]:
        await _settle(run, machine, f"shut down {machine.name}", lambda: host.stop_vm(vm_id, turn_off=False))
    change = VmChange(
        id=vm_id,
        mark=run.mark_of(machine.name),
        cpus=details.get("cpus"),
        memory_mib=details.get("memory_mib"),
        disk_gib=details.get("disk_gib"),
        vlan=details.get("vlan"),
    )
    await _settle(run, machine, f"change {machine.name}", lambda: host.set_vm(change))
    vm = await _settle(run, machine, f"start {machine.name}", lambda: host.start_vm(vm_id))
    return f"{vm.state}, {vm.cpus} CPUs, {vm.memory_mib / 1024:g} GiB"


async def restart_from_disk(run: Run, machine: MachineSpec, reason: str) -> None:
    """Ejects the ISO and restarts a machine that booted it although Talos is on its disk (it has halted and does nothing)."""
    host, vm_id = run.host_of(machine), run.vm_of(machine.name).id
    run.note(
        "warning", f"{machine.name} booted the ISO again ({reason}): ejecting it and restarting", machine=machine.name
    )
    try:
        await host.dismount_iso(vm_id)
        await host.stop_vm(vm_id, turn_off=True)
        run.vms[machine.name] = await host.start_vm(vm_id)
    except TransportError as error:
        raise fault_of(error, host=machine.host, machine=machine.name) from error
