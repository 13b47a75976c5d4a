"""Emptying a node by evictions, as `kubectl drain` does it.

Sources: https://kubernetes.io/docs/tasks/administer-cluster/safely-drain-node/ and
https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from provisioner.kubernetes.reading import JsonObject
from provisioner.ports import LeftPod, LeftReason

RETRY_S = 2.0
"""Seconds of the clock port between two looks at what is left."""
GONE, CONFLICT, TOO_MANY = 404, 409, 429
"""What an eviction answers for a pod that is gone, for one of the same name that replaced it, and while a budget forbids it."""
_MIRROR = "kubernetes.io/config.mirror"
"""The kubelet's annotation of a pod that it shows for a manifest of its own.
Source: https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-config-mirror
"""
_ITEMS = 1_000
"""Owners or volumes of one pod; there are a handful."""


@dataclass(frozen=True, kw_only=True)
class NodePod:
    """A pod as far as its eviction is concerned."""

    namespace: str
    name: str
    uid: str
    owner: str
    """Kind of the controller that would recreate it; empty without one."""
    mirror: bool
    local_data: bool
    terminating: bool


def node_pod(pod: JsonObject) -> NodePod:
    """Raises Malformed for what is no pod."""
    metadata, spec = pod.within("metadata"), pod.within("spec")
    owners = metadata.each("ownerReferences", most=_ITEMS)
    finished = pod.within("status").text("phase") in ("Succeeded", "Failed")
    return NodePod(
        namespace=metadata.required("namespace"),
        name=metadata.required("name"),
        uid=metadata.required("uid"),
        owner=next(
            (owner.required("kind") for owner in owners if owner.flag("controller")), "itself" if finished else ""
        ),
        mirror=_MIRROR in metadata.within("annotations"),
        local_data=not finished and any("emptyDir" in volume for volume in spec.each("volumes", most=_ITEMS)),
        terminating="deletionTimestamp" in metadata,
    )


def stays(pod: NodePod) -> bool:
    """Whether a drain leaves it: it belongs to the node, and would be back at once."""
    return pod.mirror or pod.owner == "DaemonSet"


def lost(pods: Sequence[NodePod], *, local_data: bool, unmanaged: bool) -> tuple[LeftPod, ...]:
    """The pods of which something would be lost that the caller does not allow to be."""
    found = []
    for pod in pods:
        if not pod.owner and not unmanaged:
            found.append(left(pod, LeftReason.UNMANAGED))
        elif pod.local_data and not local_data:
            found.append(left(pod, LeftReason.LOCAL_DATA))
    return tuple(found)


def left(pod: NodePod, reason: LeftReason, message: str = "") -> LeftPod:
    """The pod as one that is still there."""
    return LeftPod(namespace=pod.namespace, name=pod.name, reason=reason, message=message)


def eviction(pod: NodePod) -> Mapping[str, Any]:
    """The body of the request: for this very pod, and for no other that has its name by then."""
    return {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": pod.namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    }
