"""`ports.ContextFile` for the two files that clients read: our context in a user's own talosconfig and kubeconfig."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

from provisioner.talos import yaml
from provisioner.talos.clientfiles import (
    ClientFileError,
    merge_kubeconfig,
    merge_talosconfig,
    remove_from_kubeconfig,
    remove_from_talosconfig,
)

_TALOS_KEYS = ("endpoints", "ca", "crt", "key")
_CLUSTER_KEYS = ("server", "certificate-authority-data")
_USER_KEYS = ("client-certificate-data", "client-key-data")


class TalosconfigFile:
    """Its current context names ours."""

    def merge(self, existing: bytes | None, ours: bytes) -> bytes:
        return merge_talosconfig(existing or b"", str(_data(ours)["context"]), ours)

    def remove(self, existing: bytes, name: str) -> bytes:
        return remove_from_talosconfig(existing, name)

    def find(self, existing: bytes, name: str) -> object | None:
        contexts = _mapping(_data(existing).get("contexts"), "contexts")
        return None if name not in contexts else _picked(_mapping(contexts[name], name), _TALOS_KEYS)

    def expires(self, existing: bytes, name: str) -> datetime | None:
        contexts = _mapping(_data(existing).get("contexts"), "contexts")
        return _expiry(_mapping(contexts.get(name), name).get("crt"))


class KubeconfigFile:
    """Compared by what reaches the cluster and signs in there; what a user added to our entries is theirs."""

    def merge(self, existing: bytes | None, ours: bytes) -> bytes:
        return merge_kubeconfig(existing or b"", str(_data(ours)["current-context"]), ours)

    def remove(self, existing: bytes, name: str) -> bytes:
        return remove_from_kubeconfig(existing, name)

    def find(self, existing: bytes, name: str) -> object | None:
        data = _data(existing)
        context = _named(data, "contexts", "context", name)
        if context is None:
            return None
        cluster = _named(data, "clusters", "cluster", context.get("cluster"))
        user = _named(data, "users", "user", context.get("user"))
        return _picked(cluster or {}, _CLUSTER_KEYS), _picked(user or {}, _USER_KEYS)

    def expires(self, existing: bytes, name: str) -> datetime | None:
        data = _data(existing)
        context = _named(data, "contexts", "context", name) or {}
        user = _named(data, "users", "user", context.get("user")) or {}
        return _expiry(user.get("client-certificate-data"))


def _expiry(certificate: object) -> datetime | None:
    """The end of a certificate as these files hold it: base64 of PEM."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(base64.b64decode(str(certificate or ""))).not_valid_after_utc
    except ValueError:
        return None


def _data(text: bytes) -> dict[str, Any]:
    return _mapping(yaml.load(text), "the file")


def _named(data: dict[str, Any], section: str, inner: str, name: object) -> dict[str, Any] | None:
    items = data.get(section) or []
    if not isinstance(items, list):
        raise ClientFileError(f"{section} is no list")
    for item in items:
        entry = _mapping(item, f"an entry of {section}")
        if entry.get("name") == name:
            return _mapping(entry.get(inner), inner)
    return None


def _mapping(value: Any, what: str) -> dict[str, Any]:
    """The value, empty for nothing. Raises ClientFileError."""
    if value is not None and not isinstance(value, dict):
        raise ClientFileError(f"{what} is no mapping")
    return value or {}


def _picked(values: dict[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(values.get(key) for key in keys)
