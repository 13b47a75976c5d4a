"""Calls that wait for a session, and those who wait for them. Lives on the loop's thread.

Several lanes often ask for the same thing in the same moment: four machines are started, four screens are closed. Such calls
travel as one pipeline, and each caller gets its own result or error. Which record is whose follows from the contract's rules:
a function that takes a list writes one object or one error per item, in the order of the items; errors name the item.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from provisioner.errors import HostRefused, Malformed
from provisioner.hyperv.module import MODULE
from provisioner.ports import Progress
from provisioner.winrm.transport import Statement, same_name

MAX_STATEMENTS = 20
"""Statements in one pipeline. One takes about 6 KB on the wire, and a pipeline must fit into one envelope (see `psrp.py`)."""

Result = tuple[str, Mapping[str, Any]]
"""PSTypeName and fields."""


@dataclass(eq=False)
class PendingCall:
    """A call that someone waits for: for the results of its items, or of its statement."""

    statement: Statement
    items: tuple[str, ...] = ()
    progress: Callable[[Progress], None] = lambda _progress: None
    arrived: Callable[[str, Mapping[str, Any]], None] = lambda _type, _values: None
    """Receives each result as it comes."""
    future: asyncio.Future[list[Result]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    results: list[Result] = field(default_factory=list)
    errors: list[HostRefused] = field(default_factory=list)

    def resolve(self) -> None:
        """The wait ends, with the first error if there is one, else with the results."""
        if self.future.done():
            return
        if self.errors:
            self.future.set_exception(self.errors[0])
        else:
            self.future.set_result(self.results)

    def fail(self, error: BaseException) -> None:
        """The wait ends with that error, if it has not ended yet."""
        if not self.future.done():
            self.future.set_exception(error)


class CallBatch(ABC):
    """One pipeline that is not sent yet, and the calls that it is for."""

    def __init__(self, *, changes: bool, long: bool = False, stoppable: bool | None = None) -> None:
        self.changes = changes
        self.stoppable = not changes if stoppable is None else stoppable
        """When its callers leave, a read in flight is stopped; a change is let end, if not said otherwise."""
        self.long = long
        """It may hold its worker for minutes."""
        self.callers: list[PendingCall] = []

    @property
    def key(self) -> Hashable:
        """Batches with equal keys can be one."""
        return None

    @property
    def full(self) -> bool:
        """Whether no further call may join."""
        return False

    @property
    def wanted(self) -> bool:
        """Whether someone still waits for any of it."""
        return any(not caller.future.done() for caller in self.callers)

    @abstractmethod
    def statements(self) -> tuple[Statement, ...]:
        """What to run, in this order."""

    @abstractmethod
    def result(self, type_name: str, values: Mapping[str, Any]) -> None:
        """An object that the host wrote, for the calls it is of."""

    @abstractmethod
    def error(self, refused: HostRefused) -> None:
        """An error record, for the calls it is of."""

    def restart(self) -> None:
        """Records so far are void."""
        for caller in self.callers:
            caller.results.clear()
            caller.errors.clear()

    def progress(self, progress: Progress) -> None:
        for caller in self.callers:
            caller.progress(progress)

    def done(self, *, cut_short: bool) -> CallBatch | None:
        """All records are there. Returns what a terminating error kept from running, as a batch of its own."""
        del cut_short
        for caller in self.callers:
            caller.resolve()
        return None

    def fail(self, error: BaseException) -> None:
        for caller in self.callers:
            caller.fail(error)


class SingleCall(CallBatch):
    """A call of its own: all records are its. Equal reads share one. Without statements the worker makes its session, for the calls that
    will come; that is never cut short: the host would keep the shell.
    """

    def __init__(
        self, statements: Sequence[Statement], *, changes: bool, long: bool = False, stoppable: bool | None = None
    ) -> None:
        super().__init__(changes=changes, long=long, stoppable=stoppable)
        self._statements = tuple(statements)

    @property
    def key(self) -> Hashable:
        if self.changes or self.long:
            return None
        return repr(self._statements)

    def statements(self) -> tuple[Statement, ...]:
        return self._statements

    def result(self, type_name: str, values: Mapping[str, Any]) -> None:
        for caller in self.callers:
            caller.results.append((type_name, values))
            caller.arrived(type_name, values)

    def error(self, refused: HostRefused) -> None:
        for caller in self.callers:
            caller.errors.append(refused)


class PerItemBatch(CallBatch):
    """Calls of one function that takes a list, each for items of its own."""

    def __init__(
        self, make: Callable[[Sequence[str]], Statement], *, named: str, changes: bool, long: bool = False
    ) -> None:
        super().__init__(changes=changes, long=long)
        self._make = make
        self._named = named
        """The result's field that names the item."""
        self._unclaimed: list[HostRefused] = []

    @property
    def key(self) -> Hashable:
        return repr(self._make(()))

    def statements(self) -> tuple[Statement, ...]:
        return (self._make(self._order()),)

    def result(self, type_name: str, values: Mapping[str, Any]) -> None:
        item = str(values.get(self._named, ""))
        self._resolve_before(item)
        for caller in self._owners(item):
            caller.results.append((type_name, values))
            if not self.changes and len(caller.results) == len(caller.items):
                caller.resolve()  # a read: nothing can follow that would make it an error

    def error(self, refused: HostRefused) -> None:
        self._resolve_before(refused.target)
        owners = self._owners(refused.target)
        for caller in owners:
            caller.errors.append(refused)
        if not owners:
            self._unclaimed.append(refused)  # its target is a folder, a property: of one of those without a result

    def restart(self) -> None:
        super().restart()
        self._unclaimed.clear()

    def done(self, *, cut_short: bool) -> CallBatch | None:
        for caller in self.callers:
            if not caller.errors and len(caller.results) < len(caller.items):
                caller.errors += self._unclaimed
        return super().done(cut_short=cut_short)

    def _resolve_before(self, item: str) -> None:
        """Items are worked on in order: with a record of this one, those before it have theirs."""
        order = [own.casefold() for own in self._order()]
        if item.casefold() not in order:
            return
        begun = order[: order.index(item.casefold())]
        for caller in self.callers:
            if (caller.results or caller.errors) and all(own.casefold() in begun for own in caller.items):
                caller.resolve()

    def _order(self) -> list[str]:
        return list(dict.fromkeys(item for caller in self.callers for item in caller.items))

    def _owners(self, item: str) -> list[PendingCall]:
        return [caller for caller in self.callers if any(same_name(item, own) for own in caller.items)]


