"""A client file of the user as text: how it is encoded, where its lines end, whether it is JSON, and what it holds. Bounded in size, depth and
aliases, since any program may have written it. An edited file keeps its encoding, its line ends and its form.
"""

from __future__ import annotations

import codecs
import copy
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import yaml as pyyaml

from provisioner.talos import yaml, yamledit

SIZE_LIMIT = 8 * 1024**2
"""Bytes. A cluster's entries take some six thousand."""
NODES_LIMIT = 50_000
"""Values of a file, those behind aliases counted each time: what a reader takes some seconds for."""
DEPTH_LIMIT = 50

_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
"""PowerShell 5.1 writes it with `>`, and kubectl reads it."""


class ClientFileError(ValueError):
    """A file of the user that is not a talosconfig or kubeconfig; it is left as it is."""


@dataclass(frozen=True)
class ClientText:
    """A file that was read."""

    text: str
    encoding: str
    bom: bytes
    json: bool
    data: dict[str, Any]
    """What it holds; empty for a file without content."""


@functools.lru_cache(maxsize=8)
def read(raw: bytes) -> ClientText:
    """Raises ClientFileError, which says what is wrong where. What it gives is shared: `data` is not to be changed."""
    if len(raw) > SIZE_LIMIT:
        raise ClientFileError(f"the file is larger than {SIZE_LIMIT // 1024**2} MiB")
    bom = next((mark for mark in _UTF16 if raw.startswith(mark)), b"")
    encoding = _UTF16.get(bom, "utf-8")
    try:
        text = raw[len(bom) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise ClientFileError(
            f"the file is not {encoding.upper()}: byte {raw[len(bom) + error.start]:#04x} at offset {len(bom) + error.start}"
        ) from None
    if "\0" in text and not bom:
        raise ClientFileError(
            "the file holds NUL characters, as UTF-16 without a byte order mark does; save it as UTF-8"
        )
    data, is_json = _from_json(text), True
    if data is None:
        data, is_json = _from_yaml(text), False
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ClientFileError("the file is not a mapping")
    return ClientText(text, encoding, bom, is_json, data)


def changed(raw: bytes, change: Callable[[dict[str, Any]], None], *, empty: dict[str, Any] | None) -> bytes:
    """The file with a change to its data. `empty` is what a file without content begins with; None leaves it empty.

    Raises ClientFileError.
    """
    found = read(raw)
    if not found.data and empty is None:
        return raw
    wanted = copy.deepcopy(found.data) or dict(empty or {})
    change(wanted)
    if wanted == found.data:
        return raw
    try:
        text = _as_json(found.text, wanted) if found.json else yamledit.edit(found.text, wanted)
    except yaml.YamlError as error:
        raise ClientFileError(str(error)) from None
    return found.bom + text.encode(found.encoding)


def _from_json(text: str) -> Any:
    """What a file in JSON holds; None for one that is not JSON, or has a key twice."""
    if not text.lstrip("\ufeff \t\r\n").startswith("{"):
        return None
    try:
        data = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None
    level: list[Any] = [data]
    for _ in range(DEPTH_LIMIT):
        inner = (
            value.values() if isinstance(value, dict) else value for value in level if isinstance(value, dict | list)
        )
        level = [value for values in inner for value in values]
    if level:
        raise ClientFileError(f"the file is nested more than {DEPTH_LIMIT} deep")
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


def _as_json(before: str, wanted: dict[str, Any]) -> str:
    """The data laid out as the file was: by its first indentation, or on one line."""
    body = before.rstrip()
    first = next((line for line in body.splitlines()[1:] if line.strip()), None)
    if first is None:
        spaced = '": ' in body
        text = json.dumps(wanted, ensure_ascii=False, separators=None if spaced else (",", ":"))
    else:
        text = json.dumps(wanted, ensure_ascii=False, indent=first[: len(first) - len(first.lstrip())] or None)
    begin = before[: len(before) - len(before.lstrip("\ufeff \t\r\n"))]
    newline = yamledit.newline_of(before)
    return begin + text.replace("\n", newline) + before[len(body) :]


def _from_yaml(text: str) -> Any:
    _check_bounds(text)
    try:
        return yaml.load(text)
    except yaml.YamlError as error:
        raise ClientFileError(str(error)) from None


def _check_bounds(text: str) -> None:
    """Counts what the file would hold with every alias written out, without building it. What is not YAML is left to the reader."""
    loader = getattr(pyyaml, "CSafeLoader", pyyaml.SafeLoader)
    anchors: dict[str, int] = {}
    open_: list[tuple[str | None, int]] = []
    """Collections that the parser stands in: anchor, and the count of nodes before."""
    count = 0
    try:
        for event in pyyaml.parse(text, Loader=loader):
            match event:
                case pyyaml.AliasEvent():
                    count += anchors.get(event.anchor or "", NODES_LIMIT + 1)  # one within its own anchor has no end
                case pyyaml.ScalarEvent():
                    count += 1
                    anchors |= {event.anchor: 1} if event.anchor else {}
                case pyyaml.CollectionStartEvent():
                    open_.append((event.anchor, count))
                    count += 1
                case pyyaml.CollectionEndEvent():
                    anchor, before = open_.pop()
                    anchors |= {anchor: count - before} if anchor else {}
                case _:
                    pass
            if count > NODES_LIMIT:
                raise ClientFileError(
                    f"the file holds more than {NODES_LIMIT} values, those of aliases counted each time"
                )
            if len(open_) > DEPTH_LIMIT:
                raise ClientFileError(f"the file is nested more than {DEPTH_LIMIT} deep")
    except (pyyaml.YAMLError, UnicodeError):
        return
