"""What is ours on the hosts: which VM is a machine's, which one is a copy of it, and what else bears a mark of this cluster.

A mark in the Notes is a claim, and Hyper-V copies Notes along with a VM. The record in the folder that we made (`provision.json`) names
the id of the one VM that was made there, and decides between claims. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from provisioner.model.facts import FolderFacts, HostState, SecretsFacts, VmFacts
from provisioner.model.naming import Mark


@dataclass(frozen=True, kw_only=True)
class OnHost:
    """A VM, and the host that it is on."""

    host: str
    vm: VmFacts


def our_ids(secrets: SecretsFacts) -> frozenset[str]:
    """The ids that marks of this cluster bear: the present one, and those of earlier lives of which something is left."""
    return frozenset(filter(None, (secrets.cluster_id, *secrets.former_ids)))


def claims(hosts: Mapping[str, HostState], mark: Mark) -> tuple[OnHost, ...]:
    """All VMs that bear that mark."""
    return tuple(OnHost(host=name, vm=vm) for name, state in hosts.items() for vm in state.vms if vm.mark == mark)


def vm_of(hosts: Mapping[str, HostState], mark: Mark) -> OnHost | None:
    """The VM that is the machine of that mark: the one that a folder record confirms, or the only one, unless a record names another.

    None where no VM bears the mark, and where it cannot be told which: see `copies_of`.
    """
    claimed = claims(hosts, mark)
    confirmed = [one for one in claimed if one.vm.id in _recorded(hosts[one.host], mark)]
    if confirmed:
        return confirmed[0] if len(confirmed) == 1 else None
    return claimed[0] if len(claimed) == 1 and not _recorded(hosts[claimed[0].host], mark) else None


def copies_of(hosts: Mapping[str, HostState], mark: Mark) -> tuple[OnHost, ...]:
    """VMs that bear the mark and are not proven to be the machine. Where it cannot be told which one is, all of them."""
    own = vm_of(hosts, mark)
    return tuple(one for one in claims(hosts, mark) if one != own)


def marks_of(hosts: Mapping[str, HostState], secrets: SecretsFacts) -> tuple[Mark, ...]:
    """The marks of this cluster that VMs bear, each once, in the order of the hosts' VMs."""
    ids = our_ids(secrets)
    marks = (vm.mark for state in hosts.values() for vm in state.vms)
    return tuple(dict.fromkeys(mark for mark in marks if mark is not None and mark.cluster_id in ids))


def our_vms(hosts: Mapping[str, HostState], secrets: SecretsFacts) -> tuple[OnHost, ...]:
    """VMs that are this cluster's machines, also those that the file does not name any more; without copies."""
    return tuple(own for mark in marks_of(hosts, secrets) if (own := vm_of(hosts, mark)) is not None)


def our_copies(hosts: Mapping[str, HostState], secrets: SecretsFacts) -> tuple[OnHost, ...]:
    """VMs that bear marks of this cluster and are not proven to be its machines."""
    return tuple(one for mark in marks_of(hosts, secrets) for one in copies_of(hosts, mark))


def namesakes(hosts: Mapping[str, HostState], secrets: SecretsFacts, names: Collection[str]) -> tuple[OnHost, ...]:
    """VMs that are marked as machines of those names, under an id that is none of ours: of another cluster file of that name, or ours, and
    the id was lost here.
    """
    ids = our_ids(secrets)
    return tuple(
        OnHost(host=name, vm=vm)
        for name, state in hosts.items()
        for vm in state.vms
        if vm.mark is not None and vm.mark.machine in names and vm.mark.cluster_id not in ids
    )


def left_folders(state: HostState, secrets: SecretsFacts) -> Iterator[FolderFacts]:
    """Folders of ours on a host whose VM is gone: what a locked file, a kill, or a removal by hand left behind."""
    ids, there = our_ids(secrets), {vm.id for vm in state.vms}
    lived_in = {vm.folder.rstrip("\\").lower() for vm in state.vms}
    for folder in state.folders:
        if folder.mark.cluster_id in ids and folder.vm_id not in there and folder.path.lower() not in lived_in:
            yield folder


def ids_left(hosts: Mapping[str, HostState], secrets: SecretsFacts) -> frozenset[str]:
    """Those of our ids that something on the hosts bears: a VM, a folder, or the switch."""
    return frozenset(
        cluster_id for cluster_id in our_ids(secrets) if any(cluster_id in _ids_on(state) for state in hosts.values())
    )


def _ids_on(state: HostState) -> set[str]:
    marks = [vm.mark for vm in state.vms] + [folder.mark for folder in state.folders]
    marks += [switch.mark for switch in (state.switch, *state.marked_switches) if switch is not None and switch.exists]
    return {mark.cluster_id for mark in marks if mark is not None}


def _recorded(state: HostState, mark: Mark) -> frozenset[str]:
    """Ids of the VMs that were made under that mark on that host, by the records in their folders."""
    return frozenset(folder.vm_id for folder in state.folders if folder.mark == mark and folder.vm_id)
