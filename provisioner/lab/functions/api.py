"""How the lab's own host functions are called: by the runspaces of its WinRM endpoint, and by the contract suite directly. Names and types
are read from the one file that says them (powershell/TalosHyperV/contract.yaml).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

import yaml

from provisioner.data import data_folder


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter as the contract names it. `type` is a word of the contract: string, bool, switch, int32, int64, string[]."""

    name: str
    type: str
    mandatory: bool = False
    default: Any = None


@dataclass(frozen=True, kw_only=True)
class Function:
    """A function as the contract has it."""

    name: str
    parameters: tuple[Parameter, ...]
    output: str
    """PSTypeName of the results, as `TalosHyperV.VM`."""
    fields: Mapping[str, str]
    """Of a result, in their order, with their types in the contract's words: an int64 stays one on the wire, however small."""
    changes: bool
    """Whether it supports -WhatIf."""


@dataclass(frozen=True, kw_only=True)
class ErrorRecord:
    """What becomes a PowerShell error record. `id` is the part of the FullyQualifiedErrorId before the comma; a function appends its
    own name after it. `category` is a word of ErrorCategory.
    """

    id: str
    category: str
    message: str
    target: str = ""
    exception: str = "System.Management.Automation.RuntimeException"


class Terminating(Exception):
    """Ends the function with this error record."""

    def __init__(self, record: ErrorRecord) -> None:
        super().__init__(record.message)
        self.record = record


@dataclass
class Streams:
    """Where a function writes besides its results, and how it is stopped."""

    error: Callable[[ErrorRecord], None]
    """A non-terminating error: the function goes on with its next item."""
    warning: Callable[[str], None] = lambda _text: None
    progress: Callable[[str, str, int], None] = lambda _activity, _status, _percent: None
    what_if: bool = False
    user: str = ""
    administrator: bool = True
    stopping: threading.Event = field(default_factory=threading.Event)


class Functions(Protocol):
    """The host functions, and how they are run."""

    table: Mapping[str, Function]
    """By name, in the contract's spelling and order."""

    def run(self, name: str, arguments: Mapping[str, Any], streams: Streams) -> Iterator[Mapping[str, Any]]:
        """Results one by one, with Python values (str, bool, int, list of str, None) in the contract's order of fields. Arguments are bound
        and converted already; switches and defaults are filled in, parameters without a default that were not given are missing.
        Raises Terminating. The world's lock is not held by the caller.
        """


# --- the contract ---------------------------------------------------------------------------------------------------

_EMPTY: dict[str, Any] = {"bool": False, "int32": 0, "int64": 0, "string[]": []}


@dataclass(frozen=True)
class Contract:
    module_version: str
    functions: Mapping[str, Function]
    """By name, in the contract's order."""


@cache
def contract() -> Contract:
    text = (data_folder("powershell") / "TalosHyperV" / "contract.yaml").read_text(encoding="utf-8")
    data: dict[str, Any] = yaml.safe_load(text)
    functions = {
        name: Function(
            name=name,
            parameters=tuple(Parameter(**parameter) for parameter in row["parameters"]),
            output=row["output"],
            fields=data["types"][row["output"]],
            changes=row["kind"] == "change",
        )
        for name, row in data["functions"].items()
    }
    return Contract(str(data["module_version"]), functions)


def empty_result(function: str) -> dict[str, Any]:
    """A result of that function, each field the nothing of its type."""
    return {field: _EMPTY.get(kind, "") for field, kind in contract().functions[function].fields.items()}
