"""What Talos checks in a machine config before it takes it, in metal mode; all findings at once.

The rules are Talos' own (v1alpha1 validation of its machinery, 1.11), the words are ours. What Talos checks of rarer parts
(bonds, WireGuard, disk encryption, the documents with a kind) is left to the dry run on the machine, which has the last word.
Some more checks are ours alone: mistakes that Talos would accept, and that cost the machine.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from provisioner.model.spec import Cluster, MachineSpec
from provisioner.model.versions import KUBERNETES_RANGE, contract_of
from provisioner.talos.schema import Document, Problem
from provisioner.talos.secrets import SecretsBundle, encoded

CNI_NAMES = ("flannel", "custom", "none")

KUBELET_FIELDS_OF_TALOS = frozenset(
    {
        "apiVersion",
        "authentication",
        "authorization",
        "cgroupRoot",
        "kind",
        "kubeletCgroups",
        "port",
        "protectKernelDefaults",
        "resolvConf",
        "rotateCertificates",
        "systemCgroups",
        "staticPodPath",
        "seccompDefault",
    }
)
"""Fields of the kubelet's own config that Talos sets itself and lets nobody override."""

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

_CONTROL_PLANES = ("controlplane", "init")
_WORKERS = ("worker", "join")
"""The second word of each is the old one; Talos still takes it."""

_DNS_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*[._]?")
_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_MAX_LABEL = 63
_MAX_NAME = 253

_METAL_IMAGES = (
    ("machine", "kubelet", "image"),
    ("cluster", "apiServer", "image"),
    ("cluster", "controllerManager", "image"),
    ("cluster", "scheduler", "image"),
)


def check_config(documents: Sequence[Document]) -> list[Problem]:
    """What Talos would refuse in decoded documents, in metal mode; deprecated forms count, as with `--strict`."""
    legacy = _legacy(documents)
    if legacy is None:
        return [Problem("", "there is no document with machine and cluster")]
    machine = legacy.get("machine")
    if machine is None:
        return [Problem("machine", "is required")]
    is_worker = machine.get("type") in _WORKERS
    problems = [
        *_check_cluster_section(legacy.get("cluster"), is_worker=is_worker),
        *_check_install(machine.get("install")),
        *_check_role(machine, legacy.get("cluster") or {}),
        *_check_network(machine.get("network") or {}),
        *_check_kubelet(machine.get("kubelet") or {}),
        *_check_registries(machine.get("registries") or {}),
        *_check_labels(machine),
    ]
    if legacy.get("persist") is False:
        problems.append(Problem("persist", "must be true: a machine that forgets its config is lost at the next boot"))
    return problems


def check_machine(
    documents: Sequence[Document], cluster: Cluster, machine: MachineSpec, bundle: SecretsBundle, endpoint: str
) -> list[Problem]:
    """Mistakes that Talos accepts: what makes a machine of this cluster file one that the rest of the cluster never meets."""
    legacy = _legacy(documents) or {}
    ours = (
        (("machine", "type"), machine.role.value),
        (("machine", "token"), bundle.trustd_token),
        (("machine", "ca", "crt"), encoded(bundle.os.crt)),
        (("cluster", "id"), bundle.cluster_id),
        (("cluster", "secret"), bundle.cluster_secret),
        (("cluster", "token"), bundle.bootstrap_token),
        (("cluster", "ca", "crt"), encoded(bundle.kubernetes.crt)),
    )
    problems = [
        Problem(
            ".".join(path),
            "a patch must not change it: this cluster's other machines and its secrets have another value",
        )
        for path, expected in ours
        if _at(legacy, path) != expected
    ]
    if _at(legacy, ("cluster", "controlPlane", "endpoint")) != endpoint:
        problems.append(
            Problem(
                "cluster.controlPlane.endpoint",
                f"a patch must not change it; set endpoint: in the cluster file ({endpoint})",
            )
        )
    problems += _check_hostname(legacy, machine)
    problems += _check_vip(legacy)
    problems += _check_versions(legacy, contract_of(cluster.talos))
    return problems


# --- Talos' own rules -------------------------------------------------------------------------------------------------


