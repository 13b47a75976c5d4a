"""Mistakes that Talos accepts: what makes a machine of a cluster file one that the rest of the cluster never meets, or never reaches."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from provisioner.model.cluster import Cluster, MachineSpec, Role
from provisioner.model.disks import disk_problem
from provisioner.model.networks import NODE_PREFIX, network_of, network_problems, parsed_address
from provisioner.model.versions import KUBERNETES_RANGE, contract_of
from provisioner.talos.document import at, devices_of, is_address, is_network, legacy_of
from provisioner.talos.schema import Document, Problem
from provisioner.talos.secrets import SecretsBundle, encoded

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_MAX_LABEL = 63
_MAX_NAME = 253
_METAL_IMAGES = (
    ("machine", "kubelet", "image"),
    ("cluster", "apiServer", "image"),
    ("cluster", "controllerManager", "image"),
    ("cluster", "scheduler", "image"),
)
_KUBELET_LABELS = frozenset(
    [
        "kubernetes.io/hostname",
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
    ]
)
"""Labels below kubernetes.io that a node may give itself, besides those of its own two prefixes.

Source: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction
"""


def check_machine(
    documents: Sequence[Document], cluster: Cluster, machine: MachineSpec, bundle: SecretsBundle, endpoint: str
) -> list[Problem]:
    """Everything in the config of that machine that does not go with the cluster file, the other machines, or the network."""
    legacy = legacy_of(documents) or {}
    return [
        *_check_identity(legacy, machine, bundle),
        *_check_endpoint(legacy, endpoint),
        *_check_hostname(legacy, machine),
        *_check_vip(legacy),
        *_check_versions(legacy, cluster),
        *_check_disk(legacy, cluster),
        *_check_networks(legacy, cluster),
        *_check_static_address(legacy, cluster, machine),
        *_check_restricted_labels(legacy),
    ]


def _check_identity(legacy: Mapping[str, Any], machine: MachineSpec, bundle: SecretsBundle) -> Iterator[Problem]:
    ours = (
        (("machine", "type"), machine.role.value),
        (("machine", "token"), bundle.trustd_token),
        (("machine", "ca", "crt"), encoded(bundle.os.crt)),
        (("cluster", "id"), bundle.cluster_id),
        (("cluster", "secret"), bundle.cluster_secret),
        (("cluster", "token"), bundle.bootstrap_token),
        (("cluster", "ca", "crt"), encoded(bundle.kubernetes.crt)),
    )
    text = "a patch must not change it: this cluster's other machines and its secrets have another value"
    yield from (Problem(".".join(path), text) for path, expected in ours if at(legacy, *path) != expected)


def _check_endpoint(legacy: Mapping[str, Any], endpoint: str) -> Iterator[Problem]:
    if at(legacy, "cluster", "controlPlane", "endpoint") != endpoint:
        text = f"a patch must not change it; set endpoint: in the cluster file ({endpoint})"
        yield Problem("cluster.controlPlane.endpoint", text)


def _check_hostname(legacy: Mapping[str, Any], machine: MachineSpec) -> Iterator[Problem]:
    path = "machine.network.hostname"
    name = at(legacy, "machine", "network", "hostname") or ""
    labels = name.lower().removesuffix(".").split(".")
    if len(name) > _MAX_NAME or not all(_DNS_LABEL.fullmatch(label) and len(label) <= _MAX_LABEL for label in labels):
        yield Problem(path, f"{name!r} is not a host name: labels of at most {_MAX_LABEL} letters, digits and hyphens")
    elif labels[0] != machine.name:
        yield Problem(path, f"must begin with the machine's name {machine.name}, which identifies the node")


def _check_vip(legacy: Mapping[str, Any]) -> Iterator[Problem]:
    """A shared address outside of the adapter's own networks is taken by Talos, and reached by nobody."""
    for path, device in devices_of(at(legacy, "machine", "network") or {}):
        vip = at(device, "vip", "ip") or ""
        networks = [ipaddress.ip_interface(text).network for text in device.get("addresses") or () if is_network(text)]
        if not networks or device.get("dhcp") or not is_address(vip):
            continue
        if not any(ipaddress.ip_address(vip) in network for network in networks):
            yield Problem(f"{path}.vip.ip", f"{vip} is in none of the adapter's networks")


def _check_versions(legacy: Mapping[str, Any], cluster: Cluster) -> Iterator[Problem]:
    """The ranges that Talos checks once it runs; too late for a machine that is being installed."""
    contract = contract_of(cluster.talos)
    first, last = KUBERNETES_RANGE[contract]
    for path in _METAL_IMAGES:
        image = at(legacy, *path)
        if not image:
            continue
        found = re.search(r":v(\d+)\.(\d+)[^:/]*(@|$)", image)
        if not found:
            yield Problem(".".join(path), f"{image} has no Kubernetes version (a tag that begins with v)")
        elif not _minor(first) <= (int(found[1]), int(found[2])) <= _minor(last):
            version = f"v{found[1]}.{found[2]}"
            yield Problem(".".join(path), f"Talos {contract} runs Kubernetes {first} to {last}, not {version}")
    installer = re.search(r":(v\d+\.\d+)\.\d+[^:/]*(@|$)", at(legacy, "machine", "install", "image") or "")
    if installer and installer[1] != contract:
        text = f"installs Talos {installer[1]}, but the config is one of Talos {contract} (talos: {cluster.talos})"
        yield Problem("machine.install.image", text)


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.removeprefix("v").split(".")[:2]
    return int(major), int(minor)


