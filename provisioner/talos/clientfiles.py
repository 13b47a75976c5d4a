"""talosconfig and kubeconfig: made from the secrets bundle, and merged into the user's own files.

Everything that both need is in the bundle, so no machine is asked. Merging adds or renews our entries alone; the user's other
entries, comments and keys stay as they are, and the current context is set only where there was none.

An entry is ours by the authority that it names, never by its own name: `lab` and `admin@lab` are what talosctl and other tools call
theirs too. Where another cluster has a name of ours it keeps it, and ours gets the next one with a number.
"""

from __future__ import annotations

import base64
import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from provisioner.talos import clienttext, pki, yaml
from provisioner.talos.clienttext import ClientFileError as ClientFileError  # noqa: PLC0414 - part of what this module raises
from provisioner.talos.pki import CertificateAndKey
from provisioner.talos.secrets import SecretsBundle, encoded

ADMIN_ROLE = "os:admin"
ADMIN_GROUP = "system:masters"

_TALOS_KEYS = ("endpoints", "nodes", "ca", "crt", "key")
_KUBE_SECTIONS = {"clusters": "cluster", "users": "user", "contexts": "context"}


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


# --- whose entries ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Authority:
    """What tells our entries from those of others: the cluster's own certificate authority, and the certificate of our own file."""

    ca: str
    """As the files hold it: base64 of PEM."""
    crt: str = ""

    def is_named(self, ca: object) -> bool:
        """Whether an entry names our authority, in whatever form its base64 is laid out."""
        return bool(self.ca) and isinstance(ca, str) and _decoded(ca) == _decoded(self.ca)

    def signed(self, crt: object) -> bool:
        """Whether a client certificate is ours: that of our own file, or an administrator's from the same authority, as `talosctl kubeconfig`
        gets one.
        """
        if not isinstance(crt, str) or not crt:
            return False
        return crt == self.crt or pki.is_admin_of(_decoded(crt), _decoded(self.ca), ADMIN_GROUP)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text).strip()
    except ValueError:
        return text.encode(errors="replace")


def _numbered(name: str, begin: int = 0) -> Iterator[str]:
    """`lab`, `lab-1`, `lab-2`, and so on."""
    for number in itertools.count(begin):
        yield f"{name}-{number}" if number else name


def _number_of(name: str, plain: str) -> int | None:
    """Which of the numbered names it is; None for another name."""
    if name == plain:
        return 0
    number = name.removeprefix(f"{plain}-")
    return int(number) if number != name and number.isascii() and number.isdecimal() and number[0] != "0" else None


# --- talosconfig --------------------------------------------------------------------------------------------------------


def find_in_talosconfig(data: dict[str, Any], context: str, authority: Authority) -> tuple[str, dict[str, Any] | None]:
    """The name of our context in the file, and what it holds; where it is missing, the name that it would get, and None."""
    contexts = mapping(data.get("contexts"), "contexts")
    family = sorted((number, name) for name in contexts if (number := _number_of(str(name), context)) is not None)
    for _, name in family:
        entry = mapping(contexts[name], str(name))
        if authority.is_named(entry.get("ca")):
            return str(name), entry
    return next(name for name in _numbered(context) if name not in contexts), None


def merge_talosconfig(existing: bytes, context: str, ours: bytes) -> bytes:
    """The user's talosconfig with our context added or renewed. Raises ClientFileError.

    A context of that name under another authority is another cluster's, and may hold its only key: it stays, and ours gets a number.
    """
    entry = clienttext.read(ours).data["contexts"][context]

    def change(data: dict[str, Any]) -> None:
        contexts = _inner(data, "contexts")
        name, known = find_in_talosconfig(data, context, Authority(entry["ca"], entry["crt"]))
        kept = {key: value for key, value in (known or {}).items() if key not in _TALOS_KEYS or key in entry}
        contexts[name] = kept | entry
        if not data.get("context"):
            data["context"] = name

    return clienttext.changed(existing, change, empty={"context": ""})


def remove_from_talosconfig(existing: bytes, context: str, authority: Authority) -> bytes:
    """The user's talosconfig without our context. Raises ClientFileError."""

    def change(data: dict[str, Any]) -> None:
        name, entry = find_in_talosconfig(data, context, authority)
        while entry is not None:  # a copy under a number is ours too
            del data["contexts"][name]
            if data.get("context") == name:
                data["context"] = ""
            name, entry = find_in_talosconfig(data, context, authority)

    return clienttext.changed(existing, change, empty=None)


# --- kubeconfig ---------------------------------------------------------------------------------------------------------

_RENEWED = frozenset({"certificate-authority", "insecure-skip-tls-verify"})
"""Other ways to name an authority, which would win over ours, or be refused beside it."""
_OTHER_SIGN_IN = frozenset(
    {"client-certificate", "client-key", "token", "tokenFile", "username", "password", "exec", "auth-provider"}
)
"""A user who signs in by one of these is not ours."""


