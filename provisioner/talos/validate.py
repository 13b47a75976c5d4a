"""What Talos checks in a machine config before it takes it, in metal mode; all findings at once.

What Talos only warns of is a warning, or with `talosctl validate --strict` an error there. Types of CEL expressions and the base runtime
spec are left to the dry run on the machine.

Source: https://github.com/siderolabs/talos/blob/v1.11.5/pkg/machinery/config/types/v1alpha1/v1alpha1_validation.go
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from provisioner.talos.document import at, devices_of, each, legacy_of, words
from provisioner.talos.field_checks import (
    DNS_LABEL,
    MAX_LABEL,
    MAX_NAME,
    Rules,
    one_of,
    present,
    required,
    split,
    subnet,
    unsupported,
    url,
)
from provisioner.talos.schema import Document, Problem
from provisioner.talos.validate_documents import check_documents, check_keys
from provisioner.talos.validate_network import check_network

CNI_NAMES = ("flannel", "custom", "none")

KUBELET_FIELDS_OF_TALOS = words(
    "apiVersion authentication authorization cgroupRoot kind kubeletCgroups port protectKernelDefaults resolvConf rotateCertificates "
    "systemCgroups staticPodPath seccompDefault"
)
"""Fields of the kubelet's own config that Talos sets itself and does not let anyone override."""

TAINT_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

_CONTROL_PLANES = ("controlplane", "init")
_WORKERS = ("worker", "join")
"""The second word of each is the old one; Talos still takes it."""

_DNS_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*[._]?")
_QUALIFIED_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")

API_ROLES = ("os:admin", "os:operator", "os:reader", "os:etcd:backup", "os:impersonator")
AUTHORIZERS = ("Node", "RBAC", "Webhook")
DISK_TYPES = ("nvme", "sd", "hdd", "ssd")
_OWNED = frozenset({"talos.dev/owned-labels", "talos.dev/owned-annotations", "talos.dev/owned-taints"})
_MOST_ANNOTATIONS = 256 * 1024


def check_config(documents: Sequence[Document]) -> list[Problem]:
    """What Talos would refuse in decoded documents, in metal mode, and what it warns of."""
    config = legacy_of(documents)
    if config is None:
        return [Problem("", "a document with machine and cluster is required"), *check_documents(documents)]
    if config.get("machine") is None:
        return [Problem("machine", "is required")]
    is_worker = at(config, "machine", "type") in _WORKERS
    return [
        *(_ON_WORKERS if is_worker else _ON_CONTROL_PLANES).check(config),
        *_check_role(config),
        *check_network(config),
        *_MACHINE.check(config),
        *check_documents(documents),
    ]


# --- single values ----------------------------------------------------------------------------------------------------


def _dns_name(value: str) -> str:
    is_name = _DNS_NAME.fullmatch(value) and len(value) - value.count(".") <= 255
    return "" if is_name else f"{value!r} is not a DNS name"


def _log_endpoint(value: str | None) -> str:
    parts = split(value or "")
    if parts is None or not parts.netloc:
        return "must have a host, as tcp://10.0.0.1:5044/"
    return "" if parts.scheme in ("tcp", "udp") else "must begin with tcp:// or udp://"


def _qualified_name_problem(name: str) -> str:
    prefix, slash, rest = name.rpartition("/")
    if not _QUALIFIED_NAME.fullmatch(rest) or len(rest) > MAX_LABEL:
        return "is not a Kubernetes name"
    is_domain = all(DNS_LABEL.fullmatch(label) for label in prefix.split(".")) and len(prefix) <= MAX_NAME
    return "the part before the slash is not a DNS name" if slash and not is_domain else ""


def _label_value(value: str) -> str:
    is_good = _LABEL_VALUE.fullmatch(value) and len(value) <= MAX_LABEL
    return "" if is_good else "the value is not a Kubernetes label value"


def _taint(value: str) -> str:
    """`effect`, or `value:effect`."""
    label, colon, effect = value.rpartition(":")
    if effect not in TAINT_EFFECTS:
        return f"the effect must be one of {', '.join(TAINT_EFFECTS)}"
    return _label_value(label) if colon else ""


# --- the cluster ------------------------------------------------------------------------------------------------------


