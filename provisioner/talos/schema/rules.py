"""Scalars that Talos reads and writes by rules of their own: durations, sizes, URLs, networks, base64 and the like.

Each rule reads what stands in a file into the value that Talos keeps, and writes it as Talos does. `read` gives None for an empty text,
which Talos takes for no value at all, and raises ValueError with what was expected.

Sources: the types' own UnmarshalYAML and UnmarshalText in Talos' machinery 1.11, and Go's time, net/url, net/netip and encoding/base64.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn
from urllib.parse import quote, urlsplit, urlunsplit

from provisioner.model.networks import parsed_address
from provisioner.model.scalars import Octal, Scalar, written_float

Read = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How one kind of scalar is read and written."""

    words: str
    """What is expected, as `a duration, as 1h30m`."""
    read: Read
    """From text, `Scalar`, or a plain number or boolean."""
    write: Callable[[Any], Any] = lambda value: value
    zero: Any = ""
    """What Talos writes for a value that was never given."""
    omit: bool = False
    """Whether not even that can be read again: the key is left out."""
    replaces: bool = False
    """Whether a patch that gives an empty value empties the field."""


# --- durations --------------------------------------------------------------------------------------------------------

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION = re.compile(r"([-+]?)((?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_MOST_NS = (1 << 63) - 1


def read_duration(value: Any) -> int:
    """Nanoseconds of a Go duration, as `1h30m` or `2.5s`. A number without a unit is not a duration."""
    if not isinstance(value, str):
        _fail()
    if value in ("0", "+0", "-0"):
        return 0
    found = _DURATION.fullmatch(value) if len(value) < 200 else None
    if not found:
        _fail()
    total = 0
    for whole, fraction, unit in _PART.findall(found[2]):
        total += int(whole or 0) * _UNITS[unit]
        total += int(fraction or 0) * _UNITS[unit] // 10 ** len(fraction)
    total = -total if found[1] == "-" else total
    if abs(total) > _MOST_NS:
        _fail()
    return total


def write_duration(nanoseconds: int) -> str:
    """As Go's Duration.String: `1h30m0s`, `1.5s`, `20ms`."""
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest < 10**9:
        for unit, size in (("ms", 10**6), ("µs", 10**3), ("ns", 1)):
            if rest >= size:
                return f"{sign}{_fraction(rest, size)}{unit}"
        return "0s"
    hours, rest = divmod(rest, _UNITS["h"])
    minutes, rest = divmod(rest, _UNITS["m"])
    text = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{sign}{text}{_fraction(rest, 10**9)}s"


def _fraction(value: int, size: int) -> str:
    whole, rest = divmod(value, size)
    digits = f"{rest:0{len(str(size)) - 1}}".rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)


# --- sizes ------------------------------------------------------------------------------------------------------------

_SIZES = {"": 1, "b": 1} | {
    prefix + suffix: base**power
    for power, prefix in enumerate("kmgtpe", start=1)
    for suffix, base in (("", 1000), ("b", 1000), ("i", 1024), ("ib", 1024))
}
_SIZE = re.compile(r"([0-9.,]+)(.*)", re.DOTALL)
_MATCH = re.compile(r"(>=|<=|>|<|==)?(.*)", re.DOTALL)


def parse_size(text: str) -> int:
    """Bytes of a size, as `10GiB` or `1,5 GB`. Raises ValueError."""
    found = _SIZE.fullmatch(text)
    if not found:
        _fail()
    factor = _SIZES.get(found[2].strip().lower())
    number = found[1].replace(",", "")
    if factor is None or number.count(".") > 1 or number in ("", "."):
        _fail()
    value = float(number) * factor
    if value >= 1 << 64:
        _fail()
    return int(value)


def _read_bytes(value: Any) -> str | None:
    text = plain_text(value)
    if text:
        parse_size(text)
    return text or None


