"""The table of cmdlets, read from `tables/*.yaml`: the stubs in the engine, the behaviours and the tests all read this one.

Notation of `sets` in the tables, as in the cmdlet reference: sets are separated by `;`, `*` stands for every set, `!` for mandatory, `@n`
for a position, `v` for pipeline input by value and `p` by property name. Types are PowerShell's names or names of the tables, with `?`
(nullable), `[]` (array) or `List<>` around them. A real parameter that is missing here is refused by the engine as unknown.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import yaml

_SET = re.compile(r"(?P<name>.+?)(?P<mandatory>!)?(?:@(?P<position>\d+))?(?P<flags>(?: [vp])*)$")
_TYPE = re.compile(r"(?:(?P<list>List<)?(?P<name>[\w.+]+)(?P<nullable>\?)?(?(list)>)(?P<array>\[\])?)$")

BUILT_IN = frozenset(
    """bool byte char datetime double guid hashtable int int16 long object pscredential psobject string switch timespan uint16
    uint32 uint64 version""".split()  # noqa: SIM905 - as a list it fills twenty lines
)


@dataclass(frozen=True)
class ParameterSet:
    """How a parameter takes part in a set; an empty name means in every set."""

    name: str
    mandatory: bool = False
    position: int | None = None
    by_value: bool = False
    by_property: bool = False

    @classmethod
    def parse(cls, text: str) -> ParameterSet:
        match = _SET.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"not a parameter set: {text!r}")
        flags = match["flags"].split()
        return cls(
            name="" if match["name"] == "*" else match["name"],
            mandatory=bool(match["mandatory"]),
            position=int(match["position"]) if match["position"] else None,
            by_value="v" in flags,
            by_property="p" in flags,
        )

    def wire(self) -> dict[str, Any]:
        """As named arguments of .NET's ParameterAttribute; only what differs from its defaults."""
        said: dict[str, Any] = {"ParameterSetName": self.name} if self.name else {}
        if self.mandatory:
            said["Mandatory"] = True
        if self.position is not None:
            said["Position"] = self.position
        if self.by_value:
            said["ValueFromPipeline"] = True
        if self.by_property:
            said["ValueFromPipelineByPropertyName"] = True
        return said


@dataclass(frozen=True)
class CmdletParameter:
    name: str
    type: str
    sets: tuple[ParameterSet, ...]
    aliases: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    """What ValidateSet allows; empty for anything."""
    range: tuple[int, int] | None = None

    def wire(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.type,
            "sets": [each.wire() for each in self.sets],
            "aliases": self.aliases,
            "values": self.values,
            "range": self.range,
        }


@dataclass(frozen=True)
class Cmdlet:
    name: str
    module: str
    class_name: str
    """What error ids end with."""
    parameters: Mapping[str, CmdletParameter]
    default_set: str = ""
    should_process: bool = False
    impact: str = "Medium"
    emits: tuple[str, ...] = ()

    @property
    def set_names(self) -> tuple[str, ...]:
        """All parameter sets; one without a name where every parameter is in all of them."""
        named = {each.name for parameter in self.parameters.values() for each in parameter.sets if each.name}
        return tuple(sorted(named)) or (self.default_set,)

    def wire(self) -> dict[str, Any]:
        options: dict[str, Any] = {}
        if self.default_set:
            options["DefaultParameterSetName"] = self.default_set
        if self.should_process:
            options |= {"SupportsShouldProcess": True, "ConfirmImpact": self.impact}
        return {
            "name": self.name,
            "class": self.class_name,
            "options": options,
            "parameters": [parameter.wire() for parameter in self.parameters.values()],
        }


@dataclass(frozen=True)
class DataClass:
    """A class of objects. Its properties are read-only, as Windows' are; objects are copies of the world at that moment."""

    name: str
    extends: str
    properties: Mapping[str, str]
    type_names: tuple[str, ...] = ()
    """What PSTypeNames shows instead of the .NET name, for objects that are CIM instances on Windows."""

    def wire(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "extends": self.extends,
            "properties": [[name, type_] for name, type_ in self.properties.items()],
            "typeNames": self.type_names,
        }


