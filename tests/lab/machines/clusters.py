"""Throw-away clusters: their secrets, client certificates, and machine configs made of them."""

from __future__ import annotations

import base64
import datetime as dt
import secrets
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

INSTALLER = "ghcr.io/siderolabs/installer:v1.11.5"


def as_pem(pair: tuple[x509.Certificate, Any]) -> tuple[bytes, bytes]:
    certificate, key = pair
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(serialization.Encoding.PEM), pem


def _certificate(
    organization: str, issuer: tuple[x509.Certificate, Any] | None, kind: str, *, days: int = 1
) -> tuple[x509.Certificate, Any]:
    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)])
    signing = issuer[1] if issuer else key
    now = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer[0].subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=days))
    )
    if issuer is None:
        usage = x509.KeyUsage(True, False, False, False, False, True, False, False, False)
        builder = builder.add_extension(x509.BasicConstraints(True, None), True).add_extension(usage, True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier(secrets.token_bytes(20)), False)
    else:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
        ski = issuer[0].extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski)
        builder = builder.add_extension(authority, False)
    digest = None if isinstance(signing, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signing, digest), key


def talos_label(pem: bytes) -> bytes:
    return pem.replace(b"PRIVATE KEY", b"ED25519 PRIVATE KEY")


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@dataclass
class Cluster:
    """The secrets of a cluster, and the configs made of them."""

    name: str = "test"
    endpoint: str = "https://192.0.2.100:6443"
    id: str = field(default_factory=lambda: _b64(secrets.token_bytes(32)))
    secret: str = field(default_factory=lambda: _b64(secrets.token_bytes(32)))
    token: str = field(default_factory=lambda: f"{secrets.token_hex(3)}.{secrets.token_hex(8)}")

    @cached_property
    def os_ca(self) -> tuple[x509.Certificate, Any]:
        return _certificate("talos", None, "ed25519")

    @cached_property
    def kubernetes_ca(self) -> tuple[x509.Certificate, Any]:
        return _certificate("kubernetes", None, "ecdsa")

    @cached_property
    def etcd_ca(self) -> tuple[x509.Certificate, Any]:
        return _certificate("etcd", None, "ecdsa")

    def client(self, role: str = "os:admin", *, days: int = 1) -> tuple[bytes, bytes]:
        return as_pem(_certificate(role, self.os_ca, "ed25519", days=days))

    def document(self, type: str, hostname: str = "") -> dict[str, Any]:
        control_plane = type == "controlplane"

        def pair(ca: tuple[x509.Certificate, Any], *, talos: bool = False) -> dict[str, str]:
            crt, key = as_pem(ca)
            key = talos_label(key) if talos else key
            return {"crt": _b64(crt), "key": _b64(key) if control_plane else ""}

        document: dict[str, Any] = {
            "version": "v1alpha1",
            "persist": True,
            "machine": {
                "type": type,
                "token": self.token,
                "ca": pair(self.os_ca, talos=True),
                "certSANs": ["127.0.0.1"],
                "kubelet": {"image": "ghcr.io/siderolabs/kubelet:v1.34.1"},
                "network": {"hostname": hostname} if hostname else {},
                "install": {"disk": "/dev/sda", "image": INSTALLER, "wipe": False},
                "features": {"rbac": True},
            },
            "cluster": {
                "id": self.id,
                "secret": self.secret,
                "controlPlane": {"endpoint": self.endpoint},
                "clusterName": self.name,
                "network": {"podSubnets": ["10.244.0.0/16"], "serviceSubnets": ["10.96.0.0/12"]},
                "token": "abcdef.0123456789abcdef",
                "ca": pair(self.kubernetes_ca),
                "discovery": {"enabled": True},
            },
        }
        if control_plane:
            document["cluster"]["etcd"] = {"ca": pair(self.etcd_ca)}
            document["cluster"]["apiServer"] = {"image": "registry.k8s.io/kube-apiserver:v1.34.1"}
        return document

    def config(self, type: str, hostname: str = "") -> bytes:
        return yaml.safe_dump(self.document(type, hostname), sort_keys=False).encode()
