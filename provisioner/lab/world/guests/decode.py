"""A machine config as Talos decodes it: YAML as its library reads it, into the types of its own table of fields, strictly.

What is refused, and most of the words, are those of Talos 1.11 (configloader, gopkg.in/yaml.v3, xyaml). The table is data made from
Talos' own library; how to read it is written here once more, since the lab shares no code with the client.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from provisioner.lab.world.guests import scalars
from provisioner.lab.world.guests.scalars import BadScalar, Mismatch

TABLE = "schema/v1.11.json"
_LEGACY_KEYS = ("machine", "cluster", "debug", "persist")
_PACKAGES = {
    kind: package
    for package, kinds in {
        "block": "ExistingVolumeConfig RawVolumeConfig SwapVolumeConfig UserVolumeConfig VolumeConfig ZswapConfig",
        "extensions": "ExtensionServiceConfig",
        "hardware": "PCIDriverRebindConfig",
        "network": "EthernetConfig KubeSpanEndpointsConfig NetworkDefaultActionConfig NetworkRuleConfig",
        "runtime": "EventSinkConfig KmsgLogConfig WatchdogTimerConfig",
        "security": "TrustedRootsConfig",
        "siderolink": "SideroLinkConfig",
    }.items()
    for kind in kinds.split()
} | {"": "v1alpha1"}
"""Go's package of each kind of document, for messages."""
_OPAQUE = ("address-port", "bytes", "cel", "prefix")
"""Structures to Go without fields of their own: an empty mapping fits them, and is no value."""


class NotDecoded(ValueError):
    """The bytes are no machine config."""


class _Loader(yaml.CSafeLoader):
    """Leaves every plain scalar as text: what it means is up to the field (`scalars.resolve`)."""

    DEFAULT_SCALAR_TAG = scalars.UNTAGGED  # type: ignore[misc]  # final to the stubs alone
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way to say it


