"""The secrets bundle: the keys and tokens of a cluster, in the file format of `talosctl gen secrets`.

`talosctl gen config --with-secrets` reads what is written here, and the other way round. Source: Talos' secrets package, 1.11.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from provisioner.talos import pki, yaml
from provisioner.talos.pki import CertificateAndKey, KeyType

_TOKEN_ALPHABET = string.digits + string.ascii_lowercase


class BundleError(ValueError):
    """A file that is not a complete secrets bundle; `problems` names everything that is missing or broken."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True)
class SecretsBundle:
    """A cluster's secrets. `repr` shows the cluster's id and nothing else."""

    cluster_id: str
    cluster_secret: str = field(repr=False)
    bootstrap_token: str = field(repr=False)
    secretbox_secret: str = field(repr=False)
    """Encrypts Kubernetes secrets in etcd. Empty in bundles of clusters made by Talos 1.2 and older."""
    aescbc_secret: str = field(repr=False, default="")
    """The same, as it was done before 1.3."""
    trustd_token: str = field(repr=False)
    etcd: CertificateAndKey = field(repr=False)
    kubernetes: CertificateAndKey = field(repr=False)
    aggregator: CertificateAndKey = field(repr=False)
    service_account_key: bytes = field(repr=False)
    os: CertificateAndKey = field(repr=False)


def new_bundle(now: datetime, cluster_id: str = "") -> SecretsBundle:
    """Fresh secrets, with that id if one is given. Takes up to a second: the service account's key is RSA 4096."""
    return _fresh(now, pki.new_service_account_key(), cluster_id)


def stand_in(now: datetime) -> SecretsBundle:
    """A bundle to check configs with before the cluster has its own: whole and valid, made in milliseconds, never kept.

    Its service account key is a short one, as Talos up to 1.6 had it.
    """
    return _fresh(now, pki.new_ca("", KeyType.ECDSA_P256, now).key)


def _fresh(now: datetime, service_account_key: bytes, cluster_id: str = "") -> SecretsBundle:
    return SecretsBundle(
        cluster_id=cluster_id or base64.urlsafe_b64encode(os.urandom(32)).decode(),
        cluster_secret=encoded(os.urandom(32)),
        bootstrap_token=_new_token(),
        secretbox_secret=encoded(os.urandom(32)),
        trustd_token=_new_token(),
        etcd=pki.new_ca("etcd", KeyType.ECDSA_P256, now),
        kubernetes=pki.new_ca("kubernetes", KeyType.ECDSA_P256, now),
        aggregator=pki.new_ca("", KeyType.ECDSA_P256, now),  # Talos gives this one no subject
        service_account_key=service_account_key,
        os=pki.new_ca("talos", KeyType.ED25519, now),
    )


def write_bundle(bundle: SecretsBundle) -> bytes:
    """The bundle as a file of Talos."""
    keys = {"bootstraptoken": bundle.bootstrap_token}
    if bundle.secretbox_secret:
        keys["secretboxencryptionsecret"] = bundle.secretbox_secret
    if bundle.aescbc_secret:
        keys["aescbcencryptionsecret"] = bundle.aescbc_secret
    return yaml.dump(
        {
            "cluster": {"id": bundle.cluster_id, "secret": bundle.cluster_secret},
            "secrets": keys,
            "trustdinfo": {"token": bundle.trustd_token},
            "certs": {
                "etcd": encoded_pair(bundle.etcd),
                "k8s": encoded_pair(bundle.kubernetes),
                "k8saggregator": encoded_pair(bundle.aggregator),
                "k8sserviceaccount": {"key": encoded(bundle.service_account_key)},
                "os": encoded_pair(bundle.os),
            },
        }
    )


