"""One Kubernetes cluster at work: its API servers, its controllers, its kubelets and what they make of its nodes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.kernel import Due, Kernel
from provisioner.lab.world.kube import manifests, pods, times
from provisioner.lab.world.kube.store import Json, ObjectStore
from provisioner.lab.world.kube.workloads import Workloads
from provisioner.lab.world.state import Guest, KubeCluster

_NO_NETWORK = (
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:Network plugin returns error: cni plugin not initialized"
)


@dataclass
class ControlPlane:
    """A machine whose etcd runs: its API server comes up, then the other two components."""

    guest: Guest
    config: MachineConfig
    api_up: bool = False
    controllers_up: bool = False


@dataclass
class Kubelet:
    guest: Guest
    config: MachineConfig
    since: float
    registered: bool = False


class RunningCluster:
    """All methods are called under the world's lock. What runs is lost with the power; objects stay in etcd."""

    def __init__(self, kernel: Kernel, cluster: KubeCluster) -> None:
        self._kernel = kernel
        self.cluster = cluster
        self.store = ObjectStore(kernel, cluster)
        self.control_planes: dict[str, ControlPlane] = {}
        self.kubelets: dict[str, Kubelet] = {}
        self._by_node: dict[str, Kubelet] = {}
        self._last_seen: dict[str, float] = {}
        """Node -> when its kubelet stopped."""
        self._dues: dict[str, list[Due]] = {}
        """By machine: what is on its way as long as it runs."""
        self._never_ready: set[str] = set()
        self.workloads = Workloads(kernel, self.store, self)

    # -- what is there

    @property
    def api_up(self) -> bool:
        return self.has_quorum and any(one.api_up for one in self.control_planes.values())

    @property
    def has_quorum(self) -> bool:
        """Without a majority of its voting members etcd answers nothing, and so does no API server."""
        voters = {member.id for member in self.cluster.roster.values() if not member.learner}
        up = {self.cluster.members.get(owner) for owner in self.control_planes}
        return len(voters & up) > len(voters) // 2

    @property
    def controllers_run(self) -> bool:
        return self.has_quorum and any(one.controllers_up for one in self.control_planes.values())

    def kubelet_runs(self, node: str) -> bool:
        kubelet = self._kubelet_of(node)
        return kubelet is not None and kubelet.registered and self.api_up

    def node_ready(self, guest: Guest) -> bool:
        node = self.store.find("nodes", "", guest.hostname)
        return guest.owner in self.kubelets and node is not None and pods.node_ready(node) and self.api_up

    def static_pods_ready(self, guest: Guest) -> bool:
        one = self.control_planes.get(guest.owner)
        names = [f"{component}-{guest.hostname}" for component in manifests.STATIC_PODS]
        found = [self.store.find("pods", "kube-system", name) for name in names]
        is_up = one is not None and one.api_up and one.controllers_up
        return is_up and all(pod is not None and pods.is_ready(pod) for pod in found)

    def leases(self) -> list[Json]:
        """Renewed every ten seconds by each kubelet. They are made when somebody asks, not written at every renewal."""
        found = []
        for node in self.store.all("nodes"):
            name = node["metadata"]["name"]
            kubelet = self._kubelet_of(name)
            now = self._kernel.now()
            seen = now - (now - kubelet.since) % times.LEASE_EVERY if kubelet else self._last_seen.get(name, 0.0)
            age = max(0.0, now - seen) / self._kernel.clock.rate
            renewed = self._kernel.clock.wall().timestamp() - age
            found.append(manifests.lease(name, node["metadata"]["uid"], _micro_date(renewed), self.store.version))
        return found

    # -- control planes

    def etcd_started(self, guest: Guest) -> None:
        config = MachineConfig(guest.config or b"")
        self.control_planes[guest.owner] = ControlPlane(guest, config)
        pulled = self.store.find("pods", "kube-system", f"kube-apiserver-{guest.hostname}") is not None
        wait = (times.API_AGAIN if pulled else times.API_FIRST).draw(self._kernel)
        wait += self._kernel.injected("kube-slow", guest.hostname) or 0.0
        self._later(guest.owner, wait, f"API server of {guest.hostname}", partial(self._api_started, guest))

    def etcd_stopped(self, guest: Guest) -> None:
        self._cancel(guest.owner)
        self.control_planes.pop(guest.owner, None)
        self._kernel.changed("kube", self.cluster.id)

    def _api_started(self, guest: Guest) -> None:
        self.control_planes[guest.owner].api_up = True
        if self.cluster.api_up is None:
            self.cluster.api_up = self._kernel.now()
            for namespace in manifests.namespaces():
                self.store.create("namespaces", namespace)
        self._kernel.note("api_up", self.cluster.id, cause=(f"etcd_up/{guest.owner}",), machine=guest.hostname)
        self._later(
            guest.owner, times.CONTROLLERS.draw(self._kernel), "controllers", partial(self._controllers_started, guest)
        )
        self._kernel.changed("kube", self.cluster.id)
        for kubelet in list(self.kubelets.values()):
            self._register_later(kubelet)

    def _controllers_started(self, guest: Guest) -> None:
        one = self.control_planes[guest.owner]
        one.controllers_up = True
        self._later(
            guest.owner, times.MANIFESTS.draw(self._kernel), "Talos' manifests", partial(self._apply_manifests, one)
        )
        self._static_pods(one)
        self.workloads.look_again()
        for node in self.store.all("nodes"):
            name = node["metadata"]["name"]
            if self._kubelet_of(name) is None:
                self._last_seen[name] = (
                    self._kernel.now()
                )  # a new controller manager gives every node its time of grace
                self._grace(name)

    def _apply_manifests(self, one: ControlPlane) -> None:
        """Talos applies what is missing, and leaves alone what is there."""
        for plural, body in manifests.system_objects(one.config):
            if self.store.find(plural, body["metadata"]["namespace"], body["metadata"]["name"]) is None:
                self.store.create(plural, body)

    def _static_pods(self, one: ControlPlane) -> None:
        """The kubelet shows its static pods to the API, and what state they are in."""
        node = self.store.find("nodes", "", one.guest.hostname)
        kubelet = self.kubelets.get(one.guest.owner)
        if node is None or kubelet is None or not kubelet.registered or not one.api_up:
            return
        for component in manifests.STATIC_PODS:
            name = f"{component}-{one.guest.hostname}"
            pod = self.store.find("pods", "kube-system", name)
            if pod is None:
                body = manifests.static_pod(component, one.guest, one.config, node["metadata"]["uid"])
                pod = self.store.create("pods", body)
            if (component == "kube-apiserver" or one.controllers_up) and not pods.is_ready(pod):
                restarted = pod["status"].get("phase") == "Running"
                self.store.update("pods", pods.running(pod, node, self.store.now(), restarted=restarted))

    def restore_static_pods(self) -> None:
        """Deleting the picture of a static pod does not stop it: its kubelet shows it again."""
        for one in self.control_planes.values():
            self._static_pods(one)

    # -- nodes

    def kubelet_started(self, guest: Guest) -> None:
        kubelet = Kubelet(guest, MachineConfig(guest.config or b""), self._kernel.now())
        self.kubelets[guest.owner] = self._by_node[guest.hostname] = kubelet
        if self.api_up:
            self._register_later(kubelet)

    def kubelet_stopped(self, guest: Guest) -> None:
        self._cancel(f"kubelet {guest.owner}")
        kubelet = self.kubelets.pop(guest.owner, None)
        self._by_node.pop(guest.hostname, None)
        if kubelet is not None and kubelet.registered:
            self._last_seen[guest.hostname] = self._kernel.now()
            self._grace(guest.hostname)
        self._kernel.changed("kube", self.cluster.id)

    def _register_later(self, kubelet: Kubelet) -> None:
        self._later(
            f"kubelet {kubelet.guest.owner}",
            times.REGISTER.draw(self._kernel),
            f"node {kubelet.guest.hostname} registers",
            partial(self._register, kubelet),
        )

    def _register(self, kubelet: Kubelet) -> None:
        if kubelet.registered or not self.api_up:
            return
        kubelet.registered = True
        guest, config = kubelet.guest, kubelet.config
        vm = self._kernel.state.host.vms.get(guest.owner)
        if self._kernel.injected("node-never-ready", guest.hostname) is not None:
            self._never_ready.add(guest.hostname)
        node = self.store.find("nodes", "", guest.hostname)
        if node is not None and node["status"]["nodeInfo"]["bootID"] == guest.boot_id:
            self.workloads.kubelet_back(guest.hostname)  # it was cut off for a while, and nothing stopped
            if self._has_network(guest.hostname):
                self._network_ready(kubelet)
            return
        if node is None:
            node = self.store.create("nodes", manifests.node(guest, config, vm, len(self.store.all("nodes"))))
            text = f"Node {guest.hostname} event: Registered Node in Controller"
            self._say(node, reason="RegisteredNode", message=text)
        else:
            status = manifests.node_status(guest, config, vm) | {"conditions": node["status"].get("conditions", [])}
            self.store.update("nodes", {**node, "status": status})
        self._set_ready(guest.hostname, "False", "KubeletNotReady", _NO_NETWORK)
        self.workloads.kubelet_started(guest.hostname)
        one = self.control_planes.get(guest.owner)
        if one is not None:
            self._static_pods(one)

    def _has_network(self, node: str) -> bool:
        return any(
            _is_flannel(pod) and pods.node_of(pod) == node and pods.is_ready(pod)
            for pod in self.store.all("pods", "kube-system")
        )

    def pod_changed(self, pod: Json) -> None:
        """Flannel is what makes a node Ready: it brings the network."""
        if pods.is_ready(pod):
            self._note_ready(pod)
        if not _is_flannel(pod) or not pods.is_ready(pod):
            return
        kubelet = self._kubelet_of(pods.node_of(pod))
        if kubelet is not None:
            self._later(
                f"kubelet {kubelet.guest.owner}",
                times.NETWORK_READY.draw(self._kernel),
                f"node {kubelet.guest.hostname} is Ready",
                partial(self._network_ready, kubelet),
            )

    def _note_ready(self, pod: Json) -> None:
        """Pods with the host's network wait for the API alone, others for their node's."""
        name, kubelet = pod["metadata"]["name"], self._kubelet_of(pods.node_of(pod))
        waits = kubelet is not None and not pod["spec"].get("hostNetwork")
        cause = f"node_ready/{kubelet.guest.owner}" if kubelet and waits else f"api_up/{self.cluster.id}"
        self._kernel.note("pod_ready", name, cause=(cause,))

    def _network_ready(self, kubelet: Kubelet) -> None:
        name = kubelet.guest.hostname
        if name in self._never_ready or not self.api_up or self.kubelets.get(kubelet.guest.owner) is not kubelet:
            return
        self._set_ready(name, "True", "KubeletReady", "kubelet is posting ready status")
        self._kernel.note("node_ready", kubelet.guest.owner, cause=(f"api_up/{self.cluster.id}",), machine=name)

    def _grace(self, name: str) -> None:
        self._kernel.after(
            times.NODE_GRACE, f"node {name} is given up", partial(self._give_up, name, self._last_seen[name])
        )

    def _give_up(self, name: str, last_seen: float) -> None:
        node = self.store.find("nodes", "", name)
        if node is None or not self.controllers_run or not self._still_lost(name, last_seen):
            return
        self._set_ready(name, "Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
        self._say(node, reason="NodeNotReady", message=f"Node {name} status is now: NodeNotReady")
        self.workloads.node_lost(name)
        self._kernel.after(times.EVICTION_AFTER, f"pods of {name} are given up", partial(self._evict, name, last_seen))

    def _evict(self, name: str, last_seen: float) -> None:
        if self.controllers_run and self._still_lost(name, last_seen):
            self.workloads.evict_lost(name)

    def _still_lost(self, name: str, last_seen: float) -> bool:
        alive = self.cluster.id in self._kernel.state.clusters
        return alive and self._kubelet_of(name) is None and self._last_seen.get(name) == last_seen

    def _set_ready(self, name: str, status: str, reason: str, message: str) -> None:
        def change(node: Json) -> None:
            before = node["status"].get("conditions", [])
            node["status"]["conditions"] = manifests.conditions(status, reason, message, self.store.now(), before)
            ours = (manifests.NOT_READY, manifests.UNREACHABLE)
            taints = [taint for taint in node["spec"].get("taints") or [] if taint["key"] not in ours]
            if status != "True":
                key = manifests.NOT_READY if status == "False" else manifests.UNREACHABLE
                taints += [manifests.taint(key), *([manifests.taint(key, "NoExecute")] if status == "Unknown" else [])]
            node["spec"]["taints"] = taints

        self.store.change("nodes", self.store.get("nodes", "", name), change)

    def _say(self, node: Json, *, reason: str, message: str) -> None:
        event = manifests.event(
            node,
            reason=reason,
            message=message,
            now=self.store.now(),
            component="node-controller",
            warning=reason == "NodeNotReady",
        )
        self.store.create("events", event)

    def _kubelet_of(self, node: str) -> Kubelet | None:
        return self._by_node.get(node)

    # -- time

    def _later(self, owner: str, seconds: float, name: str, act: partial[None]) -> None:
        self._dues.setdefault(owner, []).append(self._kernel.after(seconds, name, act))

    def _cancel(self, owner: str) -> None:
        for due in self._dues.pop(owner, []):
            due.cancel()


def _is_flannel(pod: Json) -> bool:
    return bool((pod["metadata"].get("labels") or {}).get("k8s-app") == manifests.FLANNEL)


def _micro_date(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
