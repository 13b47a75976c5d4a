"""The objects themselves: nodes as a kubelet registers them, static pods, and what Talos applies to every new cluster."""

from __future__ import annotations

import ipaddress
import json
from importlib.resources import files
from string import Template
from typing import Any

import yaml

from provisioner.lab.world.guests.config import MachineConfig, dig
from provisioner.lab.world.kube.resources import RESOURCES, Resource
from provisioner.lab.world.state import Guest, Vm

Json = dict[str, Any]

NOT_READY, UNREACHABLE, UNSCHEDULABLE = (
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/unschedulable",
)
MIRROR = "kubernetes.io/config.mirror"
"""Annotation of the API's picture of a static pod."""
FLANNEL = "kube-flannel"
_FLANNEL_IMAGE = "ghcr.io/siderolabs/flannel:v0.27.4"
_TEMPLATES = yaml.load(files(__package__).joinpath("manifests.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


def made(kind: str, **values: Any) -> Json:
    """An object by its template in `manifests.yaml`."""
    body: Json = _filled(_TEMPLATES[kind], values)
    return body


def _filled(part: Any, values: dict[str, Any]) -> Any:
    if isinstance(part, dict):
        return {key: _filled(value, values) for key, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, values) for value in part]
    if not isinstance(part, str) or "$" not in part:
        return part
    return values[part[1:]] if part[1:] in values else Template(part).substitute(values)


def node(guest: Guest, config: MachineConfig, vm: Vm | None, part: str) -> Json:
    """A node as its kubelet registers it: not Ready, since no network is there yet. `part` is its part of the pod network, or empty."""
    spec = {**({"podCIDR": part, "podCIDRs": [part]} if part else {}), "taints": [taint(NOT_READY)]}
    body = made("node", node=guest.nodename, spec=spec, status=node_status(guest, config, vm))
    mark(body, config)
    return body


def mark(node: Json, config: MachineConfig) -> None:
    """Puts labels, annotations and taints of the machine's config on its node. Those that Talos put there before and that the config
    no longer has go; others are left alone. An annotation tells which are Talos' own.
    """
    metadata, spec = node["metadata"], node["spec"]
    owned = {
        what: json.loads(metadata["annotations"].get(_OWNED + what, "[]"))
        for what in ("labels", "annotations", "taints")
    }
    for what, new in (("labels", config.node_labels), ("annotations", config.node_annotations)):
        kept = {key: value for key, value in metadata[what].items() if key not in owned[what]}
        metadata[what] = kept | new
    ours = {*owned["taints"], *config.node_taints}
    spec["taints"] = [one for one in spec.get("taints") or [] if one["key"] not in ours] + _taints(config)
    for what, keys in (
        ("labels", config.node_labels),
        ("annotations", config.node_annotations),
        ("taints", config.node_taints),
    ):
        if keys or owned[what]:
            metadata["annotations"][_OWNED + what] = json.dumps(list(keys))


_OWNED = "talos.dev/owned-"


def _taints(config: MachineConfig) -> list[Json]:
    rows = config.node_taints.items()
    return [taint(key, effect) | ({"value": value} if value else {}) for key, (value, effect) in rows]


def node_status(guest: Guest, config: MachineConfig, vm: Vm | None) -> Json:
    """All that the kubelet says of its machine, but for the conditions."""
    resources = {
        "cpu": str(vm.cpus if vm else 2),
        "ephemeral-storage": str(guest.disk_bytes),
        "memory": f"{guest.memory_bytes // 1024}Ki",
        "pods": "110",
    }
    return made(
        "node_status",
        address=guest.address,
        node=guest.nodename,
        resources=resources,
        boot_id=guest.boot_id,
        kubelet=config.kubernetes_version,
        machine_id=guest.uuid.replace("-", ""),
        talos=guest.version,
        uuid=guest.uuid,
    )


def conditions(ready: str, reason: str, message: str, now: str, before: list[Json]) -> list[Json]:
    """The conditions of a node; the time of a transition is that of the last change."""
    rows = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ]
    if ready == "Unknown":
        rows = [(kind, "Unknown", reason, message) for kind, *_ in rows]
    known = {condition["type"]: condition for condition in before}
    found = []
    for kind, status, why, text in [*rows, ("Ready", ready, reason, message)]:
        same = known.get(kind, {}).get("status") == status
        found.append(
            {
                "type": kind,
                "status": status,
                "reason": why,
                "message": text,
                "lastHeartbeatTime": now,
                "lastTransitionTime": known[kind]["lastTransitionTime"] if same else now,
            }
        )
    return found


def taint(key: str, effect: str = "NoSchedule") -> Json:
    return {"key": key, "effect": effect}


