"""YAML as Talos means it: read by the core schema of YAML 1.2, written as Talos' own encoder writes.

PyYAML follows YAML 1.1, where an unquoted `off` is a boolean, `10:20:30` a number in base 60 and `2026-01-01` a date; host
names, MAC addresses and versions would be changed on the way. Here a plain scalar is something else than a string only when it is
beyond doubt: null, true, false, a canonical whole number, or a decimal fraction (whose spelling is kept).

Two documents that mean the same are also written the same, so that a file can be compared with what `talosctl gen config`
writes: keys in the order given, indentation by four, list items by two, no line folding.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable
from typing import Any, Self

import yaml

from provisioner.model.scalars import Octal, written_float

INDENT = 4

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_INT = re.compile(r"-?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+")
_DOUBTFUL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])*(?:\.[0-9_]*)?|[yYnN]")
"""Numbers and booleans that only some readers see as such (`0644`, `1_000`, `02:15:30`, `y`): text for us, and quoted when written."""


class YamlError(ValueError):
    """Text that is not YAML, or not what the core schema allows. `line` and `column` are one-based, 0 when not known."""

    def __init__(self, problem: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"line {line}, column {column}: {problem}" if line else problem)
        self.problem = problem
        self.line = line
        self.column = column


class WrittenFloat(float):
    """A fraction that remembers how it was written: `1.10` is a version as often as a number."""

    text: str

    def __new__(cls, text: str) -> Self:
        made = super().__new__(cls, text)
        made.text = text
        return made

    def __str__(self) -> str:
        return self.text


def load_documents(text: bytes | str) -> list[Any]:
    """All documents of a stream; empty ones are left out. Raises YamlError."""
    try:
        return [document for document in yaml.load_all(text, Loader=_CoreLoader) if document is not None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        problem = error.problem or "not YAML"
        raise YamlError(problem, mark.line + 1 if mark else 0, mark.column + 1 if mark else 0) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise YamlError(str(error).splitlines()[0]) from None
    except RecursionError:
        raise YamlError("nested too deeply") from None


def load(text: bytes | str) -> Any:
    """The only document of a stream, None when there is none. Raises YamlError."""
    documents = load_documents(text)
    if len(documents) > 1:
        raise YamlError(f"expected one document, got {len(documents)}")
    return documents[0] if documents else None


def dump_documents(documents: Iterable[Any]) -> bytes:
    """Documents as UTF-8 text, separated by `---`."""
    return b"---\n".join(dump(document) for document in documents)


def dump(document: Any) -> bytes:
    """One document as UTF-8 text."""
    text = yaml.dump(
        document,
        Dumper=_TalosDumper,
        sort_keys=False,
        indent=INDENT,
        width=1 << 30,
        allow_unicode=True,
    )
    return text.encode()


class _CoreLoader(yaml.SafeLoader):
    """SafeLoader with the resolvers of the core schema, and a repeated key as the error that it is."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML keeps its table on the class

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a scalar", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _whole(pattern: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(rf"^(?:{pattern.pattern})$")


def _construct_int(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    try:
        return int(str(loader.construct_scalar(node)), 0)
    except ValueError:  # of more digits than Python reads
        raise yaml.constructor.ConstructorError(None, None, "too large a number", node.start_mark) from None


_CoreLoader.add_implicit_resolver("tag:yaml.org,2002:null", _whole(_NULL), ["~", "n", "N", ""])
_CoreLoader.add_implicit_resolver("tag:yaml.org,2002:bool", _whole(_BOOL), list("tTfF"))
_CoreLoader.add_implicit_resolver("tag:yaml.org,2002:int", _whole(_INT), list("-0123456789"))
_CoreLoader.add_implicit_resolver("tag:yaml.org,2002:float", _whole(_FLOAT), list("-+.0123456789"))
_CoreLoader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])
_CoreLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_CoreLoader.add_constructor("tag:yaml.org,2002:float", lambda _, node: WrittenFloat(str(node.value)))


class _TalosDumper(yaml.SafeDumper):
    """Lays lists and mappings out as the YAML library of Talos does."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002 - lists are always indented
        before = self.indent
        super().increase_indent(flow, False)
        if before is None:
            return
        # What stands in a list item begins right behind its dash; all else (`flow` is a block of text here) at the next
        # multiple of four.
        in_item = self.sequence_context and not flow
        self.indent = before + 2 if in_item else INDENT * ((before + INDENT) // INDENT)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the same object twice is written out twice
        return True


def _represent_str(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if "\n" in text:
        style = "|"
    elif _is_doubtful(dumper, text):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_doubtful(dumper: yaml.SafeDumper, text: str) -> bool:
    """Whether any reader, old or new, could take the bare text for something else than a string."""
    if any(pattern.fullmatch(text) for pattern in (_NULL, _BOOL, _INT, _FLOAT, _DOUBTFUL)):
        return True
    resolved = dumper.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call] # types-PyYAML leaves it open
    return bool(resolved != "tag:yaml.org,2002:str")


def _plain(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """The text as it is, whatever PyYAML takes it for."""
    tag = dumper.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call] # types-PyYAML leaves it open
    return dumper.represent_scalar(str(tag), text)


_TalosDumper.add_representer(str, _represent_str)
_TalosDumper.add_representer(float, lambda dumper, value: _plain(dumper, written_float(value)))
_TalosDumper.add_representer(Octal, lambda dumper, value: _plain(dumper, f"0o{value:o}"))
_TalosDumper.add_representer(WrittenFloat, lambda dumper, value: _plain(dumper, value.text))
