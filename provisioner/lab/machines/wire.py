"""Specs of COSI resources in protobuf's wire form, made from the same values as their YAML.

Each kind's table of fields stands in `kinds`; so a resource is written once, and both encodings agree.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.struct_pb2 import Struct


@dataclass(frozen=True)
class Field:
    """One field. `kind`: string, bool, uint, ip, cidr, mac, bytes, enum, flags (words with commas), message or struct."""

    number: int
    key: str
    """In the YAML form; empty: the whole spec is its value."""
    kind: str = "string"
    repeated: bool = False
    words: Mapping[str, int] = field(default_factory=dict)
    """Of an enum, or of flags."""
    fields: Sequence[Field] = ()
    """Of a message."""


def encode(fields: Sequence[Field], spec: Mapping[str, Any]) -> bytes:
    """As proto3 does it: a value that is its type's zero is left out."""
    out = bytearray()
    for item in fields:
        value = spec.get(item.key) if item.key else spec
        values = (value or ()) if item.repeated else (value,)
        for one in values:
            if one is not None and (item.repeated or one not in ("", 0, False)):
                out += _one(item, one)
    return bytes(out)


def _one(item: Field, value: Any) -> bytes:
    if item.kind == "enum":
        return _varint(item.number << 3) + _varint(item.words[value]) if item.words[value] else b""
    if item.kind == "flags":
        return _varint(item.number << 3) + _varint(sum(item.words[word] for word in value.split(",")))
    if item.kind in ("bool", "uint"):
        return _varint(item.number << 3) + _varint(int(value))
    return _delimited(item.number, _content(item, value))


def _content(item: Field, value: Any) -> bytes:
    match item.kind:
        case "string":
            return str(value).encode()
        case "bytes":
            return bytes(value)
        case "mac":
            return bytes.fromhex(str(value).replace(":", ""))
        case "ip":
            return _delimited(1, ipaddress.ip_address(value).packed)
        case "cidr":
            address, _, length = str(value).partition("/")
            return _delimited(1, ipaddress.ip_address(address).packed) + _varint(2 << 3) + _varint(int(length))
        case "message":
            return encode(item.fields, value)
        case "struct":
            struct = Struct()
            struct.update(value)
            return struct.SerializeToString()
    raise ValueError(f"no field kind {item.kind!r}")


def _delimited(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)
