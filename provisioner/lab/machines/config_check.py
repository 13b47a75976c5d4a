"""Whether Talos would take a machine config: strict decoding, static validation for metal, and what the node itself checks.

Messages are Talos' own (facts/talos.md 8.3), since a client shows them to its user.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml

from provisioner.lab.machines import config_keys
from provisioner.lab.world.guests import disks
from provisioner.lab.world.guests.config import MachineConfig, dig
from provisioner.lab.world.guests.hardware import Hardware

KUBERNETES_RANGE = {11: (29, 34), 12: (30, 35), 13: (31, 36)}
"""Minor of Talos -> lowest and highest minor of Kubernetes (facts/talos.md 6.5)."""
_DNS_NAME = re.compile(r"^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")


class NotDecoded(Exception):
    """The bytes are no machine config."""


class NotValid(Exception):
    """The findings, as Talos lists them. `where`: `static`, or `runtime` for what only the node can tell."""

    def __init__(self, where: str, findings: list[str]) -> None:
        super().__init__(error_list(findings))
        self.where = where


@dataclass(frozen=True)
class Checked:
    config: MachineConfig
    warnings: list[str]


def error_list(findings: list[str]) -> str:
    """`N errors occurred:`, then one line each, ended by an empty line."""
    head = "1 error occurred:" if len(findings) == 1 else f"{len(findings)} errors occurred:"
    return head + "".join(f"\n\t* {finding}" for finding in findings) + "\n\n"


def check(data: bytes, *, minor: int, hardware: Hardware, installed: bool) -> Checked:
    """Raises NotDecoded or NotValid. `minor` is that of the running Talos 1.x; `installed`: no install section is needed."""
    config = _decode(data, minor)
    if config.v1alpha1 is None:
        return Checked(config, [])
    findings = list(_static(config, installed=installed))
    if findings:
        raise NotValid("static", findings)
    findings = list(_runtime(config, minor, hardware, installed=installed))
    if findings:
        raise NotValid("runtime", findings)
    return Checked(config, list(_warnings(config)))


# --- decoding -------------------------------------------------------------------------------------------------------


def _decode(data: bytes, minor: int) -> MachineConfig:
    config = MachineConfig(data)
    try:
        documents = config.documents
        _refuse_repeated_keys(data)
    except yaml.YAMLError as error:
        raise NotDecoded(f"yaml: {_first_line(error)}") from None
    if not documents:
        raise NotDecoded("no configuration documents found")
    seen: set[tuple[str, str]] = set()
    for document in documents:
        if not isinstance(document, dict):
            raise NotDecoded("yaml: a document must be a mapping")
        kind = str(document.get("kind", ""))
        key = (kind, str(document.get("name", "")))
        if key in seen:
            raise NotDecoded(f"duplicate document: {kind or 'v1alpha1'}/{key[1]}")
        seen.add(key)
        if "kind" in document:
            if document.get("apiVersion") != "v1alpha1" or kind not in config_keys.document_kinds(minor):
                raise NotDecoded(f'"{kind}" "{document.get("apiVersion", "")}": not registered')
        else:
            _decode_v1alpha1(document)
    return config


def _decode_v1alpha1(document: dict[str, Any]) -> None:
    if document.get("version") != "v1alpha1":
        raise NotDecoded(
            f'unknown version "{document.get("version", "")}"' if "version" in document else "missing version"
        )
    unknown = config_keys.unknown_keys(document, config_keys.V1ALPHA1)
    if unknown is not None:
        raise NotDecoded(f"unknown keys found during decoding:\n{yaml.safe_dump(unknown, sort_keys=False)}")


def _refuse_repeated_keys(data: bytes) -> None:
    """PyYAML takes the last of equal keys, Talos' parser refuses them."""
    for root in yaml.compose_all(data, yaml.CSafeLoader):
        stack = [root] if root is not None else []
        while stack:
            node = stack.pop()
            if isinstance(node, yaml.MappingNode):
                keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
                for key in keys:
                    if keys.count(key) > 1:
                        line = node.start_mark.line + 1
                        raise yaml.YAMLError(f'mapping at line {line}: mapping key "{key}" already defined')
                stack += [value for _, value in node.value]
            elif isinstance(node, yaml.SequenceNode):
                stack += node.value


def _first_line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {error.problem}"
    return str(error).splitlines()[0]


# --- validation -----------------------------------------------------------------------------------------------------


def _static(config: MachineConfig, *, installed: bool) -> Iterator[str]:
    if config.get("machine") is None:
        yield "machine instructions are required"
        return
    if config.get("cluster") is None:
        yield "cluster instructions are required"
        return
    if config.get("persist") is False:
        yield ".persist should be enabled"
    machine_type = config.get("machine", "type")
    if machine_type not in ("init", "controlplane", "worker", "join"):
        yield f'unknown machine type "{machine_type or ""}"'
        return
    yield from _install(config, installed=installed)
    yield from _authorities(config)
    yield from _cluster(config)
    yield from _interfaces(config)


def _install(config: MachineConfig, *, installed: bool) -> Iterator[str]:
    install = config.get("machine", "install")
    if install is None:
        if not installed:
            yield 'install instructions are required in "metal" mode'
    elif not dig(install, "disk") and not dig(install, "diskSelector"):
        yield "either install disk or diskSelector should be defined"


