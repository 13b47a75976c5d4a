"""The fields of Talos' config documents: their names, order and kinds, as data per version contract.

Talos decodes a config strictly (an unknown key refuses the whole file) and encodes it in the order of its own structures.
With the table of fields both can be done here: every mistake is found before a machine sees the config, and a patched config
comes out as Talos itself would write it. The tables are made by `judge schema` (tests/interop/talos) from Talos' library.

A field's value is its flags and its kind. Flags: `?` left out when empty, `*` may be absent apart from being empty, `!`
replaced as a whole by a patch. Kinds: string, bool, int and uint with their bits, the scalars of `rules`, any (a free-form mapping),
the name of a structure, `[]kind` for lists, `{}kind` for maps.

Talos does not keep every null: as an item of a list it vanishes, as a value of a map it is the empty value, as a field it is absent.
So it is here: a decoded document holds no null but in free-form parts.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

from provisioner.model.scalars import OddKey, Scalar, shortened
from provisioner.talos.schema.problems import DocumentId, Problem, describe, document_id, steps_of
from provisioner.talos.schema.rules import plain_text, rule_of

__all__ = [
    "LEGACY",
    "Document",
    "DocumentId",
    "FieldType",
    "Problem",
    "Schema",
    "document_id",
    "load_schema",
    "steps_of",
]

Document = dict[str, Any]
"""A decoded document: only what was given, in Talos' key order, scalars of the right kind."""

LEGACY = "v1alpha1"
"""What Talos calls the document without a kind, the one with `machine` and `cluster`."""

_YES = frozenset({"y", "Y", "yes", "Yes", "YES", "on", "On", "ON"})
_NO = frozenset({"n", "N", "no", "No", "NO", "off", "Off", "OFF"})
"""Old words for booleans, which Talos' YAML library takes where a boolean is expected, and only there."""

_INTS = {
    "int": (-(1 << 63), (1 << 63) - 1),
    "uint": (0, (1 << 64) - 1),
    "uint8": (0, (1 << 8) - 1),
    "uint16": (0, (1 << 16) - 1),
    "uint32": (0, (1 << 32) - 1),
    "uint64": (0, (1 << 64) - 1),
}
_CERTIFICATES = frozenset({"Certificate", "CertificateAndKey", "Key"})
"""Structures that Talos reads as a whole: a field that is not given is empty, and replaces what was there."""


@dataclass(frozen=True)
class FieldType:
    """What may stand at a place."""

    name: str
    """`string`, `bool`, a kind of number, a scalar of `rules`, `any`, `list`, `map`, or the name of a structure."""
    omit_empty: bool = False
    pointer: bool = False
    replace: bool = False
    element: FieldType | None = None

    @property
    def of(self) -> FieldType:
        """FieldType of a list's items or a map's values."""
        assert self.element is not None, f"{self.name} has no elements"
        return self.element


def _parse_kind(text: str) -> FieldType:
    flags = set()
    while text[0] in "?!*":
        flags.add(text[0])
        text = text[1:]
    element = None
    if text[:2] in ("[]", "{}"):
        element = _parse_kind(text[2:])
        text = "list" if text[:2] == "[]" else "map"
    return FieldType(name=text, omit_empty="?" in flags, pointer="*" in flags, replace="!" in flags, element=element)