def _check_cluster_section(cluster: Document | None, *, is_worker: bool) -> Iterator[Problem]:
    if cluster is None:
        yield Problem("cluster", "is required")
        return
    endpoint = _at(cluster, ("controlPlane", "endpoint"))
    if not endpoint:
        yield Problem("cluster.controlPlane.endpoint", "is required")
    elif text := _url_problem(str(endpoint)):
        yield Problem("cluster.controlPlane.endpoint", text)
    domain = _at(cluster, ("network", "dnsDomain")) or ""
    if domain and (not _DNS_NAME.fullmatch(domain) or len(domain) - domain.count(".") > 255):
        yield Problem("cluster.network.dnsDomain", f"{domain!r} is no DNS name")
    if cluster.get("etcd") is not None and is_worker:
        yield Problem("cluster.etcd", "is only allowed on control planes")
    for key in ("advertisedSubnets", "listenSubnets"):
        yield from _check_subnets(f"cluster.etcd.{key}", _at(cluster, ("etcd", key)) or ())
    if is_worker and _at(cluster, ("ca", "key")):
        yield Problem("cluster.ca.key", "the key of a CA does not belong on a worker")
    yield from _check_manifests(cluster.get("inlineManifests") or ())
    yield from _check_discovery(cluster)


def _check_manifests(manifests: Iterable[Mapping[str, Any]]) -> Iterator[Problem]:
    seen: set[str] = set()
    for i, manifest in enumerate(manifests):
        name = manifest.get("name", "")
        if not name.strip():
            yield Problem(f"cluster.inlineManifests[{i}].name", "is required")
        elif name in seen:
            yield Problem(f"cluster.inlineManifests[{i}].name", f"{name!r} stands here twice")
        seen.add(name)


def _check_discovery(cluster: Document) -> Iterator[Problem]:
    discovery = cluster.get("discovery") or {}
    if not discovery.get("enabled") or _at(discovery, ("registries", "service", "disabled")):
        return
    for key in ("id", "secret"):
        if not cluster.get(key):
            yield Problem(f"cluster.{key}", "is required by the discovery service")


def _check_install(install: Document | None) -> Iterator[Problem]:
    if install is None:
        yield Problem("machine.install", "is required: Talos is installed to a disk here")
    elif not install.get("disk") and not any(value for value in (install.get("diskSelector") or {}).values()):
        yield Problem("machine.install", "needs disk or diskSelector")


def _check_role(machine: Document, cluster: Document) -> Iterator[Problem]:
    kind = machine.get("type", "")
    certificate, key = _at(machine, ("ca", "crt")), _at(machine, ("ca", "key"))
    accepted = machine.get("acceptedCAs") or ()
    if machine.get("ca") is None and not accepted:
        yield Problem("machine.ca", "is required")
    if kind in _CONTROL_PLANES:
        if machine.get("ca") is not None and not key:
            yield Problem("machine.ca.key", "is required on control planes")
        yield from _check_cni(_at(cluster, ("network", "cni")) or {})
    elif kind in _WORKERS:
        if kind == "join":
            yield Problem("machine.type", "join is the old word", "worker")
        if key:
            yield Problem("machine.ca.key", "the key of a CA does not belong on a worker")
        if machine.get("ca") is not None and not certificate and not accepted:
            yield Problem("machine.ca.crt", "is required")
        for path, device in _devices(machine.get("network") or {}):
            if device.get("vip") is not None:
                yield Problem(f"{path}.vip", "a shared address is only allowed on control planes")
    else:
        yield Problem("machine.type", f"must be controlplane or worker, not {kind!r}")


def _check_cni(cni: Mapping[str, Any]) -> Iterator[Problem]:
    name = cni.get("name", "flannel")
    path = "cluster.network.cni"
    if name not in CNI_NAMES:
        yield Problem(f"{path}.name", f"must be one of {', '.join(CNI_NAMES)}")
        return
    if cni.get("urls") and name != "custom":
        yield Problem(f"{path}.urls", f"belongs to the CNI custom, not to {name}")
    if name == "custom" and not cni.get("urls"):
        yield Problem(f"{path}.urls", "is required by the CNI custom")
    if _at(cni, ("flannel", "extraArgs")) and name != "flannel":
        yield Problem(f"{path}.flannel.extraArgs", f"belongs to the CNI flannel, not to {name}")
    for i, url in enumerate(cni.get("urls") or ()):
        if text := _url_problem(url):
            yield Problem(f"{path}.urls[{i}]", text)