def _write_disk_size(value: int) -> str | int:
    if value % 1000:
        return value
    short = _humanized(value)
    return short if parse_size(short) == value else value


def _humanized(value: int) -> str:
    """As go-humanize's Bytes."""
    if value < 10:
        return f"{value} B"
    power = int(math.log(value) / math.log(1000))  # as go-humanize computes it
    scaled = int(value / 1000**power * 10 + 0.5) / 10
    number = f"{scaled:.1f}" if scaled < 10 else f"{scaled:.0f}"
    return f"{number} {'kMGTPE'[power - 1]}B" if power else f"{number} B"


def _read_size_match(value: Any) -> str:
    text = plain_text(value).strip()
    found = _MATCH.fullmatch(text)
    parse_size(found[2].strip() if found else "")
    return text


# --- networks ---------------------------------------------------------------------------------------------------------


def _read_prefix(value: Any) -> str | None:
    """An address with the length of its network; bits behind the prefix are kept."""
    text = plain_text(value)
    if not text:
        return None
    address, slash, length = text.rpartition("/")
    if not slash or not re.fullmatch(r"0|[1-9][0-9]{0,2}", length) or "%" in address:
        _fail()
    found = parsed_address(address) or _fail()
    if int(length) > found.max_prefixlen:
        _fail()
    return f"{found}/{length}"


def _read_address_port(value: Any) -> str | None:
    text = plain_text(value)
    if not text:
        return None
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        _fail()
    found = parsed_address(host[1:-1] if bracketed else host) or _fail()
    if bracketed != (found.version == 6):
        _fail()
    return f"[{found}]:{int(port)}" if bracketed else f"{found}:{int(port)}"


def read_port_range(value: Any) -> tuple[int, int]:
    """First and last port. A text is a range: the port 80 is written without quotes."""
    number = _number(value)
    if number is not None and 0 <= number <= 65535:
        return number, number
    low, dash, high = plain_text(value).partition("-")
    ends = [int(end) for end in (low, high) if re.fullmatch(r"[0-9]{1,9}", end) and int(end) <= 65535]
    if not dash or len(ends) < 2:
        _fail()
    return ends[0], ends[1]


def read_url(value: Any) -> str:
    """A URL as Go's net/url takes it and gives it back. Raises ValueError."""
    text = plain_text(value)
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in text) or re.search(r"%(?![0-9A-Fa-f]{2})", text):
        _fail()
    before, _, fragment = text.partition("#")
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", before)
    if not scheme and (before.startswith(":") or re.match(r"[^/?]*:", before)):
        _fail()  # Go: missing protocol scheme, or a colon in the first part of a path
    shown = _read_after_scheme(before[scheme.end() :] if scheme else before, has_scheme=scheme is not None)
    shown = f"{scheme[1].lower()}:{shown}" if scheme else shown
    return f"{shown}#{quote(fragment, safe=_IN_URL)}" if fragment else shown


def _read_after_scheme(rest: str, *, has_scheme: bool) -> str:
    if rest.startswith("//"):
        authority = re.split(r"[/?]", rest[2:], maxsplit=1)[0]
        _check_authority(authority)
        return f"//{authority}{_escaped(rest[2 + len(authority) :])}"
    is_opaque = has_scheme and not rest.startswith("/")
    return rest if is_opaque else _escaped(rest)


_IN_URL = "%/?:@!$&'()*+,;=~-._[]"
_HOST = re.compile(r"[A-Za-z0-9!$&'()*+,;=:\[\]<>\"._~%\x80-\U0010ffff-]*")
_USER = re.compile(r"[A-Za-z0-9._:~!$&'()*+,;=%@-]*")


def _escaped(path: str) -> str:
    before, mark, query = path.partition("?")
    return quote(before, safe=_IN_URL.replace("?", "")) + (f"?{query}" if mark else "")


