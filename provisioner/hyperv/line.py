"""The way to one host: where it is, whether it answers, and the probe that ends a request which an outage has swallowed.

A switch made on the host takes its network down for a while, and the host may come back with another address. A connection
that was cut by a reset fails at once. One whose packets vanish does not: its request would hang until a time-out, long after
the host is back. So while a request hangs, the probe knocks at the host's port; once it answers again after silence, or is
found elsewhere, the old connection is cut, and the transport sends its request again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from provisioner.errors import Unreachable
from provisioner.hyperv.transport import ANSWER_S, FIRST_CONTACT_S
from provisioner.ports import Endpoint

PROBE_S = 0.5
"""Real seconds between two knocks, and after which a request counts as hanging (decisions, "Addresses and time")."""
KNOCK_S = 0.75
"""Real seconds for one knock to be answered. Below the second after which systems repeat a lost SYN: a repeated one helps nobody."""
GRACE_S = 0.25
"""Real seconds that an answer delayed by the outage has to arrive, before its connection is cut."""


class Reach:
    """What all workers know of one host. Used from all their threads."""

    def __init__(self, *, notice: Callable[[str | None], None], first_met: Callable[[], None]) -> None:
        """`notice` hears why the host is away, and None when it is back; `first_met` that it answered for the first time."""
        self._notice = notice
        self._first_met = first_met
        self._lock = threading.Lock()
        self._away_since: float | None = None
        self.met = False
        """Whether it answered at all in this run."""

    def failed(self, reason: str) -> None:
        with self._lock:
            began = self._away_since is None
            if began:
                self._away_since = time.monotonic()
        if began and self.met:
            self._notice(reason)

    def answered(self) -> None:
        with self._lock:
            ended = self._away_since is not None
            self._away_since = None
            first, self.met = not self.met, True
        if first:
            self._first_met()
        elif ended:
            self._notice(None)

    def bearable(self, patience_s: float) -> bool:
        bound = patience_s if self.met else min(patience_s, FIRST_CONTACT_S)
        with self._lock:
            return self._away_since is None or time.monotonic() - self._away_since < bound


class HostLine:
    """One worker's connection over that way."""

    def __init__(self, reach: Reach, locate: Callable[[], Endpoint]) -> None:
        self._reach = reach
        self._locate = locate
        self._lock = threading.Lock()
        self._connection: Any = None
        self._is_cut = False
        self.endpoint: Endpoint | None = None
        """Where the connection in use goes to."""
        self.waiting_since: float | None = None
        """Since when a request has been on its way (monotonic), or None."""

    def locate(self) -> Endpoint:
        self.endpoint = self._locate()
        return self.endpoint

    def opened(self, connection: Any) -> None:
        with self._lock:
            self._connection = connection
            is_cut = self._is_cut
        if is_cut:  # while it was being made
            self.cut()

    def begin(self) -> None:
        with self._lock:
            self._is_cut = False
        self.waiting_since = time.monotonic()

    def answered(self) -> None:
        self.waiting_since = None
        self._reach.answered()

    def refused(self) -> None:
        self.waiting_since = None

    def failed(self, reason: str) -> None:
        self.waiting_since = None
        self._reach.failed(reason)

    @property
    def met(self) -> bool:
        return self._reach.met

    def bearable(self, patience_s: float) -> bool:
        return self._reach.bearable(patience_s)

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError):
                # not ssl's own shutdown, which would take the TLS state from under the thread that reads
                socket.socket.shutdown(connection, socket.SHUT_RDWR)


async def answers(endpoint: Endpoint) -> bool:
    """Whether something accepts connections there. Sends nothing."""
    try:
        async with asyncio.timeout(KNOCK_S):
            _, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def probe(line: HostLine, reach: Reach, locate: Callable[[], Endpoint]) -> None:
    """Watches one worker's requests until cancelled."""
    missed = 0
    while True:
        await asyncio.sleep(PROBE_S)
        began = line.waiting_since
        if began is None or time.monotonic() - began < PROBE_S:
            missed = 0
            continue
        if time.monotonic() - began > ANSWER_S:  # it sends, but never the whole of an answer
            line.cut()
            continue
        try:
            found = locate()
        except Unreachable:
            found = None
        if found is None or not await answers(found):
            missed += 1
            if missed > 1:
                reach.failed("its port does not answer")
        elif missed or found != line.endpoint:
            missed = 0
            await asyncio.sleep(GRACE_S)
            if line.waiting_since == began:
                line.cut()
