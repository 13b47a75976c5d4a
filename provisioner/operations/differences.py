"""Differences between the file and a living cluster that `up` tells and does not change: versions, and machines that the file no longer
names. The configs of running machines are not compared; a plan says so.
"""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.facts import Observed
from provisioner.model.ownership import our_vms
from provisioner.model.plan import Difference


def differences(cluster: Cluster, seen: Observed) -> Iterator[Difference]:
    """Pure. In the order of the file's machines, then the machines that it does not name."""
    sent = seen.endpoint_sent
    if sent and cluster.endpoint and cluster.endpoint != sent and seen.etcd is not None:
        yield Difference(
            object=cluster.name,
            what="endpoint",
            seen=sent,
            wanted=cluster.endpoint,
            next_steps=f"put endpoint: {sent} back into {cluster.file.name}, or: provision rebuild {cluster.name}",
        )
    nodes = {node.name: node.version for node in seen.nodes or ()}
    for machine in cluster.machines:
        facts, config = seen.machines.get(machine.name), seen.configs.get(machine.name)
        talos = facts.talos if facts is not None and facts.mode == "secure" else ""
        kubernetes = nodes.get(config.node_name if config else machine.name, "")
        how = f"upgrade it with talosctl upgrade, or put talos: {talos} into {cluster.file.name}"
        yield from _version(machine, "Talos", talos, cluster.talos, how)
        how = f"upgrade with talosctl upgrade-k8s, or put kubernetes: {kubernetes} into {cluster.file.name}"
        yield from _version(machine, "Kubernetes", kubernetes, config.kubernetes if config else cluster.kubernetes, how)
    yield from _not_in_file(cluster, seen)


def _version(machine: MachineSpec, what: str, seen: str, wanted: str, next_steps: str) -> Iterator[Difference]:
    """Where both are known."""
    if seen and wanted and seen != wanted:
        yield Difference(object=machine.name, what=what, seen=seen, wanted=wanted, next_steps=next_steps)


def _not_in_file(cluster: Cluster, seen: Observed) -> Iterator[Difference]:
    names = {machine.name for machine in cluster.machines}
    for own in our_vms(seen.hosts, seen.secrets):
        if own.vm.mark is not None and own.vm.mark.machine not in names:
            yield Difference(
                object=own.vm.mark.machine,
                what="machine",
                seen=f"VM {own.vm.name} on {own.host}, {own.vm.state}",
                wanted="not in the file",
                next_steps=f"it stays as it is; put it back into {cluster.file.name}, or remove the node and its VM by hand",
            )


def uncompared(cluster: Cluster, seen: Observed) -> tuple[str, ...]:
    """Machines that run with a config, which is not compared with the file's."""
    found = (machine.name for machine in cluster.machines if machine.name in seen.machines)
    return tuple(name for name in found if seen.machines[name].mode == "secure")