def _check_network(network: Mapping[str, Any]) -> Iterator[Problem]:
    for i, device in enumerate(network.get("interfaces") or ()):
        path = f"machine.network.interfaces[{i}]"
        if device is None:
            yield Problem(path, "is empty")
        elif not device.get("ignore"):
            yield from _check_device(path, device)


def _check_device(path: str, device: Mapping[str, Any]) -> Iterator[Problem]:
    selector = device.get("deviceSelector")
    if not device.get("interface") and selector is None:
        yield Problem(path, "needs interface or deviceSelector")
    elif device.get("interface") and selector is not None:
        yield Problem(path, "interface and deviceSelector exclude each other")
    if selector is not None and not selector:
        yield Problem(f"{path}.deviceSelector", "selects nothing: it has no field")
    if device.get("cidr"):
        yield Problem(f"{path}.cidr", "is the old word", "addresses")
        if device.get("addresses"):
            yield Problem(path, "cidr and addresses exclude each other")
    yield from _check_addresses(path, device)
    for i, vlan in enumerate(device.get("vlans") or ()):
        yield from _check_addresses(f"{path}.vlans[{i}]", vlan or {})
    vip = _at(device, ("vip", "ip"))
    if device.get("vip") is not None and not _is_address(vip or ""):
        yield Problem(f"{path}.vip.ip", "must be an IP address")
    for i, route in enumerate(device.get("routes") or ()):
        place = f"{path}.routes[{i}]"
        route = route or {}  # noqa: PLW2901 - an empty entry has neither
        if route.get("network") and not _is_network(route["network"]):
            yield Problem(f"{place}.network", f"{route['network']!r} is no network in CIDR notation")
        for key in ("gateway", "source"):
            if route.get(key) and not _is_address(route[key]):
                yield Problem(f"{place}.{key}", f"{route[key]!r} is no IP address")
        if not route.get("network") and not route.get("gateway"):
            yield Problem(place, "needs network or gateway")


def _check_addresses(path: str, device: Mapping[str, Any]) -> Iterator[Problem]:
    for i, address in enumerate(device.get("addresses") or ()):
        if not (_is_network(address) if "/" in address else _is_address(address)):
            yield Problem(f"{path}.addresses[{i}]", f"{address!r} is no IP address, alone or in CIDR notation")


def _check_kubelet(kubelet: Mapping[str, Any]) -> Iterator[Problem]:
    for field in sorted(KUBELET_FIELDS_OF_TALOS & (kubelet.get("extraConfig") or {}).keys()):
        yield Problem(f"machine.kubelet.extraConfig.{field}", "Talos sets this field itself")
    yield from _check_subnets("machine.kubelet.nodeIP.validSubnets", _at(kubelet, ("nodeIP", "validSubnets")) or ())


def _check_registries(registries: Mapping[str, Any]) -> Iterator[Problem]:
    for key in ("mirrors", "config"):
        for host, value in (registries.get(key) or {}).items():
            if value is None:
                yield Problem(f"machine.registries.{key}[{host!r}]", "is empty")


def _check_labels(machine: Mapping[str, Any]) -> Iterator[Problem]:
    for section in ("nodeLabels", "nodeAnnotations", "nodeTaints"):
        for name, value in (machine.get(section) or {}).items():
            path = f"machine.{section}[{name!r}]"
            if text := _qualified_name_problem(name):
                yield Problem(path, text)
            if section == "nodeLabels" and not _is_label_value(value):
                yield Problem(path, "the value is no label value of Kubernetes")
            if section == "nodeAnnotations" and name.startswith("talos.dev/owned-"):
                yield Problem(path, "Talos keeps this annotation for itself")
            if section == "nodeTaints":
                taint, _, effect = value.rpartition(":")
                if effect not in TAINT_EFFECTS:
                    yield Problem(path, f"the effect must be one of {', '.join(TAINT_EFFECTS)}")
                elif not _is_label_value(taint):
                    yield Problem(path, "the value is no label value of Kubernetes")