class StatementBatch(CallBatch):
    """Calls of functions that take one object: one statement each, run in turn. A terminating error ends the pipeline, so what
    came after it is run again without the one that failed.
    """

    def __init__(self, function: str, *, named: str) -> None:
        super().__init__(changes=True)
        self._function = function
        self._named = named

    @property
    def key(self) -> Hashable:
        return self._function

    @property
    def full(self) -> bool:
        return len(self.callers) >= MAX_STATEMENTS

    def statements(self) -> tuple[Statement, ...]:
        return tuple(caller.statement for caller in self.callers)

    def result(self, type_name: str, values: Mapping[str, Any]) -> None:
        name = str(values.get(self._named, ""))
        for number, caller in enumerate(self.callers):
            if same_name(name, str(caller.statement.arguments[self._named])):
                caller.results.append((type_name, values))
                for earlier in self.callers[:number]:
                    if earlier.results or earlier.errors:
                        earlier.resolve()

    def error(self, refused: HostRefused) -> None:
        """Errors name the object or something of it, so the order decides: each statement writes before the next one runs."""
        begun = [caller for caller in self.callers if caller.results or caller.errors]
        named = [c for c in self.callers if same_name(refused.target, str(c.statement.arguments[self._named]))]
        after = self.callers[self.callers.index(begun[-1]) + 1 :] if begun else self.callers
        owner = (named or after or begun[-1:])[0]
        owner.errors.append(refused)

    def done(self, *, cut_short: bool) -> CallBatch | None:
        silent = [caller for caller in self.callers if not caller.results and not caller.errors]
        if len(silent) == len(self.callers) or not cut_short:
            for caller in silent:
                caller.fail(Malformed(f"{self._function} ended without a result", expected=MODULE))
            silent = []
        for caller in self.callers:
            if caller not in silent:
                caller.resolve()
        if not silent:
            return None
        rest = StatementBatch(self._function, named=self._named)
        rest.callers = silent
        return rest
