"""What becomes of a pod: how it is made of a template, placed on a node, started, lost and stopped. Bodies only, no time."""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from provisioner.lab.world.kube import manifests

Json = dict[str, Any]


def owner_of(pod: Json) -> Json:
    """The controller that owns it; empty for a pod without one."""
    owners = pod["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), {})


def is_static(pod: Json) -> bool:
    return manifests.MIRROR in (pod["metadata"].get("annotations") or {})


def is_ready(pod: Json) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", ()))


def is_ending(pod: Json) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def node_of(pod: Json) -> str:
    return str(pod.get("spec", {}).get("nodeName", ""))


def node_ready(node: Json) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", ()))


def from_template(owner: Json, template: Json, name: str, node: str = "") -> Json:
    """A pod of a controller, on a node or waiting for one."""
    metadata = owner["metadata"]
    spec = copy.deepcopy(template["spec"]) | ({"nodeName": node} if node else {})
    labels = dict(template["metadata"].get("labels") or {})
    return manifests.made(
        "owned_pod",
        name=name,
        namespace=metadata["namespace"],
        labels=labels,
        owner_version=owner["apiVersion"],
        owner_kind=owner["kind"],
        owner=metadata["name"],
        owner_uid=metadata["uid"],
        spec=spec,
    )


def tolerates(pod: Json, taints: Iterable[Json]) -> bool:
    """Whether the scheduler may put the pod onto a node with these taints."""
    tolerations = pod["spec"].get("tolerations") or []
    return all(
        any(_matches(toleration, taint) for toleration in tolerations)
        for taint in taints
        if taint["effect"] != "PreferNoSchedule"
    )


def _matches(toleration: Mapping[str, str], taint: Mapping[str, str]) -> bool:
    if toleration.get("effect", taint["effect"]) != taint["effect"]:
        return False
    if toleration.get("operator") == "Exists":
        return toleration.get("key", taint["key"]) == taint["key"]
    return (toleration.get("key"), toleration.get("value", "")) == (taint["key"], taint.get("value", ""))


def bound(pod: Json, node: str, now: str) -> Json:
    """Placed by the scheduler."""
    pod = copy.deepcopy(pod)
    pod["spec"]["nodeName"] = node
    pod["status"]["conditions"] = [_condition("PodScheduled", "True", now)]
    return pod


def unschedulable(pod: Json, nodes: int, now: str) -> Json:
    """No node takes it."""
    pod = copy.deepcopy(pod)
    text = f"0/{nodes} nodes are available"
    known = (pod["status"].get("conditions") or [{}])[0]
    if known.get("message") != text:
        condition = _condition("PodScheduled", "False", now) | {"reason": "Unschedulable", "message": text}
        pod["status"]["conditions"] = [condition]
    return pod


def running(pod: Json, node: Json, now: str, *, restarted: bool) -> Json:
    """Its containers run on the node and pass their checks."""
    pod = copy.deepcopy(pod)
    host = next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
    before = pod["status"].get("containerStatuses") or []
    restarts = before[0]["restartCount"] + 1 if before and restarted else (before[0]["restartCount"] if before else 0)
    address = host if pod["spec"].get("hostNetwork") else _pod_address(pod, node)
    pod["status"] |= {
        "phase": "Running",
        "hostIP": host,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": pod["status"].get("startTime", now),
        "conditions": [
            _condition(kind, "True", now) for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ],
        "containerStatuses": [
            manifests.made(
                "container_status", name=container["name"], image=container["image"], restarts=restarts, now=now
            )
            for container in pod["spec"]["containers"]
        ],
    }
    return pod


def not_ready(pod: Json, now: str) -> Json:
    """Its node is gone, or its containers are."""
    pod = copy.deepcopy(pod)
    for condition in pod["status"].get("conditions") or []:
        if condition["type"] in ("Ready", "ContainersReady") and condition["status"] == "True":
            condition |= {"status": "False", "lastTransitionTime": now}
    for container in pod["status"].get("containerStatuses") or []:
        container["ready"] = False
    return pod


def ending(pod: Json, now: str, grace: int) -> Json:
    """Marked for deletion; it is gone once its kubelet has stopped it."""
    pod = copy.deepcopy(pod)
    pod["metadata"] |= {"deletionTimestamp": now, "deletionGracePeriodSeconds": grace}
    return pod


def _condition(kind: str, status: str, now: str) -> Json:
    return {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": now}


def _pod_address(pod: Json, node: Json) -> str:
    """An address of the node's pod network, from the pod's own id."""
    network = ipaddress.ip_network(node["spec"]["podCIDR"])
    return str(network[2 + int(pod["metadata"]["uid"][:8], 16) % 250])
