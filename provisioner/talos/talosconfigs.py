"""talosconfig: made from the secrets bundle, and our context in the user's own file.

Merging adds or renews our context alone; the user's others, comments and keys stay as they are, and the current context is set only
where there was none. Source: https://www.talos.dev/v1.11/learn-more/talosctl/
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from provisioner.ports import FoundContext
from provisioner.talos import clienttext, pki, yaml
from provisioner.talos.authority import Authority, ca_of_bundle, expiry, mapping, number_of, numbered, picked
from provisioner.talos.pki import CertificateAndKey
from provisioner.talos.secrets import SecretsBundle, encoded

ADMIN_ROLE = "os:admin"
_KEYS = ("endpoints", "nodes", "ca", "crt", "key")
_COMPARED = ("endpoints", "ca", "crt", "key")


def new_talos_admin(bundle: SecretsBundle, now: datetime) -> CertificateAndKey:
    """A fresh certificate for Talos' API, valid for a year."""
    return pki.new_client_certificate(bundle.os, now, organizations=[ADMIN_ROLE])


def render(
    bundle: SecretsBundle, now: datetime, *, context: str, endpoints: Sequence[str], nodes: Sequence[str]
) -> bytes:
    """A talosconfig with one context. `endpoints` are hosts or `host:port`, `nodes` the default targets (may be empty)."""
    admin = new_talos_admin(bundle, now)
    entry: dict[str, Any] = {"endpoints": list(endpoints)}
    if nodes:
        entry["nodes"] = list(nodes)
    entry |= {"ca": encoded(bundle.os.crt), "crt": encoded(admin.crt), "key": encoded(admin.key)}
    return yaml.dump({"context": context, "contexts": {context: entry}})


def find(data: dict[str, Any], context: str, authority: Authority) -> tuple[str, dict[str, Any] | None]:
    """The name of our context in the file, and what it holds; where it is missing, the name that it would get, and None."""
    contexts = mapping(data.get("contexts"), "contexts")
    family = sorted((number, name) for name in contexts if (number := number_of(str(name), context)) is not None)
    for _, name in family:
        entry = mapping(contexts[name], str(name))
        if authority.is_named(entry.get("ca")):
            return str(name), entry
    return next(name for name in numbered(context) if name not in contexts), None


class TalosconfigFile:
    """Implements `ports.ContextFile`; talosctl calls a context as its cluster. All methods raise ClientFileError."""

    def context_of(self, cluster: str) -> str:
        return cluster

    def merge(self, existing: bytes, ours: bytes, others: Sequence[bytes]) -> bytes:  # noqa: ARG002 - talosctl reads one file
        """The user's file with our context added or renewed.

        A context of that name under another authority is another cluster's, and may hold its only key: it stays, and ours gets a number.
        """
        new = clienttext.read(ours).data
        context = str(new["context"])
        entry = new["contexts"][context]

        def change(data: dict[str, Any]) -> None:
            contexts = data["contexts"] = mapping(data.get("contexts"), "contexts")
            name, known = find(data, context, Authority(entry["ca"], entry["crt"]))
            kept = {key: value for key, value in (known or {}).items() if key not in _KEYS or key in entry}
            contexts[name] = kept | entry
            if not data.get("context"):
                data["context"] = name

        return clienttext.changed(existing, change, empty={"context": ""})

    def remove(self, existing: bytes, context: str, own: bytes | None, secrets: bytes | None) -> bytes:
        authority = self._authority(own, secrets)

        def change(data: dict[str, Any]) -> None:
            name, entry = find(data, context, authority)
            while entry is not None:  # a copy under a number is ours too
                del data["contexts"][name]
                if data.get("context") == name:
                    data["context"] = ""
                name, entry = find(data, context, authority)

        return clienttext.changed(existing, change, empty=None)

    def find(
        self,
        existing: bytes,
        context: str,
        own: bytes | None,
        secrets: bytes | None,
        others: Sequence[bytes],  # noqa: ARG002
    ) -> FoundContext:
        name, entry = find(clienttext.read(existing).data, context, self._authority(own, secrets))
        return FoundContext(name=name, entry=None if entry is None else picked(entry, _COMPARED))

    def entry(self, own: bytes) -> object | None:
        found = _current(own)
        return None if found is None else picked(found, _COMPARED)

    def expires(self, own: bytes) -> datetime | None:
        return expiry((_current(own) or {}).get("crt"))

    def _authority(self, own: bytes | None, secrets: bytes | None) -> Authority:
        try:
            found = _current(own or b"") or {}
        except ValueError:
            found = {}
        if found.get("ca"):
            return Authority(str(found["ca"]), str(found.get("crt") or ""))
        return Authority(ca_of_bundle(secrets, "os"))


def _current(own: bytes) -> dict[str, Any] | None:
    """The context that a talosconfig of ours is made for."""
    data = clienttext.read(own).data
    contexts = mapping(data.get("contexts"), "contexts")
    name = data.get("context")
    return mapping(contexts[name], "context") if isinstance(name, str) and name in contexts else None
