"""The one cluster, user and context of a kubeconfig that are current."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import yaml

from provisioner.errors import Malformed
from provisioner.wire import clipped

HTTPS_PORT = 443


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where the API is, and how to sign in there; certificates and key as PEM."""

    host: str
    port: int
    ca: bytes
    crt: bytes
    key: bytes = field(repr=False)


def read_kubeconfig(text: bytes) -> Access:
    """Raises Malformed, naming what is missing: with such a file nothing can be reached, however often it is tried."""
    try:
        document = yaml.safe_load(text)
        context = _named(document, "contexts", "context", document["current-context"])
        cluster = _named(document, "clusters", "cluster", context["cluster"])
        user = _named(document, "users", "user", context["user"])
        host, port = _place(cluster["server"])
        return Access(
            host=host,
            port=port,
            ca=_decoded(cluster, "certificate-authority-data"),
            crt=_decoded(user, "client-certificate-data"),
            key=_decoded(user, "client-key-data"),
        )
    except KeyError as error:
        raise Malformed(f"the kubeconfig has no {error.args[0]}") from None
    except (TypeError, ValueError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise Malformed(f"the kubeconfig cannot be read: {clipped(str(error), chars=200)}") from None


def _place(server: str) -> tuple[str, int]:
    parts = urlsplit(server)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError(f"server: {server} is no https address")
    return parts.hostname, parts.port or HTTPS_PORT


def _named(document: dict[str, Any], section: str, inner: str, name: str) -> dict[str, Any]:
    for entry in document[section]:
        if entry["name"] == name:
            found: dict[str, Any] = entry[inner]
            return found
    raise KeyError(f"{inner} {name}")


def _decoded(entry: dict[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode(entry[key], validate=True)
    except binascii.Error:
        raise ValueError(f"{key} is not base64") from None