@dataclass
class Description:
    """Everything the tables say, by full name."""

    enums: dict[str, dict[str, int]] = field(default_factory=dict)
    classes: dict[str, DataClass] = field(default_factory=dict)
    cmdlets: dict[str, Cmdlet] = field(default_factory=dict)
    exceptions: dict[str, dict[str, str]] = field(default_factory=dict)
    """Full name -> properties beyond those of every exception."""
    modules: dict[str, str] = field(default_factory=dict)
    """Module name -> version."""
    short: dict[str, str] = field(default_factory=dict)
    """Name without namespace -> full name."""

    def cmdlets_of(self, module: str) -> list[Cmdlet]:
        return [cmdlet for cmdlet in self.cmdlets.values() if cmdlet.module == module]

    def full_name(self, short: str) -> str:
        return self.short[short]

    def properties_of(self, class_name: str) -> dict[str, str]:
        """Own properties and those inherited, by full class name."""
        known = self.classes[class_name]
        inherited = self.properties_of(known.extends) if known.extends in self.classes else {}
        return {**inherited, **known.properties}

    def types_wire(self) -> dict[str, Any]:
        """What all modules share: enums, exceptions, classes with their parents before them."""
        ordered: dict[str, DataClass] = {}

        def add(each: DataClass) -> None:
            if each.extends in self.classes:
                add(self.classes[each.extends])
            ordered[each.name] = each

        for each in self.classes.values():
            add(each)
        return {
            "enums": self.enums,
            "exceptions": self.exceptions,
            "classes": [each.wire() for each in ordered.values()],
        }

    def module_wire(self, module: str) -> list[dict[str, Any]]:
        return [cmdlet.wire() for cmdlet in self.cmdlets_of(module)]


@functools.cache
def description() -> Description:
    """The tables of this package, read once."""
    found = Description()
    folder = resources.files(__package__).joinpath("tables")
    texts = [entry.read_text(encoding="utf-8") for entry in sorted(folder.iterdir(), key=lambda each: each.name)]
    tables = [yaml.load(text, Loader=_Words) for text in texts]
    for table in tables:
        _read_names(found, table)
    for table in tables:
        _read_classes(found, table)
        _read_cmdlets(found, table)
    return found


class _Words(yaml.SafeLoader):
    """YAML in which On and Off are words: enums of Hyper-V bear those names."""


_Words.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Words.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|false"), ["t", "f"])


def _read_names(found: Description, table: dict[str, Any]) -> None:
    found.exceptions |= table.get("exceptions", {})
    for namespace, enums in table.get("enums", {}).items():
        for name, members in enums.items():
            found.short[name] = f"{namespace}.{name}"
            found.enums[f"{namespace}.{name}"] = members
    for namespace, classes in table.get("classes", {}).items():
        for name in classes:
            found.short[name] = f"{namespace}.{name}"


def _read_classes(found: Description, table: dict[str, Any]) -> None:
    for namespace, classes in table.get("classes", {}).items():
        for name, about in classes.items():
            extends = about.get("extends", "")
            full = f"{namespace}.{name}"
            found.classes[full] = DataClass(
                name=full,
                extends=found.short[extends] if extends else "object",
                properties={key: _full_type(found, type_) for key, type_ in (about.get("properties") or {}).items()},
                type_names=tuple(about.get("type_names", ())),
            )


def _read_cmdlets(found: Description, table: dict[str, Any]) -> None:
    for module, about in table.get("modules", {}).items():
        found.modules[module] = about["version"]
        for name, cmdlet in about["cmdlets"].items():
            pattern: str = about["class"]
            verb, noun = name.split("-", 1)
            found.cmdlets[name] = Cmdlet(
                name=name,
                module=module,
                class_name=cmdlet.get("class") or pattern.format(name=name, verb=verb, noun=noun),
                parameters={
                    key: _read_parameter(found, key, said) for key, said in (cmdlet.get("parameters") or {}).items()
                },
                default_set=cmdlet.get("default_set", ""),
                should_process=cmdlet.get("should_process", False),
                impact=cmdlet.get("impact", "Medium"),
                emits=tuple(cmdlet.get("emits", ())),
            )


def _read_parameter(found: Description, name: str, said: dict[str, Any]) -> CmdletParameter:
    low_high = said.get("range")
    alias = said.get("alias", ())
    return CmdletParameter(
        name=name,
        type=_full_type(found, said["type"]),
        sets=tuple(ParameterSet.parse(text) for text in said.get("sets", "*").split(";")),
        aliases=(alias,) if isinstance(alias, str) else tuple(alias),
        values=tuple(str(value) for value in said.get("values", ())),
        range=(low_high[0], low_high[1]) if low_high else None,
    )


def _full_type(found: Description, text: str) -> str:
    match = _TYPE.fullmatch(text)
    if match is None:
        raise ValueError(f"not a type: {text!r}")
    name = match["name"]
    if name not in BUILT_IN:
        name = found.short.get(name, name)
        if "." not in name:
            raise ValueError(f"no such type in the tables: {text!r}")
    name += match["nullable"] or ""
    return f"List<{name}>" if match["list"] else name + (match["array"] or "")
