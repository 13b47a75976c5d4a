"""How the lab's own host functions are called: by the runspaces of its WinRM endpoint, and by the contract suite directly."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


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
