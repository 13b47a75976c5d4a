"""What `kubectl get` prints: the server makes the rows (`Accept: application/json;as=Table`), by the columns of `tables.yaml`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import yaml

from provisioner.lab.kubernetes import budgets
from provisioner.lab.world.guests.config import CONTROL_PLANE_LABEL, dig
from provisioner.lab.world.kube import pods
from provisioner.lab.world.kube.store import Json, ObjectStore

_ROLE = CONTROL_PLANE_LABEL.partition("/")[0] + "/"
_COLUMNS = yaml.load(files(__package__).joinpath("tables.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


def table(
    plural: str, bodies: Iterable[Json], *, store: ObjectStore, now: datetime, include: str, version: str
) -> Json:
    """`include`: `Metadata`, `Object` or `None`, what goes along with each row."""
    columns: dict[str, Mapping[str, Any]] = {"Name": {"path": "metadata.name"}, **_COLUMNS.get(plural, _COLUMNS["any"])}
    rows = [
        {"cells": [_cell(column, body, store, now) for column in columns.values()], **_object(body, include)}
        for body in bodies
    ]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version},
        "columnDefinitions": [
            {
                "name": name,
                "type": "integer" if isinstance(column.get("else"), int) else "string",
                "format": "name" if name == "Name" else "",
                "description": "",
                "priority": int(column.get("wide", False)),
            }
            for name, column in columns.items()
        ],
        "rows": rows,
    }


def _cell(column: Mapping[str, Any], body: Json, store: ObjectStore, now: datetime) -> Any:
    if "call" in column:
        return _CALLS[column["call"]](body, store)
    if "age" in column:
        return age(dig(body, *column["age"].split(".")) or "", now)
    found = dig(body, *column["path"].split(".")) if "path" in column else None
    usual = column.get("else")
    if found in (None, ""):
        return usual
    return found if isinstance(usual, int) else str(found)


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
    if hours < 3:
        return _length(minutes, "m", seconds % 60 if minutes < 10 else 0, "s")
    if hours < 48:
        return _length(hours, "h", minutes % 60 if hours < 8 else 0, "m")
    return _length(days, "d", hours % 24 if days < 8 else 0, "h")


def _length(whole: int, unit: str, rest: int, smaller: str) -> str:
    return f"{whole}{unit}{rest}{smaller}" if rest else f"{whole}{unit}"


def _object(body: Json, include: str) -> Json:
    if include == "None":
        return {}
    if include == "Object":
        return {"object": body}
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": body["metadata"]}
    return {"object": partial}


def _node_status(node: Json) -> str:
    ready = next((c["status"] for c in node["status"].get("conditions", ()) if c["type"] == "Ready"), "Unknown")
    word = "Ready" if ready == "True" else "NotReady"
    return word + (",SchedulingDisabled" if node["spec"].get("unschedulable") else "")


def _node_roles(node: Json) -> str:
    labels = node["metadata"].get("labels") or {}
    return ",".join(sorted(key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE))) or "<none>"


def _pod_status(pod: Json) -> str:
    if pods.is_ending(pod):
        return "Terminating"
    phase = pod["status"].get("phase", "Unknown")
    return "ContainerCreating" if phase == "Pending" and pods.node_of(pod) else str(phase)


def _containers(pod: Json) -> list[Json]:
    return list(pod["status"].get("containerStatuses") or [])


def _joined(body: Json, key: str) -> str:
    """That key of each container of its template."""
    return ",".join(container[key] for container in body["spec"]["template"]["spec"]["containers"])


def _pairs(labels: Json | None) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items())) or "<none>"


def _ports(service: Json) -> str:
    ports = service["spec"].get("ports") or []
    return ",".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in ports) or "<none>"


def _internal_ip(node: Json) -> str:
    return next((a["address"] for a in node["status"].get("addresses", ()) if a["type"] == "InternalIP"), "<none>")


_CALLS: dict[str, Callable[[Json, ObjectStore], Any]] = {
    "allowed_disruptions": lambda body, store: budgets.allowed(body, store).count,
    "container_images": lambda body, _: _joined(body, "image"),
    "container_names": lambda body, _: _joined(body, "name"),
    "data_count": lambda body, _: len(body.get("data") or {}),
    "deployment_ready": lambda b, _: f"{dig(b, 'status', 'readyReplicas') or 0}/{b['spec'].get('replicas', 1)}",
    "internal_ip": lambda node, _: _internal_ip(node),
    "involved_object": lambda b, _: f"{b['involvedObject']['kind'].lower()}/{b['involvedObject']['name']}",
    "match_labels": lambda body, _: _pairs(body["spec"]["selector"].get("matchLabels")),
    "node_roles": lambda node, _: _node_roles(node),
    "node_selector": lambda body, _: _pairs(body["spec"]["template"]["spec"].get("nodeSelector")),
    "node_status": lambda node, _: _node_status(node),
    "pod_ready": lambda pod, _: f"{sum(c['ready'] for c in _containers(pod))}/{len(pod['spec']['containers'])}",
    "pod_restarts": lambda pod, _: str(sum(c["restartCount"] for c in _containers(pod))),
    "pod_status": lambda pod, _: _pod_status(pod),
    "ports": lambda service, _: _ports(service),
    "selector": lambda body, _: _pairs(body["spec"].get("selector")),
}
