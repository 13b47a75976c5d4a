"""What Talos 1.11 finds in the main document of a machine config, on metal, as flat lists of checks (v1alpha1_validation.go of its
pkg/machinery/config/types/v1alpha1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from provisioner.lab.machines import config_cluster, config_nets
from provisioner.lab.machines.config_cluster import bad_subnets, bad_url
from provisioner.lab.machines.config_documents import key_slots
from provisioner.lab.world.guests.config import MachineConfig, dig

Findings = Iterator[str]

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_OWNED = ("talos.dev/owned-annotations", "talos.dev/owned-labels", "talos.dev/owned-taints")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_ROLES = ("os:admin", "os:operator", "os:reader", "os:etcd:backup", "os:impersonator")
_KUBELET_OWN = (
    "apiVersion authentication authorization cgroupRoot kind kubeletCgroups port protectKernelDefaults resolvConf "
    "rotateCertificates systemCgroups staticPodPath seccompDefault"
)
_TYPES = ("init", "controlplane", "worker", "join", "")


def findings(config: MachineConfig) -> Findings:
    """All of them; `install` is asked for as on a machine without Talos on its disk."""
    if config.get("machine") is None:
        yield "machine instructions are required"
        return
    machine = config.get("machine")
    yield from config_cluster.findings(config)
    yield from _install(machine)
    yield from _authorities(config)
    yield from config_nets.findings(machine)
    yield from _disks(machine)
    yield from _kubelet(machine)
    yield from _encryption(machine)
    yield from _kubespan(config)
    yield from _logging(machine)
    images = [extension.get("image", "") for extension in dig(machine, "install", "extensions") or []]
    yield from (f'duplicate system extension "{image}"' for n, image in enumerate(images) if image in images[:n])
    yield from _node(machine)
    yield from _features(config)
    if config.get("persist") is False:
        yield ".persist should be enabled"
    for part in ("config", "mirrors"):
        for name, value in (dig(machine, "registries", part) or {}).items():
            if value is None:
                yield f'registries.{part}["{name}"] is null'


def warnings(config: MachineConfig) -> Iterator[str]:
    """What does not refuse a config."""
    if (kind := config.get("machine", "type") or "") in ("join", ""):
        yield f'use "worker" instead of "{kind}" for machine type'
    for interface in config.interfaces:
        if interface.get("cidr"):
            name = interface.get("interface", "")
            yield (
                f'"{name}": machine.network.interface.cidr is deprecated, please use machine.network.interface.addresses'
            )
    if config.control_plane and config.cni == "custom" and not config.get("cluster", "network", "cni", "urls"):
        yield '"urls" field should not be empty for "custom" CNI'
    if config.get("machine", "install", "extraKernelArgs"):
        yield "extra kernel arguments are not supported when booting using SDBoot"


# --- the machine ----------------------------------------------------------------------------------------------------


def _install(machine: Mapping[str, Any]) -> Findings:
    install = machine.get("install")
    if install is None:
        yield 'install instructions are required in "metal" mode'
        return
    selector = install.get("diskSelector")
    if dig(selector, "name"):
        yield "install disk selector is invalid: selector on name is not supported"
        selector = None
    elif dig(selector, "type") not in (None, "", "nvme", "sd", "hdd", "ssd"):
        yield f'install disk selector is invalid: unsupported disk type "{selector["type"]}"'
        selector = None
    if not install.get("disk") and selector is None:
        yield "either install disk or diskSelector should be defined"


def _authorities(config: MachineConfig) -> Findings:
    ca, accepted = config.get("machine", "ca"), config.get("machine", "acceptedCAs")
    if ca is None and not accepted:
        yield "issuing CA or some accepted CAs are required (.machine.ca, machine.acceptedCAs)"
    if (kind := config.get("machine", "type") or "") not in _TYPES:
        yield f'unknown machine type "{kind}"'
    elif config.control_plane:
        yield from _cni(config)
        if ca is None:
            yield "issuing CA is required (.machine.ca)"
        elif not ca.get("key"):
            yield "issuing CA key is required for controlplane nodes (.machine.ca.key)"
    else:
        for interface in config.interfaces:
            for part in (interface, *(interface.get("vlans") or [])):
                if dig(part, "vip") is not None:
                    yield "virtual (shared) IP is not allowed on non-controlplane nodes"
        if dig(ca, "key"):
            yield "issuing Talos API CA key is not allowed on non-controlplane nodes (.machine.ca)"
        if ca is not None and not ca.get("crt") and not accepted:
            yield "trusted CA certificates are required on non-controlplane nodes (.machine.ca.crt, .machine.acceptedCAs)"
        if config.get("cluster", "ca", "key"):
            yield "issuing Kubernetes API CA key is not allowed on non-controlplane nodes (.cluster.ca)"


def _cni(config: MachineConfig) -> Findings:
    cni = config.get("cluster", "network", "cni")
    if cni is None:
        return
    name, urls = cni.get("name", ""), cni.get("urls") or []
    if name not in ("flannel", "custom", "none"):
        yield 'cni name should be one of ["flannel", "custom", "none"]'
        return
    if urls and name != "custom":
        yield f'"urls" field should be empty for "{name}" CNI'
    if name != "flannel" and dig(cni, "flannel", "extraArgs"):
        yield f'"flanneldExtraArgs" field should be empty for "{name}" CNI'
    if name == "custom":
        yield from (wrong for url in urls if (wrong := bad_url(url)))


def _disks(machine: Mapping[str, Any]) -> Findings:
    for number, disk in enumerate(machine.get("disks") or []):
        if disk is None:
            yield f"machine.disks[{number}] is null"
            continue
        partitions = disk.get("partitions") or []
        if None in partitions:
            yield config_nets.NIL
        for partition in partitions[:-1]:
            if not int(dig(partition, "size") or 0):
                name = disk.get("device", "")
                yield f'partition for disk "{name}" is set to occupy full disk, but it\'s not the last partition in the list'


def _kubelet(machine: Mapping[str, Any]) -> Findings:
    yield from bad_subnets("kubelet nodeIP subnet", dig(machine, "kubelet", "nodeIP", "validSubnets") or [])
    extra = dig(machine, "kubelet", "extraConfig") or {}
    for field in _KUBELET_OWN.split():
        if field in extra:
            yield f'kubelet configuration field "{field}" can\'t be overridden'


def _encryption(machine: Mapping[str, Any]) -> Findings:
    for key, label in (("ephemeral", "EPHEMERAL"), ("state", "STATE")):
        spec = dig(machine, "systemDiskEncryption", key)
        if spec is None:
            continue
        keys = [each or {} for each in spec.get("keys") or []]
        if not keys:
            yield f'partition "{label}": no encryption keys provided'
        for slot, taken, empty in key_slots(keys):
            if taken:
                yield f'partition "{label}": encryption key slot {slot} is already in use'
            if empty:
                yield f'partition "{label}": encryption key at slot {slot} doesn\'t have the configuration parameters'


def _kubespan(config: MachineConfig) -> Findings:
    spec = config.get("machine", "network", "kubespan") or {}
    if not spec.get("enabled"):
        return
    if spec.get("mtu") and spec["mtu"] < 1280:
        yield "kubespan link MTU must be at least 1280"
    if not config.get("cluster", "discovery", "enabled"):
        yield ".cluster.discovery should be enabled when .machine.network.kubespan is enabled"
    if not config.cluster_id:
        yield ".cluster.id should be set when .machine.network.kubespan is enabled"
    if not config.cluster_secret:
        yield ".cluster.secret should be set when .machine.network.kubespan is enabled"
    yield from bad_subnets("KubeSpan endpoint filer", dig(spec, "filters", "endpoints") or [])


def _logging(machine: Mapping[str, Any]) -> Findings:
    for target in dig(machine, "logging", "destinations") or []:
        if target.get("endpoint") is None:
            yield "empty logging endpoint"
        else:
            url = urlsplit(target["endpoint"])
            if not url.netloc:
                yield "empty logging endpoint's host"
            if url.scheme not in ("tcp", "udp"):
                yield f'unexpected logging endpoint scheme "{url.scheme}"'
        if target.get("format") != "json_lines":
            yield f'unknown logging format "{target.get("format", "")}"'


def _node(machine: Mapping[str, Any]) -> Findings:
    found: list[str] = []
    for key, value in sorted((machine.get("nodeLabels") or {}).items()):
        found += filter(None, (_bad_key(key), _bad_label(value)))
    yield from _nested("invalid machine node labels", found)
    found, annotations = [], machine.get("nodeAnnotations") or {}
    for key in sorted(annotations):
        found += filter(None, (_bad_key(key), f'annotation "{key}" is reserved' if key in _OWNED else ""))
    if sum(len(key.encode()) + len(value.encode()) for key, value in annotations.items()) > 256 * 1024:
        found.append("total annotation size exceeds limit of 262144 bytes")
    yield from _nested("invalid machine node annotations", found)
    taints = sorted((machine.get("nodeTaints") or {}).items())
    yield from _nested(
        "invalid machine node taints", [wrong for key, value in taints if (wrong := _bad_taint(key, value))]
    )


def _nested(what: str, found: list[str]) -> Findings:
    if found:
        yield f"{what}: {error_list(found)}"


def error_list(found: list[str]) -> str:
    """`N errors occurred:`, then one line each, ended by an empty line."""
    head = "1 error occurred:" if len(found) == 1 else f"{len(found)} errors occurred:"
    return head + "".join(f"\n\t* {finding}" for finding in found) + "\n\n"


def _bad_taint(key: str, value: str) -> str:
    before, colon, after = value.partition(":")
    effect = after if colon else before
    wrong = _bad_key(key) or ("" if effect in _EFFECTS else f'invalid taint effect: "{effect}"')
    return wrong or (_bad_label(before) if colon else "")


def _bad_key(key: str) -> str:
    parts = key.split("/")
    if len(parts) > 2:
        return f'invalid format: too many slashes: "{key}"'
    if len(parts) == 2 and not parts[0]:
        return f'prefix cannot be empty: "{key}"'
    if len(parts) == 2 and not (len(parts[0]) <= 253 and _SUBDOMAIN.fullmatch(parts[0])):
        return f'prefix "{parts[0]}" is invalid: domain doesn\'t match required format: "{parts[0]}"'
    if not parts[-1]:
        return f'name cannot be empty: "{key}"'
    if len(parts[-1]) > 63:
        return f'name is too long: "{key}" (limit is 63)'
    return "" if _QUALIFIED.fullmatch(parts[-1]) else f'name "{parts[-1]}" is invalid'


def _bad_label(value: str) -> str:
    if len(value) > 63:
        return f'label value length exceeds limit of 63: "{value}"'
    return "" if not value or _QUALIFIED.fullmatch(value) else f'label value "{value}" is invalid'


def _features(config: MachineConfig) -> Findings:
    features = config.get("machine", "features") or {}
    access = features.get("kubernetesTalosAPIAccess") or {}
    if access.get("enabled"):
        if not features.get("rbac"):
            yield "feature API RBAC should be enabled when Kubernetes Talos API Access feature is enabled"
        if not config.control_plane:
            yield "feature Kubernetes Talos API Access can only be enabled on control plane machines"
        for role in access.get("allowedRoles") or []:
            if role not in _ROLES:
                yield f'invalid role "{role}" in allowed roles for Kubernetes Talos API Access'
    algorithm = features.get("nodeAddressSortAlgorithm")
    if algorithm and algorithm.lower() not in ("v1", "v2"):
        yield f"invalid node address sort algorithm: {algorithm} does not belong to AddressSortAlgorithm values"
