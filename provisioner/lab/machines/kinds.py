"""The kinds of COSI resources that the lab's machines serve, read from `kinds.yaml` beside this file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import yaml

from provisioner.lab.machines.wire import Field


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One resource type."""

    type: str
    namespace: str
    fields: Sequence[Field] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    """Name -> JSONPath."""
    aliases: Sequence[str] = ()
    sensitive: bool = False
    scalar: str = ""
    raw: bool = False
    always: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """Specs by id."""
    usual: Mapping[str, Any] = field(default_factory=dict)
    """Parts of a spec."""

    @property
    def id(self) -> str:
        """Of its definition."""
        return self.type.lower()

    @property
    def plural(self) -> str:
        return self.type.partition(".")[0]

    @property
    def singular(self) -> str:
        if self.plural.endswith(("sses", "uses")):
            return self.plural[:-2]
        return self.plural[:-3] + "y" if self.plural.endswith("ies") else self.plural.removesuffix("s")

    def all_aliases(self) -> list[str]:
        """Lower-case plural, the plural with each longer prefix of the group, then the aliases, as COSI's `meta.ResourceDefinition` has them."""
        plural, group = self.plural.lower(), self.type.split(".")[1:]
        longer = [".".join([plural, *group[:count]]) for count in range(1, len(group))]
        return [plural, *longer, *self.short_aliases()]

    def short_aliases(self) -> list[str]:
        capitals = "".join(letter for letter in self.plural if letter.isupper()).lower()
        initials = [capitals] if len(capitals) > 1 else []
        return list(dict.fromkeys([*self.aliases, self.singular.lower(), *initials]))


_TABLE = yaml.load(files(__package__).joinpath("kinds.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
NAMESPACES: tuple[str, ...] = tuple(_TABLE["namespaces"])


def _fields(table: Mapping[str, Any]) -> tuple[Field, ...]:
    return tuple(_field(key, said) for key, said in table.items())


def _field(key: str, said: Any) -> Field:
    if isinstance(said, dict):
        return Field(said["number"], key, "message", said.get("repeated", False), fields=_fields(said["fields"]))
    number, *rest = str(said).split()
    kind = rest[0] if rest else "string"
    return Field(int(number), key, kind.rstrip("*"), kind.endswith("*"), _TABLE["words"][rest[1]] if rest[1:] else {})


ALL: dict[str, Kind] = {
    name: Kind(**row | {"type": name, "fields": _fields(row.get("fields", {}))})
    for name, row in _TABLE["kinds"].items()
}
