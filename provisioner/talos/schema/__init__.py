"""The fields of Talos' config documents: their names, order and kinds, as data per version contract.

Talos decodes a config strictly (an unknown key refuses the whole file) and encodes it in the order of its own structures.
With the table of fields both can be done here: every mistake is told before a machine sees the config, and a patched config
comes out as Talos itself would write it. The tables are made by `judge schema` (tests/interop/talos) from Talos' library.

A field's value is its flags and its kind. Flags: `?` left out when empty, `*` may be absent apart from being empty, `!`
replaced as a whole by a patch. Kinds: string, int, uint, bool, text (a scalar with rules of its own), any, the name of a
structure, `[]kind` for lists, `{}kind` for maps.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

Document = dict[str, Any]
"""A decoded document: only what was given, in Talos' key order, scalars of the right kind."""

LEGACY = "v1alpha1"
"""What Talos calls the document without a kind, the one with `machine` and `cluster`."""

_YES = frozenset({"y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})
_NO = frozenset({"n", "N", "no", "No", "NO", "off", "Off", "OFF"})
"""Old words for booleans, which Talos' YAML library takes where a boolean is expected, and only there."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a config."""

    path: str
    """As `machine.network.interfaces[0].mtu`; empty for the whole document."""
    text: str
    did_you_mean: str = ""

    def __str__(self) -> str:
        hint = f" (did you mean {self.did_you_mean}?)" if self.did_you_mean else ""
        return f"{self.path}: {self.text}{hint}" if self.path else f"{self.text}{hint}"


@dataclass(frozen=True)
class Kind:
    """What may stand at a place."""

    name: str
    """`string`, `int`, `uint`, `bool`, `text`, `any`, `list`, `map`, or the name of a structure."""
    omit_empty: bool = False
    pointer: bool = False
    replace: bool = False
    element: Kind | None = None

    @property
    def of(self) -> Kind:
        """Kind of a list's items or a map's values."""
        assert self.element is not None, f"{self.name} has no elements"
        return self.element


def _parse_kind(text: str) -> Kind:
    flags = set()
    while text[0] in "?!*":
        flags.add(text[0])
        text = text[1:]
    element = None
    if text[:2] in ("[]", "{}"):
        element = _parse_kind(text[2:])
        text = "list" if text[:2] == "[]" else "map"
    return Kind(name=text, omit_empty="?" in flags, pointer="*" in flags, replace="!" in flags, element=element)


@dataclass(frozen=True)
class Schema:
    """All documents of one version contract."""

    contract: str
    documents: Mapping[str, str]
    """Document kind (empty for the one without) -> structure."""
    structures: Mapping[str, Mapping[str, Kind]] = field(repr=False)

    def kind_of(self, document: Mapping[str, Any]) -> Kind | None:
        """The structure of a document, None when this Talos knows no such kind."""
        name = self.documents.get(str(document.get("kind", "")))
        return Kind(name) if name else None

    # -- reading

    def decode(self, document: Any, problems: list[Problem]) -> Document:
        """A document as Talos reads it; what is wrong is added to `problems` and left out of the result."""
        if not isinstance(document, dict):
            problems.append(Problem("", "a config document is a mapping"))
            return {}
        kind = self.kind_of(document)
        if kind is None:
            word = str(document["kind"])
            problems.append(
                Problem("kind", f"Talos {self.contract} knows no document kind {word}", _nearest(word, self.documents))
            )
            return {}
        if document.get("kind") and document.get("apiVersion") != "v1alpha1":
            problems.append(Problem("apiVersion", f"must be v1alpha1 in a {document['kind']} document"))
            return {}
        if not document.get("kind") and not {"version", "machine", "cluster", "debug", "persist"} & document.keys():
            problems.append(Problem("kind", "is missing, and this is no document with machine and cluster either"))
            return {}
        decoded = self._decode(document, kind, "", problems)
        return decoded if isinstance(decoded, dict) else {}

    def _decode(self, value: Any, kind: Kind, path: str, problems: list[Problem]) -> Any:
        if value is None or kind.name == "any":
            return value
        if kind.name == "list":
            if not isinstance(value, list):
                problems.append(Problem(path, f"a list was expected, here is {_describe(value)}"))
                return None
            return [self._decode(item, kind.of, f"{path}[{i}]", problems) for i, item in enumerate(value)]
        if kind.name == "map":
            if not isinstance(value, dict):
                problems.append(Problem(path, f"a mapping was expected, here is {_describe(value)}"))
                return None
            return {
                str(key): self._decode(item, kind.of, f"{path}[{str(key)!r}]", problems) for key, item in value.items()
            }
        if kind.name in self.structures:
            decoded = self._decode_structure(value, self.structures[kind.name], path, problems)
            if decoded and kind.name == "ClusterInlineManifest" and "contents" in decoded:
                decoded["contents"] = decoded["contents"].lstrip("\t\n\v\f\r")  # as Talos does when it reads one
            return decoded
        return _decode_scalar(value, kind.name, path, problems)

    def _decode_structure(
        self, value: Any, fields: Mapping[str, Kind], path: str, problems: list[Problem]
    ) -> Document | None:
        if not isinstance(value, dict):
            problems.append(Problem(path, f"a mapping was expected, here is {_describe(value)}"))
            return None
        problems += [
            Problem(_join(path, str(key)), "unknown key", _nearest(str(key), fields))
            for key in value
            if key not in fields
        ]
        decoded = {
            key: self._decode(value[key], kind, _join(path, key), problems)
            for key, kind in fields.items()
            if key in value
        }
        return {key: item for key, item in decoded.items() if item is not None}

    # -- writing

    def encode(self, document: Mapping[str, Any]) -> Document:
        """A decoded document as Talos writes it: fields that are never left out get their empty value."""
        kind = self.kind_of(document)
        assert kind is not None, "only decoded documents can be encoded"
        encoded: Document = self._encode(document, kind)
        return encoded

    def _encode(self, value: Any, kind: Kind) -> Any:
        if value is None:
            return None
        if kind.name == "list":
            return [self._encode(item, kind.of) for item in value]
        if kind.name == "map":
            return {key: self._encode(value[key], kind.of) for key in sorted(value)}
        if kind.name == "any":
            return _sorted_deep(value)
        fields = self.structures.get(kind.name)
        if fields is None:
            return value
        encoded: Document = {}
        for key, field_kind in fields.items():
            if field_kind.omit_empty and self.is_empty(value.get(key), field_kind):
                continue
            encoded[key] = self._encode(value[key], field_kind) if key in value else self._zero(field_kind)
        return encoded

    def is_empty(self, value: Any, kind: Kind) -> bool:
        """Whether Talos takes the value for not given at all."""
        if value is None:
            return True
        if kind.pointer:
            return False
        if kind.name in self.structures:
            fields = self.structures[kind.name]
            return all(self.is_empty(item, fields[key]) for key, item in value.items())
        return value in ("", 0, False) or value in ([], {})

    def _zero(self, kind: Kind) -> Any:
        if kind.pointer:
            return None
        if kind.name in self.structures:
            return self._encode({}, kind)
        empty: dict[str, Any] = {"list": [], "map": {}, "any": {}, "int": 0, "uint": 0, "bool": False}
        return empty.get(kind.name, "")


@cache
def load_schema(contract: str) -> Schema:
    """The table of a version contract, as `v1.11`. Raises KeyError for one that we do not have."""
    path = files(__package__) / f"{contract}.json"
    if not path.is_file():
        raise KeyError(contract)
    table = json.loads(path.read_text(encoding="utf-8"))
    return Schema(
        contract=contract,
        documents=table["documents"],
        structures={
            name: {key: _parse_kind(kind) for key, kind in fields.items()} for name, fields in table["types"].items()
        },
    )


def _decode_scalar(value: Any, expected: str, path: str, problems: list[Problem]) -> Any:
    if isinstance(value, (dict, list)):
        problems.append(Problem(path, f"{_article(expected)} was expected, here is {_describe(value)}"))
        return None
    is_int = isinstance(value, int) and not isinstance(value, bool)
    if expected == "bool":
        if isinstance(value, bool):
            return value
        if value in _YES or value in _NO:
            return value in _YES
    elif expected in ("int", "uint"):
        if is_int and (expected == "int" or value >= 0):
            return value
    elif expected == "string":
        return str(value).lower() if isinstance(value, bool) else str(value)
    else:  # text: what Talos reads by rules of its own
        return value
    problems.append(Problem(path, f"{_article(expected)} was expected, here is {_describe(value)}"))
    return None


def _sorted_deep(value: Any) -> Any:
    """Free-form parts have no order of their own: Talos writes their keys sorted."""
    if isinstance(value, dict):
        return {key: _sorted_deep(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list):
        return [_sorted_deep(item) for item in value]
    return value


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _nearest(word: str, known: Mapping[str, Any]) -> str:
    by_lower = {name.lower(): name for name in known if name}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else ""


def _article(expected: str) -> str:
    return {
        "int": "a whole number",
        "uint": "a whole number from 0",
        "bool": "true or false",
        "string": "a string",
        "text": "a scalar",
    }[expected]


def _describe(value: Any) -> str:
    """Values are named by their kind alone: in a config many of them are secrets."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "a number" if isinstance(value, (int, float)) else "a string"
