"""What Talos checks in a machine config before it takes it, in metal mode; all findings at once.

The rules are Talos' own (v1alpha1_validation.go of its machinery, 1.11), the words are ours. What Talos only warns of is a warning, or
with `--strict` an error there. Types of CEL expressions and the base runtime spec are left to the dry run on the machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from provisioner.talos.document import at, devices_of, is_subnet, legacy_of, split, url_problem
from provisioner.talos.schema import Document, Problem
from provisioner.talos.validate_documents import check_documents, check_keys
from provisioner.talos.validate_network import check_network

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

API_ROLES = ("os:admin", "os:operator", "os:reader", "os:etcd:backup", "os:impersonator")
AUTHORIZERS = ("Node", "RBAC", "Webhook")
DISK_TYPES = ("nvme", "sd", "hdd", "ssd")
_OWNED = frozenset({"talos.dev/owned-labels", "talos.dev/owned-annotations", "talos.dev/owned-taints"})
_MOST_ANNOTATIONS = 256 * 1024


def check_config(documents: Sequence[Document]) -> list[Problem]:
    """What Talos would refuse in decoded documents, in metal mode, and what it warns of."""
    legacy = legacy_of(documents)
    if legacy is None:
        return [Problem("", "a document with machine and cluster is required"), *check_documents(documents)]
    machine, cluster = legacy.get("machine"), legacy.get("cluster") or {}
    if machine is None:
        return [Problem("machine", "is required")]
    problems = [
        *_check_cluster(legacy.get("cluster"), is_worker=machine.get("type") in _WORKERS),
        *_check_install(machine.get("install")),
        *_check_role(machine, cluster),
        *check_network(machine.get("network") or {}, cluster),
        *_check_disks(machine),
        *_check_kubelet(machine.get("kubelet") or {}),
        *_check_logging(machine.get("logging") or {}),
        *_check_features(machine),
        *_check_labels(machine),
        *check_documents(documents),
    ]
    if legacy.get("persist") is False:
        problems.append(Problem("persist", "must be true: a machine that forgets its config is lost at the next boot"))
    return problems


# --- Talos' own rules -------------------------------------------------------------------------------------------------


def _check_cluster(cluster: Document | None, *, is_worker: bool) -> Iterator[Problem]:
    if cluster is None:
        yield Problem("cluster", "is required")
        return
    endpoint = at(cluster, "controlPlane", "endpoint")
    if not endpoint:
        yield Problem("cluster.controlPlane.endpoint", "is required")
    elif text := url_problem(str(endpoint)):
        yield Problem("cluster.controlPlane.endpoint", text)
    domain = at(cluster, "network", "dnsDomain") or ""
    if domain and (not _DNS_NAME.fullmatch(domain) or len(domain) - domain.count(".") > 255):
        yield Problem("cluster.network.dnsDomain", f"{domain!r} is not a DNS name")
    yield from _check_cloud_provider(cluster.get("externalCloudProvider") or {})
    if cluster.get("etcd") is not None and is_worker:
        yield Problem("cluster.etcd", "is only allowed on control planes")
    elif cluster.get("etcd") is not None:
        yield from _check_etcd(cluster["etcd"])
    if is_worker and at(cluster, "ca", "key"):
        yield Problem("cluster.ca.key", "a worker must not have the key of a CA")
    yield from _check_manifests(cluster.get("inlineManifests") or ())
    yield from _check_discovery(cluster)
    yield from _check_api_server(cluster.get("apiServer") or {})
    for part in ("apiServer", "controllerManager", "scheduler"):
        for kind in ("requests", "limits"):
            for name in sorted((at(cluster, part, "resources", kind) or {}).keys() - {"cpu", "memory"}):
                yield Problem(f"cluster.{part}.resources.{kind}.{name}", "only cpu and memory can be given")


def _check_etcd(etcd: Mapping[str, Any]) -> Iterator[Problem]:
    if etcd.get("ca") is None:
        yield Problem("cluster.etcd.ca", "is required")
    if etcd.get("subnet") and etcd.get("advertisedSubnets"):
        yield Problem("cluster.etcd.subnet", "is the old name of advertisedSubnets; give only one of them")
    for key in ("advertisedSubnets", "listenSubnets"):
        yield from _check_subnets(f"cluster.etcd.{key}", etcd.get(key) or ())


def _check_cloud_provider(provider: Mapping[str, Any]) -> Iterator[Problem]:
    manifests = provider.get("manifests") or ()
    if manifests and not provider.get("enabled"):
        yield Problem("cluster.externalCloudProvider.manifests", "need enabled: true")
        return
    for i, url in enumerate(manifests):
        if text := url_problem(url):
            yield Problem(f"cluster.externalCloudProvider.manifests[{i}]", text)


def _check_api_server(server: Mapping[str, Any]) -> Iterator[Problem]:
    authorizers = server.get("authorizationConfig")
    for i, authorizer in enumerate(authorizers or ()):
        path = f"cluster.apiServer.authorizationConfig[{i}]"
        if authorizer.get("type") not in AUTHORIZERS:
            yield Problem(f"{path}.type", f"must be one of {', '.join(AUTHORIZERS)}")
        if not authorizer.get("name"):
            yield Problem(f"{path}.name", "is required")
    if authorizers is None:
        return
    for name in sorted(server.get("extraArgs") or {}):
        if name == "authorization-mode" or name.startswith("authorization-webhook-"):
            yield Problem(f"cluster.apiServer.extraArgs[{name!r}]", "cannot be combined with authorizationConfig")


def _check_manifests(manifests: Iterable[Mapping[str, Any]]) -> Iterator[Problem]:
    seen: set[str] = set()
    for i, manifest in enumerate(manifests):
        name = manifest.get("name", "")
        if not name.strip():
            yield Problem(f"cluster.inlineManifests[{i}].name", "is required")
        elif name in seen:
            yield Problem(f"cluster.inlineManifests[{i}].name", f"{name!r} is given twice")
        seen.add(name)


def _check_discovery(cluster: Document) -> Iterator[Problem]:
    discovery = cluster.get("discovery") or {}
    if not discovery.get("enabled") or at(discovery, "registries", "service", "disabled"):
        return
    endpoint = at(discovery, "registries", "service", "endpoint") or ""
    url = split(endpoint)
    if endpoint and (url is None or not (url.scheme or endpoint.startswith("/"))):
        yield Problem("cluster.discovery.registries.service.endpoint", "is not a URL")
    elif endpoint and url is not None and url.path not in ("", "/"):
        yield Problem("cluster.discovery.registries.service.endpoint", "must have no path")
    for key in ("id", "secret"):
        if not cluster.get(key):
            yield Problem(f"cluster.{key}", "is required by the discovery service")


def _check_install(install: Document | None) -> Iterator[Problem]:
    if install is None:
        yield Problem("machine.install", "is required: Talos is installed to a disk here")
        return
    selector = install.get("diskSelector")
    if not install.get("disk") and selector is None:
        yield Problem("machine.install", "needs disk or diskSelector")
    if at(selector, "name"):
        yield Problem("machine.install.diskSelector.name", "is not supported by Talos")
    if (at(selector, "type") or DISK_TYPES[0]) not in DISK_TYPES:
        yield Problem("machine.install.diskSelector.type", f"must be one of {', '.join(DISK_TYPES)}")
    seen: set[str] = set()
    for i, extension in enumerate(install.get("extensions") or ()):
        image = extension.get("image") or ""
        if image in seen:
            yield Problem(f"machine.install.extensions[{i}].image", "is given twice")
        seen.add(image)
    if seen:
        text = "is deprecated: extensions come with an image of the Image Factory (image: {schematic: ...})"
        yield Problem("machine.install.extensions", text, severity="warning")


def _check_role(machine: Document, cluster: Document) -> Iterator[Problem]:
    kind = machine.get("type", "")
    certificate, key = at(machine, "ca", "crt"), at(machine, "ca", "key")
    accepted = machine.get("acceptedCAs") or ()
    if machine.get("ca") is None and (not accepted or kind in _CONTROL_PLANES):
        yield Problem("machine.ca", "is required")
    if kind in _CONTROL_PLANES:
        if machine.get("ca") is not None and not key:
            yield Problem("machine.ca.key", "is required on control planes")
        yield from _check_cni(at(cluster, "network", "cni"))
    elif kind in _WORKERS:
        if kind == "join":
            yield Problem("machine.type", "join is the old name", "worker", severity="warning")
        if key:
            yield Problem("machine.ca.key", "a worker must not have the key of a CA")
        if machine.get("ca") is not None and not certificate and not accepted:
            yield Problem("machine.ca.crt", "is required")
        for path, device in devices_of(machine.get("network") or {}):
            if device.get("vip") is not None:
                yield Problem(f"{path}.vip", "a shared address is only allowed on control planes")
    else:
        yield Problem("machine.type", f"must be controlplane or worker, not {kind!r}")


def _check_cni(cni: Mapping[str, Any] | None) -> Iterator[Problem]:
    if cni is None:
        return
    name = cni.get("name") or ""
    path = "cluster.network.cni"
    if name not in CNI_NAMES:
        yield Problem(f"{path}.name", f"must be one of {', '.join(CNI_NAMES)}")
        return
    if cni.get("urls") and name != "custom":
        yield Problem(f"{path}.urls", f"is only allowed with the CNI custom, not {name}")
    if name == "custom" and not cni.get("urls"):
        # Talos only warns; but then nothing brings a CNI, and nobody is told: that is what `none` says.
        yield Problem(f"{path}.urls", "is required by the CNI custom; a CNI that you install later is none")
    if at(cni, "flannel", "extraArgs") and name != "flannel":
        yield Problem(f"{path}.flannel.extraArgs", f"is only allowed with the CNI flannel, not {name}")
    for i, url in enumerate(cni.get("urls") or ()) if name == "custom" else ():
        if text := url_problem(url):
            yield Problem(f"{path}.urls[{i}]", text)


def _check_disks(machine: Mapping[str, Any]) -> Iterator[Problem]:
    for i, disk in enumerate(machine.get("disks") or ()):
        partitions = disk.get("partitions") or ()
        for k, partition in enumerate(partitions[:-1]):
            if not partition.get("size"):
                path = f"machine.disks[{i}].partitions[{k}]"
                yield Problem(path, "without a size it takes the whole disk, but it is not the last")
    for label in ("state", "ephemeral"):
        given = at(machine, "systemDiskEncryption", label)
        if given is not None:
            yield from check_keys(f"machine.systemDiskEncryption.{label}", given.get("keys") or ())


def _check_kubelet(kubelet: Mapping[str, Any]) -> Iterator[Problem]:
    for field in sorted(KUBELET_FIELDS_OF_TALOS & (kubelet.get("extraConfig") or {}).keys()):
        yield Problem(f"machine.kubelet.extraConfig.{field}", "Talos sets this field itself")
    yield from _check_subnets("machine.kubelet.nodeIP.validSubnets", at(kubelet, "nodeIP", "validSubnets") or ())


def _check_logging(logging: Mapping[str, Any]) -> Iterator[Problem]:
    for i, destination in enumerate(logging.get("destinations") or ()):
        path = f"machine.logging.destinations[{i}]"
        url = split(destination.get("endpoint") or "")
        if url is None or not url.netloc:
            yield Problem(f"{path}.endpoint", "must have a host, as tcp://10.0.0.1:5044/")
        elif url.scheme not in ("tcp", "udp"):
            yield Problem(f"{path}.endpoint", "must begin with tcp:// or udp://")
        if destination.get("format") != "json_lines":
            yield Problem(f"{path}.format", "must be json_lines")


def _check_features(machine: Mapping[str, Any]) -> Iterator[Problem]:
    path = "machine.features.kubernetesTalosAPIAccess"
    access = at(machine, "features", "kubernetesTalosAPIAccess") or {}
    if access.get("enabled"):
        if not at(machine, "features", "rbac"):
            yield Problem(path, "needs machine.features.rbac")
        if machine.get("type") not in _CONTROL_PLANES:
            yield Problem(path, "is only allowed on control planes: it belongs below patches.control_plane")
        for i, role in enumerate(access.get("allowedRoles") or ()):
            if role not in API_ROLES:
                yield Problem(f"{path}.allowedRoles[{i}]", f"must be one of {', '.join(API_ROLES)}")
    if (at(machine, "features", "nodeAddressSortAlgorithm") or "v1").lower() not in ("v1", "v2"):
        yield Problem("machine.features.nodeAddressSortAlgorithm", "must be v1 or v2")


def _check_labels(machine: Mapping[str, Any]) -> Iterator[Problem]:
    for section in ("nodeLabels", "nodeAnnotations", "nodeTaints"):
        for name, value in (machine.get(section) or {}).items():
            path = f"machine.{section}[{name!r}]"
            if text := _qualified_name_problem(name):
                yield Problem(path, text)
            if section == "nodeLabels" and not _is_label_value(value):
                yield Problem(path, "the value is not a Kubernetes label value")
            if section == "nodeAnnotations" and name in _OWNED:
                yield Problem(path, "is reserved by Talos")
            if section == "nodeTaints":
                taint, colon, effect = value.partition(":")
                if (effect if colon else taint) not in TAINT_EFFECTS:
                    yield Problem(path, f"the effect must be one of {', '.join(TAINT_EFFECTS)}")
                elif colon and not _is_label_value(taint):
                    yield Problem(path, "the value is not a Kubernetes label value")
    annotations = machine.get("nodeAnnotations") or {}
    if sum(len(name.encode()) + len(value.encode()) for name, value in annotations.items()) > _MOST_ANNOTATIONS:
        yield Problem("machine.nodeAnnotations", "are larger than 256 KiB together")


def _check_subnets(path: str, subnets: Iterable[str]) -> Iterator[Problem]:
    for i, subnet in enumerate(subnets):
        if not is_subnet(subnet):
            yield Problem(f"{path}[{i}]", f"{subnet!r} is not a network in CIDR notation")


def _qualified_name_problem(name: str) -> str:
    prefix, slash, rest = name.rpartition("/")
    if not _QUALIFIED_NAME.fullmatch(rest) or len(rest) > _MAX_LABEL:
        return "is not a Kubernetes name"
    is_domain = all(_DNS_LABEL.fullmatch(label) for label in prefix.split(".")) and len(prefix) <= _MAX_NAME
    return "the part before the slash is not a DNS name" if slash and not is_domain else ""


def _is_label_value(value: str) -> bool:
    return bool(_LABEL_VALUE.fullmatch(value)) and len(value) <= _MAX_LABEL
