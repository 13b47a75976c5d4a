"""kubeconfig: made from the secrets bundle, and our entries in the user's own file.

Merging adds or renews our context, its cluster and its user alone; the user's other entries, comments and keys stay as they are, and the
current context is set only where there was none. Source: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from provisioner.model.naming import kube_context
from provisioner.ports import FoundContext
from provisioner.talos import clienttext, pki, yaml
from provisioner.talos.authority import (
    ADMIN_GROUP,
    Authority,
    ca_of_bundle,
    expiry,
    mapping,
    number_of,
    numbered,
    picked,
)
from provisioner.talos.clienttext import ClientFileError
from provisioner.talos.secrets import SecretsBundle, encoded

_SECTIONS = {"clusters": "cluster", "users": "user", "contexts": "context"}
_CLUSTER_KEYS = ("server", "certificate-authority-data")
_USER_KEYS = ("client-certificate-data", "client-key-data")
_RENEWED = frozenset({"certificate-authority", "insecure-skip-tls-verify"})
"""Other ways to name an authority, which would win over ours, or be refused beside it."""
_OTHER_SIGN_IN = frozenset(
    {"client-certificate", "client-key", "token", "tokenFile", "username", "password", "exec", "auth-provider"}
)
"""A user who signs in by one of these is not ours."""


def render(bundle: SecretsBundle, now: datetime, *, cluster: str, server: str) -> bytes:
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


class Entries:
    """The entries of a kubeconfig, looked at for those of one cluster. `others` are further files that kubectl merges with this one: their
    names are taken too.
    """

    def __init__(self, data: dict[str, Any], authority: Authority, others: Sequence[dict[str, Any]] = ()) -> None:
        self._data = data
        self._authority = authority
        self._others = others
        for each in (data, *others):
            for section, inner in _SECTIONS.items():
                for item in _entries(each, section):
                    mapping(item.get(inner), f"{inner} of {item['name']}")

    def find(self, context: str) -> tuple[str, dict[str, Any] | None]:
        """The name of our context and what it holds; where it is missing, the name that it would get, and None."""
        family = sorted(
            (number, item["name"])
            for item in _entries(self._data, "contexts")
            if (number := number_of(str(item["name"]), context)) is not None
        )
        for _, name in family:
            found = self._one("contexts", name) or {}
            user = self._one("users", found.get("user"))
            if self._ours("clusters", found.get("cluster")) and (
                user is None or self._ours("users", found.get("user"))
            ):
                return str(name), found
        return next(name for name in numbered(context) if not self._taken("contexts", name)), None

    def used_by(self, context: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Cluster and user of a context."""
        return self._one("clusters", context.get("cluster")) or {}, self._one("users", context.get("user")) or {}

    def free(self, section: str, plain: str, context: str, number: int) -> str:
        """The first of the numbered names that is ours already, or free; an entry that only other contexts use stays theirs."""
        inner = _SECTIONS[section]
        mine = (self._one("contexts", context) or {}).get(inner)
        used = self._used_by_others(inner, context)
        if isinstance(mine, str) and self._ours(section, mine) and number_of(mine, plain) is not None:
            return mine
        return next(
            name
            for name in numbered(plain, number)
            if name not in used and (self._ours(section, name) or not self._taken(section, name))
        )

    def removable(self, section: str, name: object, context: str) -> bool:
        """Whether the entry is ours, and no other context uses it."""
        used = self._used_by_others(_SECTIONS[section], context)
        return self._ours(section, name) and name not in used

    def _used_by_others(self, inner: str, context: str) -> list[object]:
        """What the other contexts name as their cluster or user."""
        found = (item for each in (self._data, *self._others) for item in _entries(each, "contexts"))
        return [(item.get("context") or {}).get(inner) for item in found if item["name"] != context]

    def _ours(self, section: str, name: object) -> bool:
        entry = self._one(section, name)
        if not entry:
            return False
        if section == "clusters":
            return self._authority.is_named(entry.get("certificate-authority-data"))
        return not _OTHER_SIGN_IN & entry.keys() and self._authority.signed(entry.get("client-certificate-data"))

    def _taken(self, section: str, name: str) -> bool:
        return any(item["name"] == name for each in (self._data, *self._others) for item in _entries(each, section))

    def _one(self, section: str, name: object) -> dict[str, Any] | None:
        inner = _SECTIONS[section]
        for item in _entries(self._data, section):
            if item["name"] == name:
                return mapping(item.get(inner), inner)
        return None


def _entries(data: dict[str, Any], section: str) -> list[dict[str, Any]]:
    items = data.get(section)
    if items is None:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) and "name" in item for item in items):
        raise ClientFileError(f"{section} is not a list of named entries")
    return items


