"""Kubernetes' JSON, read with the types that the API promises: what is of another form is named, and never taken for nothing.

Absent and null are the same, as in the API itself. Source: Kubernetes API conventions, "Optional vs. Required".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from provisioner.errors import Malformed
from provisioner.wire import clipped, excerpt, shown

KUBERNETES = "Kubernetes"
TEXT_CHARS = 1_024
"""Of a name, an address, a version. A name has 253 at most, a label's value 63."""


def malformed(came: str) -> Malformed:
    """The error for an answer that is not of Kubernetes' form."""
    return Malformed(came, expected=KUBERNETES)


def parsed(text: str | bytes) -> JsonObject:
    """A JSON object. Raises Malformed."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise malformed(f"{excerpt(text)} where JSON is due") from None
    if not isinstance(document, dict):
        raise malformed(f"{shown(document)} where a JSON object is due")
    return JsonObject(document, "the answer")


class JsonObject:
    """One object of JSON. Every method raises Malformed, with the place, for what is of another form."""

    def __init__(self, values: Mapping[str, Any], place: str) -> None:
        self._values = values
        self._place = place

    def text(self, name: str, *, most: int = TEXT_CHARS) -> str:
        """Empty when it is not there."""
        value = self._values.get(name)
        if value is None:
            return ""
        if not isinstance(value, str) or len(value) > most:
            raise self._wrong(name, f"a text of at most {most:,} characters", value)
        return value

    def required(self, name: str) -> str:
        """A text that must be there."""
        return self.text(name) or self._raise(name, "a text", self._values.get(name))

    def words(self, name: str) -> str:
        """A text for people, cut where it is too long for them."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, str):
            raise self._wrong(name, "a text", value)
        return clipped(value or "")

    def flag(self, name: str) -> bool:
        """False when it is not there."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(name, "true or false", value)
        return bool(value)

    def number(self, name: str) -> int:
        """0 when it is not there."""
        value = self._values.get(name)
        if value is not None and type(value) is not int:
            raise self._wrong(name, "a whole number", value)
        return value or 0

    def within(self, name: str) -> JsonObject:
        """An object; one without any field when it is not there."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, dict):
            raise self._wrong(name, "an object", value)
        return JsonObject(value or {}, f"{self._place}: {name}" if ":" not in self._place else f"{self._place}.{name}")

    def each(self, name: str, *, required: bool = False, most: int) -> list[JsonObject]:
        """The objects of a list."""
        value = self._values.get(name)
        if value is None and not required:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self._wrong(name, "a list of objects", value)
        if len(value) > most:
            raise malformed(f"{self._place}: {len(value):,} {name}")
        return [JsonObject(item, f"{name}[{number}]") for number, item in enumerate(value)]

    def __contains__(self, name: str) -> bool:
        return self._values.get(name) is not None

    def _raise(self, name: str, expected: str, value: Any) -> str:
        raise self._wrong(name, expected, value)

    def _wrong(self, name: str, expected: str, value: Any) -> Malformed:
        return malformed(f"{self._place} has {shown(value)} in {name}, where {expected} is due")
