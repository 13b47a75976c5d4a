"""Edits a user's YAML file so that it holds other data, and changes only the lines that differ.

A round trip through a YAML library lays the whole file out again and moves comments when an entry goes. Here the file's node
graph, which knows lines and columns, is compared with the data wanted, and only the lines that differ are cut, replaced or
added. The result is read back: what does not hold exactly the data wanted (files in flow style, anchors) is left to a round
trip by ruamel.yaml, which keeps comments as well as it can.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml as pyyaml

from provisioner.talos import yaml


def edit(text: str, wanted: Mapping[str, Any]) -> str:
    """The text, changed so that it reads as `wanted`. Raises YamlError when it is not YAML.

    Keys of mappings that stay keep their place, new ones come last. Items of lists are told apart by their `name`.
    """
    current = yaml.load(text)
    if current == wanted:
        return text
    newline = newline_of(text)
    ended = text if not text or text.endswith("\n") else text + newline
    edited = _fill_empty(ended, wanted) if current is None else _edit_lines(ended, current, wanted)
    return edited if edited is not None else _round_trip(text, wanted).replace("\n", newline)


def newline_of(text: str) -> str:
    """How most lines of the text end."""
    return "\r\n" if text.count("\r\n") * 2 > text.count("\n") else "\n"


def _fill_empty(text: str, wanted: Mapping[str, Any]) -> str | None:
    """A file that holds nothing, or the word `null`, gets its content; comments stay."""
    newline = newline_of(text)
    block = yaml.dump(wanted).decode().replace("\n", newline)
    root = pyyaml.compose(text, Loader=pyyaml.SafeLoader)
    if root is not None and root.start_mark.index != root.end_mark.index:
        start, end = root.start_mark, root.end_mark
        line_break = newline if start.column else ""
        edited = text[: start.index] + line_break + block.removesuffix(newline) + text[end.index :]
    else:
        edited = text + block
    try:
        return edited if yaml.load(edited) == wanted else None
    except yaml.YamlError:
        return None


# --- by lines ---------------------------------------------------------------------------------------------------------


class _NotByLines(Exception):
    """The file is written in a way that cannot be changed line by line."""


@dataclass(frozen=True)
class _Change:
    """Characters `start` to `end` become `text`."""

    start: int
    end: int
    text: str


def _edit_lines(text: str, current: Any, wanted: Any) -> str | None:
    try:
        if any(isinstance(event, pyyaml.AliasEvent) for event in pyyaml.parse(text, Loader=pyyaml.SafeLoader)):
            return None  # an alias has the lines of its anchor
        root = pyyaml.compose(text, Loader=pyyaml.SafeLoader)
        assert root is not None, "a text with data has a root"
        editor = _LineEditor(text)
        editor.compare(root, current, wanted)
        edited = editor.result()
        return edited if yaml.load(edited) == wanted else None
    except (_NotByLines, pyyaml.YAMLError, yaml.YamlError):
        return None


class _LineEditor:
    def __init__(self, text: str) -> None:
        self._text = text
        self._newline = newline_of(text)
        self._starts = [0]
        for line in text.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._changes: list[_Change] = []

    def result(self) -> str:
        text = self._text
        in_order = sorted(
            self._changes, key=lambda change: (change.start, change.end)
        )  # at one place: as they were noted
        for change in reversed(in_order):
            text = text[: change.start] + change.text.replace("\n", self._newline) + text[change.end :]
        return text

    def compare(self, node: pyyaml.Node, current: Any, wanted: Any, key: pyyaml.Node | None = None) -> None:
        """Notes what must change below the node, whose value is `current`; `key` is the node of its key."""
        if current == wanted:
            return
        if isinstance(node, pyyaml.CollectionNode) and not node.flow_style:
            self._compare_block(node, current, wanted, key)
        elif isinstance(wanted, (Mapping, list)) and wanted:
            self._open_empty(node, current, wanted, key)
        else:
            self._changes.append(_Change(node.start_mark.index, node.end_mark.index, _inline(wanted, node)))

    def _compare_block(self, node: pyyaml.Node, current: Any, wanted: Any, key: pyyaml.Node | None) -> None:
        if wanted and isinstance(node, pyyaml.MappingNode) and isinstance(wanted, Mapping):
            self._compare_mapping(node, current, wanted)
        elif isinstance(node, pyyaml.SequenceNode) and _is_named(current) and _is_named(wanted):
            self._compare_list(node, current, wanted)
        else:
            self._replace_block(node, wanted, key)

    def _compare_mapping(self, node: pyyaml.MappingNode, current: Any, wanted: Mapping[str, Any]) -> None:
        for key_node, value_node in node.value:
            key = key_node.value
            if key not in current:
                raise _NotByLines  # a merged key, or one that is not a string
            if key in wanted:
                self.compare(value_node, current[key], wanted[key], key_node)
            else:
                self._cut(key_node.start_mark.line, max(key_node.end_mark.line, _last_line(value_node)))
        self._insert_below(node, {key: value for key, value in wanted.items() if key not in current})

    def _compare_list(self, node: pyyaml.SequenceNode, current: Any, wanted: Sequence[Any]) -> None:
        by_name = {item["name"]: item for item in wanted}
        for item_node, item in zip(node.value, current, strict=True):
            if item["name"] in by_name:
                self.compare(item_node, item, by_name[item["name"]])
            else:
                self._cut(item_node.start_mark.line, _last_line(item_node))
        names = {item["name"] for item in current}
        self._insert_below(node, [item for item in wanted if item["name"] not in names])

    def _replace_block(self, node: pyyaml.Node, wanted: Any, key: pyyaml.Node | None) -> None:
        """A whole block goes, for one of another shape or for nothing."""
        if key is None or node.start_mark.line == key.start_mark.line:
            raise _NotByLines
        start, end = self._starts[node.start_mark.line], self._starts[_last_line(node) + 1]
        if isinstance(wanted, (Mapping, list)) and wanted:
            self._changes.append(_Change(start, end, _indented(wanted, node.start_mark.column)))
            return
        behind_colon = key.end_mark.index + 1
        self._changes += [_Change(start, end, ""), _Change(behind_colon, behind_colon, " " + _inline(wanted, node))]

    def _open_empty(self, node: pyyaml.Node, current: Any, wanted: Any, key: pyyaml.Node | None) -> None:
        """`key: []`, `key:` or a whole `{}` gets something inside."""
        if current:
            raise _NotByLines
        if key is None:
            line_break = "\n" if node.start_mark.column else ""
            block = line_break + yaml.dump(wanted).decode().removesuffix("\n")
            self._changes.append(_Change(node.start_mark.index, node.end_mark.index, block))
            return
        column = key.start_mark.column + (0 if isinstance(wanted, list) else yaml.INDENT)
        behind_colon = key.end_mark.index + 1
        below = self._starts[key.end_mark.line + 1]
        self._changes += [
            _Change(behind_colon, node.end_mark.index, ""),
            _Change(below, below, _indented(wanted, column)),
        ]

    def _cut(self, first: int, last: int) -> None:
        self._changes.append(_Change(self._starts[first], self._starts[last + 1], ""))

    def _insert_below(self, node: pyyaml.Node, added: Any) -> None:
        if added:
            place = self._starts[_last_line(node) + 1]
            self._changes.append(_Change(place, place, _indented(added, node.start_mark.column)))


def _last_line(node: pyyaml.Node) -> int:
    """The last line with something of the node itself; comments below it are the next one's."""
    if isinstance(node, pyyaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        key, value = last if isinstance(last, tuple) else (last, last)
        return max(int(key.end_mark.line) if key is not value else 0, _last_line(value))
    end = node.end_mark
    ends_before = (
        end.column == 0 and end.line > node.start_mark.line
    )  # a block of text ends where the next thing begins
    return int(end.line) - ends_before


def _is_named(items: Any) -> bool:
    """Whether items can be told apart: every one a mapping with a name of its own."""
    if not isinstance(items, list) or not items:
        return False
    names = [item.get("name") if isinstance(item, Mapping) else None for item in items]
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _inline(value: Any, node: pyyaml.Node) -> str:
    text = yaml.dump(value).decode().removesuffix("\n").removesuffix("\n...")
    if "\n" in text:
        raise _NotByLines
    at_colon = isinstance(node, pyyaml.ScalarNode) and node.start_mark.index == node.end_mark.index
    return f" {text}" if at_colon else text


def _indented(data: Any, column: int) -> str:
    """The data as a block that begins at that column."""
    lines = yaml.dump(data).decode().splitlines(keepends=True)
    return "".join(" " * column + line if line.strip() else line for line in lines)


# --- by a round trip --------------------------------------------------------------------------------------------------


def _round_trip(text: str, wanted: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.representer import RoundTripRepresenter

    class Representer(RoundTripRepresenter):
        """Knows our fractions, which keep their spelling."""

    Representer.add_representer(
        yaml.WrittenFloat, lambda writer, value: writer.represent_scalar("tag:yaml.org,2002:float", value.text)
    )
    library = YAML(typ="rt")
    library.Representer = Representer
    library.preserve_quotes = True
    library.width = 1 << 30
    out = io.StringIO()
    try:
        data = library.load(text.replace("\r\n", "\n"))
        if data is None:
            return yaml.dump(wanted).decode()
        _assign(data, wanted)
        library.dump(data, out)
    except YAMLError as error:
        raise yaml.YamlError(str(error).splitlines()[0]) from None
    if yaml.load(out.getvalue()) != wanted:
        raise yaml.YamlError("written in a way that cannot be changed without changing what it says")
    return out.getvalue()


def _assign(data: Any, wanted: Mapping[str, Any]) -> None:
    """Makes a mapping of ruamel.yaml equal to `wanted`, leaving every object alone that need not change."""
    for key in [key for key in data if key not in wanted]:
        del data[key]
    for key, value in wanted.items():
        if key not in data:
            data[key] = value
        elif data[key] != value and (changed := _changed(data[key], value)) is not data[key]:
            data[key] = changed


def _changed(own: Any, wanted: Any) -> Any:
    """The value itself where it can be made equal to `wanted`, else a new one."""
    if isinstance(wanted, Mapping) and isinstance(own, dict) and own:
        _assign(own, wanted)
        return own
    if _is_named(wanted) and _is_named(own) and _keeps_order(own, wanted):
        _assign_list(own, wanted)
        return own
    if isinstance(wanted, list) and isinstance(own, list):
        return [next((each for each in own if each == item), item) for item in wanted]
    return wanted


def _keeps_order(current: Sequence[Mapping[str, Any]], wanted: Sequence[Mapping[str, Any]]) -> bool:
    """Whether items that stay are in the order they had, and new ones behind them."""
    before = [item["name"] for item in current]
    after = [item["name"] for item in wanted]
    return [name for name in before if name in after] + [name for name in after if name not in before] == after


def _assign_list(data: Any, wanted: Sequence[Mapping[str, Any]]) -> None:
    by_name = {item["name"]: item for item in wanted}
    for i in reversed(range(len(data))):
        if data[i]["name"] not in by_name:
            del data[i]
    names = {item["name"]: item for item in data}
    for item in wanted:
        if item["name"] in names:
            _assign(names[item["name"]], item)
        else:
            data.append(item)
