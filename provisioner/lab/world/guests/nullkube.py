"""A Kubernetes that consists of readiness alone: for a world of machines without the Kubernetes part."""

from __future__ import annotations

from functools import partial

from provisioner.lab.world.guests.times import Span
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import Guest

API_START = Span(50, 100)
NODE_READY = Span(10, 30)


class NullKube:
    """Implements `seams.KubeRules`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._control_planes: dict[str, str] = {}
        self._kubelets: dict[str, str] = {}
        self._ready: set[str] = set()

    def etcd_started(self, guest: Guest, cluster_id: str, cluster_name: str) -> None:
        self._control_planes[guest.owner] = cluster_id
        self._kernel.after(API_START.draw(self._kernel), f"API of {cluster_name}", lambda: self._api_up(cluster_id))

    def etcd_stopped(self, guest: Guest) -> None:
        self._control_planes.pop(guest.owner, None)

    def kubelet_started(self, guest: Guest, cluster_id: str) -> None:
        self._kubelets[guest.owner] = cluster_id
        self._register(cluster_id)

    def kubelet_stopped(self, guest: Guest) -> None:
        self._kubelets.pop(guest.owner, None)
        self._ready.discard(guest.owner)

    def forget_disk(self, vm_id: str) -> None:
        clusters = self._kernel.state.clusters
        for cluster in list(clusters.values()):
            cluster.members.pop(vm_id, None)
            if not cluster.members:
                del clusters[cluster.id]

    def api_is_up(self, cluster_id: str) -> bool:
        cluster = self._kernel.state.clusters.get(cluster_id)
        return cluster is not None and cluster.api_up is not None and cluster_id in self._control_planes.values()

    def node_ready(self, guest: Guest) -> bool:
        return guest.owner in self._ready

    def static_pods_ready(self, guest: Guest) -> bool:
        return self.api_is_up(self._control_planes.get(guest.owner, ""))

    def _api_up(self, cluster_id: str) -> None:
        cluster = self._kernel.state.clusters.get(cluster_id)
        if cluster is not None and cluster_id in self._control_planes.values():
            cluster.api_up = self._kernel.now()
            self._kernel.changed("kube", cluster_id)
            self._register(cluster_id)

    def _register(self, cluster_id: str) -> None:
        if not self.api_is_up(cluster_id):
            return
        for owner in [owner for owner, cluster in self._kubelets.items() if cluster == cluster_id]:
            self._kernel.after(NODE_READY.draw(self._kernel), f"node {owner}", partial(self._node_ready, owner))

    def _node_ready(self, owner: str) -> None:
        if owner in self._kubelets and owner not in self._ready:
            self._ready.add(owner)
            self._kernel.note("node_ready", owner)
            self._kernel.changed("kube", self._kubelets[owner])