def read_bundle(text: bytes) -> SecretsBundle:
    """A bundle from a file of Talos or of ours. Raises BundleError with everything that is wrong."""
    try:
        document = yaml.load(text)
    except yaml.YamlError as error:
        raise BundleError([f"not YAML: {error}"]) from None
    if not isinstance(document, dict):
        raise BundleError(["not a secrets bundle: expected a mapping"])
    reader = _Reader(document)
    bundle = SecretsBundle(
        cluster_id=reader.text("cluster", "id"),
        cluster_secret=reader.text("cluster", "secret"),
        bootstrap_token=reader.text("secrets", "bootstraptoken"),
        secretbox_secret=reader.text("secrets", "secretboxencryptionsecret", required=False),
        aescbc_secret=reader.text("secrets", "aescbcencryptionsecret", required=False),
        trustd_token=reader.text("trustdinfo", "token"),
        etcd=reader.pair("etcd"),
        kubernetes=reader.pair("k8s"),
        aggregator=reader.pair("k8saggregator"),
        service_account_key=reader.service_account_key(),
        os=reader.pair("os"),
    )
    if reader.section("secrets"):
        both = "[secrets.secretboxencryptionsecret, secrets.aescbcencryptionsecret]"
        if not bundle.secretbox_secret and not bundle.aescbc_secret:
            reader.problems.append(f"one of {both} is required")
        if bundle.secretbox_secret and bundle.aescbc_secret:
            reader.problems.append(f"only one of {both} is allowed")
    if reader.problems:
        raise BundleError(reader.problems)
    return bundle


def cluster_id_in(text: bytes) -> str:
    """The cluster's id in a bundle, even where the rest of it is damaged; empty when there is none."""
    try:
        found = yaml.load(text)["cluster"]["id"]
    except (yaml.YamlError, KeyError, TypeError):
        return ""
    return found if isinstance(found, str) else ""


def secret_values(bundle: SecretsBundle) -> Iterator[str | bytes]:
    """All that must never be shown: keys as PEM and as files hold them, tokens, and the id by which machines find each other."""
    yield bundle.cluster_id
    yield bundle.cluster_secret
    yield bundle.bootstrap_token
    yield bundle.secretbox_secret
    yield bundle.aescbc_secret
    yield bundle.trustd_token
    pairs = (bundle.etcd, bundle.kubernetes, bundle.aggregator, bundle.os)
    for key in (*(pair.key for pair in pairs), bundle.service_account_key):
        yield key
        yield encoded(key)


def encoded_pair(pair: CertificateAndKey) -> dict[str, str]:
    """A certificate and key as Talos' files hold them: base64 of the PEM text."""
    return {"crt": encoded(pair.crt), "key": encoded(pair.key)}


def encoded(data: bytes) -> str:
    """Bytes, as PEM text, as Talos' files hold them: base64."""
    return base64.b64encode(data).decode()


class _Reader:
    """Reads a bundle's parts and remembers all that is missing; a missing section is named once."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self.problems: list[str] = []
        self._missing: set[str] = set()

    def section(self, name: str) -> dict[str, Any]:
        found = self._document.get(name)
        if isinstance(found, dict):
            return found
        if name not in self._missing:
            self._missing.add(name)
            self.problems.append(f"{name} is required")
        return {}

    def text(self, section: str, key: str, *, required: bool = True) -> str:
        found = self.section(section).get(key)
        if found is None or found == "":
            if required and section not in self._missing:
                self.problems.append(f"{section}.{key} is required")
            return ""
        return str(found)

    def pair(self, name: str) -> CertificateAndKey:
        found = self._certificate(name)
        pair = CertificateAndKey(crt=_decoded(found.get("crt")), key=_decoded(found.get("key")))
        if found and (problem := pair.problem()):
            self.problems.append(f"certs.{name} is invalid: {problem}")
        return pair

    def service_account_key(self) -> bytes:
        found = self._certificate("k8sserviceaccount")
        key = _decoded(found.get("key"))
        if found:
            try:
                pki.load_key(key)
            except ValueError as error:
                self.problems.append(f"certs.k8sserviceaccount.key is invalid: {error}")
        return key

    def _certificate(self, name: str) -> dict[str, Any]:
        found = self.section("certs").get(name)
        if isinstance(found, dict) and found:
            return found
        if "certs" not in self._missing:
            self.problems.append(f"certs.{name} is required")
        return {}


def _decoded(value: Any) -> bytes:
    """Base64 of a file's value; empty for what is not base64, which then shows as a key that cannot be read."""
    try:
        return base64.b64decode(str(value or ""), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _new_token() -> str:
    """A bootstrap token: six characters, a dot, sixteen characters."""
    return ".".join("".join(secrets.choice(_TOKEN_ALPHABET) for _ in range(length)) for length in (6, 16))
