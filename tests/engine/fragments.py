"""PSRP fragments and the heads of their messages ([MS-PSRP] 2.2.1, 2.2.4): as much as can be told without decoding a message."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

POOL_STATE = 0x00021005
PIPELINE_STATE = 0x00041006

_HEAD = struct.Struct(">QQBI")
_START, _END = 1, 2
_POOL_ID = slice(8, 24)
"""Of the pool's id in a message: destination and type come before it."""


@dataclass(frozen=True)
class Fragment:
    """One fragment; `raw` is all of it as it came, `part` its piece of the message."""

    object_id: int
    starts: bool
    ends: bool
    part: bytes
    raw: bytes

    @property
    def kind(self) -> int | None:
        """Type of the message that starts here."""
        return struct.unpack_from("<I", self.part, 4)[0] if self.starts else None

    @property
    def pool_id(self) -> bytes:
        """Only of a fragment that starts a message."""
        return self.part[_POOL_ID]


def split(data: bytes) -> Iterator[Fragment]:
    """Raises ValueError for what is not a row of whole fragments."""
    at = 0
    while at < len(data):
        if len(data) - at < _HEAD.size:
            raise ValueError("a PSRP fragment is cut short")
        object_id, _, flags, size = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + size
        if end > len(data):
            raise ValueError("a PSRP fragment is cut short")
        yield Fragment(object_id, bool(flags & _START), bool(flags & _END), data[at + _HEAD.size : end], data[at:end])
        at = end


def with_pool_id(data: bytes, pool_id: bytes | None) -> bytes:
    """The same fragments with another pool id in the head of every message; unchanged for None."""
    if pool_id is None:
        return data
    out = bytearray()
    for fragment in split(data):
        raw = bytearray(fragment.raw)
        if fragment.starts and any(fragment.pool_id):  # an engine's SessionCapability bears no id
            start = _HEAD.size + _POOL_ID.start
            raw[start : start + 16] = pool_id
        out += raw
    return bytes(out)
