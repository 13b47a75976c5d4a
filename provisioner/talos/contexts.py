"""`ports.ContextFile` for the two files that clients read: our context in a user's own talosconfig and kubeconfig."""

from __future__ import annotations

from typing import Any

from provisioner.talos import yaml
from provisioner.talos.clientfiles import (
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
        context = (_data(existing).get("contexts") or {}).get(name)
        return None if context is None else _picked(context, _TALOS_KEYS)


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


def _data(text: bytes) -> dict[str, Any]:
    data = yaml.load(text)
    return data if isinstance(data, dict) else {}


def _named(data: dict[str, Any], section: str, inner: str, name: object) -> dict[str, Any] | None:
    for item in data.get(section) or []:
        if item.get("name") == name:
            return item.get(inner) or {}
    return None


def _picked(values: dict[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(values.get(key) for key in keys)
