"""`provision down`: remove what this cluster made, and nothing else. Keeps switch, image and secrets unless told otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from provisioner.model.cluster import Cluster
from provisioner.model.facts import Observed
from provisioner.model.options import RemovalScope
from provisioner.model.ownership import copies_of, our_ids
from provisioner.model.plan import Action, Plan
from provisioner.model.steps import StepId
from provisioner.steps import removal


def plan_down(cluster: Cluster, seen: Observed, extent: RemovalScope) -> Plan:
    """Pure. In the order in which things are removed."""
    return Plan(cluster=cluster.name, actions=tuple(removal.plan(cluster, seen, extent)))


def without_machines(seen: Observed) -> Observed:
    """What would be seen after `down`: the same hosts without our VMs."""
    hosts = {}
    for name, state in seen.hosts.items():
        ours = removal.our_vms(state, seen)
        freed = sum(vm.memory_mib for vm in ours if vm.state == "Running") * 1024**2
        ids = our_ids(seen.secrets)
        others = tuple(
            folder
            for folder in state.folders
            if folder.mark.cluster_id not in ids
            or copies_of(seen.hosts, folder.mark)  # the record that tells them apart
        )
        host = replace(state.host, memory_free_bytes=state.host.memory_free_bytes + freed)
        hosts[name] = replace(state, host=host, vms=tuple(vm for vm in state.vms if vm not in ours), folders=others)
    return replace(seen, hosts=hosts, machines={}, unread={}, etcd=None, etcd_began=None, nodes=None)


_FIRST = (StepId.VM,)
_LAST = (StepId.SECRETS,)


def needs_of_removal(action: Action, actions: Sequence[Action]) -> list[Action]:
    """VMs first: they hold the switch and the image. Secrets last: the mark that proves what is ours hangs on them."""
    if action.step in _FIRST:
        return []
    if action.step in _LAST:
        return [other for other in actions if other is not action]
    return [other for other in actions if other.step in _FIRST]
