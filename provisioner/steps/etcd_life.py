"""Whether the cluster's etcd has begun before, and whether its data is still there. Pure.

Bootstrap begins an empty etcd, so it is sent once in the life of a cluster. A life begins with it and ends when `down` or `rebuild`
removes the machines. What says that a life has begun:

- the note of an earlier run, a hint: lost with the file, and forgotten by `down` and `rebuild` before they remove the first machine;
- a worker that answers under this cluster's authority: a control plane's trustd signed its certificate;
- another control plane that was there before: it has etcd's data or may have, and is asked by the step itself.

Talos refuses Bootstrap over data that is on the disk, so a control plane that runs from the disk that it had is never harmed. Harm
comes from an empty one: a VM that is not there and left no disk, or a machine that is in maintenance. Where every control plane is such a
one and a life has begun, what was in etcd is gone, and only the user can decide to start over: P-ETCD-LOST, in the plan, before a VM
is made, so that no `--until` leads around it.
"""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.errors import Fault
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.facts import MachineFacts, Observed, VmFacts
from provisioner.model.naming import Mark
from provisioner.model.ownership import our_vms, vm_of
from provisioner.steps.left_disks import BLOCK_BYTES, folder_of, has_written_disk, left_disks
from provisioner.steps.vm_policy import disk_of


def lost(cluster: Cluster, seen: Observed) -> Fault | None:
    """P-ETCD-LOST where etcd began in an earlier run and no control plane can have its data any more; else None."""
    evidence = signs_of_life(cluster, seen)
    if not evidence:
        return None
    reasons = [_why_empty(cluster, machine, seen) for machine in cluster.control_planes]
    return fault_of_loss(cluster, seen, (*reasons, *evidence)) if all(reasons) else None


def fault_of_loss(cluster: Cluster, seen: Observed, what_was_seen: tuple[str, ...]) -> Fault:
    first = cluster.control_planes[0]
    ours, names = our_vms(seen.hosts, seen.secrets), {machine.name for machine in cluster.machines}
    restart = f"provision rebuild {cluster.name}" if ours else f"provision down {cluster.name}, then the same command"
    unnamed = [one for one in ours if one.vm.mark is not None and one.vm.mark.machine not in names]
    if unnamed:
        return Fault(
            "P-ETCD-LOST",
            f"etcd of {cluster.name} was started before, and by the file none of its machines can have the data",
            expected="a control plane of the file with etcd's data: Bootstrap is sent once in the life of a cluster",
            seen=(
                *what_was_seen,
                *(f"{one.vm.name} on {one.host} is not named by the file, and may hold it" for one in unnamed),
            ),
            next_steps=(
                f"put the names of the machines back into {cluster.file.name}",
                f"to start over with an empty cluster: {restart}",
            ),
            machine=first.name,
        )
    return Fault(
        "P-ETCD-LOST",
        f"etcd of {cluster.name} was started before, and the disk that held it is gone: all that was in the cluster is lost with it",
        expected=f"etcd's data on the disk of {first.name}: Bootstrap is sent once in the life of a cluster",
        seen=what_was_seen,
        next_steps=(
            f"from a backup: put the folder {folder_of(cluster, first, seen)} back as it was, disk and provision.json; it is attached again",
            f"to start over with an empty cluster: {restart}",
        ),
        machine=first.name,
    )


def signs_of_life(cluster: Cluster, seen: Observed) -> tuple[str, ...]:
    """What says that etcd has begun before, apart from the control planes themselves."""
    signs = ["an earlier run started etcd and noted it"] if seen.etcd_began is not None else []
    at_work = (f"{name} runs at {facts.address} as a worker of this cluster" for name, facts in _workers(cluster, seen))
    return (*signs, *at_work)


def in_kubernetes(cluster: Cluster, seen: Observed) -> str:
    """A worker that was a ready node, as Talos says it of a machine in stage running alone; empty for none."""
    found = _workers(cluster, seen)
    return next((name for name, facts in found if facts.stage == "running" and facts.ready), "")


def _workers(cluster: Cluster, seen: Observed) -> Iterator[tuple[str, MachineFacts]]:
    """Those that answer under this cluster's authority."""
    for worker in cluster.workers:
        facts = seen.machines.get(worker.name)
        if facts is not None and facts.mode == "secure":
            yield worker.name, facts


def _why_empty(cluster: Cluster, machine: MachineSpec, seen: Observed) -> str:
    """Why there can be no data of etcd on that control plane; empty where there can."""
    vm, facts = _vm(machine, seen), seen.machines.get(machine.name)
    if vm is None:
        if left_disks(machine, seen) or has_written_disk(machine, seen):
            return ""
        return f"{machine.name}: no VM, and no disk in {folder_of(cluster, machine, seen)}"
    if facts is not None and facts.mode == "maintenance" and facts.stage == "maintenance":
        return f"{machine.name} is in maintenance at {facts.address}: Talos is not on its disk any more"
    disk = disk_of(vm)
    if disk is None:
        half_made = not vm.complete and not has_written_disk(machine, seen)
        return f"{machine.name}: VM {vm.id} is half-made, and has no disk" if half_made else ""
    empty = 0 < (disk.file_bytes or 0) < BLOCK_BYTES
    return f"{machine.name}: nothing was ever written to {disk.path}" if empty else ""


def _vm(machine: MachineSpec, seen: Observed) -> VmFacts | None:
    if not seen.secrets.cluster_id:
        return None
    own = vm_of(seen.hosts, Mark(cluster_id=seen.secrets.cluster_id, machine=machine.name))
    return own.vm if own else None
