"""From a tree of values to checked fields: all findings of the types at once, and what can still be read despite them.

pydantic gives no object at all when anything is wrong. So the values it complains of are taken out, a needed one gets a stand-in,
and the rest is read again until it fits: the checks of `checks.py` then see all that is good.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from provisioner.clusterfile import version1
from provisioner.clusterfile.tree import KeyPath, Tree, dotted
from provisioner.clusterfile.values import kind_of
from provisioner.clusterfile.version1 import FORM, ClusterFile, Fields
from provisioner.errors import Finding, SourceLocation
from provisioner.model.scalars import shortened

Part = TypeVar("Part", str, int)

PATCHES = "patches"
_STAND_INS: Mapping[str, Any] = {"name": "unnamed", "role": "worker", "count": 1}
"""For fields that a machine must have, so that its other fields are still looked at."""
_TRUTHS = {"yes": "true", "y": "true", "on": "true", "no": "false", "n": "false", "off": "false"}

_SYNONYMS = {"master": "controlplane", "server": "controlplane", "agent": "worker", "node": "worker"}
"""What other tools call Talos' machine types."""


_PARTS = ("machine", "cluster")
_FOREIGN = {
    "clusterName": "name",
    "talosVersion": "talos",
    "talos_version": "talos",
    "kubernetesVersion": "kubernetes",
    "kubernetes_version": "kubernetes",
    "nodes": "machines",
    "hostname": "name",
    "ipAddress": "address",
    "ip": "address",
    "installDisk": "install_disk",
    "additionalApiServerCertSans": "cert_sans",
    "additionalMachineCertSans": "cert_sans",
    "controlPlane": "control_plane",
    "type": "role",
    "machine": "patches: {all: [{machine: ...}]}",
    "cluster": "patches: {all: [{cluster: ...}]}",
}
"""Words of talhelper, Terraform and Talos' own configs for what is called otherwise here, or stands elsewhere."""


class _Nothing:
    """A key without a value. Not None, which would count as an optional field left out."""


_NOTHING = _Nothing()


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The fields that could be read, where they stand, and which could not be read."""

    fields: ClusterFile
    tree: Tree
    dropped: frozenset[KeyPath]
    """What was taken out because of a finding."""
    moved: Mapping[KeyPath, tuple[int, ...]]
    """For a list that lost items: the index in the file of each item that is left."""

    def intact(self, *path: str | int) -> bool:
        """Whether nothing at or below that path was taken out."""
        return not any(gone[: len(path)] == path for gone in self.dropped)

    def given(self, path: KeyPath) -> bool:
        """Whether the file itself gives that value."""
        return path in self.tree.places

    def indices(self, path: KeyPath, count: int) -> tuple[int, ...]:
        """The indices in the file of the items of the list at that path."""
        return self.moved.get(path, tuple(range(count)))


def read_fields(tree: Tree) -> tuple[Checked, list[Finding]]:
    """All fields of the tree, and everything that is wrong with them one by one. `version` is 1 already."""
    reader = _Reader(tree)
    return reader.read(), reader.findings


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """The candidate that is nearest, or nothing."""
    spelled = {candidate.lower(): candidate for candidate in candidates}
    found = difflib.get_close_matches(word.lower().replace("-", "_"), spelled, n=1, cutoff=0.6)
    found = found or difflib.get_close_matches(word.lower().replace(" ", "").replace("_", ""), spelled, n=1, cutoff=0.6)
    return spelled[found[0]] if found else ""


class _Reader:
    def __init__(self, tree: Tree) -> None:
        self.findings: list[Finding] = []
        self._tree = tree
        self._dropped: set[KeyPath] = set()
        self._stand_ins: dict[KeyPath, Any] = {}
        self._moved: dict[KeyPath, tuple[int, ...]] = {}

    def read(self) -> Checked:
        while True:
            self._moved.clear()
            data = self._readable(self._tree.value, ())
            try:
                fields = ClusterFile.model_validate(data)
            except ValidationError as error:
                before = len(self._dropped) + len(self._stand_ins)
                for detail in error.errors(include_url=False):
                    self._take_out(detail)
                if len(self._dropped) + len(self._stand_ins) == before:  # each round takes something out that was there
                    raise AssertionError(f"cannot get past {error}") from error
            else:
                gone = frozenset(self._dropped | set(self._stand_ins))
                return Checked(fields=fields, tree=self._tree, dropped=gone, moved=self._moved)

    def _readable(self, value: Any, path: KeyPath) -> Any:
        """The value without what was taken out, with the stand-ins; `_moved` is filled."""
        if isinstance(value, dict):
            kept = {key: self._readable(value[key], (*path, key)) for key in self._left(path, value)}
            return kept | {str(inner[-1]): given for inner, given in self._stand_ins.items() if inner[:-1] == path}
        if isinstance(value, list):
            indices = tuple(self._left(path, range(len(value))))
            if len(indices) < len(value):
                self._moved[path] = indices
            return [self._readable(value[index], (*path, index)) for index in indices]
        if value is None and PATCHES not in path[:-1]:  # in a patch, null is a value
            return _NOTHING
        return value

    def _left(self, path: KeyPath, parts: Iterable[Part]) -> Iterator[Part]:
        return (part for part in parts if (*path, part) not in self._dropped)

    def _take_out(self, detail: ErrorDetails) -> None:
        """Takes out what pydantic complains of, or fills in what is missing."""
        loc, kind = detail["loc"], detail["type"]
        of_key = loc[-1:] == ("[key]",) and kind == "finding"  # pydantic's word for a key, not a value
        path = self._in_file(loc[:-1] if of_key else loc)
        if kind == "missing":
            if path not in self._tree.places:
                expected = f"{path[-1]}: in this mapping"
                self._find(self._tree.place(path[:-1]), path, "is required", expected)
            if path[-1] in _STAND_INS:
                self._stand_ins[path] = _STAND_INS[str(path[-1])]
            else:
                self._dropped.add(path[:-1])
            return
        if kind != "too_short" or path not in self._moved:  # a list that we emptied is not the user's fault
            place = self._tree.place(path, key=kind == "extra_forbidden" or of_key)
            self._find(place, path, *_words(kind, detail["input"], detail.get("ctx", {}), loc))
        self._dropped.add(path)

    def _find(self, place: SourceLocation, path: KeyPath, problem: str, expected: str, meant: str = "") -> None:
        self.findings.append(
            Finding(place=place, path=dotted(path), problem=problem, expected=expected, did_you_mean=meant)
        )

    def _in_file(self, loc: KeyPath) -> KeyPath:
        """The place that pydantic gives, as the file counts: without the tags of forms, with the file's own indices."""
        path: KeyPath = ()
        for part in loc:
            if isinstance(part, int):
                path = (*path, self._moved[path][part] if path in self._moved else part)
            elif not part.startswith(FORM):
                path = (*path, part)
        return path


