"""What the machines tell of etcd and kubelets, handed to the cluster they belong to."""

from __future__ import annotations

from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.kube.cluster import RunningCluster
from provisioner.lab.world.state import Guest


class LabKube:
    """All methods are called under the world's lock."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._running: dict[str, RunningCluster] = {}

    def of(self, cluster_id: str) -> RunningCluster | None:
        """The cluster at work; None for one that is not, or is no more."""
        cluster = self._kernel.state.clusters.get(cluster_id)
        running = self._running.get(cluster_id)
        if cluster is None:
            self._running.pop(cluster_id, None)
            return None
        if running is None or running.cluster is not cluster:
            running = self._running[cluster_id] = RunningCluster(self._kernel, cluster)
        return running

    def clusters(self) -> list[RunningCluster]:
        return [running for cluster_id in list(self._kernel.state.clusters) if (running := self.of(cluster_id))]

    # -- what machines tell

    def etcd_started(self, guest: Guest, cluster_id: str) -> None:
        """Etcd of that control plane runs as a member of the cluster: the first one after bootstrap, others by joining, all of them
        again after a boot. `cluster_id` is new at each bootstrap; the cluster stands in `State.clusters` already, with its members.
        """
        running = self.of(cluster_id)
        if running is not None:
            running.etcd_started(guest)

    def etcd_stopped(self, guest: Guest) -> None:
        for running in self._running.values():
            if guest.owner in running.control_planes:
                running.etcd_stopped(guest)

    def kubelet_started(self, guest: Guest, cluster_id: str) -> None:
        """The kubelet runs; its node registers as soon as the API is up."""
        running = self.of(cluster_id)
        if running is not None:
            running.kubelet_started(guest)

    def kubelet_stopped(self, guest: Guest) -> None:
        for running in self._running.values():
            if guest.owner in running.kubelets:
                running.kubelet_stopped(guest)

    def config_changed(self, guest: Guest) -> None:
        """It runs by another config since now, without a reboot."""
        for running in self._running.values():
            running.config_changed(guest)

    def forget_disk(self, vm_id: str) -> None:
        """The disk of that VM is gone for good; the cluster ends with the last disk that holds its etcd data."""
        for cluster in list(self._kernel.state.clusters.values()):
            if cluster.members.pop(vm_id, None) is not None and not cluster.members:
                del self._kernel.state.clusters[cluster.id]
                self._running.pop(cluster.id, None)
                self._kernel.note("cluster_gone", cluster.id)
                self._kernel.changed("kube", cluster.id)

    def node_ready(self, guest: Guest) -> bool:
        return any(running.node_ready(guest) for running in self._running.values())

    def static_pods_ready(self, guest: Guest) -> bool:
        return any(running.static_pods_ready(guest) for running in self._running.values())
