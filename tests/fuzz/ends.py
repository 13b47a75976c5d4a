"""How a call to a port may end, whatever a peer sends: by a value, or by one of our errors, told in a sane length."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from provisioner.errors import TransportError

BOUND_S = 30.0
WORDS = 4_000


def judged(round_name: str, error: Exception | None) -> str:
    """`value`, or the name of the error's class. Fails for any other, naming the round, which `budget.once` makes again."""
    if error is None:
        return "value"
    assert isinstance(error, TransportError), f"{round_name} brought {error!r}"
    assert len(str(error)) < WORDS, round_name
    return type(error).__name__


def end_of(round_name: str, read: Callable[[], object]) -> str:
    try:
        read()
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return judged(round_name, error)
    return judged(round_name, None)


async def end_of_call(round_name: str, call: Callable[[], Awaitable[object]]) -> str:
    try:
        async with asyncio.timeout(BOUND_S):
            await call()
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return judged(round_name, error)
    return judged(round_name, None)
