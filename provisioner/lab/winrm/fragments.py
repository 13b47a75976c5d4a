"""PSRP fragments and the heads of their messages ([MS-PSRP] 2.2.1, 2.2.4): as much as can be told without decoding a message."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax import saxutils

SESSION_CAPABILITY = 0x00010002
PRIVATE_DATA = 0x00021009
POOL_STATE = 0x00021005
POOL_INIT_DATA = 0x0002100B
PIPELINE_STATE = 0x00041006
CREATE_PIPELINE = 0x00021006

_HEAD = struct.Struct(">QQBI")
_START, _END = 1, 2
_POOL_ID = slice(8, 24)
"""Of the pool's id in a message: destination and type come before it."""
_ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
_COMMAND = re.compile(rb'<S N="Cmd">([^<]*)</S>\s*<B N="IsScript">(true|false)</B>')


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


def whole_message(object_id: int, kind: int, pool_id: bytes, body: str) -> bytes:
    """A message to the client in one fragment."""
    message = struct.pack("<II", 1, kind) + pool_id + bytes(16) + body.encode()
    return _HEAD.pack(object_id, 0, _START | _END, len(message)) + message


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


@dataclass(frozen=True)
class CalledCommand:
    """A command of a pipeline: a name, or the text of a script as far as the first fragments have it."""

    text: str
    script: bool


def commands_of(data: bytes) -> list[CalledCommand]:
    """The commands that a CreatePipeline calls."""
    found = _COMMAND.findall(data)
    return [CalledCommand(_unescaped(text), is_script == b"true") for text, is_script in found]


def _unescaped(text: bytes) -> str:
    """CLIXML writes control characters as _x000A_."""
    plain = saxutils.unescape(text.decode("utf-8", "replace"))
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), plain)
