"""Kubernetes' objects as facts. Raises Malformed for what is none."""

from __future__ import annotations

from provisioner.kubernetes.reading import JsonObject
from provisioner.model.facts import NodeFacts, PodFacts

CONDITIONS = 1_000
"""Conditions or addresses of one object; there are a handful."""

NO_NETWORK = "NetworkPluginNotReady"
"""What the kubelet puts into the message of the condition Ready while no CNI has set itself up.
Source: https://github.com/kubernetes/kubernetes/blob/v1.34.1/pkg/kubelet/container/runtime.go and the runtime's own status.
"""


def node_facts(node: JsonObject) -> NodeFacts:
    """A Node of `v1`: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/node-v1/"""
    status, metadata = node.within("status"), node.within("metadata")
    ready = _condition(status, "Ready")
    is_ready = ready is not None and ready.text("status") == "True"
    why = (ready.words("message") or ready.words("reason")) if ready is not None else ""
    addresses = status.each("addresses", most=CONDITIONS)
    return NodeFacts(
        name=metadata.required("name"),
        ready=is_ready,
        reason="" if is_ready else why or "no status yet",
        lacks_network=ready is not None and NO_NETWORK in ready.words("message"),
        schedulable=not node.within("spec").flag("unschedulable"),
        version=status.within("nodeInfo").text("kubeletVersion"),
        address=next((a.text("address") for a in addresses if a.text("type") == "InternalIP"), ""),
    )


def pod_facts(pod: JsonObject) -> PodFacts:
    """A Pod of `v1`: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/"""
    status, metadata = pod.within("status"), pod.within("metadata")
    labels = metadata.within("labels")
    ready = _condition(status, "Ready")
    return PodFacts(
        namespace=metadata.text("namespace"),
        name=metadata.required("name"),
        node=pod.within("spec").text("nodeName"),
        ready=ready is not None and ready.text("status") == "True",
        app=labels.text("k8s-app") or labels.text("component"),
    )


def _condition(status: JsonObject, type: str) -> JsonObject | None:
    return next((each for each in status.each("conditions", most=CONDITIONS) if each.text("type") == type), None)
