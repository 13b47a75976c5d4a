"""Whether Talos would take a machine config: strict decoding, static validation for metal, and what the node itself checks.

Messages are Talos' own, since a client shows them to its user.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.lab.machines import config_documents, config_rules
from provisioner.lab.world.guests.config import MachineConfig, dig
from provisioner.lab.world.guests.decode import NotDecoded
from provisioner.lab.world.guests.hardware import Hardware, install_disk

__all__ = ["Checked", "NotDecoded", "NotValid", "check"]

KUBERNETES_RANGE = {11: (29, 34), 12: (30, 35), 13: (31, 36)}
"""Minor of Talos -> lowest and highest minor of Kubernetes (pkg/machinery/compatibility)."""
_DNS_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")


class NotValid(Exception):
    """The findings, as Talos lists them. `where`: `static`, or `runtime` for what only the node can tell."""

    def __init__(self, where: str, findings: list[str]) -> None:
        super().__init__(config_rules.error_list(findings))
        self.where = where


@dataclass(frozen=True)
class Checked:
    config: MachineConfig
    warnings: list[str]


def check(data: bytes, *, minor: int, hardware: Hardware, installed: bool) -> Checked:
    """Raises NotDecoded or NotValid. `minor` is that of the running Talos 1.x; `installed`: no install section is needed."""
    config = MachineConfig(data)
    findings = list(_static(config, installed=installed))
    if findings:
        raise NotValid("static", findings)
    if config.v1alpha1 is None:
        return Checked(config, [])
    findings = list(_runtime(config, minor, hardware, installed=installed))
    if findings:
        raise NotValid("runtime", findings)
    return Checked(config, list(config_rules.warnings(config)))


def _static(config: MachineConfig, *, installed: bool) -> Iterator[str]:
    if config.v1alpha1 is not None:
        found = config_rules.findings(config)
        if installed and config.get("machine", "install") is None:
            found = (finding for finding in found if not finding.startswith("install instructions"))
        yield from found
    for document in config.documents:
        if "kind" in document:
            yield from config_documents.findings(document)
    for label in ("STATE", "EPHEMERAL"):
        legacy = config.get("machine", "systemDiskEncryption", label.lower())
        if legacy is not None and any(_encrypts(document, label) for document in config.documents):
            yield f'system disk encryption for "{label}" is configured in both v1alpha1.Config and VolumeConfig'


def _encrypts(document: Mapping[str, Any], volume: str) -> bool:
    named = (document.get("kind"), document.get("name")) == ("VolumeConfig", volume)
    return named and dig(document, "encryption", "provider") == "luks2"


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
    if selector and not installed and install_disk(hardware, config) is None:
        yield f"no disks matched the expression: {selector}"
    if config.fqdn and not all(_DNS_LABEL.match(label) for label in config.fqdn.lower().split(".")):
        yield f'invalid hostname "{config.fqdn}"'


def _kubernetes_images(config: MachineConfig) -> Iterator[tuple[str, str]]:
    if config.kubelet_image:
        yield "kubelet image", config.kubelet_image
    for part in ("apiServer", "controllerManager", "scheduler"):
        image = config.get("cluster", part, "image")
        if image and config.control_plane:
            yield f"{part} image", str(image)
