"""The admin kubeconfig that a control plane hands out, and the archive it comes in (pkg/kubeconfig/generate.go)."""

from __future__ import annotations

import base64
import gzip
import re
import tarfile
from datetime import timedelta

import yaml

from provisioner.lab import pki
from provisioner.lab.world.guests.config import MachineConfig
from provisioner.lab.world.kube import manifests

DEFAULT_LIFE = timedelta(hours=8760)
_DURATION = re.compile(r"(\d+)(h|m|s)")
_UNITS = {"h": 3600, "m": 60, "s": 1}
_BLOCK = 512


def render(config: MachineConfig) -> bytes:
    """Made of the config alone, so it answers before bootstrap and needs no Kubernetes."""
    ca = pki.read_pair(*config.kubernetes_ca)
    admin = pki.kubernetes_admin(ca, _life(config))
    body = manifests.made(
        "kubeconfig",
        cluster=config.cluster_name,
        server=config.endpoint,
        user=f"admin@{config.cluster_name}",
        ca=_text(ca.certificate_pem),
        certificate=_text(admin.certificate_pem),
        key=_text(admin.ec_key_pem),
    )
    return yaml.safe_dump(body, sort_keys=False).encode()


def archive(content: bytes) -> bytes:
    """A gzip'd tar with one member. Talos never closes its archive: no padding, no end blocks."""
    header = tarfile.TarInfo("kubeconfig")
    header.size, header.mode = len(content), 0o600
    return gzip.compress(header.tobuf(tarfile.USTAR_FORMAT)[:_BLOCK] + content)


def _life(config: MachineConfig) -> timedelta:
    text = str(config.get("cluster", "adminKubeconfig", "certLifetime") or "")
    seconds = sum(int(number) * _UNITS[unit] for number, unit in _DURATION.findall(text))
    return timedelta(seconds=seconds) if seconds else DEFAULT_LIFE


def _text(pem: bytes) -> str:
    return base64.b64encode(pem).decode()
