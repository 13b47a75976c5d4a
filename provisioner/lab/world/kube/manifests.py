"""The objects themselves: nodes as a kubelet registers them, static pods, and what Talos applies to every new cluster."""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import yaml

from provisioner.lab.world.guests.config import CONTROL_PLANE_LABEL, MachineConfig, dig
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
_KERNEL_VERSION = "6.12.57-talos"
_CONTAINERD = "containerd://2.1.5"
_COREDNS = "registry.k8s.io/coredns/coredns:v1.12.4"
_FLANNEL_IMAGE = "ghcr.io/siderolabs/flannel:v0.27.4"


def node(guest: Guest, config: MachineConfig, vm: Vm | None, part: str) -> Json:
    """A node as its kubelet registers it: not Ready, since no network is there yet. `part` is its part of the pod network, or empty."""
    labels = {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": guest.nodename,
        "kubernetes.io/os": "linux",
    }
    body = {
        "metadata": {"name": guest.nodename, "labels": labels, "annotations": {}},
        "spec": {**({"podCIDR": part, "podCIDRs": [part]} if part else {}), "taints": [taint(NOT_READY)]},
        "status": node_status(guest, config, vm),
    }
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
    spec["taints"] = [one for one in spec.get("taints") or [] if one["key"] not in ours] + [
        taint(key, effect) | ({"value": value} if value else {}) for key, (value, effect) in config.node_taints.items()
    ]
    for what, keys in (
        ("labels", config.node_labels),
        ("annotations", config.node_annotations),
        ("taints", config.node_taints),
    ):
        if keys or owned[what]:
            metadata["annotations"][_OWNED + what] = json.dumps(list(keys))


_OWNED = "talos.dev/owned-"


def node_status(guest: Guest, config: MachineConfig, vm: Vm | None) -> Json:
    """All that the kubelet says of its machine, but for the conditions."""
    resources = {
        "cpu": str(vm.cpus if vm else 2),
        "ephemeral-storage": str(guest.disk_bytes),
        "memory": f"{guest.memory_bytes // 1024}Ki",
        "pods": "110",
    }
    version = config.kubernetes_version
    return {
        "addresses": [
            {"type": "InternalIP", "address": guest.address},
            {"type": "Hostname", "address": guest.nodename},
        ],
        "capacity": resources,
        "allocatable": resources,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": guest.boot_id,
            "containerRuntimeVersion": _CONTAINERD,
            "kernelVersion": _KERNEL_VERSION,
            "kubeProxyVersion": "",
            "kubeletVersion": version,
            "machineID": guest.uuid.replace("-", ""),
            "operatingSystem": "linux",
            "osImage": f"Talos ({guest.version})",
            "systemUUID": guest.uuid,
        },
    }


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
    return {
        "metadata": {
            "name": f"{component}-{guest.nodename}",
            "namespace": "kube-system",
            "labels": {"tier": "control-plane", "k8s-app": component, "component": component},
            "annotations": {MIRROR: "talos", "kubernetes.io/config.source": "file"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": guest.nodename, "uid": node_uid, "controller": True}
            ],
        },
        "spec": {
            "nodeName": guest.nodename,
            "hostNetwork": True,
            "priorityClassName": "system-cluster-critical",
            "tolerations": [{"effect": "NoExecute", "operator": "Exists"}],
            "containers": [{"name": component, "image": image}],
        },
        "status": {"phase": "Pending"},
    }


def namespaces() -> list[Json]:
    return [
        {
            "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
            "spec": {"finalizers": ["kubernetes"]},
            "status": {"phase": "Active"},
        }
        for name in ("default", "kube-node-lease", "kube-public", "kube-system")
    ]