class KubeconfigFile:
    """Implements `ports.ContextFile`. Compared by what reaches the cluster and signs in there; what a user added to our entries is theirs.

    All methods raise ClientFileError.
    """

    def context_of(self, cluster: str) -> str:
        return kube_context(cluster)

    def merge(self, existing: bytes, ours: bytes, others: Sequence[bytes]) -> bytes:
        """The user's file with our context, its cluster and its user added or renewed.

        Clusters have names like `lab` and `home`, and talosctl calls its contexts `admin@lab` as we do: what is another cluster's stays, and
        ours gets a number. `others` are the further files of KUBECONFIG.
        """
        new = clienttext.read(ours).data
        context = str(new["current-context"])
        authority = authority_of(new)
        beside = [clienttext.read(other).data for other in others]

        def change(data: dict[str, Any]) -> None:
            entries = Entries(data, authority, beside)
            name, _ = entries.find(context)
            number = number_of(name, context) or 0
            plain = next(item["context"] for item in new["contexts"] if item["name"] == context)
            names = {
                "clusters": entries.free("clusters", plain["cluster"], name, number),
                "users": entries.free("users", plain["user"], name, number),
                "contexts": name,
            }
            for section, inner in _SECTIONS.items():
                source = context if section == "contexts" else plain[inner]
                entry = copy.deepcopy(next(item for item in new[section] if item["name"] == source))
                entry["name"] = names[section]
                if section == "contexts":
                    entry["context"] |= {"cluster": names["clusters"], "user": names["users"]}
                items = data[section] = _entries(data, section)
                known = next((item for item in items if item["name"] == entry["name"]), None)
                if known is None:
                    items.append(entry)
                else:
                    # What the user added stays (a namespace, a proxy); how to reach and sign in is ours.
                    kept = {key: value for key, value in (known.get(inner) or {}).items() if key not in _RENEWED}
                    known[inner] = kept | {
                        key: value for key, value in entry[inner].items() if key != "namespace" or key not in kept
                    }
            if not any(each.get("current-context") for each in (data, *beside)):
                data["current-context"] = name

        return clienttext.changed(existing, change, empty={"apiVersion": "v1", "kind": "Config"})

    def remove(self, existing: bytes, context: str, own: bytes | None, secrets: bytes | None) -> bytes:
        authority = self._authority(own, secrets)

        def change(data: dict[str, Any]) -> None:
            entries = Entries(data, authority)
            name, found = entries.find(context)
            while found is not None:  # a copy under a number is ours too
                gone = {
                    section: found.get(inner)
                    for section, inner in _SECTIONS.items()
                    if section != "contexts" and entries.removable(section, found.get(inner), name)
                }
                for section, entry in (gone | {"contexts": name}).items():
                    data[section] = [item for item in _entries(data, section) if item["name"] != entry]
                if data.get("current-context") == name:
                    data["current-context"] = ""
                name, found = entries.find(context)

        return clienttext.changed(existing, change, empty=None)

    def find(
        self, existing: bytes, context: str, own: bytes | None, secrets: bytes | None, others: Sequence[bytes]
    ) -> FoundContext:
        beside = [clienttext.read(other).data for other in others]
        entries = Entries(clienttext.read(existing).data, self._authority(own, secrets), beside)
        name, found = entries.find(context)
        return FoundContext(name=name, entry=None if found is None else _kube_entry(*entries.used_by(found)))

    def entry(self, own: bytes) -> object | None:
        found = _current(clienttext.read(own).data)
        return None if found is None else _kube_entry(*found)

    def expires(self, own: bytes) -> datetime | None:
        _, user = _current(clienttext.read(own).data) or ({}, {})
        return expiry(user.get("client-certificate-data"))

    def _authority(self, own: bytes | None, secrets: bytes | None) -> Authority:
        try:
            found = authority_of(clienttext.read(own or b"").data)
        except ValueError:
            found = Authority("")
        return found if found.ca else Authority(ca_of_bundle(secrets, "k8s"))


def authority_of(data: dict[str, Any]) -> Authority:
    """What tells the entries of a kubeconfig of ours: that of its current context."""
    cluster, user = _current(data) or ({}, {})
    return Authority(
        str(cluster.get("certificate-authority-data") or ""), str(user.get("client-certificate-data") or "")
    )


def _kube_entry(cluster: dict[str, Any], user: dict[str, Any]) -> object:
    return picked(cluster, _CLUSTER_KEYS), picked(user, _USER_KEYS)


def _current(data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Cluster and user of the context that a kubeconfig of ours is made for."""
    entries = Entries(data, Authority(""))
    for item in _entries(data, "contexts"):
        if item["name"] == data.get("current-context"):
            return entries.used_by(item.get("context") or {})
    return None
