"""What is wrong with a config, and where: values, with the words for people at their end."""

from __future__ import annotations

import ast
import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from provisioner.model.scalars import Scalar

DocumentId = tuple[str, str, str]
"""apiVersion, kind and name of a document; all empty for the one with `machine` and `cluster`."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a config."""

    path: str
    """As `machine.network.interfaces[0].mtu` or `machine.nodeLabels['a/b']`; empty for the whole document. `steps_of` takes it apart."""
    text: str
    did_you_mean: str = ""
    document: DocumentId = ("", "", "")
    severity: str = "error"
    """`error`, or `warning`: Talos takes it."""

    def __str__(self) -> str:
        hint = f" (did you mean {self.did_you_mean}?)" if self.did_you_mean else ""
        return f"{self.place}: {self.text}{hint}" if self.place else f"{self.text}{hint}"

    @property
    def place(self) -> str:
        """The path, with kind and name of a document that has them, as `VolumeConfig/EPHEMERAL: provisioning.minSize`."""
        where = "/".join(filter(None, self.document[1:]))
        return ": ".join(filter(None, (where, self.path)))


_STEP = re.compile(r"\[([0-9]+)\]|\[('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\]|([^.\[]+)")


def steps_of(path: str) -> tuple[str | int, ...]:
    """The keys and indices of a problem's path."""
    steps: list[str | int] = []
    for index, quoted, word in _STEP.findall(path):
        steps.append(int(index) if index else str(ast.literal_eval(quoted)) if quoted else word)
    return tuple(steps)


def document_id(document: Mapping[str, Any]) -> DocumentId:
    """Who a document is."""
    return tuple(str(document.get(key) or "") for key in ("apiVersion", "kind", "name"))  # type: ignore[return-value] # three keys make three


def describe(value: Any) -> str:
    """Values are named by their kind alone: in a config many of them are secrets."""
    value = value.value if isinstance(value, Scalar) else value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, dt.date):
        return "a date"
    return "a number" if isinstance(value, (int, float)) else "a string"
