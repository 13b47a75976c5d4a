"""Tables of rules for the fields of a config document, and the checks of single values that they are made of."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit

from provisioner.model.networks import parsed_address
from provisioner.talos.document import at, each, join
from provisioner.talos.schema import Problem

Check = Callable[[Any], str]
"""What is wrong with a value; empty when nothing is."""

_WIREGUARD_KEY = 32
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
MAX_LABEL = 63
MAX_NAME = 253
"""Characters of a DNS label and of a DNS name. Source: RFC 1035, 2.3.4."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Rules for one document. Places are written as `machine.network.interfaces[].mtu`, `[]` being each item of a list."""

    given: Mapping[str, Check] = field(default_factory=dict)
    """Place -> check of its value, where there is one."""
    always: Mapping[str, Check] = field(default_factory=dict)
    """`parent:key` -> check of the value, which is None where it is missing; wherever the parent is given."""
    needed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Parent -> keys of which one must be given."""
    exclusive: Sequence[tuple[str, str, str]] = ()
    """Parent, and two keys of which only one may be given."""
    others: Callable[[Mapping[str, Any]], Iterator[Problem]] = lambda _document: iter(())
    """What no table can say."""

    def check(self, document: Mapping[str, Any], at_path: str = "") -> Iterator[Problem]:
        """All that is wrong with a decoded document, or with the part of one that stands at that path."""
        yield from self._check_values(document, at_path)
        for place, names in self.needed.items():
            for path, parent in each(document, place, at_path):
                if not any(_is_given(parent, name) for name in names):
                    yield Problem(path, f"needs {', '.join(names[:-1])} or {names[-1]}")
        for place, one, other in self.exclusive:
            for path, parent in each(document, place, at_path):
                if _is_given(parent, one) and _is_given(parent, other):
                    yield Problem(path, f"{one} and {other} are mutually exclusive")
        yield from self.others(document)

    def _check_values(self, document: Mapping[str, Any], at_path: str) -> Iterator[Problem]:
        for place, check in self.given.items():
            for path, value in each(document, place, at_path):
                if value and (text := check(value)):
                    yield Problem(path, text)
        for place, check in self.always.items():
            parents, _, keys = place.partition(":")
            for path, parent in each(document, parents, at_path):
                if text := check(at(parent, *keys.split("."))):
                    yield Problem(join(path, keys), text)


def _is_given(parent: Mapping[str, Any], key: str) -> bool:
    """An empty mapping is given: it may choose a kind, as `nodeID: {}`."""
    return parent.get(key) not in (None, "", [])


# --- checks -----------------------------------------------------------------------------------------------------------


def required(value: Any) -> str:
    """A value must be given, and not be empty."""
    return "" if value else "is required"


def present(value: Any) -> str:
    """As `required`, for what may be empty."""
    return "is required" if value is None else ""


def unsupported(_value: Any) -> str:
    """Talos knows the field, and takes no value of it."""
    return "is not supported by Talos"


def one_of(*words: str) -> Check:
    """Whether the value is one of the words; a missing one is none of them."""
    text = f"must be one of {', '.join(words)}" if len(words) > 1 else f"must be {words[0]}"
    return lambda value: "" if value in words else text


def network(value: str) -> str:
    """An address with the length of its network."""
    return "" if is_network(value) else f"{value!r} is not a network in CIDR notation"


def subnet(value: str) -> str:
    """A network or an address, with a `!` before it or not."""
    bare = value.removeprefix("!")
    return "" if is_network(bare) or is_address(bare) else f"{value!r} is not a network in CIDR notation"


def address(value: str | None) -> str:
    """An IP address, alone."""
    return "" if is_address(value or "") else f"{value or ''!r} is not an IP address"


def interface_address(value: str) -> str:
    """An address, alone or with the length of its network."""
    is_good = is_network(value) if "/" in value else is_address(value)
    return "" if is_good else f"{value!r} is not an IP address, alone or in CIDR notation"


def wireguard_key(value: str | None) -> str:
    """A Curve25519 key. Source: https://www.wireguard.com/protocol/"""
    try:
        is_key = len(base64.b64decode(value or "", validate=True)) == _WIREGUARD_KEY
    except (binascii.Error, ValueError):
        is_key = False
    return "" if is_key else "must be 32 bytes in base64"


def host_and_port(value: str | None) -> str:
    """A host and a port, as Go's net.SplitHostPort takes them."""
    text = value or ""
    host, colon, _ = text.rpartition(":")
    if host.startswith("["):
        is_good = bool(colon) and host.endswith("]") and "[" not in host[1:] and "]" not in host[:-1]
    else:
        is_good = bool(colon) and ":" not in host and "[" not in text and "]" not in text
    return "" if is_good else "must be a host and a port, as 10.0.0.1:3247"


def url(value: str) -> str:
    """A URL that Talos can connect to."""
    parts = split(value)
    if parts is None:
        return f"{value!r} is not a URL with a port from 0 to 65535"
    if not parts.hostname:
        return f"{value!r} has no host"
    return f"{value!r} has port 0" if parts.port == 0 else ""


def url_of(*schemes: str, port: bool = False) -> Check:
    """A URL with one of the schemes and without a path, with a port if one is needed."""

    def check(value: str | None) -> str:
        parts = split(value or "")
        if not value or parts is None:
            return "is required"
        if parts.scheme not in schemes:
            return f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}"
        if parts.path not in ("", "/"):
            return "must have no path"
        return "needs a port" if port and parts.port is None else ""

    return check


def split(text: str) -> SplitResult | None:
    """The parts of a URL; None for what is not one."""
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return None
    return parts


def is_address(text: str) -> bool:
    """Whether the text is an IP address, alone and without a zone."""
    return parsed_address(text) is not None and "%" not in text


def is_network(text: str) -> bool:
    """Whether the text is an address with the length of its network behind a slash."""
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return text.rpartition("/")[2].isdecimal() and "%" not in text and "/" in text
