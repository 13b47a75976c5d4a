"""The kinds of objects that this API serves."""

from __future__ import annotations

from dataclasses import dataclass

ALL_VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Resource:
    """One kind, as discovery tells of it."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    has_status: bool = False

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


RESOURCES = (
    Resource("", "v1", "namespaces", "namespace", "Namespace", namespaced=False, short=("ns",), has_status=True),
    Resource("", "v1", "nodes", "node", "Node", namespaced=False, short=("no",), has_status=True),
    Resource("", "v1", "pods", "pod", "Pod", namespaced=True, short=("po",), categories=("all",), has_status=True),
    Resource("", "v1", "services", "service", "Service", namespaced=True, short=("svc",), categories=("all",)),
    Resource("", "v1", "configmaps", "configmap", "ConfigMap", namespaced=True, short=("cm",)),
    Resource("", "v1", "secrets", "secret", "Secret", namespaced=True),
    Resource("", "v1", "serviceaccounts", "serviceaccount", "ServiceAccount", namespaced=True, short=("sa",)),
    Resource("", "v1", "events", "event", "Event", namespaced=True, short=("ev",)),
    Resource(
        "apps", "v1", "daemonsets", "daemonset", "DaemonSet", True, short=("ds",), categories=("all",), has_status=True
    ),
    Resource(
        "apps", "v1", "deployments", "deployment", "Deployment", True, ("deploy",), categories=("all",), has_status=True
    ),
    Resource(
        "apps", "v1", "replicasets", "replicaset", "ReplicaSet", True, ("rs",), categories=("all",), has_status=True
    ),
    Resource("coordination.k8s.io", "v1", "leases", "lease", "Lease", namespaced=True),
    Resource(
        "policy",
        "v1",
        "poddisruptionbudgets",
        "poddisruptionbudget",
        "PodDisruptionBudget",
        True,
        ("pdb",),
        has_status=True,
    ),
)
BY_PLURAL = {resource.plural: resource for resource in RESOURCES}
GROUPS = tuple(dict.fromkeys((r.group, r.version) for r in RESOURCES if r.group))
