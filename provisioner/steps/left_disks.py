"""Disks that earlier VMs left: a VM that is removed in Hyper-V Manager keeps its disk, and a control plane's holds etcd.

`up` deletes none. The new VM takes the disk that lies where its own would be made, in a folder with the machine's mark, as long as this
cluster's secrets open what is on it. Any other one is the user's to decide about: P-VM-LEFTOVER names it.
"""

from __future__ import annotations

from provisioner.errors import Fault
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.facts import FolderFacts, Observed
from provisioner.model.naming import Mark
from provisioner.model.ownership import left_folders
from provisioner.model.units import GIB, MIB

BLOCK_BYTES = 32 * MIB
"""Block of a dynamic VHDX, as New-VHD makes it: one that takes less on its volume was never written to. Source: New-VHD's reference."""


def left_disks(machine: MachineSpec, seen: Observed) -> tuple[FolderFacts, ...]:
    """Folders on the machine's host with a written disk of an earlier VM of that machine."""
    folders = left_folders(seen.hosts[machine.host], seen.secrets)
    return tuple(f for f in folders if f.mark.machine == machine.name and f.disk_bytes >= BLOCK_BYTES)


def has_written_disk(machine: MachineSpec, seen: Observed) -> bool:
    """Whether a folder of the machine on its host has a disk that was written to: left by an earlier VM, or meant for one that is half-made."""
    mark = Mark(cluster_id=seen.secrets.cluster_id, machine=machine.name)
    return any(f.mark == mark and f.disk_bytes >= BLOCK_BYTES for f in seen.hosts[machine.host].folders)


def to_attach(cluster: Cluster, machine: MachineSpec, seen: Observed) -> FolderFacts | None:
    """The folder whose disk the machine's new VM will take, or None."""
    found = left_disks(machine, seen)
    return found[0] if len(found) == 1 and not _why_not(cluster, machine, found[0], seen) else None


def fault_of_left_disks(cluster: Cluster, machine: MachineSpec, seen: Observed) -> Fault | None:
    """P-VM-LEFTOVER for disks that are there and cannot be attached without asking; None where there is nothing to ask."""
    found = left_disks(machine, seen)
    if not found or to_attach(cluster, machine, seen) is not None:
        return None
    reasons = [_why_not(cluster, machine, folder, seen) or "it is one of several" for folder in found]
    return Fault(
        "P-VM-LEFTOVER",
        f"a disk of an earlier {machine.name} is on {machine.host}, and is not attached by itself",
        expected=f"at most one such disk, in {folder_of(cluster, machine, seen)}, and the secrets that it was made with",
        seen=tuple(
            f"{folder.path}: {folder.disk_bytes / GIB:.1f} GiB written, of VM {folder.vm_id or 'unknown'}; {reason}"
            for folder, reason in zip(found, reasons, strict=True)
        ),
        next_steps=(
            f"to keep what is on it: set that right, then: provision up {cluster.name}",
            f"to give it up: move the folder away, or, with all machines: provision down {cluster.name}",
        ),
        machine=machine.name,
    )


def folder_of(cluster: Cluster, machine: MachineSpec, seen: Observed) -> str:
    """Where the machine's VM is made."""
    parent = cluster.folder or seen.hosts[machine.host].host.disk_folder
    return parent.rstrip("\\") + f"\\{machine.name}"


def _why_not(cluster: Cluster, machine: MachineSpec, folder: FolderFacts, seen: Observed) -> str:
    """Why the disk cannot simply be attached; empty where it can."""
    if folder.path.rstrip("\\").lower() != folder_of(cluster, machine, seen).lower():
        return "the file has another folder:"
    if folder.mark != Mark(cluster_id=seen.secrets.cluster_id, machine=machine.name):
        return "it is of an earlier life of the cluster, with other secrets"
    inside = folder.path.rstrip("\\").lower() + "\\"
    for vm in seen.hosts[machine.host].vms:
        if any(drive.kind == "disk" and drive.path.lower().startswith(inside) for drive in vm.drives):
            return f"the VM {vm.name} has it in a drive"
    if not seen.secrets.exists:
        return f"the secrets that open it are not here: {seen.secrets.path}"
    return ""
