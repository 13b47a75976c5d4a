"""The kinds of objects that this API serves, read from `resources.yaml` beside this file."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

import yaml

ALL_VERBS = ("create", "delete", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One kind, as discovery tells of it."""

    plural: str
    kind: str
    group: str = ""
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: bool = False
    version: str = "v1"

    @property
    def singular(self) -> str:
        return self.kind.lower()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


_TABLE = yaml.load(files(__package__).joinpath("resources.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)
BY_PLURAL = {plural: Resource(plural=plural, **row) for plural, row in _TABLE.items()}
RESOURCES = tuple(BY_PLURAL.values())
GROUPS = tuple(dict.fromkeys((r.group, r.version) for r in RESOURCES if r.group))
