"""One Kubernetes cluster at work: its API servers, its controllers, its kubelets and what they make of its nodes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from provisioner.lab.world.guests.config import STATIC_PODS, MachineConfig
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
        return self._runs("kube-controller-manager")

    @property
    def scheduler_runs(self) -> bool:
        return self._runs("kube-scheduler")

    def _runs(self, component: str) -> bool:
        return self.has_quorum and any(
            one.controllers_up and component in one.config.static_pods for one in self.control_planes.values()
        )

    def kubelet_runs(self, node: str) -> bool:
        kubelet = self._kubelet_of(node)
        return kubelet is not None and kubelet.registered and self.api_up

    def node_ready(self, guest: Guest) -> bool:
        node = self.store.find("nodes", "", guest.nodename)
        return guest.owner in self.kubelets and node is not None and pods.node_ready(node) and self.api_up

    def static_pods_ready(self, guest: Guest) -> bool:
        one = self.control_planes.get(guest.owner)
        if one is None or not one.api_up or not one.controllers_up:
            return False
        if not one.config.registers_node:
            return True  # they run, and the API has no picture of them
        names = [f"{component}-{guest.nodename}" for component in one.config.static_pods]
        found = [self.store.find("pods", "kube-system", name) for name in names]
        return all(pod is not None and pods.is_ready(pod) for pod in found)

    def leases(self) -> list[Json]:
        """Renewed every ten seconds by each kubelet. They are made when a client asks, not written at every renewal."""
        found = []
        for node in self.store.all("nodes"):
            name = node["metadata"]["name"]
            kubelet = self._kubelet_of(name)
            now = self._kernel.now()
            seen = now - (now - kubelet.since) % times.LEASE_EVERY if kubelet else self._last_seen.get(name, 0.0)
            age = max(0.0, now - seen) / self._kernel.clock.rate
            renewed = self._kernel.clock.wall().timestamp() - age
            found.append(
                manifests.made(
                    "lease",
                    node=name,
                    node_uid=node["metadata"]["uid"],
                    version=str(self.store.version),
                    renewed=_micro_date(renewed),
                )
            )
        return found

    # -- control planes

    def etcd_started(self, guest: Guest) -> None:
        config = MachineConfig(guest.config or b"")
        self.control_planes[guest.owner] = ControlPlane(guest, config)
        pulled = self.store.find("pods", "kube-system", f"kube-apiserver-{guest.nodename}") is not None
        wait = (times.API_AGAIN if pulled else times.API_FIRST).draw(self._kernel)
        wait += self._kernel.injected("kube-slow", guest.nodename) or 0.0
        self._later(guest.owner, wait, f"API server of {guest.nodename}", partial(self._api_started, guest))

    def etcd_stopped(self, guest: Guest) -> None:
        self._cancel(guest.owner)
        self.control_planes.pop(guest.owner, None)
        self._kernel.changed("kube", self.cluster.id)

    def _api_started(self, guest: Guest) -> None:
        self.control_planes[guest.owner].api_up = True
        if self.cluster.api_up is None:
            self.cluster.api_up = self._kernel.now()
            for name in ("default", "kube-node-lease", "kube-public", "kube-system"):
                self.store.create("namespaces", manifests.made("namespace", name=name))
        self._kernel.note("api_up", self.cluster.id, cause=(f"etcd_up/{guest.owner}",), machine=guest.nodename)
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
        for plural, body in [*manifests.system_objects(one.config), *manifests.inline_objects(one.config)]:
            namespace = body["metadata"].get("namespace", "")
            has_place = not namespace or self.store.find("namespaces", "", namespace) is not None
            if has_place and self.store.find(plural, namespace, body["metadata"]["name"]) is None:
                self.store.create(plural, body)

    def _static_pods(self, one: ControlPlane) -> None:
        """The kubelet shows its static pods to the API, and what state they are in."""
        node = self.store.find("nodes", "", one.guest.nodename)
        kubelet = self.kubelets.get(one.guest.owner)
        if node is None or kubelet is None or not kubelet.registered or not one.api_up:
            return
        for component in STATIC_PODS:
            name = f"{component}-{one.guest.nodename}"
            if component not in one.config.static_pods:
                if self.store.find("pods", "kube-system", name) is not None:
                    self.store.delete("pods", "kube-system", name)
                continue
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
        self.kubelets[guest.owner] = self._by_node[guest.nodename] = kubelet
        if self.api_up:
            self._register_later(kubelet)

    def kubelet_stopped(self, guest: Guest) -> None:
        self._cancel(f"kubelet {guest.owner}")
        kubelet = self.kubelets.pop(guest.owner, None)
        self._by_node.pop(guest.nodename, None)
        if kubelet is not None and kubelet.registered:
            self._last_seen[guest.nodename] = self._kernel.now()
            self._grace(guest.nodename)
        self._kernel.changed("kube", self.cluster.id)

    def _register_later(self, kubelet: Kubelet) -> None:
        self._later(
            f"kubelet {kubelet.guest.owner}",
            times.REGISTER.draw(self._kernel),
            f"node {kubelet.guest.nodename} registers",
            partial(self._register, kubelet),
        )

    def _register(self, kubelet: Kubelet) -> None:
        if kubelet.registered or not self.api_up or not kubelet.config.registers_node:
            return
        kubelet.registered = True
        guest, config = kubelet.guest, kubelet.config
        vm = self._kernel.state.host.vms.get(guest.owner)
        never_ready = self._kernel.injected("node-never-ready", guest.nodename) is not None
        if never_ready:
            self._never_ready.add(guest.nodename)
        node = self.store.find("nodes", "", guest.nodename)
        if node is not None and node["status"]["nodeInfo"]["bootID"] == guest.boot_id:
            self.workloads.kubelet_back(guest.nodename)  # it was cut off for a while, and nothing stopped
            if self._has_network(guest.nodename):
                self._network_ready(kubelet)
            return
        if not never_ready:
            self._never_ready.discard(guest.nodename)  # it was good until the machine started again
        if node is None:
            node = self.store.create("nodes", manifests.node(guest, config, vm, self._free_part()))
            text = f"Node {guest.nodename} event: Registered Node in Controller"
            self._say(node, reason="RegisteredNode", message=text)
        else:
            status = manifests.node_status(guest, config, vm) | {"conditions": node["status"].get("conditions", [])}
            self.store.update("nodes", {**node, "status": status})
            self.store.change(
                "nodes", self.store.get("nodes", "", guest.nodename), lambda node: manifests.mark(node, config)
            )
        self._set_ready(guest.nodename, "False", "KubeletNotReady", _NO_NETWORK)
        self.workloads.kubelet_started(guest.nodename)
        one = self.control_planes.get(guest.owner)
        if one is not None:
            self._static_pods(one)

    def config_changed(self, guest: Guest) -> None:
        """What Talos changes of a node and of the static pods as soon as a config says so."""
        config = MachineConfig(guest.config or b"")
        if (one := self.control_planes.get(guest.owner)) is not None:
            one.config = config
            self._static_pods(one)
            if one.controllers_up:
                self._apply_manifests(one)
        kubelet = self.kubelets.get(guest.owner)
        if kubelet is None:
            return
        kubelet.config = config
        node = self.store.find("nodes", "", guest.nodename)

        def change(node: Json) -> None:
            manifests.mark(node, config)
            node["status"]["nodeInfo"]["kubeletVersion"] = config.kubernetes_version

        if kubelet.registered and node is not None and self.api_up:
            self.store.change("nodes", node, change)

    def _free_part(self) -> str:
        """The first part of the pod network that no node has; empty when there is none."""
        config = next(iter(self.control_planes.values())).config
        taken = {node["spec"].get("podCIDR") for node in self.store.all("nodes")}
        parts = (manifests.part_of_node(config, number) for number in range(len(taken) + 1))
        return next(part for part in parts if part not in taken)

    def _has_network(self, node: str) -> bool:
        return any(
            self._brings_network(pod) and pods.node_of(pod) == node and pods.is_ready(pod)
            for pod in self.store.all("pods", "kube-system")
        )

    def _brings_network(self, pod: Json) -> bool:
        """Whether it is of a network plugin: flannel, or a DaemonSet of the user's own with the host's network in kube-system, or one
        that writes where plugins are looked for.
        """
        owner, spec = pods.owner_of(pod), pod["spec"]
        if owner.get("kind") != "DaemonSet" or owner.get("name") == "kube-proxy" or not spec.get("hostNetwork"):
            return False
        paths = [str((volume.get("hostPath") or {}).get("path", "")) for volume in spec.get("volumes") or []]
        writes = any(path.startswith(("/etc/cni", "/opt/cni")) for path in paths)
        return writes or pod["metadata"]["namespace"] == "kube-system"

    def pod_changed(self, pod: Json) -> None:
        """What brings the network is what makes a node Ready."""
        if pods.is_ready(pod):
            self._note_ready(pod)
        if not self._brings_network(pod) or not pods.is_ready(pod):
            return
        kubelet = self._kubelet_of(pods.node_of(pod))
        if kubelet is not None:
            self._later(
                f"kubelet {kubelet.guest.owner}",
                times.NETWORK_READY.draw(self._kernel),
                f"node {kubelet.guest.nodename} is Ready",
                partial(self._network_ready, kubelet),
            )

    def _note_ready(self, pod: Json) -> None:
        """Pods with the host's network wait for the API alone, others for their node's."""
        name, kubelet = pod["metadata"]["name"], self._kubelet_of(pods.node_of(pod))
        waits = kubelet is not None and not pod["spec"].get("hostNetwork")
        cause = f"node_ready/{kubelet.guest.owner}" if kubelet and waits else f"api_up/{self.cluster.id}"
        self._kernel.note("pod_ready", name, cause=(cause,))

    def _network_ready(self, kubelet: Kubelet) -> None:
        name = kubelet.guest.nodename
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
        event = manifests.made(
            "event",
            node=node["metadata"]["name"],
            node_uid=node["metadata"]["uid"],
            reason=reason,
            message=message,
            type="Warning" if reason == "NodeNotReady" else "Normal",
            now=self.store.now(),
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


def _micro_date(timestamp: float) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
