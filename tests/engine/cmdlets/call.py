"""One call of a cmdlet, as its behaviour sees it: what was bound, who asks, and where to answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from provisioner.lab.world.hyperv.errors import CmdletError
from provisioner.lab.world.hyperv.service import Caller
from tests.engine.cmdlets.description import Cmdlet, description

Object = dict[str, Any]
"""An object of the tables: its properties, and its class under `#`. What is left out reads as null, zero or false."""

VIRTUALIZATION = "Microsoft.HyperV.PowerShell.VirtualizationException"
CIM = "Microsoft.Management.Infrastructure.CimException"
_EXCEPTIONS = {"Hyper-V": VIRTUALIZATION, "Lab.PowerShell": "System.InvalidOperationException"}


class ShellError(CmdletError):
    """An error of a cmdlet outside Hyper-V, with the exception that it carries there."""

    def __init__(
        self,
        id: str,
        category: str,
        message: str,
        target: str = "",
        *,
        exception: str = "",
        hresult: int = 0,
        status: int = 0,
        terminating: bool = False,
    ) -> None:
        super().__init__(id, category, message, target, terminating=terminating)
        self.exception = exception
        self.hresult = hresult
        self.status = status


class Stopped(Exception):
    """The pipeline was stopped or its engine is gone: nobody waits for the answer any more."""


class Wire(Protocol):
    """The connection to the engine. All methods raise Stopped."""

    def say(self, *message: Any) -> None: ...

    def ask(self, *message: Any) -> Any: ...

    def check(self) -> None:
        """Returns at once; raises if the other side is gone."""


@dataclass
class Call:
    cmdlet: Cmdlet
    set_name: str
    arguments: Mapping[str, Any]
    """What was bound, by the parameters' real names; what was not bound is missing."""
    caller: Caller
    wire: Wire
    sleep: Callable[[float], None] = field(repr=False)
    """Lets that many seconds of the world pass."""

    # -- what was asked

    def __contains__(self, name: str) -> bool:
        return name in self.arguments

    def get(self, name: str, default: Any = None) -> Any:
        """A bound argument. A bound $null counts as not given."""
        value = self.arguments.get(name)
        return default if value is None else value

    def text(self, name: str, default: str = "") -> str:
        return str(self.get(name, default))

    def switch(self, name: str) -> bool:
        return bool(self.get(name, False))

    def items(self, name: str) -> list[Any]:
        """An array argument; one value is an array of one."""
        value = self.get(name, [])
        return list(value) if isinstance(value, list) else [value]

    # -- what is answered

    def out(self, class_name: str, properties: Mapping[str, Any]) -> None:
        self.wire.say("out", made(class_name, properties))

    def out_plain(self, value: bool | str | int) -> None:
        self.wire.say("out", value)

    def warning(self, text: str) -> None:
        self.wire.say("warning", text)

    def verbose(self, text: str) -> None:
        self.wire.say("verbose", text)

    def progress(self, activity: str, status: str, percent: int) -> None:
        self.wire.say("progress", activity, status, percent)

    def error(self, refusal: CmdletError) -> None:
        """An error that does not end the cmdlet."""
        self.wire.say("error", self.record(refusal))

    def record(self, refusal: CmdletError) -> dict[str, Any]:
        exception = getattr(refusal, "exception", "") or _EXCEPTIONS.get(self.cmdlet.module, CIM)
        return {
            "id": refusal.id,
            "category": refusal.category,
            "message": refusal.message,
            "target": refusal.target,
            "exception": exception,
            "hresult": getattr(refusal, "hresult", 0),
            "status": getattr(refusal, "status", 0),
        }

    def should(self, target: str, action: str = "") -> bool:
        """Whether to go on: the engine answers for -WhatIf and -Confirm, and says what would happen."""
        return bool(self.wire.ask("should", target, action or self.cmdlet.name))

    def genuine(self, name: str, **instead: Any) -> None:
        """Has the engine's own cmdlet do the work, with other values for some of its arguments; None leaves one out."""
        self.wire.say("genuine", name, instead)

    # -- time

    def spend(self, seconds: float) -> None:
        """That much time of the world passes, unless the pipeline is stopped."""
        self.wire.check()
        self.sleep(seconds)
        self.wire.check()

    # -- many items

    def each(self, items: Iterable[Any], act: Callable[[Any], None]) -> None:
        """Does something with each item; the error of one does not keep the others from their turn."""
        for item in items:
            try:
                act(item)
            except CmdletError as refusal:
                if refusal.terminating:
                    raise
                self.error(refusal)


def made(class_name: str, properties: Mapping[str, Any]) -> Object:
    """An object of the tables, by its class name without namespace."""
    return {"#": description().full_name(class_name), **properties}
