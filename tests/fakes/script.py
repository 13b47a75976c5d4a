"""What all fakes have in common: each call is written down, and a test may say beforehand how calls go wrong.

    host.fail("remove_vm", Dropped("reset"), done=True)      the next one does its work, and its answer is lost
    host.fail("observe", Unreachable("no route"), forever=True)
    machines.fail("read", Unreachable("silent"), address="192.168.1.101", forever=True)
    host.hang("observe")                                     never answers
    host.before("start_vm", lambda call: ...)                the world changes while the call is on its way
    assert [call["id"] for call in host.made("stop_vm")] == ["id-home-cp-1"]

A fake is a small model: it holds state, a call reads or changes it, and refuses with the ids of the real thing. It never decides
what the product shall do.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """One call that a fake was given; `call["name"]` is an argument of it."""

    name: str
    given: Mapping[str, Any]

    def __getitem__(self, argument: str) -> Any:
        return self.given[argument]


@dataclass
class _Failure:
    error: BaseException
    where: Mapping[str, Any]
    done: bool
    forever: bool


class Scripted:
    """Base of the fakes."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        """All calls, in the order they came."""
        self._failures: dict[str, list[_Failure]] = {}
        self._hooks: dict[str, list[Callable[[Call], object]]] = {}
        self._hanging: list[tuple[str, Mapping[str, Any]]] = []
        self.given_up: list[Call] = []
        """Calls that hung, and were cancelled."""

    def fail(
        self, call: str, /, *errors: BaseException, done: bool = False, forever: bool = False, **where: Any
    ) -> None:
        """The next calls of that name, whose arguments are `where`, fail by these errors in turn. `done`: the call has its effect first.
        `forever`: by the (one) error, each time.
        """
        self._check(call)
        kept = self._failures.setdefault(call, [])
        kept += [_Failure(error=error, where=where, done=done, forever=forever) for error in errors]

    def heal(self) -> None:
        """What was said to fail, hang or happen is forgotten."""
        self._failures.clear()
        self._hanging.clear()
        self._hooks.clear()

    def hang(self, call: str, /, **where: Any) -> None:
        """Calls of that name never answer."""
        self._check(call)
        self._hanging.append((call, where))

    def before(self, call: str, hook: Callable[[Call], object]) -> None:
        """`hook` runs at each call of that name, before it is answered. A coroutine function is awaited."""
        self._check(call)
        self._hooks.setdefault(call, []).append(hook)

    def made(self, call: str) -> list[Call]:
        """The calls of that name so far."""
        self._check(call)
        return [each for each in self.calls if each.name == call]

    @contextlib.asynccontextmanager
    async def _asked(self, name: str, /, **given: Any) -> AsyncIterator[None]:
        call = Call(name, given)
        self.calls.append(call)
        await asyncio.sleep(0)  # nothing outside answers within the same turn of the loop
        for hook in self._hooks.get(name, ()):
            result = hook(call)
            if asyncio.iscoroutine(result):
                await result
        if any(each == name and _is_at(where, call) for each, where in self._hanging):
            try:
                await asyncio.Event().wait()
            finally:
                self.given_up.append(call)
        with self._failing(call):
            yield

    @contextlib.contextmanager
    def _told(self, name: str, /, **given: Any) -> Iterator[None]:
        """The same for what is no coroutine."""
        call = Call(name, given)
        self.calls.append(call)
        for hook in self._hooks.get(name, ()):
            hook(call)
        with self._failing(call):
            yield

    @contextlib.contextmanager
    def _failing(self, call: Call) -> Iterator[None]:
        scripted = self._failures.get(call.name, [])
        failure = next((each for each in scripted if _is_at(each.where, call)), None)
        if failure is not None and not failure.forever:
            scripted.remove(failure)
        if failure is not None and not failure.done:
            raise failure.error
        yield
        if failure is not None:
            raise failure.error

    def _check(self, call: str) -> None:
        assert callable(getattr(type(self), call, None)), f"{type(self).__name__} has no call {call}"


def _is_at(where: Mapping[str, Any], call: Call) -> bool:
    return all(call.given.get(key) == value for key, value in where.items())
