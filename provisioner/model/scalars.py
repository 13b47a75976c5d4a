"""What an unquoted scalar of YAML means to Talos, and how it was written.

Talos reads YAML 1.2 with some of 1.1 (its library is go-yaml 3), and which of spelling and value counts is decided by the field: the text
`1.10` is a fine label and a bad number. So a patch keeps both until the table of Talos' fields has the word.

Source: resolve.go of gopkg.in/yaml.v3; `judge patch` (tests/interop/talos) is asked the same.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

Value = bool | int | float | dt.date
"""What an unquoted scalar can mean besides text and nothing."""

_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_NOT_A_NUMBER = frozenset({".nan", ".NaN", ".NAN"})
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_POINT = re.compile(r"\.[0-9]+(?:[eE][-+]?[0-9]+)?")
_INT = re.compile(
    r"([-+]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<bin>[01]+)|0[oO]?(?P<oct>[0-7]+)|(?P<dec>0|[1-9][0-9]*))"
)
_DATE = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:(?:[Tt]([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[.,][0-9]+)?(?:Z|[-+][0-9]{2}:[0-9]{2}))"
    r"|(?: ([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:[.,][0-9]+)?))?"
)
_LONGEST_NUMBER = 400
"""Digits beyond which Python takes long over a number that is none to Talos either way."""

_MOST_DIGITS = 6
"""Before the point: from there on Go writes an exponent."""

LEAST_INT: Final = -(1 << 63)
MOST_INT: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Scalar:
    """An unquoted scalar that is no text: how it was written, and what Talos takes it for where no field says otherwise."""

    text: str
    value: Value

    def __str__(self) -> str:
        return self.text


class OddKey(str):
    """A key of a mapping that was written unquoted and is no text to YAML, as `1:` or `null:`. Equal to its spelling."""

    __slots__ = ("meant",)

    meant: Scalar | None


def resolve(text: str) -> Scalar | str | None:
    """What an unquoted scalar means: text, nothing, or a `Scalar`."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return Scalar(text, text in _TRUE)
    if text in _NOT_A_NUMBER:
        return Scalar(text, float("nan"))
    if found := _INFINITE.fullmatch(text):
        return Scalar(text, float(f"{found[1]}inf"))
    if text[0] == ".":
        return Scalar(text, float(text)) if _POINT.fullmatch(text) else text
    if text[0] not in "+-0123456789" or len(text) > _LONGEST_NUMBER:
        return text
    if (date := _date(text)) is not None:
        return Scalar(text, date)
    number = _number(text.replace("_", ""))
    return text if number is None else Scalar(text, number)


def shortened(text: str, most: int = 60) -> str:
    """A text of the user's as a finding repeats it: not too long for one line."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def key(text: str) -> str:
    """A key of a mapping that was written unquoted."""
    meant = resolve(text)
    if isinstance(meant, str):
        return text
    odd = OddKey(text)
    odd.meant = meant
    return odd


def written_float(value: float) -> str:
    """A fraction as Talos writes it: Go's shortest `%g`, and `.inf` and `.nan` as YAML has them."""
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    shown = "".join(map(str, digits))
    power = len(digits) + int(exponent) - 1  # of ten, in front of the first digit
    minus = "-" if sign else ""
    if not value:
        return f"{minus}0"
    if power < -4 or power >= _MOST_DIGITS:
        point = f".{shown[1:]}" if len(shown) > 1 else ""
        return f"{minus}{shown[0]}{point}e{'-' if power < 0 else '+'}{abs(power):02}"
    return minus + format(Decimal(repr(abs(value))).normalize(), "f")


def _number(digits: str) -> int | float | None:
    if found := _INT.fullmatch(digits):
        base, body = next((base, body) for base, body in zip((16, 2, 8, 10), found.groups()[1:], strict=True) if body)
        value = int(f"{found[1]}{body}", base)
        if LEAST_INT <= value <= MOST_INT:
            return value
    if not _FLOAT.fullmatch(digits):
        return None
    real = float(digits)
    return None if real in (float("inf"), float("-inf")) else real


def _date(text: str) -> dt.date | None:
    found = _DATE.fullmatch(text)
    if not found:
        return None
    year, month, day, *clock = (int(part) if part else 0 for part in found.groups())
    hour, minute, second = clock[:3] if found[4] else clock[3:]
    try:
        return dt.datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 - the moment itself is never used
    except ValueError:
        return None


class Octal(int):
    """A file's mode: written in octal."""
