"""talosconfig and kubeconfig: made from the secrets bundle, and merged into the user's own files.

Everything that both need is in the bundle, so no machine is asked. Merging adds or renews our context alone; the user's other
contexts, comments and keys stay as they are, and the current context is set only where there was none.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from provisioner.talos import pki, yaml, yamledit
from provisioner.talos.pki import CertificateAndKey
from provisioner.talos.secrets import SecretsBundle, encoded

ADMIN_ROLE = "os:admin"
ADMIN_GROUP = "system:masters"

_TALOS_KEYS = ("endpoints", "nodes", "ca", "crt", "key")
_KUBE_SECTIONS = {"clusters": "cluster", "users": "user", "contexts": "context"}


class ClientFileError(ValueError):
    """A file of the user that is no talosconfig or kubeconfig; it is left as it is."""


# --- making -----------------------------------------------------------------------------------------------------------


def new_talos_admin(bundle: SecretsBundle, now: datetime) -> CertificateAndKey:
    """A fresh certificate for Talos' API, valid for a year."""
    return pki.new_client_certificate(bundle.os, now, organizations=[ADMIN_ROLE])


def talosconfig(
    bundle: SecretsBundle, now: datetime, *, context: str, endpoints: Sequence[str], nodes: Sequence[str]
) -> bytes:
    """A talosconfig with one context. `endpoints` are hosts or `host:port`, `nodes` the default targets (may be empty)."""
    admin = new_talos_admin(bundle, now)
    entry: dict[str, Any] = {"endpoints": list(endpoints)}
    if nodes:
        entry["nodes"] = list(nodes)
    entry |= {"ca": encoded(bundle.os.crt), "crt": encoded(admin.crt), "key": encoded(admin.key)}
    return yaml.dump({"context": context, "contexts": {context: entry}})


def kubeconfig(bundle: SecretsBundle, now: datetime, *, cluster: str, server: str) -> bytes:
    """A kubeconfig for the cluster's administrator, valid for a year. The context is `admin@<cluster>`, as Talos names it."""
    admin = pki.new_client_certificate(
        bundle.kubernetes, now, organizations=[ADMIN_GROUP], common_name="admin", key_encipherment=True
    )
    user = kube_context(cluster)
    return yaml.dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": cluster,
                    "cluster": {"server": server, "certificate-authority-data": encoded(bundle.kubernetes.crt)},
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {"client-certificate-data": encoded(admin.crt), "client-key-data": encoded(admin.key)},
                }
            ],
            "contexts": [{"name": user, "context": {"cluster": cluster, "namespace": "default", "user": user}}],
            "current-context": user,
        }
    )


def kube_context(cluster: str) -> str:
    """The name of a cluster's context, and of its user, in a kubeconfig."""
    return f"admin@{cluster}"


# --- merging ----------------------------------------------------------------------------------------------------------


def merge_talosconfig(existing: bytes, context: str, ours: bytes) -> bytes:
    """The user's talosconfig with our context added or renewed. Raises ClientFileError.

    A context of that name under another authority is another cluster's, and may hold its only key: it is kept under another name.
    """
    entry = _load(ours)["contexts"][context]

    def change(data: dict[str, Any]) -> None:
        contexts = _mapping(data, "contexts")
        if (contexts.get(context) or {}).get("ca", entry["ca"]) != entry["ca"]:
            other = next(name for name in _numbered(context) if name not in contexts)
            contexts[other] = contexts.pop(context)
            if data.get("context") == context:
                data["context"] = other
        known = contexts.get(context)
        kept = {key: value for key, value in (known or {}).items() if key not in _TALOS_KEYS or key in entry}
        contexts[context] = kept | entry
        if not data.get("context"):
            data["context"] = context

    return _changed(existing, change, empty={"context": context})


def remove_from_talosconfig(existing: bytes, context: str) -> bytes:
    """The user's talosconfig without our context. Raises ClientFileError."""

    def change(data: dict[str, Any]) -> None:
        _mapping(data, "contexts").pop(context, None)
        if data.get("context") == context:
            data["context"] = ""

    return _changed(existing, change, empty=None)


