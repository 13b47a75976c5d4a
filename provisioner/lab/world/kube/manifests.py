"""The objects themselves: nodes as a kubelet registers them, static pods, and what Talos applies to every new cluster."""

from __future__ import annotations

import ipaddress
from typing import Any

from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.state import Guest, Vm

Json = dict[str, Any]

STATIC_PODS = ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
CONTROL_PLANE_LABEL = "node-role.kubernetes.io/control-plane"
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


def node(guest: Guest, config: MachineConfig, vm: Vm | None, number: int) -> Json:
    """A node as its kubelet registers it: not Ready, since no network is there yet."""
    labels = {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": guest.hostname,
        "kubernetes.io/os": "linux",
    }
    if config.control_plane:
        labels[CONTROL_PLANE_LABEL] = ""
    labels |= {str(key): str(value) for key, value in (config.get("machine", "nodeLabels") or {}).items()}
    taints = [taint(NOT_READY)]
    if config.control_plane and not config.get("cluster", "allowSchedulingOnControlPlanes"):
        taints.append(taint(CONTROL_PLANE_LABEL))
    cidr = _nth_subnet(_pod_subnet(config), number)
    return {
        "metadata": {"name": guest.hostname, "labels": labels, "annotations": {}},
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr], "taints": taints},
        "status": node_status(guest, config, vm),
    }


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
            {"type": "Hostname", "address": guest.hostname},
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
            "name": f"{component}-{guest.hostname}",
            "namespace": "kube-system",
            "labels": {"tier": "control-plane", "k8s-app": component, "component": component},
            "annotations": {MIRROR: "talos", "kubernetes.io/config.source": "file"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": guest.hostname, "uid": node_uid, "controller": True}
            ],
        },
        "spec": {
            "nodeName": guest.hostname,
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
        (
            "services",
            _service(
                "kube-dns",
                "kube-system",
                str(services[10]),
                [("dns", 53, "UDP"), ("dns-tcp", 53, "TCP"), ("metrics", 9153, "TCP")],
                {"k8s-app": "kube-dns"},
            ),
        ),
        ("configmaps", _configmap("coredns", {"Corefile": ".:53 {\n    kubernetes cluster.local\n}\n"})),
    ]
    tolerates_all = [{"operator": "Exists", "effect": "NoSchedule"}, {"operator": "Exists", "effect": "NoExecute"}]
    cni = config.get("cluster", "network", "cni", "name") or "flannel"
    if cni == "flannel":
        net = f'{{"Network": "{_pod_subnet(config)}", "Backend": {{"Type": "vxlan", "Port": 4789}}}}'
        found.append(("configmaps", _configmap("kube-flannel-cfg", {"net-conf.json": net})))
        found.append(("daemonsets", _daemonset(FLANNEL, FLANNEL, "flannel", _FLANNEL_IMAGE, tolerates_all)))
    if not config.get("cluster", "proxy", "disabled"):
        image = str(
            config.get("cluster", "proxy", "image") or f"registry.k8s.io/kube-proxy:{config.kubernetes_version}"
        )
        found.append(("daemonsets", _daemonset("kube-proxy", "kube-proxy", "kube-proxy", image, tolerates_all)))
    if not config.get("cluster", "coreDNS", "disabled"):
        found.append(("deployments", _coredns()))
    return found


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


def _nth_subnet(subnet: str, number: int) -> str:
    """The /24 of a node, as the controller manager hands them out."""
    network = ipaddress.ip_network(subnet)
    return str(ipaddress.ip_network((int(network.network_address) + number * 256, 24)))