@dataclass(frozen=True)
class Schema:
    """All documents of one version contract."""

    contract: str
    documents: Mapping[str, str]
    """Document kind (empty for the one without) -> structure."""
    structures: Mapping[str, Mapping[str, FieldType]] = field(repr=False)

    def kind_of(self, document: Mapping[str, Any]) -> FieldType | None:
        """The structure of a document, None when this Talos knows no such kind."""
        name = self.documents.get(str(document.get("kind", "")))
        return FieldType(name) if name else None

    # -- reading

    def decode(self, document: Any, problems: list[Problem]) -> Document:
        """A document as Talos reads it; what is wrong is added to `problems` and left out of the result."""
        if not isinstance(document, Mapping):
            problems.append(Problem("", "expected a mapping"))
            return {}
        found: list[Problem] = []
        decoded = self._decode_document(document, found)
        who = document_id(document)
        problems += [replace(problem, document=who) for problem in found]
        return decoded

    def _decode_document(self, document: Mapping[str, Any], problems: list[Problem]) -> Document:
        kind = self.kind_of(document)
        if kind is None:
            problems.append(self._unknown_kind(str(document["kind"])))
            return {}
        if document.get("kind") and document.get("apiVersion") != "v1alpha1":
            problems.append(Problem("apiVersion", f"must be v1alpha1 in a {document['kind']} document"))
            return {}
        legacy = {"machine", "cluster", "debug", "persist"} & document.keys() or document.get(
            "apiVersion"
        ) == "v1alpha1"
        if not document.get("kind") and not legacy:
            problems.append(Problem("kind", "is required in a document without machine and cluster"))
            return {}
        decoded = self._decode(document, kind, "", problems)
        return decoded if isinstance(decoded, dict) else {}

    def _unknown_kind(self, word: str) -> Problem:
        if since := _since().get(word):
            return Problem("kind", f"{word} came with Talos {since}; Talos {self.contract} does not know it")
        return Problem(
            "kind", f"Talos {self.contract} knows no document kind {shortened(word)}", _nearest(word, self.documents)
        )

    def _decode(self, value: Any, kind: FieldType, path: str, problems: list[Problem]) -> Any:
        if value is None:
            return None
        if kind.name == "any":
            return _decode_free(value, path, problems)
        if kind.name == "list":
            return self._decode_list(value, kind.of, path, problems)
        if kind.name == "map":
            return self._decode_map(value, kind.of, path, problems)
        if kind.name in self.structures:
            decoded = self._decode_structure(value, kind.name, path, problems)
            if decoded and kind.name == "ClusterInlineManifest" and "contents" in decoded:
                decoded["contents"] = decoded["contents"].lstrip("\t\n\v\f\r")  # as Talos does when it reads one
            return decoded
        return _decode_scalar(value, kind.name, path, problems)

    def _decode_list(self, value: Any, item_kind: FieldType, path: str, problems: list[Problem]) -> list[Any] | None:
        if not isinstance(value, (list, tuple)):
            problems.append(_wrong_form(path, "a list", value))
            return None
        items = []
        for i, item in enumerate(value):
            if item is None and item_kind.pointer:
                problems.append(Problem(f"{path}[{i}]", "is empty"))  # Talos keeps it, and fails over it
            elif (decoded := self._decode(item, item_kind, f"{path}[{i}]", problems)) is not None:
                items.append(decoded)
        return items

    def _decode_map(
        self, value: Any, value_kind: FieldType, path: str, problems: list[Problem]
    ) -> dict[str, Any] | None:
        if not isinstance(value, Mapping):
            problems.append(_wrong_form(path, "a mapping", value))
            return None
        decoded = {}
        for key, item in value.items():
            if isinstance(key, OddKey) and key.meant is None:
                continue  # Talos drops a key that is null
            inner = f"{path}[{str(key)!r}]"
            if item is None and value_kind.pointer:
                problems.append(Problem(inner, "is empty"))
            elif item is None:
                decoded[str(key)] = self._nothing(value_kind)
            elif (got := self._decode(item, value_kind, inner, problems)) is not None:
                decoded[str(key)] = got
        return decoded

    def _nothing(self, kind: FieldType) -> Any:
        """What Talos makes of a null that it keeps."""
        if kind.name in self.structures or kind.name in ("map", "any"):
            return {}
        empty: dict[str, Any] = {"list": [], "bool": False} | dict.fromkeys(_INTS, 0)
        return empty.get(kind.name, "")

    def _decode_structure(self, value: Any, name: str, path: str, problems: list[Problem]) -> Document | None:
        if not isinstance(value, Mapping):
            problems.append(_wrong_form(path, "a mapping", value))
            return None
        fields = self.structures[name]
        problems += [
            Problem(_join(path, shortened(str(key))), "unknown field", _nearest(str(key), fields))
            for key in value
            if key not in fields
        ]
        decoded = {
            key: self._decode(value[key], kind, _join(path, key), problems)
            for key, kind in fields.items()
            if key in value
        }
        if name in _CERTIFICATES:
            decoded = {key: decoded.get(key) or "" for key in fields}
        return {key: item for key, item in decoded.items() if item is not None}

    # -- writing

    def encode(self, document: Mapping[str, Any]) -> Document:
        """A decoded document as Talos writes it: fields that are never left out get their empty value."""
        kind = self.kind_of(document)
        assert kind is not None, "only decoded documents can be encoded"
        encoded: Document = self._encode(document, kind)
        return encoded

    def _encode(self, value: Any, kind: FieldType) -> Any:
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
            rule = rule_of(kind.name)
            return rule.write(value) if rule and value != "" else value
        return self._encode_structure(value, fields)

    def _encode_structure(self, value: Mapping[str, Any], fields: Mapping[str, FieldType]) -> Document:
        encoded: Document = {}
        for key, field_kind in fields.items():
            given, rule = value.get(key), rule_of(field_kind.name)
            is_omitted = field_kind.omit_empty and self.is_empty(given, field_kind)
            if is_omitted or (given is None and rule is not None and rule.omit):
                continue
            encoded[key] = self._encode(given, field_kind) if given is not None else self._zero(field_kind)
        return encoded

    def is_empty(self, value: Any, kind: FieldType) -> bool:
        """Whether Talos takes the value for not given at all."""
        if value is None:
            return True
        if kind.pointer:
            return False
        if kind.name in self.structures:
            fields = self.structures[kind.name]
            return all(self.is_empty(item, fields[key]) for key, item in value.items())
        rule = rule_of(kind.name)
        return value in ("", 0, False) or value in ([], {}) or (rule is not None and value == rule.zero)

    def _zero(self, kind: FieldType) -> Any:
        if kind.pointer:
            return None
        if kind.name in self.structures:
            return self._encode({}, kind)
        if rule := rule_of(kind.name):
            return rule.write(rule.zero) if rule.zero != "" else ""
        return self._nothing(kind)