class KubeEntries:
    """The entries of a kubeconfig, looked at for those of one cluster. `others` are further files that kubectl merges with this one: their
    names are taken too.
    """

    def __init__(self, data: dict[str, Any], authority: Authority, others: Sequence[dict[str, Any]] = ()) -> None:
        self._data = data
        self._authority = authority
        self._others = others
        for each in (data, *others):
            for section, inner in _KUBE_SECTIONS.items():
                for item in _entries(each, section):
                    mapping(item.get(inner), f"{inner} of {item['name']}")

    def find(self, context: str) -> tuple[str, dict[str, Any] | None]:
        """The name of our context and what it holds; where it is missing, the name that it would get, and None."""
        family = sorted(
            (number, item["name"])
            for item in _entries(self._data, "contexts")
            if (number := _number_of(str(item["name"]), context)) is not None
        )
        for _, name in family:
            found = self._one("contexts", name) or {}
            user = self._one("users", found.get("user"))
            if self._ours("clusters", found.get("cluster")) and (
                user is None or self._ours("users", found.get("user"))
            ):
                return str(name), found
        return next(name for name in _numbered(context) if not self._taken("contexts", name)), None

    def used_by(self, context: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Cluster and user of a context."""
        return self._one("clusters", context.get("cluster")) or {}, self._one("users", context.get("user")) or {}

    def free(self, section: str, plain: str, context: str, number: int) -> str:
        """The first of the numbered names that is ours already, or nobody's; what only contexts of others use stays theirs."""
        inner = _KUBE_SECTIONS[section]
        mine = (self._one("contexts", context) or {}).get(inner)
        used = {item["context"].get(inner) for item in self._contexts() if item["name"] != context}
        if isinstance(mine, str) and self._ours(section, mine) and _number_of(mine, plain) is not None:
            return mine
        return next(
            name
            for name in _numbered(plain, number)
            if name not in used and (self._ours(section, name) or not self._taken(section, name))
        )

    def removable(self, section: str, name: object, context: str) -> bool:
        """Whether the entry is ours, and no other context uses it."""
        inner = _KUBE_SECTIONS[section]
        used = [item["context"].get(inner) for item in self._contexts() if item["name"] != context]
        return self._ours(section, name) and name not in used

    def _contexts(self) -> list[dict[str, Any]]:
        found = (item for each in (self._data, *self._others) for item in _entries(each, "contexts"))
        return [{"name": item["name"], "context": item.get("context") or {}} for item in found]

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
        inner = _KUBE_SECTIONS[section]
        for item in _entries(self._data, section):
            if item["name"] == name:
                return mapping(item.get(inner), inner)
        return None


def kube_authority(data: dict[str, Any]) -> Authority:
    """What tells the entries of a kubeconfig of ours: that of its current context."""
    found = KubeEntries(data, Authority(""))
    name = data.get("current-context")
    context = next((item.get("context") or {} for item in _entries(data, "contexts") if item["name"] == name), {})
    cluster, user = found.used_by(context)
    return Authority(
        str(cluster.get("certificate-authority-data") or ""), str(user.get("client-certificate-data") or "")
    )


def merge_kubeconfig(existing: bytes, context: str, ours: bytes, others: Sequence[bytes] = ()) -> bytes:
    """The user's kubeconfig with our context, its cluster and its user added or renewed. Raises ClientFileError.

    Clusters have names like `lab` and `home`, and talosctl calls its contexts `admin@lab` as we do: what is another cluster's stays, and
    ours gets a number. `others` are the further files of KUBECONFIG.
    """
    new = clienttext.read(ours).data
    authority = kube_authority(new)
    beside = [clienttext.read(other).data for other in others]

    def change(data: dict[str, Any]) -> None:
        entries = KubeEntries(data, authority, beside)
        name, _ = entries.find(context)
        number = _number_of(name, context) or 0
        plain = next(item["context"] for item in new["contexts"] if item["name"] == context)
        names = {
            "clusters": entries.free("clusters", plain["cluster"], name, number),
            "users": entries.free("users", plain["user"], name, number),
            "contexts": name,
        }
        for section, inner in _KUBE_SECTIONS.items():
            source = context if section == "contexts" else plain[inner]
            entry = copy.deepcopy(next(item for item in new[section] if item["name"] == source))
            entry["name"] = names[section]
            if section == "contexts":
                entry["context"] |= {"cluster": names["clusters"], "user": names["users"]}
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
        if not any(each.get("current-context") for each in (data, *beside)):
            data["current-context"] = name

    return clienttext.changed(existing, change, empty={"apiVersion": "v1", "kind": "Config"})


def remove_from_kubeconfig(existing: bytes, context: str, authority: Authority) -> bytes:
    """The user's kubeconfig without our context, nor its cluster and user unless another context uses them.

    Raises ClientFileError.
    """

    def change(data: dict[str, Any]) -> None:
        entries = KubeEntries(data, authority)
        name, found = entries.find(context)
        while found is not None:  # a copy under a number is ours too
            gone = {
                section: found.get(inner)
                for section, inner in _KUBE_SECTIONS.items()
                if section != "contexts" and entries.removable(section, found.get(inner), name)
            }
            for section, entry in (gone | {"contexts": name}).items():
                data[section] = [item for item in _list(data, section) if item["name"] != entry]
            if data.get("current-context") == name:
                data["current-context"] = ""
            name, found = entries.find(context)

    return clienttext.changed(existing, change, empty=None)


# --- reading ------------------------------------------------------------------------------------------------------------


def mapping(value: Any, what: str) -> dict[str, Any]:
    """The value, empty for nothing. Raises ClientFileError."""
    if value is not None and not isinstance(value, dict):
        raise ClientFileError(f"{what} is not a mapping")
    return value or {}


def _inner(data: dict[str, Any], key: str) -> dict[str, Any]:
    if data.get(key) is None:
        data[key] = {}
    return data[key] if isinstance(data[key], dict) else mapping(data[key], key)


def _entries(data: dict[str, Any], section: str) -> list[dict[str, Any]]:
    items = data.get(section)
    if items is None:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) and "name" in item for item in items):
        raise ClientFileError(f"{section} is not a list of named entries")
    return items


def _list(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    if data.get(key) is None:
        data[key] = []
    _entries(data, key)
    found: list[dict[str, Any]] = data[key]
    return found