def _words(kind: str, value: Any, context: Mapping[str, Any], loc: KeyPath) -> tuple[str, str, str]:
    """Problem, expectation, and what was probably meant."""
    if kind == "extra_forbidden":
        # The mapping that it stands in: the last part of pydantic's place that only one of them can have.
        model = next((_MODELS[part] for part in reversed(loc[:-1]) if part in _MODELS), ClusterFile)
        known = _names_of(model)
        word = str(loc[-1])
        meant = _FOREIGN.get(word, "") if word in _PARTS or _FOREIGN.get(word) in known else did_you_mean(word, known)
        return "unknown field", f"one of {', '.join(known)}", meant
    if value is _NOTHING:
        return "has no value", "a value, or no such line", ""
    if kind == "finding":
        return context["problem"], context["expected"], context["meant"]
    if kind == "too_short":
        return "the list is empty", "at least one item", ""
    if kind == "less_than_equal":
        return f"{as_shown(value)} is too large", f"at most {context['le']:g}", ""
    if kind == "greater_than_equal":
        return f"{as_shown(value)} is too small", f"at least {context['ge']:g}", ""
    if (wrong_type := _WRONG_TYPES.get(kind)) is None:
        raise AssertionError(f"no words for pydantic's {kind} at {loc}")
    expected, got, meant = wrong_type(value, context, loc)
    return f"expected {expected}, got {got}", "", meant


WrongType = Callable[[Any, Mapping[str, Any], KeyPath], tuple[str, str, str]]
"""What was expected at that place, what came instead, and what was probably meant."""


def _no_choice(value: Any, context: Mapping[str, Any], _loc: KeyPath) -> tuple[str, str, str]:
    words = context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
    word = as_shown(value)
    return context["expected"], word, _SYNONYMS.get(word.lower(), "") or did_you_mean(word, words)


def _no_bool(value: Any, _context: Mapping[str, Any], _loc: KeyPath) -> tuple[str, str, str]:
    word = as_shown(value)
    meant = _TRUTHS.get(word.lower(), "")
    return "true or false", f"{word} (yes, no, on and off are strings in YAML 1.2)" if meant else word, meant


def _no_int(value: Any, _context: Mapping[str, Any], loc: KeyPath) -> tuple[str, str, str]:
    if isinstance(value, dict | list) and len(loc) > 1 and loc[-1] == version1.COUNT_FORM:
        return "a whole number", f"{kind_of(value)}; single machines are listed under machines:, each with its role", ""
    digits = isinstance(value, str) and value.strip().isdigit()
    return "a whole number", f"the string '{value}'" if digits else as_shown(value), value.strip() if digits else ""


def _no_mapping(value: Any, context: Mapping[str, Any], _loc: KeyPath) -> tuple[str, str, str]:
    model = context.get("class_name")
    known = f" with {', '.join(_names_of(getattr(version1, model)))}" if model else ""
    return f"a mapping{known}", kind_of(value), ""


_WRONG_TYPES: Mapping[str, WrongType] = {
    "string_unicode": lambda value, *_: (  # half a character, by an escape
        "Unicode text",
        as_shown(value.encode("ascii", "backslashreplace").decode()),
        "",
    ),
    "literal_error": _no_choice,
    "bool_type": _no_bool,
    "int_type": _no_int,
    "int_from_float": _no_int,
    "float_type": lambda value, *_: ("a number", as_shown(value), ""),
    "float_parsing": lambda value, *_: ("a number", as_shown(value), ""),
    "list_type": lambda value, *_: ("a list", kind_of(value), ""),
    "model_type": _no_mapping,
    "model_attributes_type": _no_mapping,
    "dict_type": _no_mapping,
}


def as_shown(value: Any) -> str:
    """A value as the file shows it, shortened."""
    if value is None or isinstance(value, dict | list):
        return kind_of(value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return shortened(text, 40)


def _names_of(model: type[Fields]) -> Sequence[str]:
    """Its fields, its own before those that it shares with others."""
    own = [name for name in model.model_fields if name in model.__annotations__]
    return [*own, *(name for name in model.model_fields if name not in own)]


_MODELS: Mapping[str | int, type[Fields]] = {
    "switch": version1.Switch,
    "image": version1.Image,
    "network": version1.ClusterNetwork,
    "lab": version1.Lab,
    "patches": version1.PatchGroups,
    version1.HOST_FORM: version1.Host,
    version1.FILE_FORM: version1.PatchFile,
    version1.LIST_FORM: version1.Machine,
    version1.COUNTS_FORM: version1.Counts,
    version1.GROUP_FORM: version1.Group,
}