@cache
def _table() -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Structure of each kind of document, and the fields of each structure."""
    found = json.loads(files("provisioner.talos").joinpath(TABLE).read_text(encoding="utf-8"))
    return found["documents"], found["types"]


def decode(data: bytes) -> list[dict[str, Any]]:
    """All documents, with values of the right types; what was not given, or is null, is not there. Raises NotDecoded."""
    found: list[dict[str, Any]] = []
    seen: set[tuple[str, str]] = set()
    try:
        for root in yaml.compose_all(data, _Loader):
            if not isinstance(root, yaml.MappingNode):
                raise NotDecoded("recovered: expected a mapping node")
            kind, name = _text(root, "kind"), _text(root, "name")
            if (kind, name) in seen:
                version = _text(root, "apiVersion")
                raise NotDecoded(f"duplicate document {version}/{kind or 'v1alpha1'}/{name} is not allowed")
            seen.add((kind, name))
            found.append(_document(root))
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark and error.problem_mark.line else ""
        raise NotDecoded(f"decode error: yaml: {where}{error.problem}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise NotDecoded(f"decode error: yaml: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise NotDecoded("decode error: yaml: exceeded max depth") from None
    if not found:
        raise NotDecoded("config not found")
    return found


def _text(root: yaml.MappingNode, wanted: str) -> str:
    for key, value in root.value:
        if key.value == wanted and isinstance(value, yaml.ScalarNode):
            return str(value.value)
    return ""


def _kind_and_version(root: yaml.MappingNode) -> tuple[str, str]:
    kind = version = ""
    for key, value in root.value:
        if key.value == "kind":
            kind = str(value.value)
        elif key.value == "apiVersion":
            version = str(value.value)
        elif key.value in _LEGACY_KEYS:
            version = "v1alpha1"
    return kind, version


def _document(root: yaml.MappingNode) -> dict[str, Any]:
    kind, version = _kind_and_version(root)
    if not kind and version != "v1alpha1":
        raise NotDecoded("missing kind")
    documents, _ = _table()
    if version != "v1alpha1" or kind not in documents:
        raise NotDecoded(f'"{kind}" "{version}": not registered')
    package, structure = _PACKAGES[kind], documents[kind]
    decoder = _Decoder(package)
    what = f"error decoding {kind} to *{package}.{structure}"
    try:
        value = decoder.value(root, structure)
    except BadScalar as error:
        raise NotDecoded(f"{what}: {error}") from None
    if decoder.errors:
        raise NotDecoded(f"{what}: yaml: unmarshal errors:" + "".join(f"\n  {line}" for line in decoder.errors))
    unknown = _Unknown().of(root, structure)
    if unknown is not None:
        raise NotDecoded(
            f"unknown keys found during decoding:\n{yaml.safe_dump(unknown, sort_keys=True, indent=4, allow_unicode=True)}"
        )
    assert isinstance(value, dict)
    return value


def meant(document: dict[str, Any]) -> dict[str, Any]:
    """A decoded document without the values that say the same as their absence: two configs mean the same if these are equal."""
    documents, structures = _table()

    def without_zeros(value: Any, kind: str) -> Any:
        bare = _bare(kind)
        if bare[:2] == "[]":
            return [without_zeros(item, bare[2:]) for item in value]
        if bare[:2] == "{}":
            return {key: without_zeros(item, bare[2:]) for key, item in value.items()}
        if bare not in structures or value is None:
            return list(value) if isinstance(value, tuple) else value
        fields = structures[bare]
        found = {key: without_zeros(item, fields[key]) for key, item in value.items()}
        return {key: item for key, item in found.items() if "*" in fields[key][:3] or item not in _ZEROS}

    found: dict[str, Any] = without_zeros(document, documents[document.get("kind", "")])
    return found


_ZEROS: tuple[Any, ...] = ("", 0, False, [], {})


def _bare(kind: str) -> str:
    return kind.lstrip("?!*")


class _Decoder:
    """Decodes one document; mismatches of types are collected, a scalar that breaks a rule of its own ends it at once."""

    def __init__(self, package: str) -> None:
        self.errors: list[str] = []
        self._package = package
        _, self._structures = _table()

    def value(self, node: yaml.Node, kind: str) -> Any:
        """The value, or None for null and for what does not fit."""
        kind = _bare(kind)
        if scalars.is_null(node) or (isinstance(node, yaml.MappingNode) and kind in _OPAQUE):
            return None
        if isinstance(node, yaml.SequenceNode) and kind.startswith("[]"):
            return self._sequence(node, kind[2:])
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, kind)
        is_single = kind != "any" and kind[:2] not in ("[]", "{}") and kind not in self._structures
        return (
            self._scalar(node, kind) if isinstance(node, yaml.ScalarNode) and is_single else self._mismatch(node, kind)
        )

    def _sequence(self, node: yaml.SequenceNode, kind: str) -> list[Any]:
        items = [self.value(item, kind) for item in node.value]
        return items if kind.startswith("*") else [item for item in items if item is not None]

    def _scalar(self, node: yaml.ScalarNode, kind: str) -> Any:
        try:
            return scalars.read(node, kind)
        except Mismatch as error:
            return self._mismatch(node, error.into or kind)

    def _mapping(self, node: yaml.MappingNode, kind: str) -> Any:
        if kind == "any":
            return self._free(node)
        if kind in self._structures:
            return self._structure(node, self._structures[kind])
        if not kind.startswith("{}"):
            return self._mismatch(node, kind)
        values = {key: self.value(item, kind[2:]) for key, item in self._pairs(node)}
        empty = "" if kind[2:] == "string" else None
        return {key: empty if value is None else value for key, value in values.items()}

    def _structure(self, node: yaml.MappingNode, fields: Mapping[str, str]) -> dict[str, Any]:
        found = {key: self.value(item, fields[key]) for key, item in self._pairs(node) if key in fields}
        return {key: item for key, item in found.items() if item is not None}

    def _pairs(self, node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node]]:
        """Keys as text with their values; those of `<<` first, so that a mapping's own keys win."""
        self._check_keys(node)
        for key, value in node.value:
            if _is_merge(key):
                for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if not isinstance(part, yaml.MappingNode):
                        raise BadScalar("map merge requires map or sequence of maps as the value")
                    yield from self._pairs(part)
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and not _is_merge(key) and not scalars.is_null(key):
                yield str(key.value), value

    def _check_keys(self, node: yaml.MappingNode) -> None:
        first: dict[str, yaml.Node] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._mismatch(key, "string")
            elif (before := first.setdefault(key.value, key)) is not key:
                line, known = key.start_mark.line + 1, before.start_mark.line + 1
                self.errors.append(f'line {line}: mapping key "{key.value}" already defined at line {known}')

    def _free(self, node: yaml.Node) -> Any:
        """A value without a type of its own, as YAML means it."""
        if isinstance(node, yaml.MappingNode):
            return {key: self._free(item) for key, item in self._pairs(node)}
        if isinstance(node, yaml.SequenceNode):
            return [self._free(item) for item in node.value]
        return scalars.resolve(node)[1]

    def _mismatch(self, node: yaml.Node, kind: str) -> None:
        value = ""
        if isinstance(node, yaml.ScalarNode):
            value = f" `{node.value}`" if len(node.value) <= 10 else f" `{node.value[:7]}...`"
        tag = scalars.short_tag(node)
        line = node.start_mark.line + 1
        self.errors.append(f"line {line}: cannot unmarshal {tag}{value} into {self._go_type(kind)}")

    def _go_type(self, kind: str) -> str:
        kind = _bare(kind)
        if kind.startswith(("[]", "{}")):
            inner = kind[2:].lstrip("?!")
            star = "*" if inner.startswith("*") else ""
            return f"{'[]' if kind.startswith('[]') else 'map[string]'}{star}{self._go_type(inner)}"
        if kind in self._structures:
            return f"{self._package}.{kind}"
        return {"any": "v1alpha1.Unstructured", "duration": "time.Duration", "mode": "v1alpha1.FileMode"}.get(
            kind, kind if kind in ("string", "bool") or kind.startswith(("int", "uint")) else "string"
        )


def _is_merge(key: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode) and key.value == "<<" and not key.style


class _Unknown:
    """Finds keys that no field has. What an alias points to was looked at where it stands, by the fields of that place."""

    def __init__(self) -> None:
        self._looked_at: set[int] = set()
        _, self._structures = _table()

    def of(self, node: yaml.Node, kind: str) -> Any:
        """The part of the document that is unknown, in its own nesting; None when all is known."""
        kind = _bare(kind)
        if kind == "any" or id(node) in self._looked_at:
            return None
        self._looked_at.add(id(node))
        if isinstance(node, yaml.SequenceNode) and kind.startswith("[]"):
            return [part for item in node.value if (part := self.of(item, kind[2:])) is not None] or None
        return self._of_mapping(node, kind) if isinstance(node, yaml.MappingNode) else None

    def _of_mapping(self, node: yaml.MappingNode, kind: str) -> dict[str, Any] | None:
        fields = {} if kind in _OPAQUE else self._structures.get(kind)
        found: dict[str, Any] = {}
        for key, item in node.value:
            if fields is not None and key.value not in fields:
                found[str(key.value)] = _plain(item)
            else:
                part = self.of(item, fields[key.value] if fields is not None else kind[2:])
                if part is not None:
                    found[str(key.value)] = part
        return found or None


def _plain(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _plain(item) for key, item in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    return scalars.resolve(node)[1]
