"""Single values of a machine config: what an unquoted word means to Talos' YAML library, and the rules that some fields have of their own."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from provisioner.lab import pki

UNTAGGED = "untagged"
"""Tag of a scalar that was written without one."""
_PREFIX = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0[0-7]*|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_DATE = re.compile(r"\d{4}-\d{1,2}-\d{1,2}(([Tt]| +)\d{1,2}:\d{1,2}:\d{1,2}(\.\d+)?(Z|[-+]\d{2}:\d{2})?)?")
_BITS = {"int": (-(1 << 63), (1 << 63) - 1), "uint": (0, (1 << 64) - 1)} | {
    f"{sign}int{bits}": (0 if sign else -(1 << (bits - 1)), (1 << bits if sign else 1 << (bits - 1)) - 1)
    for sign in ("", "u")
    for bits in (8, 16, 32, 64)
}
_UNITS = {"ns": 1, "us": 1e3, "µs": 1e3, "μs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9}
_DURATION = re.compile(r"[-+]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)")
_SIZES = {"": 1, "b": 1} | {
    f"{letter}{end}": base**power
    for power, letter in enumerate("kmgtpe", 1)
    for end, base in (("", 1000), ("b", 1000), ("i", 1024), ("ib", 1024))
}
_BOOLEANS = dict.fromkeys(["y", "Y", "yes", "Yes", "YES", "on", "On", "ON"], True) | dict.fromkeys(
    ["n", "N", "no", "No", "NO", "off", "Off", "OFF"], False
)
"""Words that count where a field is a boolean, though YAML 1.2 has them as texts."""
_ENUMS = {"accept": "DefaultAction", "icmp": "Protocol", "luks2": "EncryptionProviderType", "xfs": "FilesystemType"}
"""Go's name of an enumeration, by a value of it."""


class BadScalar(Exception):
    """A value that breaks its own rule: Talos ends the decoding at once."""


class Mismatch(Exception):
    """A value of another type. `into`: the type that Talos names, where it is not the field's own."""

    def __init__(self, into: str = "") -> None:
        super().__init__(into)
        self.into = into


# --- what a word means ----------------------------------------------------------------------------------------------


def resolve(node: yaml.Node) -> tuple[str, Any]:
    """Short tag and value of a scalar, as gopkg.in/yaml.v3 resolves it."""
    text = str(node.value)
    tag = str(node.tag).removeprefix(_PREFIX)
    if tag != UNTAGGED:
        return f"!!{tag}", _plain(text)[1] if tag in ("int", "float", "bool", "null") else text
    return ("!!str", text) if getattr(node, "style", None) else _plain(text)


def _plain(text: str) -> tuple[str, Any]:
    if text in ("", "~", "null", "Null", "NULL"):
        return "!!null", None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return "!!bool", text.lower() == "true"
    if text.lstrip("+-") in (".inf", ".Inf", ".INF") or text in (".nan", ".NaN", ".NAN"):
        return "!!float", float(text.replace(".", ""))
    if text[0] not in "+-.0123456789" or len(text) > 400:
        return "!!str", text
    if _DATE.fullmatch(text) and _is_date(text):
        return "!!timestamp", text
    digits = text.replace("_", "")
    if _INT.fullmatch(digits):
        number = _int(digits)
        return ("!!int", number) if -(1 << 63) <= number < 1 << 64 else ("!!float", float(number))
    if _FLOAT.fullmatch(digits):
        return "!!float", float(digits)
    return "!!str", text


def _int(digits: str) -> int:
    body = digits.lstrip("+-").lower()
    base = {"0x": 16, "0b": 2, "0o": 8}.get(body[:2], 8 if body.startswith("0") else 10)
    return int(body[2:] if body[:2] in ("0x", "0b", "0o") else body, base) * (-1 if digits.startswith("-") else 1)


def _is_date(text: str) -> bool:
    try:
        dt.date(*(int(part) for part in re.split(r"[Tt ]", text)[0].split("-")))
    except ValueError:
        return False
    return True


def is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and resolve(node)[0] == "!!null"


def short_tag(node: yaml.Node) -> str:
    if isinstance(node, yaml.MappingNode):
        return "!!map"
    return "!!seq" if isinstance(node, yaml.SequenceNode) else resolve(node)[0]


# --- what a field takes ---------------------------------------------------------------------------------------------


def read(node: yaml.Node, kind: str) -> Any:
    """The value of a field of that kind; None for one that counts as not given. Raises Mismatch, BadScalar. A flat list of kinds."""
    tag, value = resolve(node)
    text = str(node.value)
    if tag == "!!binary":
        text = _base64(text).decode(errors="replace")
    if kind == "string":
        return text
    if kind == "bool":
        if tag not in ("!!bool", "!!str") or (tag == "!!str" and text not in _BOOLEANS):
            raise Mismatch
        return value if tag == "!!bool" else _BOOLEANS[text]
    if kind in _BITS or kind == "mode":
        return _number(tag, value, "uint32" if kind == "mode" else kind)
    if kind == "duration":
        if tag != "!!str" or not _DURATION.fullmatch(text) or abs(duration_s(text)) > (1 << 63) / 1e9:
            raise Mismatch
        return text
    if kind == "port-range":
        return _ports(tag, value, text)
    if kind.startswith("enum("):
        return _word(text, kind[len("enum(") : -1].split(","))
    return _RULES[kind](text) if kind in _RULES else text


def _number(tag: str, value: Any, kind: str) -> int:
    low, high = _BITS[kind]
    if tag not in ("!!int", "!!float") or not low <= value <= high:  # NaN is never within
        raise Mismatch
    return int(value)