def _check_disk(legacy: Mapping[str, Any], cluster: Cluster) -> Iterator[Problem]:
    install = at(legacy, "machine", "install") or {}
    disk = install.get("disk")
    if (
        disk
        and install.get("diskSelector") is None
        and disk != cluster.install_disk
        and (problem := disk_problem(disk))
    ):
        yield Problem("machine.install.disk", f"{disk!r} {problem}")


def _check_networks(legacy: Mapping[str, Any], cluster: Cluster) -> Iterator[Problem]:
    """The same rules as for the cluster file's own networks, for what patches make of them."""
    section = at(legacy, "cluster", "network") or {}
    given = {kind: section.get(kind) or () for kind in ("podSubnets", "serviceSubnets")}
    names = {"pod_subnets": "podSubnets", "service_subnets": "serviceSubnets"}
    for kind, texts in given.items():
        for i, text in enumerate(texts):
            if not is_network(text):
                yield Problem(f"cluster.network.{kind}[{i}]", f"{text!r} is not a network in CIDR notation")
    pods, services = ([text if is_network(text) else "" for text in texts] for texts in given.values())
    arguments = at(legacy, "cluster", "controllerManager", "extraArgs") or {}
    sizes = dict(NODE_PREFIX)
    for version in NODE_PREFIX:
        size = str(arguments.get(f"node-cidr-mask-size-ipv{version}") or arguments.get("node-cidr-mask-size") or "")
        sizes[version] = int(size) if size.isdecimal() else sizes[version]
    brings_pods = (at(section, "cni", "name") or "flannel") == "flannel" and arguments.get(
        "allocate-node-cidrs"
    ) != "false"
    nodes = len(cluster.machines) if brings_pods else 0
    for found in network_problems(pods, services, nodes=nodes, node_prefix=sizes):
        yield Problem(f"cluster.network.{names[found.key]}[{found.index}]", found.problem)
    addresses = [("the host's address", host.address) for host in cluster.hosts.values() if not host.lab]
    addresses += [(f"the address of {one.name}", one.address) for one in cluster.machines]
    addresses += [("vip:", cluster.vip), ("the endpoint's address", urlsplit(cluster.endpoint).hostname or "")]
    addresses += [
        (path, text.partition("/")[0])
        for path, device in devices_of(at(legacy, "machine", "network") or {})
        for text in device.get("addresses") or ()
    ]
    for words, text in addresses:
        address = parsed_address(text)
        if address is not None and (inside := network_of(address, pods, services)):
            kind = "podSubnets" if inside[1] == "pods" else "serviceSubnets"
            yield Problem(
                f"cluster.network.{kind}", f"{words} {address} is inside {inside[0]}, the network of the {inside[1]}"
            )


def _check_static_address(legacy: Mapping[str, Any], cluster: Cluster, machine: MachineSpec) -> Iterator[Problem]:
    """A patch that moves the first control plane away from the address that its endpoint would be."""
    if machine.role is not Role.CONTROL_PLANE or machine is not cluster.control_planes[0]:
        return
    if cluster.endpoint or cluster.vip:
        return
    network = at(legacy, "machine", "network") or {}
    devices = [
        (path, device)
        for path, device in devices_of(network)
        if not device.get("ignore") and not device.get("dummy") and "vlans[" not in path
    ]
    given = [
        (f"{path}.addresses[{i}]", text)
        for path, device in devices
        for i, text in enumerate(device.get("addresses") or ())
    ]
    if not given or any(device.get("dhcp") for _, device in devices):
        return
    addresses = [text.partition("/")[0] for _, text in given]
    if not machine.address:
        text = f"moves the machine to {addresses[0]}, but the endpoint would be the address that DHCP gives it"
        yield Problem(
            given[0][0], f"{text}: set address:, endpoint: or vip: in the cluster file", f"address: {addresses[0]}"
        )
    elif machine.address not in addresses:
        text = f"moves the machine to {addresses[0]}, but address: of the cluster file is {machine.address}"
        yield Problem(given[0][0], text, f"address: {addresses[0]}")


def _check_restricted_labels(legacy: Mapping[str, Any]) -> Iterator[Problem]:
    """Kubernetes refuses all labels of a worker when one of them is not a node's to give; Talos then tries for ever."""
    if at(legacy, "machine", "type") != Role.WORKER.value:
        return
    for name in at(legacy, "machine", "nodeLabels") or {}:
        prefix = str(name).rpartition("/")[0]
        of_kubernetes = prefix.endswith(("kubernetes.io", "k8s.io")) and name not in _KUBELET_LABELS
        allowed = prefix.removeprefix("node.").removeprefix("kubelet.") == "kubernetes.io" and prefix != "kubernetes.io"
        if of_kubernetes and not allowed and not prefix.endswith((".node.kubernetes.io", ".kubelet.kubernetes.io")):
            text = "a worker may not give itself this label, and Kubernetes refuses all of its labels: set it with kubectl label node"
            yield Problem(f"machine.nodeLabels[{name!r}]", text, severity="warning")