def _check_authority(authority: str) -> None:
    user, at, host = authority.rpartition("@")
    if at and not _USER.fullmatch(user):
        _fail()
    if host.startswith("["):
        inside, bracket, port = host[1:].rpartition("]")
        if not bracket or not _HOST.fullmatch(inside):
            _fail()
    else:
        name, colon, port = host.rpartition(":")
        if not _HOST.fullmatch(host):
            _fail()
        port = f":{port}" if colon else ""
        if "[" in name or "]" in host:
            _fail()
    if port and not re.fullmatch(r":[0-9]*", port):
        _fail()


def merge_urls(left: str, right: str) -> str:
    """Talos merges a URL part by part: what the second does not have stays the first's."""
    try:
        ours, theirs = urlsplit(left), urlsplit(right)
    except ValueError:
        return right
    return urlunsplit([new or old for old, new in zip(ours, theirs, strict=True)])


# --- others -----------------------------------------------------------------------------------------------------------

REDACTED = "******"
"""What Talos shows in place of a key, and takes for one."""


def _read_base64(value: Any) -> str:
    text = plain_text(value)
    if text == REDACTED:
        return text
    clean = text.replace("\r", "").replace("\n", "")
    try:
        decoded = base64.b64decode(clean, validate=True)
    except (binascii.Error, ValueError):
        _fail()
    return base64.b64encode(decoded).decode()


def _read_mode(value: Any) -> int:
    number = _number(value)
    if number is None or not 0 <= number < 1 << 32:
        _fail()
    return number


def _number(value: Any) -> int | None:
    """Whole numbers as Talos' reader takes them: a fraction loses what is behind the point."""
    meant = value.value if isinstance(value, Scalar) else value
    if isinstance(meant, bool) or not isinstance(meant, (int, float)):
        return None
    if isinstance(meant, float) and not abs(meant) < 1 << 64:
        return None
    return int(meant)


def plain_text(value: Any) -> str:
    """Any scalar as it was written, or as Talos would write it."""
    if isinstance(value, bool):
        return str(value).lower()
    return written_float(value) if type(value) is float else str(value)


def _fail() -> NoReturn:
    raise ValueError


def _enum(names: tuple[str, ...]) -> Rule:
    def read(value: Any) -> str:
        text = plain_text(value)
        return next((given for given in (text, text.lower()) if given and given in names), "") or _fail()

    return Rule(words=f"one of {', '.join(filter(None, names))}", read=read, zero=names[0], omit=not names[0])


RULES: Mapping[str, Rule] = {
    "address-port": Rule(words="an address with a port, as 192.0.2.1:51820", read=_read_address_port),
    "base64": Rule(words="base64", read=_read_base64, replaces=True),
    "bytes": Rule(words="a size, as 10GiB", read=_read_bytes),
    "cel": Rule(words="an expression", read=lambda value: plain_text(value) or None),
    "disk-size": Rule(
        words="a size, as 10GB", read=lambda value: parse_size(plain_text(value)), write=_write_disk_size, zero=0
    ),
    "duration": Rule(words="a duration with a unit, as 90s or 1h30m", read=read_duration, write=write_duration, zero=0),
    "mode": Rule(words="a file's mode, as 0o644", read=_read_mode, write=Octal, zero=0),
    "port-range": Rule(
        words="a port without quotes, or a range, as 80 or 1000-2000",
        read=read_port_range,
        write=lambda ends: ends[0] if ends[0] == ends[1] else f"{ends[0]}-{ends[1]}",
    ),
    "prefix": Rule(words="a network, as 10.0.0.0/8", read=_read_prefix),
    "size-match": Rule(words="a size to compare with, as '>= 10GB'", read=_read_size_match),
    "url": Rule(words="a URL", read=read_url),
}


@cache
def rule_of(kind: str) -> Rule | None:
    """The rule of a kind, None for strings, numbers, booleans and structures."""
    if kind.startswith("enum("):
        return _enum(tuple(kind[len("enum(") : -1].split(",")))
    return RULES.get(kind)