def merge_kubeconfig(existing: bytes, context: str, ours: bytes) -> bytes:
    """The user's kubeconfig with our context, its cluster and its user added or renewed. Raises ClientFileError.

    Clusters have names like `lab` and `home`: a user's own of such a name stays theirs, and ours gets another one.
    """
    new = _load(ours)

    def change(data: dict[str, Any]) -> None:
        names = _kube_names(new, context)
        free = {section: _free_name(data, section, names[section], context) for section in ("clusters", "users")}
        for section, inner in _KUBE_SECTIONS.items():
            entry = copy.deepcopy(next(item for item in new[section] if item["name"] == names[section]))
            if section == "contexts":
                entry["context"] |= {_KUBE_SECTIONS[other]: name for other, name in free.items()}
            else:
                entry["name"] = free[section]
            items = _list(data, section)
            known = next((item for item in items if item["name"] == entry["name"]), None)
            if known is None:
                items.append(entry)
            else:
                # What the user added stays (a namespace, a proxy); how to reach and sign in is ours.
                kept = {key: value for key, value in (known.get(inner) or {}).items() if key not in _RENEWED}
                known[inner] = kept | {
                    key: value for key, value in entry[inner].items() if key != "namespace" or key not in kept
                }
        if not data.get("current-context"):
            data["current-context"] = context

    return _changed(existing, change, empty={"apiVersion": "v1", "kind": "Config"})


def remove_from_kubeconfig(existing: bytes, context: str) -> bytes:
    """The user's kubeconfig without our context, nor its cluster and user unless another context uses them.

    Raises ClientFileError.
    """

    def change(data: dict[str, Any]) -> None:
        if all(item["name"] != context for item in _list(data, "contexts")):
            return
        names = _kube_names(data, context)
        data["contexts"] = [item for item in data["contexts"] if item["name"] != context]
        used = [item.get("context") or {} for item in data["contexts"]]
        for section in ("clusters", "users"):
            if not any(other.get(_KUBE_SECTIONS[section]) == names[section] for other in used):
                data[section] = [item for item in _list(data, section) if item["name"] != names[section]]
        if data.get("current-context") == context:
            data["current-context"] = ""

    return _changed(existing, change, empty=None)


def _free_name(data: dict[str, Any], section: str, name: str, context: str) -> str:
    """The first of `lab`, `lab-1`, ... that is our context's already, or that no other context uses."""
    mine: set[object] = set()
    others: set[object] = set()
    for item in _list(data, "contexts"):
        found = item.get("context") or {}
        (mine if item["name"] == context else others).add(found.get(_KUBE_SECTIONS[section]))
    return next(each for each in _numbered(name) if each in mine or each not in others)


def _numbered(name: str) -> Iterator[str]:
    """`lab`, `lab-1`, `lab-2`, and so on."""
    yield name
    for number in itertools.count(1):
        yield f"{name}-{number}"


_RENEWED = frozenset(
    {
        "certificate-authority",
        "insecure-skip-tls-verify",
        "client-certificate",
        "client-key",
        "token",
        "tokenFile",
        "username",
        "password",
        "exec",
        "auth-provider",
    }
)
"""Other ways to name an authority or to sign in, which would win over ours, or be refused beside them."""


def _kube_names(data: dict[str, Any], context: str) -> dict[str, str]:
    """Section -> name of the entry that the context uses there."""
    found = next(item for item in data["contexts"] if item["name"] == context).get("context") or {}
    return {"clusters": found.get("cluster", ""), "users": found.get("user", ""), "contexts": context}


def _changed(existing: bytes, change: Callable[[dict[str, Any]], None], *, empty: dict[str, Any] | None) -> bytes:
    """The file with a change to its data. `empty` is what a file without content begins with; None leaves it empty."""
    data = _load(existing)
    if not data and empty is None:
        return existing
    wanted = copy.deepcopy(data) or dict(empty or {})
    change(wanted)
    try:
        return yamledit.edit(existing.decode(), wanted).encode()
    except yaml.YamlError as error:
        raise ClientFileError(str(error)) from None


def _load(text: bytes) -> dict[str, Any]:
    try:
        data = yaml.load(text)
    except yaml.YamlError as error:
        raise ClientFileError(str(error)) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise ClientFileError("the file holds no mapping")
    return data


def _mapping(data: dict[str, Any], key: str) -> dict[str, Any]:
    if data.get(key) is None:
        data[key] = {}
    if not isinstance(data[key], dict):
        raise ClientFileError(f"{key} is no mapping")
    found: dict[str, Any] = data[key]
    return found


def _list(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    if data.get(key) is None:
        data[key] = []
    if not isinstance(data[key], list) or not all(isinstance(item, dict) and "name" in item for item in data[key]):
        raise ClientFileError(f"{key} is no list of entries with names")
    found: list[dict[str, Any]] = data[key]
    return found
