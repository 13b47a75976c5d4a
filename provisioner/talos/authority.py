"""Which entries of a client file are ours: told by the cluster's certificate authority, never by a name.

`lab` and `admin@lab` are what talosctl and other tools call theirs too. Where another cluster has a name of ours it keeps it, and ours
gets the next one with a number.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography import x509

from provisioner.talos import pki, yaml
from provisioner.talos.clienttext import ClientFileError

ADMIN_GROUP = "system:masters"


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


def numbered(name: str, begin: int = 0) -> Iterator[str]:
    """`lab`, `lab-1`, `lab-2`, and so on."""
    for number in itertools.count(begin):
        yield f"{name}-{number}" if number else name


def number_of(name: str, plain: str) -> int | None:
    """Which of the numbered names it is; None for another name."""
    if name == plain:
        return 0
    number = name.removeprefix(f"{plain}-")
    return int(number) if number != name and number.isascii() and number.isdecimal() and number[0] != "0" else None


def ca_of_bundle(secrets: bytes | None, name: str) -> str:
    """An authority of the secrets bundle, as the files hold it; empty where there is none that can be read."""
    try:
        data = yaml.load(secrets or b"")
        return str(data["certs"][name]["crt"])
    except (ValueError, KeyError, TypeError):
        return ""


def expiry(certificate: object) -> datetime | None:
    """The end of a certificate as these files hold it: base64 of PEM."""
    try:
        return x509.load_pem_x509_certificate(base64.b64decode(str(certificate or ""))).not_valid_after_utc
    except ValueError:
        return None


def picked(values: dict[str, Any], keys: tuple[str, ...]) -> tuple[Any, ...]:
    """The values of those keys, to compare entries by."""
    return tuple(values.get(key) for key in keys)


def mapping(value: Any, what: str) -> dict[str, Any]:
    """The value, empty for nothing. Raises ClientFileError."""
    if value is not None and not isinstance(value, dict):
        raise ClientFileError(f"{what} is not a mapping")
    return value or {}