def system_objects(config: MachineConfig) -> list[tuple[str, Json]]:
    """What Talos applies once the API is up, as (plural, body): DNS, network, proxy."""
    services = ipaddress.ip_network(_service_subnet(config))
    found: list[tuple[str, Json]] = [
        ("services", _service("kubernetes", "default", str(services[1]), [("https", 443, "TCP")], {})),
    ]
    tolerates_all = [{"operator": "Exists", "effect": "NoSchedule"}, {"operator": "Exists", "effect": "NoExecute"}]
    if config.cni == "custom" and config.get("cluster", "network", "cni", "urls"):
        found.append(("daemonsets", _daemonset("cni", "cni", "cni", "lab.invalid/cni", tolerates_all)))
    if config.cni == "flannel":
        net = f'{{"Network": "{_pod_subnet(config)}", "Backend": {{"Type": "vxlan", "Port": 4789}}}}'
        found.append(("configmaps", _configmap("kube-flannel-cfg", {"net-conf.json": net})))
        found.append(("daemonsets", _daemonset(FLANNEL, FLANNEL, "flannel", _FLANNEL_IMAGE, tolerates_all)))
    if not config.get("cluster", "proxy", "disabled"):
        image = str(
            config.get("cluster", "proxy", "image") or f"registry.k8s.io/kube-proxy:{config.kubernetes_version}"
        )
        found.append(("daemonsets", _daemonset("kube-proxy", "kube-proxy", "kube-proxy", image, tolerates_all)))
    if not config.get("cluster", "coreDNS", "disabled"):
        ports = [("dns", 53, "UDP"), ("dns-tcp", 53, "TCP"), ("metrics", 9153, "TCP")]
        found.append(
            ("services", _service("kube-dns", "kube-system", str(services[10]), ports, {"k8s-app": "kube-dns"}))
        )
        corefile = ".:53 {\n    kubernetes cluster.local\n}\n"
        found += [("configmaps", _configmap("coredns", {"Corefile": corefile})), ("deployments", _coredns())]
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


def lease(node_name: str, node_uid: str, renewed: str, version: int) -> Json:
    return {
        "kind": "Lease",
        "apiVersion": "coordination.k8s.io/v1",
        "metadata": {
            "name": node_name,
            "namespace": "kube-node-lease",
            "uid": node_uid,
            "resourceVersion": str(version),
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": node_name, "uid": node_uid}],
        },
        "spec": {"holderIdentity": node_name, "leaseDurationSeconds": 40, "renewTime": renewed},
    }


def event(node: Json, *, reason: str, message: str, now: str, component: str, warning: bool = False) -> Json:
    """What a controller has to say of a node."""
    metadata = node["metadata"]
    return {
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": "default"},
        "involvedObject": {"kind": "Node", "name": metadata["name"], "uid": metadata["uid"], "apiVersion": "v1"},
        "reason": reason,
        "message": message,
        "type": "Warning" if warning else "Normal",
        "source": {"component": component},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


def _daemonset(name: str, app: str, container: str, image: str, tolerations: list[Json]) -> Json:
    labels = {"k8s-app": app}
    return {
        "metadata": {"name": name, "namespace": "kube-system", "labels": labels, "generation": 1},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "hostNetwork": True,
                    "priorityClassName": "system-node-critical",
                    "tolerations": tolerations,
                    "containers": [{"name": container, "image": image}],
                },
            },
            "updateStrategy": {"type": "RollingUpdate"},
        },
        "status": {},
    }


def _coredns() -> Json:
    labels = {"k8s-app": "kube-dns"}
    return {
        "metadata": {"name": "coredns", "namespace": "kube-system", "labels": labels, "generation": 1},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "priorityClassName": "system-cluster-critical",
                    "tolerations": [{"key": CONTROL_PLANE_LABEL, "operator": "Exists", "effect": "NoSchedule"}],
                    "containers": [{"name": "coredns", "image": _COREDNS}],
                },
            },
        },
        "status": {},
    }


def _service(name: str, namespace: str, address: str, ports: list[tuple[str, int, str]], selector: Json) -> Json:
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": dict(selector)},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": address,
            "clusterIPs": [address],
            "ports": [
                {"name": n, "port": port, "targetPort": port, "protocol": protocol} for n, port, protocol in ports
            ],
            "selector": dict(selector),
        },
        "status": {"loadBalancer": {}},
    }


def _configmap(name: str, data: dict[str, str]) -> Json:
    return {"metadata": {"name": name, "namespace": "kube-system"}, "data": data}


def _pod_subnet(config: MachineConfig) -> str:
    return str((config.get("cluster", "network", "podSubnets") or ["10.244.0.0/16"])[0])


def _service_subnet(config: MachineConfig) -> str:
    return str((config.get("cluster", "network", "serviceSubnets") or ["10.96.0.0/12"])[0])


def part_of_node(config: MachineConfig, number: int) -> str:
    """What the node of that number would get of the pod network; empty when there is no more."""
    return _nth_subnet(_pod_subnet(config), number)


def _nth_subnet(subnet: str, number: int) -> str:
    """The part of a node, as the controller manager hands them out: /24, or /64; empty when the pod network has no more."""
    network = ipaddress.ip_network(subnet, strict=False)
    length = 24 if network.version == 4 else 64
    first = int(network.network_address) + (number << (network.max_prefixlen - length))
    part = ipaddress.ip_network((first, length), strict=False)
    fits = network.prefixlen <= length and first <= int(network.broadcast_address)
    return str(part) if fits else ""
