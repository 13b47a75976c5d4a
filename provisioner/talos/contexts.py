"""`ports.ContextFile` for the two files that clients read: our context in a user's own talosconfig and kubeconfig."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from provisioner.ports import FoundContext
from provisioner.talos import clienttext, yaml
from provisioner.talos.clientfiles import (
    Authority,
    KubeEntries,
    find_in_talosconfig,
    kube_authority,
    kube_context,
    mapping,
    merge_kubeconfig,
    merge_talosconfig,
    remove_from_kubeconfig,
    remove_from_talosconfig,
)

_TALOS_KEYS = ("endpoints", "ca", "crt", "key")
_CLUSTER_KEYS = ("server", "certificate-authority-data")
_USER_KEYS = ("client-certificate-data", "client-key-data")


class TalosconfigFile:
    """Talosctl's own name for a context is the cluster's."""

    def context_of(self, cluster: str) -> str:
        return cluster

    def merge(self, existing: bytes, ours: bytes, others: Sequence[bytes]) -> bytes:  # noqa: ARG002 - talosctl reads one file
        return merge_talosconfig(existing, str(clienttext.read(ours).data["context"]), ours)

    def remove(self, existing: bytes, context: str, own: bytes | None, secrets: bytes | None) -> bytes:
        return remove_from_talosconfig(existing, context, self._authority(own, secrets))

    def find(
        self,
        existing: bytes,
        context: str,
        own: bytes | None,
        secrets: bytes | None,
        others: Sequence[bytes],  # noqa: ARG002
    ) -> FoundContext:
        name, entry = find_in_talosconfig(clienttext.read(existing).data, context, self._authority(own, secrets))
        return FoundContext(name=name, entry=None if entry is None else _picked(entry, _TALOS_KEYS))

    def entry(self, own: bytes) -> object | None:
        found = _current_talos(own)
        return None if found is None else _picked(found, _TALOS_KEYS)

    def expires(self, own: bytes) -> datetime | None:
        return _expiry((_current_talos(own) or {}).get("crt"))

    def _authority(self, own: bytes | None, secrets: bytes | None) -> Authority:
        try:
            found = _current_talos(own or b"") or {}
        except ValueError:
            found = {}
        if found.get("ca"):
            return Authority(str(found["ca"]), str(found.get("crt") or ""))
        return Authority(_ca_of_bundle(secrets, "os"))


class KubeconfigFile:
    """Compared by what reaches the cluster and signs in there; what a user added to our entries is theirs."""

    def context_of(self, cluster: str) -> str:
        return kube_context(cluster)

    def merge(self, existing: bytes, ours: bytes, others: Sequence[bytes]) -> bytes:
        return merge_kubeconfig(existing, str(clienttext.read(ours).data["current-context"]), ours, others)

    def remove(self, existing: bytes, context: str, own: bytes | None, secrets: bytes | None) -> bytes:
        return remove_from_kubeconfig(existing, context, self._authority(own, secrets))

    def find(
        self, existing: bytes, context: str, own: bytes | None, secrets: bytes | None, others: Sequence[bytes]
    ) -> FoundContext:
        beside = [clienttext.read(other).data for other in others]
        entries = KubeEntries(clienttext.read(existing).data, self._authority(own, secrets), beside)
        name, found = entries.find(context)
        return FoundContext(name=name, entry=None if found is None else _kube_entry(*entries.used_by(found)))

    def entry(self, own: bytes) -> object | None:
        found = _current_kube(own)
        return None if found is None else _kube_entry(*found)

    def expires(self, own: bytes) -> datetime | None:
        _, user = _current_kube(own) or ({}, {})
        return _expiry(user.get("client-certificate-data"))

    def _authority(self, own: bytes | None, secrets: bytes | None) -> Authority:
        try:
            found = kube_authority(clienttext.read(own or b"").data)
        except ValueError:
            found = Authority("")
        return found if found.ca else Authority(_ca_of_bundle(secrets, "k8s"))


def _kube_entry(cluster: dict[str, Any], user: dict[str, Any]) -> object:
    return _picked(cluster, _CLUSTER_KEYS), _picked(user, _USER_KEYS)


def _current_talos(own: bytes) -> dict[str, Any] | None:
    """The context that a talosconfig of ours is made for."""
    data = clienttext.read(own).data
    contexts = mapping(data.get("contexts"), "contexts")
    name = data.get("context")
    return mapping(contexts[name], "context") if isinstance(name, str) and name in contexts else None


def _current_kube(own: bytes) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Cluster and user of the context that a kubeconfig of ours is made for."""
    data = clienttext.read(own).data
    entries = KubeEntries(data, Authority(""))
    for item in data.get("contexts") or []:
        if item["name"] == data.get("current-context"):
            return entries.used_by(item.get("context") or {})
    return None


def _ca_of_bundle(secrets: bytes | None, name: str) -> str:
    """An authority of the secrets bundle, as the files hold it; empty where there is none that can be read."""
    try:
        data = yaml.load(secrets or b"")
        return str(data["certs"][name]["crt"])
    except (ValueError, KeyError, TypeError):
        return ""


def _expiry(certificate: object) -> datetime | None:
    """The end of a certificate as these files hold it: base64 of PEM."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(base64.b64decode(str(certificate or ""))).not_valid_after_utc
    except ValueError:
        return None


def _picked(values: dict[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(values.get(key) for key in keys)
