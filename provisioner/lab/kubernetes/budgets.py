"""Disruption budgets: how many pods may be evicted before a minimum is touched."""

from __future__ import annotations

import math
from dataclasses import dataclass

from provisioner.lab.kubernetes import selectors
from provisioner.lab.world.kube import pods
from provisioner.lab.world.kube.store import Json, KubeError, ObjectStore


@dataclass(frozen=True)
class Allowed:
    count: int
    needed: int
    healthy: int


def allowed(budget: Json, store: ObjectStore) -> Allowed:
    """How many of the budget's pods may go now."""
    match = selectors.label_matcher(budget["spec"].get("selector") or {})
    own = [pod for pod in store.all("pods", budget["metadata"]["namespace"]) if match(pod) and not pods.is_ending(pod)]
    healthy = sum(pods.is_ready(pod) for pod in own)
    if "maxUnavailable" in budget["spec"]:
        needed = len(own) - _number(budget["spec"]["maxUnavailable"], len(own))
    else:
        needed = _number(budget["spec"].get("minAvailable", 0), len(own))
    return Allowed(max(0, healthy - needed), needed, healthy)


def check(pod: Json, store: ObjectStore) -> None:
    """Raises KubeError 429 when a budget holds the pod. One that is not ready holds up no eviction."""
    if not pods.is_ready(pod):
        return
    for budget in store.all("poddisruptionbudgets", pod["metadata"]["namespace"]):
        if not selectors.label_matcher(budget["spec"].get("selector") or {})(pod):
            continue
        left = allowed(budget, store)
        if left.count < 1:
            name = budget["metadata"]["name"]
            text = f"The disruption budget {name} needs {left.needed} healthy pods and has {left.healthy} currently"
            raise KubeError(
                429,
                "TooManyRequests",
                "Cannot evict pod as it would violate the pod's disruption budget.",
                causes=[{"reason": "DisruptionBudget", "message": text}],
            )


def _number(value: int | str, of: int) -> int:
    """A count, or a percentage, rounded up as Kubernetes does."""
    return math.ceil(of * int(value[:-1]) / 100) if isinstance(value, str) and value.endswith("%") else int(value)
