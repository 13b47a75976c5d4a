"""Looking into decoded documents, and at the addresses and URLs in them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit


def legacy_of(documents: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The document with `machine` and `cluster`."""
    return next((document for document in documents if not document.get("kind")), None)


def at(value: Any, *path: str) -> Any:
    """What stands below the keys; None where the way ends."""
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def devices_of(network: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Interfaces and their VLANs, each with its path."""
    for i, device in enumerate(network.get("interfaces") or ()):
        path = f"machine.network.interfaces[{i}]"
        yield path, device
        for k, vlan in enumerate(device.get("vlans") or ()):
            yield f"{path}.vlans[{k}]", vlan


def url_problem(text: str) -> str:
    """Why a URL cannot be one that Talos connects to; empty when it can."""
    url = split(text)
    if url is None:
        return f"{text!r} is not a URL with a port from 0 to 65535"
    if not url.hostname:
        return f"{text!r} has no host"
    return f"{text!r} has port 0" if url.port == 0 else ""


def split(text: str) -> SplitResult | None:
    """The parts of a URL; None for what is none."""
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        return None
    return url


def is_address(text: str) -> bool:
    """Whether the text is an IP address, alone."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def is_network(text: str) -> bool:
    """Whether the text is an address with the length of its network behind a slash."""
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return text.rpartition("/")[2].isdecimal() and "%" not in text and "/" in text


def is_subnet(text: str) -> bool:
    """Whether the text is a network or an address, with a `!` before it or not."""
    bare = text.removeprefix("!")
    return is_network(bare) or is_address(bare)


def host_and_port(text: str) -> bool:
    """Whether the text is a host and a port, as Go's SplitHostPort takes them."""
    host, colon, _ = text.rpartition(":")
    if host.startswith("["):
        return bool(colon) and host.endswith("]") and "[" not in host[1:] and "]" not in host[:-1]
    return bool(colon) and ":" not in host and "[" not in text and "]" not in text
