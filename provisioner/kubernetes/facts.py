"""Kubernetes' objects as facts."""

from __future__ import annotations

from typing import Any

from provisioner.model.facts import NodeFacts, PodFacts

CONTROL_PLANE_LABEL = "node-role.kubernetes.io/control-plane"

NO_NETWORK = "NetworkPluginNotReady"
"""What the kubelet puts into the message of the condition Ready while no CNI has set itself up.
Source: https://github.com/kubernetes/kubernetes/blob/v1.34.1/pkg/kubelet/container/runtime.go and the runtime's own status.
"""


def node_facts(node: dict[str, Any]) -> NodeFacts:
    status = node.get("status", {})
    ready = _condition(status, "Ready")
    return NodeFacts(
        name=node["metadata"]["name"],
        ready=ready.get("status") == "True",
        reason="" if ready.get("status") == "True" else ready.get("message") or ready.get("reason") or "no status yet",
        lacks_network=NO_NETWORK in (ready.get("message") or ""),
        schedulable=not node.get("spec", {}).get("unschedulable", False),
        version=status.get("nodeInfo", {}).get("kubeletVersion", ""),
        address=next((a["address"] for a in status.get("addresses", ()) if a["type"] == "InternalIP"), ""),
        control_plane=CONTROL_PLANE_LABEL in node["metadata"].get("labels", {}),
    )


def pod_facts(pod: dict[str, Any]) -> PodFacts:
    status = pod.get("status", {})
    labels = pod["metadata"].get("labels", {})
    return PodFacts(
        namespace=pod["metadata"].get("namespace", ""),
        name=pod["metadata"]["name"],
        node=pod.get("spec", {}).get("nodeName", ""),
        phase=status.get("phase", ""),
        ready=_condition(status, "Ready").get("status") == "True",
        app=labels.get("k8s-app") or labels.get("component") or "",
    )


def _condition(status: dict[str, Any], type: str) -> dict[str, Any]:
    return next((each for each in status.get("conditions") or () if each["type"] == type), {})
