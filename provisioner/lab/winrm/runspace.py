"""A runspace of the lab's own: it knows no PowerShell, but the functions of the module whose text it was given.

The module comes as text, by a script whose first line is `# TalosHyperV module <version>`. From then on this runspace, and no other of
its pool, has exactly the functions that the text defines and the lab has an implementation of. Any other script fails with its first
120 characters: a lab that answers nothing to what it does not understand hides errors.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from provisioner.lab.functions.api import ErrorRecord, Functions, Streams, Terminating
from provisioner.lab.winrm.binding import Bound, bind
from provisioner.lab.winrm.exchange import Identity
from provisioner.lab.winrm.stats import Counters

MODULE_HEADER = re.compile(r"\ufeff?# TalosHyperV module (?P<version>\d+(?:\.\d+){1,3})[ \t]*\r?$", re.MULTILINE)
"""First line of the module's text, as its loader writes it."""
_FUNCTION = re.compile(r"^function\s+(?:global:)?([A-Za-z]+-[A-Za-z0-9]+)", re.IGNORECASE | re.MULTILINE)
SHOWN_CHARACTERS = 120


class Stopped(Exception):
    """The pipeline was stopped by its client."""


@dataclass(frozen=True)
class Command:
    """A command of a pipeline, values plain."""

    text: str
    is_script: bool
    local_scope: bool
    parameters: Sequence[tuple[str | None, Any]]


class Output(Protocol):
    """Where a command writes. Each raises Stopped once the pipeline is to stop."""

    def result(self, type_name: str, fields: Mapping[str, Any], types: Mapping[str, str]) -> None: ...

    def error(self, record: ErrorRecord, function: str) -> None: ...

    def warning(self, text: str) -> None: ...

    def progress(self, activity: str, status: str, percent: int) -> None: ...


class Failure(Exception):
    """A terminating error; `function` is what PowerShell appends to its id."""

    def __init__(self, record: ErrorRecord, function: str = "") -> None:
        super().__init__(record.message)
        self.record = record
        self.function = function


class Runspace:
    """One runspace with its function table. A `restricted` one has all functions from the start, and no language."""

    def __init__(self, functions: Functions, counters: Counters, *, restricted: bool = False) -> None:
        self._functions = functions
        self._counters = counters
        self._restricted = restricted
        self._table: dict[str, str] = {name.lower(): name for name in functions.table} if restricted else {}

    def run(self, commands: Sequence[Command], output: Output, user: Identity, stopping: threading.Event) -> None:
        """One statement, for that user. Raises Failure and Stopped."""
        first, *rest = commands
        if rest:
            raise Failure(_not_modelled(f"a pipeline into {rest[0].text}"))
        if first.is_script:
            self._load(first)
        else:
            self._call(first, output, user, stopping)

    def _load(self, command: Command) -> None:
        if self._restricted:
            raise Failure(_NO_LANGUAGE)
        header = MODULE_HEADER.match(command.text)
        if header is None:
            raise Failure(_not_modelled(f"the script {command.text[:SHOWN_CHARACTERS]!r}"))
        known = {name.lower(): name for name in self._functions.table}
        defined = [name.lower() for name in _FUNCTION.findall(command.text)]
        self._counters.add("module_loads")
        if not command.local_scope:  # else the definitions end with the script
            self._table |= {name: known[name] for name in defined if name in known}

    def _call(self, command: Command, output: Output, user: Identity, stopping: threading.Event) -> None:
        name = self._table.get(command.text.lower())
        if name is None:
            raise Failure(_not_found(command.text))
        self._counters.count("calls", name)
        row = self._functions.table[name]
        try:
            bound = bind(row.parameters, command.parameters, should_process=row.changes)
            own = Streams(
                error=lambda record: _non_terminating(record, name, bound, output),
                warning=output.warning,
                progress=output.progress,
                what_if=bound.what_if,
                user=user.user,
                administrator=user.administrator,
                stopping=stopping,
            )
            for fields in self._functions.run(name, bound.arguments, own):
                output.result(row.output, fields, row.fields)
        except Terminating as error:
            raise Failure(error.record, name) from error


def _non_terminating(record: ErrorRecord, name: str, bound: Bound, output: Output) -> None:
    if bound.error_action in ("Stop", "Inquire"):  # there is no one to ask
        raise Terminating(record)
    if bound.error_action == "Continue":
        output.error(record, name)


_NO_LANGUAGE = ErrorRecord(
    id="ScriptsNotAllowed",
    category="ParserError",
    message="The syntax is not supported by this runspace. This can occur if the runspace is in no-language mode.",
    exception="System.Management.Automation.ParseException",
)


def _not_found(name: str) -> ErrorRecord:
    return ErrorRecord(
        id="CommandNotFoundException",
        category="ObjectNotFound",
        message=f"The term '{name}' is not recognized as the name of a cmdlet, function, script file, or operable program."
        " Check the spelling of the name, or if a path was included, verify that the path is correct and try again.",
        target=name,
        exception="System.Management.Automation.CommandNotFoundException",
    )


def _not_modelled(what: str) -> ErrorRecord:
    return ErrorRecord(
        id="LabNotModelled",
        category="NotImplemented",
        message=f"The lab's own runspace does not know {what}. Only the module TalosHyperV runs in it.",
    )