@cache
def _since() -> Mapping[str, str]:
    """With which line of Talos each kind of document came, 1.10 to 1.14."""
    found: dict[str, str] = json.loads((files(__package__) / "since.json").read_text(encoding="utf-8"))
    return found


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
    rule = rule_of(expected)
    if not isinstance(value, (Mapping, list, tuple)):
        try:
            if rule is not None:
                return rule.read(value)
            return _READERS[expected](value) if expected in _READERS else _read_whole(value, *_INTS[expected])
        except _OutOfRangeError as error:
            problems.append(Problem(path, f"expected {error}"))
            return None
        except ValueError:
            pass
    problems.append(_wrong_form(path, rule.words if rule else _WORDS.get(expected, "a whole number"), value))
    return None


class _OutOfRangeError(ValueError):
    """A number that the field cannot hold."""


def _read_bool(value: Any) -> bool:
    meant = value.value if isinstance(value, Scalar) else value
    if isinstance(meant, bool):
        return meant
    if isinstance(meant, str) and meant in _YES | _NO:
        return meant in _YES
    raise ValueError


def _read_whole(value: Any, least: int, most: int) -> int:
    """A fraction loses what is behind its point, as at Talos."""
    meant = value.value if isinstance(value, Scalar) else value
    if isinstance(meant, bool) or not isinstance(meant, (int, float)):
        raise ValueError  # noqa: TRY004 - the file is wrong, not the caller
    if not least <= meant <= most:
        raise _OutOfRangeError(f"a whole number from {least} to {most}, got {meant}")
    return int(meant)


_READERS: Mapping[str, Callable[[Any], Any]] = {"string": plain_text, "bool": _read_bool}


def _decode_free(value: Any, path: str, problems: list[Problem]) -> dict[str, Any] | None:
    """A part that Talos does not know by its fields: any mapping with keys that are text."""
    if not isinstance(value, Mapping):
        problems.append(_wrong_form(path, "a mapping", value))
        return None
    decoded = {}
    for key, item in value.items():
        if isinstance(key, OddKey) and key.meant is None:
            continue
        decoded[str(key)] = _decode_any(item, _join(path, str(key)), problems)
    return decoded


def _decode_any(value: Any, path: str, problems: list[Problem]) -> Any:
    if isinstance(value, Mapping):
        odd = [key for key in value if isinstance(key, OddKey)]
        problems += [Problem(_join(path, key), "the key is not a string", f'"{key}"') for key in odd]
        return {str(key): _decode_any(item, _join(path, str(key)), problems) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_decode_any(item, f"{path}[{i}]", problems) for i, item in enumerate(value)]
    if isinstance(value, Scalar) and isinstance(value.value, dt.date):
        problems.append(Problem(path, "a date is not supported here", f'"{value}"'))
        return None
    return value.value if isinstance(value, Scalar) else value


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


_WORDS = {"bool": "true or false", "string": "a string"}


def _wrong_form(path: str, expected: str, value: Any) -> Problem:
    return Problem(path, f"expected {expected}, got {describe(value)}")
