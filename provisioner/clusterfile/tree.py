"""YAML files as plain values, and where each of them stands. A file that a user names is read bounded.

Values are taken as Talos takes them: `off`, `yes`, `02:15:3A:00:00:11` and `1:30` are strings, never booleans or sums of sixties. An
unquoted scalar that is not a string is a `Scalar`, which keeps its spelling (`1.10` is not `1.1` for a version). Everything that is wrong
with the text as YAML ends up in `findings`; nothing raises.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from provisioner.errors import Finding, SourceLocation
from provisioner.model import scalars

KeyPath = tuple[str | int, ...]
"""Where a value is: keys and indices from the root."""

MAX_BYTES = 1 << 20
MAX_VALUES = 50_000
"""Far above any real file; aliases of aliases multiply."""
MAX_DEPTH = 100
"""So that a value can be walked through by recursion."""

_SURROGATE = re.compile("[\ud800-\udfff]")
_PLAIN = "plain"


class _Loader(yaml.SafeLoader):
    """Composes nodes without YAML 1.1's guesses about what a plain scalar means."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0]:
            return _PLAIN
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]  # untyped in types-PyYAML


@dataclass(kw_only=True)
class Tree:
    """A document: its value, the place of every value and key, and what is wrong with it as YAML."""

    value: Any = None
    places: dict[KeyPath, SourceLocation] = field(default_factory=dict)
    keys: dict[KeyPath, SourceLocation] = field(default_factory=dict)
    """Where the key of a mapping's value stands."""
    findings: list[Finding] = field(default_factory=list)

    def at(self, path: KeyPath) -> Any:
        """The value at that path, which must be there."""
        value = self.value
        for part in path:
            value = value[part]
        return value

    def places_below(self, path: KeyPath = ()) -> dict[KeyPath, SourceLocation]:
        """Where that value and each thing in it stands, of a mapping's value its key; paths are counted from there."""
        return {(): self.place(path), **dict(self._places_below(self.at(path), path, len(path)))}

    def _places_below(self, value: Any, path: KeyPath, depth: int) -> Iterator[tuple[KeyPath, SourceLocation]]:
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for part, item in items:
            inner = (*path, part)
            yield inner[depth:], self.place(inner, key=True)
            yield from self._places_below(item, inner, depth)

    def place(self, path: KeyPath, *, key: bool = False) -> SourceLocation:
        """Of that value, or of the nearest thing around it that stands in the file."""
        if key and path in self.keys:
            return self.keys[path]
        while path and path not in self.places:
            path = path[:-1]
        return self.places[path]


def dotted(path: KeyPath) -> str:
    """`("machines", 2, "memory")` -> `machines[2].memory`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


class Unreadable(ValueError):
    """A file that is missing, may not be read, or is not a regular file; the text is the reason."""


class TooLarge(Unreadable):
    """A file that could be read, but is too large."""

    def __init__(self) -> None:
        super().__init__("is larger than 1 MiB")


def read_small(path: Path) -> bytes:
    """The bytes of a plain file of at most 1 MiB. Raises Unreadable; never waits, and never takes in more than that.

    What it is, is looked up before it is opened, since a name can lead anywhere.
    """
    try:
        facts = path.stat()
        if stat.S_ISREG(facts.st_mode) and facts.st_size <= MAX_BYTES:
            with path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None
    except ValueError:  # a zero byte, half of a character
        raise Unreadable("not a valid file name") from None
    if stat.S_ISDIR(facts.st_mode):
        raise Unreadable("Is a directory")
    if not stat.S_ISREG(facts.st_mode):
        raise Unreadable("not a regular file")
    if facts.st_size > MAX_BYTES or len(raw) > MAX_BYTES:
        raise TooLarge
    return raw


def expanded(name: str) -> Path:
    """The path with `~` resolved. Raises Unreadable for a user that does not exist."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise Unreadable(f"there is no home folder for {name.split('/', maxsplit=1)[0]}") from None


def read_trees(raw: bytes, file: str, *, several: bool = False) -> list[Tree]:
    """The documents of a file; exactly one unless `several`. An unreadable file gives one tree that has the finding."""
    found: list[Finding] = []
    nodes = _compose(raw, file, found)
    if not nodes and not found:
        found.append(_finding(file, 1, 1, "the file is empty", "a YAML mapping"))
    if len(nodes) > 1 and not several:
        mark = nodes[1].start_mark
        found.append(_finding(file, mark.line + 1, mark.column + 1, "there is a second document", "one document"))
    if found:
        return [Tree(places={(): SourceLocation(file=file, line=1, column=1)}, findings=found)]
    return [_Builder(file).tree_of(node) for node in nodes]