def _check_cluster(config: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _check_twice(config, "cluster.inlineManifests[]", "name")
    for path, manifest in each(config, "cluster.inlineManifests[]"):
        if not (manifest.get("name") or "").strip():
            yield Problem(f"{path}.name", "is required")
    provider = at(config, "cluster", "externalCloudProvider") or {}
    if provider.get("manifests") and not provider.get("enabled"):
        yield Problem("cluster.externalCloudProvider.manifests", "need enabled: true")
    yield from _check_discovery(config.get("cluster") or {})
    yield from _check_authorization(at(config, "cluster", "apiServer") or {})
    yield from _check_resources(config)


def _check_authorization(server: Mapping[str, Any]) -> Iterator[Problem]:
    for name in sorted(server.get("extraArgs") or {}) if server.get("authorizationConfig") is not None else ():
        if name == "authorization-mode" or name.startswith("authorization-webhook-"):
            yield Problem(f"cluster.apiServer.extraArgs[{name!r}]", "cannot be combined with authorizationConfig")


def _check_resources(config: Mapping[str, Any]) -> Iterator[Problem]:
    for part in ("apiServer", "controllerManager", "scheduler"):
        for kind in ("requests", "limits"):
            for path, resources in each(config, f"cluster.{part}.resources.{kind}"):
                for name in sorted(resources.keys() - {"cpu", "memory"}):
                    yield Problem(f"{path}.{name}", "only cpu and memory can be given")


def _check_discovery(cluster: Mapping[str, Any]) -> Iterator[Problem]:
    discovery = cluster.get("discovery") or {}
    if not discovery.get("enabled") or at(discovery, "registries", "service", "disabled"):
        return
    endpoint = at(discovery, "registries", "service", "endpoint") or ""
    parts = split(endpoint)
    if parts is None or (endpoint and not (parts.scheme or endpoint.startswith("/"))):
        yield Problem("cluster.discovery.registries.service.endpoint", "is not a URL")
    elif parts.path not in ("", "/"):
        yield Problem("cluster.discovery.registries.service.endpoint", "must have no path")
    for key in ("id", "secret"):
        if not cluster.get(key):
            yield Problem(f"cluster.{key}", "is required by the discovery service")


def _check_control_plane(config: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _check_cluster(config)
    if at(config, "cluster", "etcd", "subnet") and at(config, "cluster", "etcd", "advertisedSubnets"):
        yield Problem("cluster.etcd.subnet", "is the old name of advertisedSubnets; give only one of them")
    for path, cni in each(config, "cluster.network.cni"):
        name = cni.get("name") or ""
        if name not in CNI_NAMES:
            yield Problem(f"{path}.name", f"must be one of {', '.join(CNI_NAMES)}")
            return
        if cni.get("urls") and name != "custom":
            yield Problem(f"{path}.urls", f"is only allowed with the CNI custom, not {name}")
        if name == "custom" and not cni.get("urls"):
            # Talos only warns; but then nothing installs a CNI, which is what `none` says.
            yield Problem(f"{path}.urls", "is required by the CNI custom; a CNI that you install later is none")
        if at(cni, "flannel", "extraArgs") and name != "flannel":
            yield Problem(f"{path}.flannel.extraArgs", f"is only allowed with the CNI flannel, not {name}")


def _check_twice(config: Mapping[str, Any], place: str, key: str) -> Iterator[Problem]:
    """Items of a list that are told apart by a key."""
    seen: set[Any] = set()
    for path, item in each(config, place):
        value = item.get(key)
        if value in seen:
            yield Problem(f"{path}.{key}", f"{value!r} is given twice")
        seen.add(value)


_CLUSTER = {
    "cluster.network.dnsDomain": _dns_name,
    "cluster.externalCloudProvider.manifests[]": url,
}
_ALWAYS = {
    ":cluster": present,
    "cluster:controlPlane.endpoint": lambda value: url(value) if value else required(value),
    "cluster.apiServer.authorizationConfig[]:type": one_of(*AUTHORIZERS),
    "cluster.apiServer.authorizationConfig[]:name": required,
}
_ON_CONTROL_PLANES = Rules(
    given={
        **_CLUSTER,
        "cluster.etcd.advertisedSubnets[]": subnet,
        "cluster.etcd.listenSubnets[]": subnet,
        "cluster.network.cni.urls[]": url,
    },
    always={**_ALWAYS, "cluster.etcd:ca": present},
    others=_check_control_plane,
)
_NO_CA_KEY = "a worker must not have the key of a CA"
_ON_WORKERS = Rules(
    given={
        **_CLUSTER,
        "cluster.ca.key": lambda _value: _NO_CA_KEY,
    },
    always={**_ALWAYS, "cluster:etcd": lambda value: "" if value is None else "is only allowed on control planes"},
    others=_check_cluster,
)


# --- the machine ------------------------------------------------------------------------------------------------------


def _check_machine(config: Mapping[str, Any]) -> Iterator[Problem]:
    machine = config["machine"]
    if config.get("persist") is False:
        yield Problem("persist", "must be true: a machine that forgets its config is lost at the next boot")
    yield from _check_twice(config, "machine.install.extensions[]", "image")
    if at(machine, "install", "extensions"):
        text = "is deprecated: extensions come with an image of the Image Factory (image: {schematic: ...})"
        yield Problem("machine.install.extensions", text, severity="warning")
    for path, disk in each(config, "machine.disks[]"):
        for k, partition in enumerate((disk.get("partitions") or ())[:-1]):
            if not partition.get("size"):
                text = "without a size it takes the whole disk, but it is not the last"
                yield Problem(f"{path}.partitions[{k}]", text)
    for label in ("state", "ephemeral"):
        for path, volume in each(config, f"machine.systemDiskEncryption.{label}"):
            yield from check_keys(path, volume)
    for name in sorted(KUBELET_FIELDS_OF_TALOS & (at(machine, "kubelet", "extraConfig") or {}).keys()):
        yield Problem(f"machine.kubelet.extraConfig.{name}", "Talos sets this field itself")
    yield from _check_api_access(machine)
    yield from _check_labels(machine)


def _check_api_access(machine: Mapping[str, Any]) -> Iterator[Problem]:
    path = "machine.features.kubernetesTalosAPIAccess"
    access = at(machine, "features", "kubernetesTalosAPIAccess") or {}
    if not access.get("enabled"):
        return
    if not at(machine, "features", "rbac"):
        yield Problem(path, "needs machine.features.rbac")
    if machine.get("type") not in _CONTROL_PLANES:
        yield Problem(path, "is only allowed on control planes: it belongs below patches.control_plane")
    yield from Rules(given={"allowedRoles[]": one_of(*API_ROLES)}).check(access, path)


def _check_labels(machine: Mapping[str, Any]) -> Iterator[Problem]:
    checks: dict[str, Callable[[str, str], str]] = {
        "nodeLabels": lambda _name, value: _label_value(value),
        "nodeTaints": lambda _name, value: _taint(value),
        "nodeAnnotations": lambda name, _value: "is reserved by Talos" if name in _OWNED else "",
    }
    for section, check in checks.items():
        for name, value in (machine.get(section) or {}).items():
            for text in filter(None, (_qualified_name_problem(name), check(name, value))):
                yield Problem(f"machine.{section}[{name!r}]", text)
    annotations = machine.get("nodeAnnotations") or {}
    if sum(len(name.encode()) + len(value.encode()) for name, value in annotations.items()) > _MOST_ANNOTATIONS:
        yield Problem("machine.nodeAnnotations", "are larger than 256 KiB together")


_MACHINE = Rules(
    given={
        "machine.install.diskSelector.name": unsupported,
        "machine.install.diskSelector.type": one_of(*DISK_TYPES),
        "machine.kubelet.nodeIP.validSubnets[]": subnet,
        "machine.features.nodeAddressSortAlgorithm": lambda value: (
            "" if value.lower() in ("v1", "v2") else "must be v1 or v2"
        ),
    },
    always={
        "machine:install": present,
        "machine.logging.destinations[]:endpoint": _log_endpoint,
        "machine.logging.destinations[]:format": one_of("json_lines"),
    },
    needed={"machine.install": ("disk", "diskSelector")},
    others=_check_machine,
)


# --- the role ---------------------------------------------------------------------------------------------------------


def _check_role(config: Mapping[str, Any]) -> Iterator[Problem]:
    machine = config["machine"]
    kind, ca, accepted = machine.get("type", ""), machine.get("ca"), machine.get("acceptedCAs") or ()
    if ca is None and (not accepted or kind in _CONTROL_PLANES):
        yield Problem("machine.ca", "is required")
    if kind in _CONTROL_PLANES:
        if ca is not None and not ca.get("key"):
            yield Problem("machine.ca.key", "is required on control planes")
    elif kind in _WORKERS:
        yield from _check_worker(config, kind)
    else:
        yield Problem("machine.type", f"must be controlplane or worker, not {kind!r}")


def _check_worker(config: Mapping[str, Any], kind: str) -> Iterator[Problem]:
    ca, accepted = at(config, "machine", "ca"), at(config, "machine", "acceptedCAs")
    if kind == "join":
        yield Problem("machine.type", "join is the old name", "worker", severity="warning")
    if at(ca, "key"):
        yield Problem("machine.ca.key", _NO_CA_KEY)
    if ca is not None and not ca.get("crt") and not accepted:
        yield Problem("machine.ca.crt", "is required")
    for path, device in devices_of(config):
        if device.get("vip") is not None:
            yield Problem(f"{path}.vip", "a shared address is only allowed on control planes")
