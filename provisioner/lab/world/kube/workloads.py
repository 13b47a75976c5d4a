"""Controllers, scheduler and kubelets as far as pods go: they compare what is asked for with what is there, and act."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from provisioner.lab.world.kernel import Due, Kernel
from provisioner.lab.world.kube import manifests, pods, times
from provisioner.lab.world.kube.store import Change, Json, ObjectStore

WATCHED = ("nodes", "pods", "daemonsets", "deployments", "replicasets")


class Cluster(Protocol):
    """What pods depend on in their cluster."""

    @property
    def controllers_run(self) -> bool: ...

    @property
    def scheduler_runs(self) -> bool: ...

    def kubelet_runs(self, node: str) -> bool: ...

    def pod_changed(self, pod: Json) -> None:
        """A pod began or ceased to be ready."""

    def restore_static_pods(self) -> None: ...


class Workloads:
    """All methods are called under the world's lock."""

    def __init__(self, kernel: Kernel, store: ObjectStore, cluster: Cluster) -> None:
        self._kernel = kernel
        self._store = store
        self._cluster = cluster
        self._due: Due | None = None
        self._at_work: dict[str, Due] = {}
        """Pods (by uid) that are being started or stopped."""
        store.on_change = self._changed

    def look_again(self) -> None:
        """Soon, once for all changes until then."""
        if self._due is None:
            self._due = self._kernel.after(
                times.RECONCILE, f"controllers of {self._store.cluster.name}", self._reconcile
            )

    def kubelet_started(self, node: str) -> None:
        """After a boot all of a node's pods start again."""
        for pod in self._on_node(node):
            if pod["status"].get("phase") == "Running":
                self._store.update("pods", pods.not_ready(pod, self._store.now()))
        self.look_again()

    def kubelet_back(self, node: str) -> None:
        """The kubelet could not reach the API for a while; its pods ran on."""
        body = self._store.get("nodes", "", node)
        for pod in self._on_node(node):
            if pod["status"].get("phase") == "Running" and not pods.is_ready(pod) and not pods.is_ending(pod):
                self._store.update("pods", pods.running(pod, body, self._store.now(), restarted=False))
        self.look_again()

    def node_lost(self, node: str) -> None:
        """The node is silent: none of its pods counts as ready."""
        for pod in self._on_node(node):
            self._store.update("pods", pods.not_ready(pod, self._store.now()))
        self.look_again()

    def evict_lost(self, node: str) -> None:
        """Pods that may live elsewhere are given up; their kubelet would have to confirm it, so they stay Terminating."""
        for pod in self._on_node(node):
            if pods.owner_of(pod).get("kind") == "ReplicaSet" and not pods.is_ending(pod):
                self._store.update("pods", pods.ending(pod, self._store.now(), 0))

    def end_pod(self, pod: Json, grace: int) -> Json:
        """A pod is deleted by a user or a controller. At once with `grace` 0 by a user, else by its kubelet."""
        metadata = pod["metadata"]
        if pods.is_static(pod):
            gone = self._store.delete("pods", metadata["namespace"], metadata["name"])
            self._cluster.restore_static_pods()
            return gone
        if grace == 0 or not pods.node_of(pod):
            return self._store.delete("pods", metadata["namespace"], metadata["name"])
        if pods.is_ending(pod):
            return pod
        ending = self._store.update("pods", pods.ending(pod, self._store.now(), grace))
        self.look_again()
        return ending

    def _changed(self, change: Change) -> None:
        if change.plural in WATCHED:
            self.look_again()
        if change.plural == "pods":
            was = change.before is not None and pods.is_ready(change.before)
            now = change.after is not None and pods.is_ready(change.after)
            if was != now:
                self._cluster.pod_changed(change.last)

    # -- one look

    def _reconcile(self) -> None:
        self._due = None
        if self._store.cluster.id not in self._kernel.state.clusters:
            return
        if self._cluster.controllers_run:
            for daemonset in self._store.all("daemonsets"):
                self._reconcile_daemonset(daemonset)
            for deployment in self._store.all("deployments"):
                self._reconcile_deployment(deployment)
            self._collect_garbage()
        if self._cluster.scheduler_runs:
            self._schedule()
        self._run_kubelets()

    def _reconcile_daemonset(self, daemonset: Json) -> None:
        nodes = {node["metadata"]["name"] for node in self._store.all("nodes")}
        own = self._owned_by(daemonset)
        served = {pods.node_of(pod) for pod in own}
        for node in sorted(nodes - served) if self._cluster.scheduler_runs else ():
            name = f"{daemonset['metadata']['name']}-{self._store.random_suffix()}"
            self._store.create("pods", pods.from_template(daemonset, daemonset["spec"]["template"], name, node))
        for pod in own:
            if pods.node_of(pod) not in nodes:
                self._store.delete("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
        ready = sum(map(pods.is_ready, own))
        status = manifests.made("daemonset_status", nodes=len(nodes), ready=ready, missing=len(nodes) - ready)
        self._set_status("daemonsets", daemonset, status)

    def _reconcile_deployment(self, deployment: Json) -> None:
        replicas = deployment["spec"].get("replicas", 1)
        replicaset = self._replicaset_of(deployment)
        own = self._owned_by(replicaset)
        living = [pod for pod in own if not pods.is_ending(pod)]
        for _ in range(replicas - len(living)):
            name = f"{replicaset['metadata']['name']}-{self._store.random_suffix()}"
            self._store.create("pods", pods.from_template(replicaset, deployment["spec"]["template"], name))
        for pod in sorted(living, key=pods.is_ready)[: max(0, len(living) - replicas)]:
            self.end_pod(pod, 30)
        ready = sum(pods.is_ready(pod) for pod in living)
        status = {"replicas": replicas, "readyReplicas": ready, "availableReplicas": ready, "observedGeneration": 1}
        self._set_status("replicasets", replicaset, status)
        self._set_status(
            "deployments",
            deployment,
            {**status, "updatedReplicas": replicas, "unavailableReplicas": replicas - ready},
        )

    def _collect_garbage(self) -> None:
        """What belongs to a controller that is gone goes too."""
        owners = ("daemonsets", "deployments", "replicasets", "nodes")
        known = {body["metadata"]["uid"] for plural in owners for body in self._store.all(plural)}
        for body in self._store.all("replicasets"):
            if pods.owner_of(body).get("uid") not in (None, *known):
                self._store.delete("replicasets", body["metadata"]["namespace"], body["metadata"]["name"])
        for pod in self._store.all("pods"):
            if pods.owner_of(pod).get("uid") not in (None, *known) and not pods.is_ending(pod):
                self.end_pod(pod, 30)

    def _replicaset_of(self, deployment: Json) -> Json:
        found = self._owned_by(deployment, "replicasets")
        if found:
            return found[0]
        metadata = deployment["metadata"]
        body = pods.from_template(
            deployment, deployment["spec"]["template"], f"{metadata['name']}-{self._store.random_suffix(9)}"
        )
        spec = {
            "replicas": deployment["spec"].get("replicas", 1),
            "selector": deployment["spec"]["selector"],
            "template": deployment["spec"]["template"],
        }
        return self._store.create("replicasets", {"metadata": body["metadata"], "spec": spec, "status": {}})

    def _schedule(self) -> None:
        """Waiting pods go to the node that has fewest of their kind, then fewest at all."""
        nodes = self._store.all("nodes")
        for pod in self._store.all("pods"):
            if pods.node_of(pod) or pods.is_ending(pod):
                continue
            fitting = [node for node in nodes if _takes(node, pod)]
            if not fitting:
                self._store.update("pods", pods.unschedulable(pod, len(nodes), self._store.now()))
                continue
            chosen = min(fitting, key=partial(self._load, pod))
            self._store.update("pods", pods.bound(pod, chosen["metadata"]["name"], self._store.now()))

    def _load(self, pod: Json, node: Json) -> tuple[int, int, str]:
        name = node["metadata"]["name"]
        there = self._on_node(name)
        kin = sum(other["metadata"].get("labels") == pod["metadata"].get("labels") for other in there)
        return kin, len(there), name

    def _run_kubelets(self) -> None:
        for pod in self._store.all("pods"):
            uid = pod["metadata"]["uid"]
            if uid in self._at_work or not self._cluster.kubelet_runs(pods.node_of(pod)):
                continue
            if pods.is_ending(pod):
                self._work(uid, times.POD_STOP.draw(self._kernel), partial(self._stopped, pod))
            elif not pods.is_ready(pod) and not pods.is_static(pod) and self._has_network(pod):
                self._work(uid, times.POD_START.draw(self._kernel), partial(self._started, pod))

    def _has_network(self, pod: Json) -> bool:
        """Pods without the host's network wait for the node's own."""
        node = self._store.find("nodes", "", pods.node_of(pod))
        if node is None:
            return False
        if (pod["metadata"].get("labels") or {}).get("k8s-app") == manifests.FLANNEL and not node["spec"].get(
            "podCIDR"
        ):
            return False  # flannel ends at once: the pod network has no part left for this node
        return bool(pod["spec"].get("hostNetwork")) or pods.node_ready(node)

    def _work(self, uid: str, seconds: float, act: Callable[[], None]) -> None:
        def done() -> None:
            self._at_work.pop(uid, None)
            act()
            self.look_again()

        self._at_work[uid] = self._kernel.after(seconds, f"pod {uid}", done)

    def _started(self, pod: Json) -> None:
        present = self._present(pod)
        node = self._store.find("nodes", "", pods.node_of(pod))
        if (
            present is None
            or node is None
            or pods.is_ending(present)
            or not self._cluster.kubelet_runs(pods.node_of(pod))
        ):
            return
        restarted = present["status"].get("phase") == "Running"
        self._store.update("pods", pods.running(present, node, self._store.now(), restarted=restarted))

    def _stopped(self, pod: Json) -> None:
        present = self._present(pod)
        if present is not None and self._cluster.kubelet_runs(pods.node_of(pod)):
            self._store.delete("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])

    def _present(self, pod: Json) -> Json | None:
        """The same pod as it is now; None when it is gone, or another has its name."""
        found = self._store.find("pods", pod["metadata"]["namespace"], pod["metadata"]["name"])
        return found if found is not None and found["metadata"]["uid"] == pod["metadata"]["uid"] else None

    def _on_node(self, node: str) -> list[Json]:
        return [pod for pod in self._store.all("pods") if pods.node_of(pod) == node]

    def _owned_by(self, owner: Json, plural: str = "pods") -> list[Json]:
        uid = owner["metadata"]["uid"]
        return [pod for pod in self._store.all(plural) if pods.owner_of(pod).get("uid") == uid]

    def _set_status(self, plural: str, body: Json, status: Mapping[str, Any]) -> None:
        if body.get("status") != status:
            self._store.update(plural, {**body, "status": dict(status)})


def _takes(node: Json, pod: Json) -> bool:
    return (
        pods.node_ready(node)
        and not node["spec"].get("unschedulable")
        and pods.tolerates(pod, node["spec"].get("taints") or ())
    )
