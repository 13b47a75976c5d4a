"""Expressions that choose disks and volumes: parsed and typed as far as Talos' environments go (CEL, cel.dev; Talos' celenv)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NoReturn

_NUMBERS = ("int", "uint", "double")
_TEXTS = "model serial modalias wwid bus_path sub_system transport dev_path pretty_size uuid"
_DISK = {
    **dict.fromkeys(_TEXTS.split(), "string"),
    **dict.fromkeys(("size", "io_size", "sector_size"), "uint"),
    **dict.fromkeys(("readonly", "rotational", "cdrom"), "bool"),
    **dict.fromkeys(("secondary_disks", "symlinks"), "list"),
}
_VOLUME_TEXTS = "type device_path parent name uuid label partition_uuid partition_type partition_label dev_path parent_dev_path pretty_size"
_VOLUME_NUMBERS = "size sector_size io_size block_size filesystem_block_size probed_size partition_index"
_VOLUME = dict.fromkeys(_VOLUME_TEXTS.split(), "string") | dict.fromkeys(_VOLUME_NUMBERS.split(), "uint")
_UNITS = dict.fromkeys(["KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "kB", "MB", "GB", "TB", "PB", "EB"], "uint")
DISK: Mapping[str, str] = {"disk": "disk", "system_disk": "bool", "glob": "", **_UNITS}
VOLUME: Mapping[str, str] = {"disk": "disk", "volume": "volume", **_UNITS}
"""What an expression may name, with its type."""
_FIELDS = {"disk": _DISK, "volume": _VOLUME}

_TOKEN = re.compile(
    r"\s*(?:(?P<double>\d+\.\d+(?:[eE][-+]?\d+)?)|(?P<uint>(?:0x[0-9a-fA-F]+|\d+)[uU])|(?P<int>0x[0-9a-fA-F]+|\d+)"
    r"|(?P<string>r?\"(?:\\.|[^\"\\])*\"|r?'(?:\\.|[^'\\])*')|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}]))"
)
_METHODS = {"startsWith": "bool", "endsWith": "bool", "contains": "bool", "matches": "bool", "size": "int"}
_LIST_METHODS = {"exists": "bool", "all": "bool", "exists_one": "bool", "filter": "list", "map": "list", "size": "int"}
_FUNCTIONS = {"size": "int", "string": "string", "int": "int", "uint": "uint", "double": "double", "has": "bool"}
_BINARY = (("||",), ("&&",), ("==", "!=", "<", "<=", ">", ">=", "in"), ("+", "-"), ("*", "/", "%"))
_MOST = 60
"""No expression is nested so deep."""


class _WrongError(Exception):
    pass


def fault_of(text: str, names: Mapping[str, str]) -> str | None:
    """What is wrong with an expression that must give true or false; None when nothing is."""
    try:
        found = _Parser(text, names).whole()
    except _WrongError as error:
        return str(error)
    return None if found in ("bool", "dyn") else f"expression output type is {found}, expected bool"


class _Parser:
    """Each method reads a part and gives its type; `dyn` is what fits everywhere."""

    def __init__(self, text: str, names: Mapping[str, str]) -> None:
        self._text = text
        self._names = dict(names)
        self._tokens: list[tuple[str, str, int]] = []
        self._at = self._depth = 0
        place = 0
        while text[place:].strip():
            found = _TOKEN.match(text, place)
            if found is None or found.lastgroup is None:
                self._wrong(
                    place + len(text[place:]) - len(text[place:].lstrip()), "Syntax error: token recognition error"
                )
            self._tokens.append((found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)))
            place = found.end()
        self._tokens.append(("end", "<EOF>", len(text)))

    def whole(self) -> str:
        found = self._ternary()
        if self._peek()[0] != "end":
            self._wrong(self._peek()[2], f"Syntax error: extraneous input '{self._peek()[1]}'")
        return found

    def _peek(self) -> tuple[str, str, int]:
        return self._tokens[self._at]

    def _take(self, *signs: str) -> str:
        kind, text, _ = self._peek()
        if text in signs and kind in ("sign", "name"):
            self._at += 1
            return text
        return ""

    def _need(self, sign: str) -> None:
        if not self._take(sign):
            self._wrong(self._peek()[2], f"Syntax error: mismatched input '{self._peek()[1]}' expecting '{sign}'")

    def _wrong(self, place: int, text: str) -> NoReturn:
        raise _WrongError(f"ERROR: <input>:1:{place + 1}: {text}\n | {self._text}\n | {'.' * place}^")

    def _ternary(self) -> str:
        self._depth += 1
        if self._depth > _MOST:
            self._wrong(self._peek()[2], "expression recursion limit exceeded")
        found = self._binary(0)
        if self._take("?"):
            first = self._ternary()
            self._need(":")
            second = self._ternary()
            found = first if first == second else "dyn"
        self._depth -= 1
        return found

    def _binary(self, level: int) -> str:
        if level == len(_BINARY):
            return self._unary()
        left = self._binary(level + 1)
        while sign := self._take(*_BINARY[level]):
            place = self._tokens[self._at - 1][2]
            left = self._typed(sign, left, self._binary(level + 1), place)
        return left

    def _typed(self, sign: str, left: str, right: str, place: int) -> str:
        if "dyn" in (left, right):
            return "bool" if sign in ("||", "&&", "==", "!=", "<", "<=", ">", ">=", "in") else "dyn"
        fits = left == right
        if sign in ("||", "&&"):
            result, fits = "bool", left == right == "bool"
        elif sign == "in":
            result, fits = "bool", right == "list"
        elif sign in ("==", "!="):
            result = "bool"
        elif sign in ("<", "<=", ">", ">="):
            result, fits = "bool", fits and left in (*_NUMBERS, "string", "bool")
        else:
            result, fits = left, fits and (left in _NUMBERS or (sign == "+" and left in ("string", "list")))
        if not fits:
            self._wrong(place, f"found no matching overload for '_{sign}_' applied to '({left}, {right})'")
        return result

    def _unary(self) -> str:
        if sign := self._take("!", "-"):
            place, found = self._tokens[self._at - 1][2], self._unary()
            if found != "dyn" and (found != "bool" if sign == "!" else found not in ("int", "double")):
                self._wrong(place, f"found no matching overload for '{sign}_' applied to '({found})'")
            return found
        return self._member(self._primary())

    def _primary(self) -> str:
        kind, text, place = self._peek()
        self._at += 1
        if kind in ("double", "uint", "int", "string"):
            return kind
        if text == "(":
            found = self._ternary()
            self._need(")")
            return found
        if text == "[":
            self._arguments("]")
            return "list"
        if kind != "name":
            self._wrong(place, f"Syntax error: mismatched input '{text}'")
        if text in ("true", "false"):
            return "bool"
        if self._peek()[1] == "(":
            return self._call(text, place)
        if not self._names.get(text):
            self._wrong(place, f"undeclared reference to '{text}' (in container '')")
        return self._names[text]

    def _call(self, name: str, place: int) -> str:
        self._need("(")
        arguments = self._arguments(")")
        if name == "glob" and name in self._names:
            if any(found not in ("string", "dyn") for found in arguments) or len(arguments) != 2:
                self._wrong(place, f"found no matching overload for 'glob' applied to '({', '.join(arguments)})'")
            return "bool"
        if name not in _FUNCTIONS:
            self._wrong(place, f"undeclared reference to '{name}' (in container '')")
        return _FUNCTIONS[name]

    def _arguments(self, end: str) -> list[str]:
        found: list[str] = []
        while not self._take(end):
            if found:
                self._need(",")
            found.append(self._ternary())
        return found

    def _member(self, owner: str) -> str:
        while self._take(".", "["):
            if self._tokens[self._at - 1][1] == "[":
                self._ternary()
                self._need("]")
                owner = "string" if owner == "list" else "dyn"
                continue
            kind, name, place = self._peek()
            self._at += 1
            if kind != "name":
                self._wrong(place, f"Syntax error: no viable alternative at input '.{name}'")
            owner = self._method(owner, name, place) if self._take("(") else self._field(owner, name, place)
        return owner

    def _field(self, owner: str, name: str, place: int) -> str:
        fields = _FIELDS.get(owner, {})
        if owner != "dyn" and name not in fields:
            text = f"undefined field '{name}'" if fields else f"type '{owner}' does not support field selection"
            self._wrong(place - 1, text)
        return fields.get(name, "dyn")

    def _method(self, owner: str, name: str, place: int) -> str:
        known = {"string": _METHODS, "list": _LIST_METHODS}.get(owner, {})
        if owner != "dyn" and name not in known:
            self._wrong(place, f"undeclared reference to '{name}' (in container '')")
        outer = dict(self._names)
        if owner == "list" and name != "size" and self._peek()[0] == "name":
            self._names[self._peek()[1]] = "string"
        arguments = self._arguments(")")
        self._names = outer
        if owner == "string" and name != "size" and arguments not in (["string"], ["dyn"]):
            self._wrong(place, f"found no matching overload for '{name}' applied to 'string.({', '.join(arguments)})'")
        return known.get(name, "dyn")