def _compose(raw: bytes, file: str, found: list[Finding]) -> list[yaml.Node]:
    """The root of each document. What keeps the text from being read is added to `found`."""
    text = ""
    try:
        text = raw.decode("utf-8-sig")
        return [node for node in yaml.compose_all(text, Loader=_Loader) if node is not None]
    except UnicodeDecodeError as error:
        line, column = _line_and_column(raw[: error.start].decode("latin-1"))
        found.append(_finding(file, line, column, "the file is not UTF-8", "text in UTF-8"))
    except yaml.MarkedYAMLError as error:
        found += _syntax(error, text, file)
    except yaml.reader.ReaderError as error:
        line, column = _line_and_column(text[: error.position])
        found.append(_finding(file, line, column, f"the character U+{error.character:04X} is not allowed in YAML"))
    except RecursionError:
        found.append(_finding(file, 1, 1, "is nested too deeply"))
    return []


def _finding(file: str, line: int, column: int, problem: str, expected: str = "") -> Finding:
    place = SourceLocation(file=file, line=line, column=column)
    return Finding(place=place, path="", problem=problem, expected=expected)


def _line_and_column(before: str) -> tuple[int, int]:
    """Where the text after this one begins, counted from 1."""
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _place(node: yaml.Node, file: str) -> SourceLocation:
    return SourceLocation(file=file, line=node.start_mark.line + 1, column=node.start_mark.column + 1)


def _syntax(error: yaml.MarkedYAMLError, text: str, file: str) -> Iterator[Finding]:
    """The first error, as the parser stops there; all tabs in the indentation are named at once."""
    indents = [line[: len(line) - len(line.lstrip())] for line in text.splitlines()]
    tabs = {row: indent.index("\t") + 1 for row, indent in enumerate(indents, start=1) if "\t" in indent}
    mark = error.problem_mark or error.context_mark
    row, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    if row in tabs or "\\t" in str(error.problem):
        for tab in (tabs or {row: column}).items():
            yield _finding(file, *tab, "there is a tab in the indentation", "spaces")
        return
    words = ", ".join(filter(None, (error.context, error.problem)))
    yield _finding(file, row, column, f"is not YAML: {words}")


class _Builder:
    """Turns composed nodes into values, each with its place; counts them, since aliases can multiply."""

    def __init__(self, file: str) -> None:
        self._tree = Tree()
        self._file = file
        self._left = MAX_VALUES

    def tree_of(self, node: yaml.Node) -> Tree:
        self._tree.value = self.build(node, (), frozenset())
        return self._tree

    def build(self, node: yaml.Node, path: KeyPath, above: frozenset[int]) -> Any:
        self._tree.places[path] = _place(node, self._file)
        self._left -= 1
        if self._left == 0:
            self._find(path, "there are too many values", expected=f"at most {MAX_VALUES}, aliases counted each time")
        if self._left <= 0:
            return None
        if id(node) in above:
            self._find(path, "the alias contains itself")
            return None
        if len(above) >= MAX_DEPTH:
            self._find(path, "is nested too deeply", expected=f"at most {MAX_DEPTH} levels")
            return None
        above |= {id(node)}
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, above)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index), above) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, above: frozenset[int]) -> dict[str, Any]:
        merged = self._merges(node, path, above)
        own: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._find(path, "the key is not a string", at=key)
                continue
            name = scalars.key(str(key.value)) if key.tag == _PLAIN else str(key.value)
            if not name.isprintable():
                self._find(path, "the key has a character that cannot be shown", at=key)
                continue
            if name == "<<" and key.tag == _PLAIN:
                continue
            inner = (*path, name)
            if name in own:
                first = self._tree.keys[inner]
                self._find(inner, f"is given twice, first in line {first.line}", expected="once", at=key)
                continue
            own[name] = self.build(value, inner, above)
            self._tree.keys[inner] = _place(key, self._file)
        self._tree.places[path] = _place(node, self._file)
        return merged | own

    def _merges(self, node: yaml.MappingNode, path: KeyPath, above: frozenset[int]) -> dict[str, Any]:
        """What `<<` brings into the mapping."""
        merged: dict[str, Any] = {}
        merges = [(key, value) for key, value in node.value if key.value == "<<" and key.tag == _PLAIN]
        for key, value in merges:
            if key is not merges[0][0]:
                self._find(path, "<< is given twice", expected="one << with a list", at=key)
            else:
                sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for source in reversed(sources):  # the first wins, and what this mapping says itself over all of them
                    taken = self.build(source, path, above)
                    if isinstance(taken, dict):
                        merged |= taken
                    else:
                        self._find(path, "<< takes a mapping, or a list of them", at=key)
        return merged

    def _scalar(self, node: yaml.Node, path: KeyPath) -> Any:
        text = str(node.value)
        if _SURROGATE.search(text):
            self._find(path, "there is half of a character (a surrogate) in this string")
        if node.tag == _PLAIN:
            return scalars.resolve(text)
        if node.tag != "tag:yaml.org,2002:str":
            self._find(path, f"the tag {node.tag.replace('tag:yaml.org,2002:', '!!')} is not supported")
        return text

    def _find(self, path: KeyPath, problem: str, *, expected: str = "", at: yaml.Node | None = None) -> None:
        place = _place(at, self._file) if at is not None else self._tree.places[path]
        self._tree.findings.append(Finding(place=place, path=dotted(path), problem=problem, expected=expected))
