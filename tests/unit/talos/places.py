"""Every place of Talos' config documents, and the text of a patch that puts a value there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from provisioner.talos.schema import FieldType, Schema


@dataclass(frozen=True)
class SchemaPlace:
    """One place: in which document, and by which keys. `[]` is an item of a list, `{}` a value of a map."""

    document: str
    path: tuple[str, ...]
    kind: FieldType

    def __str__(self) -> str:
        return f"{self.document}:{'.'.join(self.path)}"

    def patch(self, value: str) -> str:
        """The text of a patch with that value, spelled so, at this place."""
        text = value
        for step in reversed(self.path):
            text = f"[{text}]" if step == "[]" else f"{{k: {text}}}" if step == "{}" else f"{{{step}: {text}}}"
        if not self.document:
            return text
        head = f"{{apiVersion: v1alpha1, kind: {self.document}"
        return f"{head}, name: n, {text[1:]}" if self.path[0] != "name" else f"{head}, {text[1:]}"


def all_places(schema: Schema) -> list[SchemaPlace]:
    found = []
    for document, structure in schema.documents.items():
        for path, kind in _below(schema, FieldType(structure), ()):
            if path not in (("kind",), ("apiVersion",)):
                found.append(SchemaPlace(document, path, kind))
    return found


def _below(schema: Schema, kind: FieldType, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], FieldType]]:
    if path:
        yield path, kind
    if kind.name == "list":
        yield from _below(schema, kind.of, (*path, "[]"))
    elif kind.name == "map":
        yield from _below(schema, kind.of, (*path, "{}"))
    for key, inner in schema.structures.get(kind.name, {}).items():
        yield from _below(schema, inner, (*path, key))


HOSTILE = [
    *(
        "null",
        "~",
        "",
        "[]",
        "{}",
        "[null]",
        "{a: null}",
        "{a: {1: b}}",
        "{1: a}",
        "{null: a}",
        "[a]",
        "[[a]]",
        "[{}]",
        "[{a: b}]",
    ),
    *(
        "1.10",
        "0644",
        "0o644",
        "1e3",
        "1.5e3",
        "True",
        "TRUE",
        "1e400",
        "1_000",
        "0b101",
        "08",
        ".inf",
        "yes",
        "'yes'",
        "''",
        "'5'",
    ),
    *(
        "5",
        "-1",
        "99999999999",
        "18446744073709551616",
        "1500.0",
        "1500.9",
        "2026-01-01",
        "x",
        "10s",
        "'120'",
        "10GiB",
        "udp://x/",
    ),
    *(
        "a:b",
        "http://a b/",
        "10.0.0.0/8",
        "80-90",
        "aGVsbG8=",
        "-",
        "'\\0'",
        '"\\0"',
        "'[::1]:80'",
        "10.0.0.1:51820",
        "2001:db8::/32",
    ),
    *(
        "{$patch: delete}",
        "[{$patch: delete}]",
        "[{a: b, $patch: delete}]",
        "'%'",
        "'<<'",
        "tcp",
        "ACCEPT",
        "'none'",
    ),
]
"""Values, as spelled in a patch, that a place may not expect."""