def static_pod(component: str, guest: Guest, config: MachineConfig, node_uid: str) -> Json:
    """The API's picture of a static pod; the node owns it."""
    section = {"kube-apiserver": "apiServer", "kube-controller-manager": "controllerManager"}.get(
        component, "scheduler"
    )
    image = str(config.get("cluster", section, "image") or f"registry.k8s.io/{component}:{config.kubernetes_version}")
    return made("static_pod", component=component, node=guest.nodename, node_uid=node_uid, image=image)


def system_objects(config: MachineConfig) -> list[tuple[str, Json]]:
    """What Talos applies once the API is up, as (plural, body): DNS, network, proxy."""
    services = ipaddress.ip_network(_service_subnet(config))
    found: list[tuple[str, Json]] = [
        ("services", made("kubernetes_service", address=str(services[1]))),
    ]
    if config.cni == "custom" and config.get("cluster", "network", "cni", "urls"):
        found.append(("daemonsets", made("daemonset", name="cni", container="cni", image="lab.invalid/cni")))
    if config.cni == "flannel":
        net = f'{{"Network": "{_pod_subnet(config)}", "Backend": {{"Type": "vxlan", "Port": 4789}}}}'
        found.append(("configmaps", made("configmap", name="kube-flannel-cfg", data={"net-conf.json": net})))
        found.append(("daemonsets", made("daemonset", name=FLANNEL, container="flannel", image=_FLANNEL_IMAGE)))
    if not config.get("cluster", "proxy", "disabled"):
        image = config.get("cluster", "proxy", "image") or f"registry.k8s.io/kube-proxy:{config.kubernetes_version}"
        found.append(("daemonsets", made("daemonset", name="kube-proxy", container="kube-proxy", image=str(image))))
    if not config.get("cluster", "coreDNS", "disabled"):
        corefile = ".:53 {\n    kubernetes cluster.local\n}\n"
        found.append(("services", made("dns_service", address=str(services[10]))))
        found.append(("configmaps", made("configmap", name="coredns", data={"Corefile": corefile})))
        found.append(("deployments", made("coredns")))
    return found


def inline_objects(config: MachineConfig) -> list[tuple[str, Json]]:
    """The user's own manifests, namespaces first. Kinds that the lab's API does not serve are left out."""
    found: list[tuple[str, Json]] = []
    for manifest in config.get("cluster", "inlineManifests") or []:
        try:
            bodies = [body for body in yaml.safe_load_all(manifest.get("contents", "")) if isinstance(body, dict)]
        except yaml.YAMLError:
            continue  # Talos logs it and goes on
        for body in bodies:
            resource = _resource_of(body)
            metadata = body.get("metadata")
            if resource is None or not isinstance(metadata, dict) or not metadata.get("name"):
                continue
            if resource.namespaced:
                metadata.setdefault("namespace", "default")
            body.setdefault("status", {})
            if not missing_part(resource.plural, body):
                found.append((resource.plural, body))
    return sorted(found, key=lambda item: item[0] != "namespaces")


def _resource_of(body: Json) -> Resource | None:
    wanted = (body.get("apiVersion"), body.get("kind"))
    return next((resource for resource in RESOURCES if (resource.api_version, resource.kind) == wanted), None)


def missing_part(plural: str, body: Json) -> str:
    """The first required part that a pod or its controller lacks, by its path; empty when it is whole."""
    path, spec = "spec", body.get("spec")
    if plural not in ("pods", "daemonsets", "deployments", "replicasets"):
        return ""
    if plural != "pods":
        if not dig(spec, "selector", "matchLabels") and not dig(spec, "selector", "matchExpressions"):
            return "spec.selector"
        if not dig(spec, "template", "metadata", "labels"):
            return "spec.template.metadata.labels"
        path, spec = "spec.template.spec", dig(spec, "template", "spec")
    containers = dig(spec, "containers")
    if not isinstance(containers, list) or not containers:
        return f"{path}.containers"
    for number, container in enumerate(containers):
        for key in ("name", "image"):
            if not dig(container, key):
                return f"{path}.containers[{number}].{key}"
    return ""


def _pod_subnet(config: MachineConfig) -> str:
    return str((config.get("cluster", "network", "podSubnets") or ["10.244.0.0/16"])[0])


def _service_subnet(config: MachineConfig) -> str:
    return str((config.get("cluster", "network", "serviceSubnets") or ["10.96.0.0/12"])[0])


def part_of_node(config: MachineConfig, number: int) -> str:
    """What the node of that number gets of the pod network, as the controller manager hands it out: /24, or /64; empty when there is no more."""
    network = ipaddress.ip_network(_pod_subnet(config), strict=False)
    length = 24 if network.version == 4 else 64
    first = int(network.network_address) + (number << (network.max_prefixlen - length))
    part = ipaddress.ip_network((first, length), strict=False)
    fits = network.prefixlen <= length and first <= int(network.broadcast_address)
    return str(part) if fits else ""