def duration_s(text: str) -> float:
    """Seconds of a Go duration."""
    parts = re.findall(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)", text)
    return sum(float(number) * _UNITS[unit] for number, unit in parts) / 1e9 * (-1 if text.startswith("-") else 1)


def _ports(tag: str, value: Any, text: str) -> tuple[int, int]:
    if tag in ("!!int", "!!float") and 0 <= value <= 65535:
        return int(value), int(value)
    low, dash, high = text.partition("-")
    if not dash or not all(re.fullmatch(r"\d+", end) and int(end) <= 65535 for end in (low, high)):
        raise BadScalar(f'invalid port range: "{text}"')
    return int(low), int(high)


def _word(text: str, words: list[str]) -> str:
    for word in (text, text.lower()):
        if word and word in words:
            return word
    name = next((name for word, name in _ENUMS.items() if word in words), "the")
    raise BadScalar(f"{text} does not belong to {name} values")


def size(text: str) -> int:
    """Bytes of a size as `10GiB`. Raises BadScalar."""
    found = re.fullmatch(r"([\d.,]*)(.*)", text, re.DOTALL)
    assert found is not None
    number, unit = found[1].replace(",", ""), found[2].strip().lower()
    try:
        value = float(number)
    except ValueError:
        raise BadScalar(f'strconv.ParseFloat: parsing "{number}": invalid syntax') from None
    if unit not in _SIZES:
        raise BadScalar(f"unhandled size name: {unit}")
    if value * _SIZES[unit] >= 1 << 64:
        raise BadScalar(f"too large: {text}")
    return int(value * _SIZES[unit])


def _size(text: str) -> str | None:
    if text:
        size(text)
    return text or None


def size_match(text: str) -> tuple[str, str]:
    """Sign of comparison, or none, and size of a disk selector as `>= 10GiB`."""
    found = re.fullmatch(r"(>=|<=|>|<|==)?(.*)", text.strip(), re.DOTALL)
    assert found is not None
    return found[1] or "", found[2].strip()


def _size_match(text: str) -> str:
    _, wanted = size_match(text)
    try:
        size(wanted)
    except BadScalar as error:
        raise BadScalar(f"failed to parse disk size {wanted}: {error}") from None
    return text.strip()


def _base64(text: str) -> bytes:
    if text == "******":  # what Talos shows in place of a key, and takes for one
        return text.encode()
    try:
        return base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        wrong = re.search(r"[^A-Za-z0-9+/\r\n]", text)
        raise BadScalar(f"illegal base64 data at input byte {wrong.start() if wrong else len(text)}") from None


def _base64_text(text: str) -> str:
    _base64(text)
    return text


def is_address(text: str) -> bool:
    """As Go's net.ParseIP takes it: no zone, no zeros in front."""
    return pki.is_address(text) and "%" not in text


def is_network(text: str) -> bool:
    """As Go's net.ParseCIDR and netip.ParsePrefix take it: an address, a slash, a length."""
    address, slash, length = text.rpartition("/")
    if not slash or not is_address(address) or not re.fullmatch(r"0|[1-9]\d{0,2}", length):
        return False
    return int(length) <= ipaddress.ip_address(address).max_prefixlen


def _network(text: str) -> str | None:
    if text and not is_network(text):
        raise BadScalar(f"netip.ParsePrefix(\"{text}\"): {'no prefix' if '/' in text else 'no'} '/'")
    return text or None


def _address_port(text: str) -> str | None:
    host, colon, port = text.rpartition(":")
    if text and not (colon and re.fullmatch(r"\d{1,5}", port) and int(port) <= 65535):
        raise BadScalar("not an ip:port")
    bare = host.removeprefix("[").removesuffix("]")
    if text and (not is_address(bare) or (":" in bare) != (host != bare)):
        raise BadScalar(f'ParseAddr("{bare}"): unable to parse IP')
    return text or None


_HOST = r"([A-Za-z0-9!$&'()*+,;=<>\"._~%\x80-\U0010ffff-]*|\[[A-Za-z0-9!$&'()*+,;=:.<>\"_~%-]*\])"
_AUTHORITY = re.compile(rf"([A-Za-z0-9._:~!$&'()*+,;=%@-]*@)?{_HOST}(:\d*)?")


def url(text: str) -> str:
    """A URL that Go's net/url would take. Raises BadScalar, by a flat list of checks."""

    def bad(why: str) -> BadScalar:
        return BadScalar(f'parse "{text}": {why}')

    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in text):
        raise bad("net/url: invalid control character in URL")
    if found := re.search(r"%(?![0-9A-Fa-f]{2}).{0,2}", text):
        raise bad(f'invalid URL escape "{found[0]}"')
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text)
    rest = text[scheme.end() :] if scheme else text
    if not scheme and text.startswith(":"):
        raise bad("missing protocol scheme")
    if not scheme and re.match(r"[^/?#]*:", text):
        raise bad("first path segment in URL cannot contain colon")
    authority = re.split(r"[/?#]", rest[2:], maxsplit=1)[0] if rest.startswith("//") else ""
    if not _AUTHORITY.fullmatch(authority):
        raise bad(
            "missing ']' in host" if "[" in authority and "]" not in authority else "invalid character in host name"
        )
    return text


_RULES: Mapping[str, Callable[[str], str | None]] = {
    "address-port": _address_port,
    "base64": _base64_text,
    "bytes": _size,
    "cel": lambda text: text or None,
    "disk-size": lambda text: str(size(text)),
    "prefix": _network,
    "size-match": _size_match,
    "url": url,
}
