"""Mistakes that Talos accepts: configs of a machine that the rest of the cluster does not find or cannot reach."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from provisioner.model.cluster import Cluster, MachineSpec, Role
from provisioner.model.disks import disk_problem
from provisioner.model.networks import NODE_PREFIX, network_of, network_problems, parsed_address
from provisioner.model.versions import KUBERNETES_RANGE, contract_of, runs_kubernetes
from provisioner.talos.document import at, devices_of, each, legacy_of, words
from provisioner.talos.field_checks import DNS_LABEL, MAX_LABEL, MAX_NAME, is_address, is_network
from provisioner.talos.field_checks import network as network_problem
from provisioner.talos.schema import Document, Problem
from provisioner.talos.secrets import SecretsBundle, encoded

_METAL_IMAGES = (
    ("machine", "kubelet", "image"),
    ("cluster", "apiServer", "image"),
    ("cluster", "controllerManager", "image"),
    ("cluster", "scheduler", "image"),
)
_KUBELET_LABELS = words(
    "kubernetes.io/hostname kubernetes.io/arch kubernetes.io/os node.kubernetes.io/instance-type topology.kubernetes.io/region "
    "topology.kubernetes.io/zone failure-domain.beta.kubernetes.io/zone failure-domain.beta.kubernetes.io/region "
    "beta.kubernetes.io/os beta.kubernetes.io/arch beta.kubernetes.io/instance-type"
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
    if len(name) > MAX_NAME or not all(DNS_LABEL.fullmatch(label) and len(label) <= MAX_LABEL for label in labels):
        yield Problem(path, f"{name!r} is not a host name: labels of at most {MAX_LABEL} letters, digits and hyphens")
    elif labels[0] != machine.name:
        yield Problem(path, f"must begin with the machine's name {machine.name}, which identifies the node")


def _check_vip(legacy: Mapping[str, Any]) -> Iterator[Problem]:
    """Talos takes a shared address outside of the adapter's own networks, but no one reaches it."""
    for path, device in devices_of(legacy):
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
        elif not runs_kubernetes(contract, version := f"v{found[1]}.{found[2]}"):
            yield Problem(".".join(path), f"Talos {contract} runs Kubernetes {first} to {last}, not {version}")
    installer = re.search(r":(v\d+\.\d+)\.\d+[^:/]*(@|$)", at(legacy, "machine", "install", "image") or "")
    if installer and installer[1] != contract:
        text = f"installs Talos {installer[1]}, but the config is one of Talos {contract} (talos: {cluster.talos})"
        yield Problem("machine.install.image", text)


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
    given = [list(each(section, f"{kind}[]", "cluster.network")) for kind in _NETWORKS.values()]
    for path, text in (*given[0], *given[1]):
        if problem := network_problem(text):
            yield Problem(path, problem)
    pods, services = ([text if is_network(text) else "" for _, text in texts] for texts in given)
    arguments = at(legacy, "cluster", "controllerManager", "extraArgs") or {}
    nodes = len(cluster.machines) if _is_cut(section, arguments) else 0
    for found in network_problems(pods, services, nodes=nodes, node_prefix=_node_prefixes(arguments)):
        yield Problem(f"cluster.network.{_NETWORKS[found.key]}[{found.index}]", found.problem)
    yield from _check_overlaps(_addresses(legacy, cluster), pods, services)


def _is_cut(section: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    """Whether each node gets a part of the pods' network."""
    return at(section, "cni", "name") in (None, "", "flannel") and arguments.get("allocate-node-cidrs") != "false"


def _check_overlaps(
    addresses: Iterable[tuple[str, str]], pods: Sequence[str], services: Sequence[str]
) -> Iterator[Problem]:
    for whose, text in addresses:
        address = parsed_address(text)
        if address is not None and (inside := network_of(address, pods, services)):
            kind = "podSubnets" if inside[1] == "pods" else "serviceSubnets"
            problem = f"{whose} {address} is inside {inside[0]}, the network of the {inside[1]}"
            yield Problem(f"cluster.network.{kind}", problem)


_NETWORKS = {"pod_subnets": "podSubnets", "service_subnets": "serviceSubnets"}
"""Names in the cluster file, and in a machine config."""


def _node_prefixes(arguments: Mapping[str, Any]) -> dict[int, int]:
    """Length of the network that each node gets for its pods, by IP version, as the controller manager's arguments say."""
    sizes = dict(NODE_PREFIX)
    for version in NODE_PREFIX:
        size = str(arguments.get(f"node-cidr-mask-size-ipv{version}") or arguments.get("node-cidr-mask-size") or "")
        sizes[version] = int(size) if size.isdecimal() else sizes[version]
    return sizes


def _addresses(legacy: Mapping[str, Any], cluster: Cluster) -> Iterator[tuple[str, str]]:
    """All addresses of the LAN that the cluster file and this config name."""
    yield from (("the host's address", host.address) for host in cluster.hosts.values() if not host.lab)
    yield from ((f"the address of {one.name}", one.address) for one in cluster.machines)
    yield "vip:", cluster.vip
    yield "the endpoint's address", urlsplit(cluster.endpoint).hostname or ""
    for path, device in devices_of(legacy):
        yield from ((path, text.partition("/")[0]) for text in device.get("addresses") or ())


def _check_static_address(legacy: Mapping[str, Any], cluster: Cluster, machine: MachineSpec) -> Iterator[Problem]:
    """A patch that moves the first control plane away from the address that its endpoint would be."""
    if machine is not cluster.control_planes[0] or cluster.endpoint or cluster.vip:
        return
    given = _static_addresses(legacy)
    if not given or machine.address in given.values():
        return
    path, first = next(iter(given.items()))
    text = f"moves the machine to {first}, but "
    if machine.address:
        text += f"address: of the cluster file is {machine.address}"
    else:
        text += "the endpoint would be the address from DHCP: set address:, endpoint: or vip: in the cluster file"
    yield Problem(path, text, f"address: {first}")


def _static_addresses(legacy: Mapping[str, Any]) -> dict[str, str]:
    """The machine's addresses by their places in the config; empty where an adapter has one from DHCP."""
    found: dict[str, str] = {}
    for path, device in each(legacy, "machine.network.interfaces[]"):
        if device.get("ignore") or device.get("dummy"):
            continue
        if device.get("dhcp"):
            return {}
        found |= {at_item: text.partition("/")[0] for at_item, text in each(device, "addresses[]", path)}
    return found


def _check_restricted_labels(legacy: Mapping[str, Any]) -> Iterator[Problem]:
    """Kubernetes refuses all labels of a worker when one of them is not a node's to give; Talos then retries without end."""
    if at(legacy, "machine", "type") != Role.WORKER.value:
        return
    for name in at(legacy, "machine", "nodeLabels") or {}:
        prefix = str(name).rpartition("/")[0]
        of_kubernetes = prefix.endswith(("kubernetes.io", "k8s.io")) and name not in _KUBELET_LABELS
        allowed = prefix.removeprefix("node.").removeprefix("kubelet.") == "kubernetes.io" and prefix != "kubernetes.io"
        if of_kubernetes and not allowed and not prefix.endswith((".node.kubernetes.io", ".kubelet.kubernetes.io")):
            text = "a worker may not give itself this label, and Kubernetes refuses all of its labels: set it with kubectl label node"
            yield Problem(f"machine.nodeLabels[{name!r}]", text, severity="warning")
