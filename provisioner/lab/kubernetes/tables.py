"""What `kubectl get` prints: the server makes the rows (`Accept: application/json;as=Table`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from provisioner.lab.kubernetes import budgets
from provisioner.lab.world.guests.config import CONTROL_PLANE_LABEL
from provisioner.lab.world.kube import pods
from provisioner.lab.world.kube.store import Json, ObjectStore

_ROLE = CONTROL_PLANE_LABEL.partition("/")[0] + "/"


@dataclass(frozen=True)
class Column:
    name: str
    cell: Callable[[Json], Any]
    kind: str = "string"
    wide: bool = False


_AGE = Column("Age", lambda _body: "")
"""Stands where the age of an object belongs."""


def table(
    plural: str, bodies: Iterable[Json], *, store: ObjectStore, now: datetime, include: str, version: str
) -> Json:
    """`include`: `Metadata`, `Object` or `None`, what goes along with each row."""
    columns = _columns(plural, store, now)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version},
        "columnDefinitions": [
            {
                "name": column.name,
                "type": column.kind,
                "format": "name" if column.name == "Name" else "",
                "description": "",
                "priority": int(column.wide),
            }
            for column in columns
        ],
        "rows": [{"cells": [column.cell(body) for column in columns], **_object(body, include)} for body in bodies],
    }


def age(timestamp: str, now: datetime) -> str:
    """As Kubernetes shortens durations."""
    try:
        then = datetime.strptime(timestamp, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return "<unknown>"
    seconds = max(0, int((now - then).total_seconds()))
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    return f"{days}d"


def _object(body: Json, include: str) -> Json:
    if include == "None":
        return {}
    if include == "Object":
        return {"object": body}
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": body["metadata"]}
    return {"object": partial}


def _columns(plural: str, store: ObjectStore, now: datetime) -> list[Column]:
    name = Column("Name", lambda body: body["metadata"]["name"])
    since = Column("Age", lambda body: age(body["metadata"].get("creationTimestamp", ""), now))
    own = {
        "nodes": _NODES,
        "pods": _PODS,
        "services": _SERVICES,
        "daemonsets": _DAEMONSETS,
        "deployments": _DEPLOYMENTS,
        "replicasets": _REPLICASETS,
        "namespaces": [Column("Status", lambda body: body.get("status", {}).get("phase", "Active"))],
        "configmaps": [Column("Data", lambda body: len(body.get("data") or {}), "integer")],
        "secrets": [
            Column("Type", lambda body: body.get("type", "Opaque")),
            Column("Data", lambda body: len(body.get("data") or {}), "integer"),
        ],
        "leases": [Column("Holder", lambda body: body["spec"].get("holderIdentity", ""))],
        "poddisruptionbudgets": [
            Column("Min Available", lambda body: str(body["spec"].get("minAvailable", "N/A"))),
            Column("Max Unavailable", lambda body: str(body["spec"].get("maxUnavailable", "N/A"))),
            Column("Allowed Disruptions", lambda body: budgets.allowed(body, store).count, "integer"),
        ],
    }.get(plural, [])
    if plural == "events":
        return [Column("Last Seen", lambda body: age(body.get("lastTimestamp", ""), now)), *_EVENTS]
    if _AGE not in own:  # as a rule it is the last but for what only `-o wide` shows
        at = next((i for i, column in enumerate(own) if column.wide), len(own))
        own = [*own[:at], _AGE, *own[at:]]
    return [name, *(since if column is _AGE else column for column in own)]


def _node_status(node: Json) -> str:
    ready = next((c["status"] for c in node["status"].get("conditions", ()) if c["type"] == "Ready"), "Unknown")
    word = "Ready" if ready == "True" else "NotReady"
    return word + (",SchedulingDisabled" if node["spec"].get("unschedulable") else "")


def _node_roles(node: Json) -> str:
    labels = node["metadata"].get("labels") or {}
    return ",".join(sorted(key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE))) or "<none>"


def _address(node: Json, kind: str) -> str:
    return next((a["address"] for a in node["status"].get("addresses", ()) if a["type"] == kind), "<none>")


def _info(key: str) -> Callable[[Json], str]:
    return lambda node: node["status"].get("nodeInfo", {}).get(key) or "<unknown>"


_NODES = [
    Column("Status", _node_status),
    Column("Roles", _node_roles),
    _AGE,
    Column("Version", _info("kubeletVersion")),
    Column("Internal-IP", lambda node: _address(node, "InternalIP"), wide=True),
    Column("External-IP", lambda node: _address(node, "ExternalIP"), wide=True),
    Column("OS-Image", _info("osImage"), wide=True),
    Column("Kernel-Version", _info("kernelVersion"), wide=True),
    Column("Container-Runtime", _info("containerRuntimeVersion"), wide=True),
]


def _containers(pod: Json) -> list[Json]:
    return list(pod["status"].get("containerStatuses") or [])


def _pod_status(pod: Json) -> str:
    if pods.is_ending(pod):
        return "Terminating"
    phase = pod["status"].get("phase", "Unknown")
    return "ContainerCreating" if phase == "Pending" and pods.node_of(pod) else str(phase)


_PODS = [
    Column("Ready", lambda pod: f"{sum(c['ready'] for c in _containers(pod))}/{len(pod['spec']['containers'])}"),
    Column("Status", _pod_status),
    Column("Restarts", lambda pod: str(sum(c["restartCount"] for c in _containers(pod)))),
    Column("IP", lambda pod: pod["status"].get("podIP", "<none>"), wide=True),
    Column("Node", lambda pod: pods.node_of(pod) or "<none>", wide=True),
    Column("Nominated Node", lambda _pod: "<none>", wide=True),
    Column("Readiness Gates", lambda _pod: "<none>", wide=True),
]


def _ports(service: Json) -> str:
    return (
        ",".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in service["spec"].get("ports") or [])
        or "<none>"
    )


def _pairs(labels: Json | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


_SERVICES = [
    Column("Type", lambda body: body["spec"].get("type", "ClusterIP")),
    Column("Cluster-IP", lambda body: body["spec"].get("clusterIP", "None")),
    Column("External-IP", lambda _body: "<none>"),
    Column("Port(s)", _ports),
    Column("Selector", lambda body: _pairs(body["spec"].get("selector")), wide=True),
]


def _status(key: str) -> Callable[[Json], int]:
    return lambda body: int((body.get("status") or {}).get(key, 0))


_WORKLOAD_WIDE = [
    Column("Containers", lambda body: ",".join(c["name"] for c in _template(body)), wide=True),
    Column("Images", lambda body: ",".join(c["image"] for c in _template(body)), wide=True),
    Column("Selector", lambda body: _pairs(body["spec"]["selector"].get("matchLabels")), wide=True),
]


def _template(body: Json) -> list[Json]:
    return list(body["spec"]["template"]["spec"]["containers"])


_DAEMONSETS = [
    Column("Desired", _status("desiredNumberScheduled"), "integer"),
    Column("Current", _status("currentNumberScheduled"), "integer"),
    Column("Ready", _status("numberReady"), "integer"),
    Column("Up-to-date", _status("updatedNumberScheduled"), "integer"),
    Column("Available", _status("numberAvailable"), "integer"),
    Column("Node Selector", lambda body: _pairs(body["spec"]["template"]["spec"].get("nodeSelector"))),
    *_WORKLOAD_WIDE,
]
_DEPLOYMENTS = [
    Column("Ready", lambda body: f"{_status('readyReplicas')(body)}/{body['spec'].get('replicas', 1)}"),
    Column("Up-to-date", _status("updatedReplicas"), "integer"),
    Column("Available", _status("availableReplicas"), "integer"),
    *_WORKLOAD_WIDE,
]
_REPLICASETS = [
    Column("Desired", lambda body: int(body["spec"].get("replicas", 1)), "integer"),
    Column("Current", _status("replicas"), "integer"),
    Column("Ready", _status("readyReplicas"), "integer"),
    *_WORKLOAD_WIDE,
]
_EVENTS = [
    Column("Type", lambda body: body.get("type", "")),
    Column("Reason", lambda body: body.get("reason", "")),
    Column("Object", lambda body: f"{body['involvedObject']['kind'].lower()}/{body['involvedObject']['name']}"),
    Column("Message", lambda body: body.get("message", "")),
]