def _authorities(config: MachineConfig) -> Iterator[str]:
    crt, key = config.os_ca
    if not crt and not any(config.accepted_cas):
        yield "issuing CA or some accepted CAs are required (.machine.ca, machine.acceptedCAs)"
    if config.control_plane:
        if not crt:
            yield "issuing CA is required (.machine.ca)"
        elif not key:
            yield "issuing CA key is required for controlplane nodes (.machine.ca.key)"
        return
    if key:
        yield "issuing Talos API CA key is not allowed on non-controlplane nodes (.machine.ca)"
    if not crt and not any(config.accepted_cas):
        yield "trusted CA certificates are required on non-controlplane nodes (.machine.ca.crt, .machine.acceptedCAs)"
    if config.kubernetes_ca[1]:
        yield "issuing Kubernetes API CA key is not allowed on non-controlplane nodes (.cluster.ca)"
    if config.get("cluster", "etcd") is not None:
        yield "etcd config is only allowed on control plane machines"
    if config.virtual_ip:
        yield "virtual (shared) IP is not allowed on non-controlplane nodes"


def _cluster(config: MachineConfig) -> Iterator[str]:
    if not config.endpoint:
        yield "cluster controlplane endpoint is required"
    else:
        url = urlsplit(config.endpoint)
        if url.scheme != "https" or not url.hostname:
            yield f'invalid controlplane endpoint: "{config.endpoint}" must be an https URL with a host'
    domain = config.get("cluster", "network", "dnsDomain")
    if domain and not _DNS_NAME.match(str(domain)):
        yield f'"{domain}" is not a valid DNS name'
    cni = config.get("cluster", "network", "cni", "name")
    if cni is not None and cni not in ("flannel", "custom", "none"):
        yield 'cni name should be one of ["flannel", "custom", "none"]'
    names: set[str] = set()
    for manifest in config.get("cluster", "inlineManifests") or []:
        name = str(dig(manifest, "name") or "")
        if not name:
            yield "inline manifest name can't be empty"
        elif name in names:
            yield f'inline manifest name "{name}" is duplicate'
        names.add(name)
    if config.get("cluster", "discovery", "enabled"):
        if not config.cluster_id:
            yield "cluster discovery service requires .cluster.id"
        if not config.cluster_secret:
            yield "cluster discovery service requires .cluster.secret"
    if config.get("machine", "network", "kubespan", "enabled") and not config.get("cluster", "discovery", "enabled"):
        yield ".cluster.discovery should be enabled when .machine.network.kubespan is enabled"


def _interfaces(config: MachineConfig) -> Iterator[str]:
    for number, interface in enumerate(config.get("machine", "network", "interfaces") or []):
        path = f"networking.os.device[{number}]"
        if interface is None:
            yield f"[{path}] empty device"
            continue
        name = interface.get("interface")
        if name and interface.get("deviceSelector"):
            yield f'[{path}] interface "{name}" has both interfaces and selectors set: config sections are mutually exclusive'
        elif not name and not interface.get("deviceSelector"):
            yield f"[{path}] required either config section to be set"
        for address in interface.get("addresses") or []:
            if not _is_address(str(address)):
                yield f'[{path}.addresses] failed to parse "{address}" as IP address, invalid network address'
        for route in interface.get("routes") or []:
            for key in ("network", "gateway"):
                value = dig(route, key)
                if value and not _is_address(str(value)):
                    yield f'[{path}.route.{key}] failed to parse "{value}" as IP address, invalid network address'


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return True


def _runtime(config: MachineConfig, minor: int, hardware: Hardware, *, installed: bool) -> Iterator[str]:
    """What the node checks when it takes a config: image versions, disk selector, host name."""
    low, high = KUBERNETES_RANGE.get(minor, (0, 99))
    for what, image in _kubernetes_images(config):
        found = re.search(r":v(\d+)\.(\d+)\.(\d+)", image)
        if found is None:
            yield f"{what}: failed to parse the version of image {image!r}: no :v in it"
        elif not low <= int(found[2]) <= high:
            version = f"{found[1]}.{found[2]}.{found[3]}"
            yield f"{what}: version of Kubernetes {version} is not supported by Talos 1.{minor} (1.{low} to 1.{high})"
    selector = config.get("machine", "install", "diskSelector")
    if selector and not installed and disks.install_disk(hardware, config) is None:
        yield f"no disks matched the expression: {selector}"
    if config.hostname and not all(_DNS_LABEL.match(label) for label in config.hostname.lower().split(".")):
        yield f'invalid hostname "{config.hostname}"'


def _kubernetes_images(config: MachineConfig) -> Iterator[tuple[str, str]]:
    if config.kubelet_image:
        yield "kubelet image", config.kubelet_image
    for part in ("apiServer", "controllerManager", "scheduler"):
        image = config.get("cluster", part, "image")
        if image and config.control_plane:
            yield f"{part} image", str(image)


def _warnings(config: MachineConfig) -> Iterator[str]:
    if config.get("machine", "type") == "join":
        yield 'use "worker" instead of "join" for machine type'
    for interface in config.interfaces:
        if interface.get("cidr"):
            yield f'"{interface.get("interface", "")}": machine.network.interface.cidr is deprecated, use addresses'
    if config.get("machine", "install", "extraKernelArgs"):
        yield "machine.install.extraKernelArgs has no effect with systemd-boot"
