"""The part of WQL that filters need: comparisons of properties with values, AND, OR, NOT, brackets."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")|(?P<sign><>|!=|<=|>=|[=<>()])|(?P<word>[^\s'\"=<>()!]+))"
)


@dataclass(frozen=True)
class Condition:
    """One comparison, or several joined by `and`, `or`, `not`."""

    sign: str
    name: str = ""
    value: str = ""
    parts: tuple[Condition, ...] = ()

    def fits(self, row: Mapping[str, Any]) -> bool:
        if self.sign == "and":
            return all(part.fits(row) for part in self.parts)
        if self.sign == "or":
            return any(part.fits(row) for part in self.parts)
        if self.sign == "not":
            return not self.parts[0].fits(row)
        found = next((value for key, value in row.items() if key.lower() == self.name.lower()), None)
        return self._compare("" if found is None else str(found))

    def _compare(self, found: str) -> bool:
        left, right = found.lower(), self.value.lower()
        if self.sign == "like":
            return fnmatch.fnmatchcase(left, right.replace("%", "*").replace("_", "?"))
        if self.sign == "=":
            return left == right
        if self.sign in ("<>", "!="):
            return left != right
        if not (re.fullmatch(r"-?\d+", left) and re.fullmatch(r"-?\d+", right)):
            return False
        number, other = int(left), int(right)
        return {"<": number < other, ">": number > other, "<=": number <= other, ">=": number >= other}[self.sign]

    def values(self, name: str) -> list[str]:
        """All values that a property is compared with for equality."""
        own = [self.value] if self.sign == "=" and self.name.lower() == name.lower() else []
        return [*own, *(value for part in self.parts for value in part.values(name))]


@dataclass(frozen=True)
class Query:
    class_name: str
    where: Condition | None = None


def parse_query(text: str) -> Query:
    """`SELECT ... FROM class [WHERE condition]`; ValueError for anything else."""
    match = re.fullmatch(r"\s*select\s+.+?\s+from\s+(\w+)(?:\s+where\s+(.+))?\s*", text, re.IGNORECASE | re.DOTALL)
    if match is None:
        raise ValueError(text)
    return Query(match[1], parse_filter(match[2]) if match[2] else None)


def parse_filter(text: str) -> Condition:
    """What stands after WHERE; ValueError if it cannot be read."""
    reader = _Reader(text)
    found = reader.either()
    if reader.tokens:
        raise ValueError(text)
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[str] = []
        at = 0
        while at < len(text.rstrip()):
            match = _TOKEN.match(text, at)
            if match is None:
                raise ValueError(text)
            self.tokens.append(match[0].strip())
            at = match.end()

    def _take(self) -> str:
        if not self.tokens:
            raise ValueError(self.text)
        return self.tokens.pop(0)

    def _next_is(self, word: str) -> bool:
        if self.tokens and self.tokens[0].lower() == word:
            self.tokens.pop(0)
            return True
        return False

    def either(self) -> Condition:
        parts = [self.both()]
        while self._next_is("or"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else Condition("or", parts=tuple(parts))

    def both(self) -> Condition:
        parts = [self.one()]
        while self._next_is("and"):
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else Condition("and", parts=tuple(parts))

    def one(self) -> Condition:
        if self._next_is("not"):
            return Condition("not", parts=(self.one(),))
        if self._next_is("("):
            inner = self.either()
            if not self._next_is(")"):
                raise ValueError(self.text)
            return inner
        name, sign, value = self._take(), self._take().lower(), self._take()
        if not re.fullmatch(r"\w+", name) or sign not in ("=", "<>", "!=", "<", ">", "<=", ">=", "like"):
            raise ValueError(self.text)
        if value[0] in "'\"":
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        return Condition(sign, name, value)