def _check_subnets(path: str, subnets: Iterable[str]) -> Iterator[Problem]:
    for i, subnet in enumerate(subnets):
        bare = subnet.removeprefix("!")
        if not _is_network(bare) and not _is_address(bare):
            yield Problem(f"{path}[{i}]", f"{subnet!r} is no network in CIDR notation")


# --- ours -------------------------------------------------------------------------------------------------------------


def _check_hostname(legacy: Document, machine: MachineSpec) -> Iterator[Problem]:
    path = "machine.network.hostname"
    name = _at(legacy, ("machine", "network", "hostname")) or ""
    labels = name.lower().removesuffix(".").split(".")
    if len(name) > _MAX_NAME or not all(_DNS_LABEL.fullmatch(label) and len(label) <= _MAX_LABEL for label in labels):
        yield Problem(path, f"{name!r} is no host name: labels of at most {_MAX_LABEL} letters, digits and hyphens")
    elif labels[0] != machine.name:
        yield Problem(path, f"must begin with the machine's name {machine.name}: by it the node is known")


def _check_vip(legacy: Document) -> Iterator[Problem]:
    """A shared address outside of the adapter's own networks is taken by Talos, and reached by nobody."""
    for path, device in _devices(_at(legacy, ("machine", "network")) or {}):
        vip = _at(device, ("vip", "ip")) or ""
        networks = [ipaddress.ip_interface(text).network for text in device.get("addresses") or () if _is_network(text)]
        if not networks or device.get("dhcp") or not _is_address(vip):
            continue
        if not any(ipaddress.ip_address(vip) in network for network in networks):
            yield Problem(f"{path}.vip.ip", f"{vip} is in none of the adapter's networks")


def _check_versions(legacy: Document, contract: str) -> Iterator[Problem]:
    """The range that Talos checks once it runs; too late for a machine that is being installed."""
    first, last = KUBERNETES_RANGE[contract]
    for path in _METAL_IMAGES:
        image = _at(legacy, path)
        if not image:
            continue
        found = re.search(r":v(\d+)\.(\d+)[^:/]*(@|$)", image)
        if not found:
            yield Problem(".".join(path), f"{image} names no Kubernetes version (a tag that begins with v)")
        elif not _minor(first) <= (int(found[1]), int(found[2])) <= _minor(last):
            version = f"v{found[1]}.{found[2]}"
            yield Problem(".".join(path), f"Talos {contract} runs Kubernetes {first} to {last}, not {version}")


# --- small words ------------------------------------------------------------------------------------------------------


def _legacy(documents: Sequence[Document]) -> Document | None:
    return next((document for document in documents if not document.get("kind")), None)


def _at(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def _devices(network: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Interfaces and their VLANs, each with its path."""
    for i, device in enumerate(network.get("interfaces") or ()):
        path = f"machine.network.interfaces[{i}]"
        yield path, device or {}
        for k, vlan in enumerate((device or {}).get("vlans") or ()):
            yield f"{path}.vlans[{k}]", vlan or {}


def _url_problem(text: str) -> str:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return f"{text!r} is no URL, or its port is no number from 0 to 65535"
    if not url.hostname:
        return f"{text!r} names no host"
    return f"{text!r} has the port 0" if port == 0 else ""


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return "/" in text


def _qualified_name_problem(name: str) -> str:
    prefix, slash, rest = name.rpartition("/")
    if not _QUALIFIED_NAME.fullmatch(rest) or len(rest) > _MAX_LABEL:
        return "this is no name of Kubernetes"
    is_domain = all(_DNS_LABEL.fullmatch(label) for label in prefix.split(".")) and len(prefix) <= _MAX_NAME
    return "the part before the slash is no DNS name" if slash and not is_domain else ""


def _is_label_value(value: str) -> bool:
    return bool(_LABEL_VALUE.fullmatch(value)) and len(value) <= _MAX_LABEL


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.removeprefix("v").split(".")[:2]
    return int(major), int(minor)
