"""The way to one host: where it is, whether it answers, and the probe that ends a request lost in an outage.

A switch made on the host takes its network down for a while, and the host may come back with another address. A connection
that was cut by a reset fails at once. One whose packets vanish does not: its request would hang until a time-out, long after
the host is back. So while a request hangs, the probe connects to the host's port; once it answers again after silence, or is
found elsewhere, the old connection is aborted, and the transport sends its request again.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from provisioner.errors import Unreachable
from provisioner.ports import Endpoint
from provisioner.winrm.transport import ANSWER_S, FIRST_CONTACT_S
from provisioner.wire import break_connection

PROBE_S = 0.5
"""Real seconds between two probes, and after which a request counts as hanging."""
PROBE_TIMEOUT_S = 0.75
"""Real seconds for one probe to be answered. Below the second after which systems repeat a lost SYN: a repeated one proves nothing."""
GRACE_S = 0.25
"""Real seconds that an answer delayed by the outage has to arrive, before its connection is aborted."""


class Reachability:
    """What all sessions know of one host. Used from all their threads."""

    def __init__(self, *, on_outage: Callable[[str | None], None], on_first_response: Callable[[], None]) -> None:
        """Both are called on the threads that send: `on_outage` with the reason why the host does not answer, and with None when it does
        again; `on_first_response` once.
        """
        self._on_outage = on_outage
        self._on_first_response = on_first_response
        self._lock = threading.Lock()
        self._away_since: float | None = None
        self.has_responded = False
        """Whether it answered at all in this run."""

    def mark_down(self, reason: str) -> None:
        """A request, or a probe, had no answer."""
        with self._lock:
            began = self._away_since is None
            if began:
                self._away_since = time.monotonic()
        if began and self.has_responded:
            self._on_outage(reason)

    def mark_up(self) -> None:
        """The host has answered, whatever it said."""
        with self._lock:
            ended = self._away_since is not None
            self._away_since = None
            first, self.has_responded = not self.has_responded, True
        if first:
            self._on_first_response()
        elif ended:
            self._on_outage(None)

    def within_outage_tolerance(self, outage_tolerance_s: float) -> bool:
        """See `HostConnection.within_outage_tolerance`; a host that never answered is tried for `FIRST_CONTACT_S` at most."""
        bound = outage_tolerance_s if self.has_responded else min(outage_tolerance_s, FIRST_CONTACT_S)
        with self._lock:
            return self._away_since is None or time.monotonic() - self._away_since < bound


class HostConnection:
    """One worker's connection over that way."""

    def __init__(self, reachability: Reachability, locate: Callable[[], Endpoint]) -> None:
        self.reachability = reachability
        self._locate = locate
        self._lock = threading.Lock()
        self._connection: Any = None
        self._is_aborted = False
        self.endpoint: Endpoint | None = None
        """Where the connection in use goes to."""
        self.waiting_since: float | None = None
        """Since when a request has been on its way (monotonic), or None."""

    def locate(self) -> Endpoint:
        """Where the host is now. Raises Unreachable."""
        self.endpoint = self._locate()
        return self.endpoint

    def find(self) -> Endpoint | None:
        """The same without aiming there; None where it is not known."""
        try:
            return self._locate()
        except Unreachable:
            return None

    def opened(self, connection: Any) -> None:
        """A connection was made; `abort` ends it."""
        with self._lock:
            self._connection = connection
            is_aborted = self._is_aborted
        if is_aborted:  # while it was being made
            self.abort()

    def request_started(self) -> None:
        """From here on `abort` reaches the request."""
        with self._lock:
            self._is_aborted = False
        self.waiting_since = time.monotonic()

    def response_received(self) -> None:
        """Whatever it says."""
        self.waiting_since = None
        self.reachability.mark_up()

    def request_ended(self) -> None:
        """Without an answer, by our doing or the host's: certificate, sign-in."""
        self.waiting_since = None

    def request_failed(self, reason: str) -> None:
        """No answer came: the host is away."""
        self.waiting_since = None
        self.reachability.mark_down(reason)

    def within_outage_tolerance(self, outage_tolerance_s: float) -> bool:
        """Whether the host still answers, or has been away for no longer than that."""
        return self.reachability.within_outage_tolerance(outage_tolerance_s)

    def abort(self) -> None:
        """Ends the connection in use, and one that is being made, from any thread: the request that has begun fails at once."""
        with self._lock:
            self._is_aborted = True
            connection, self._connection = self._connection, None
        if connection is not None:
            break_connection(connection)


async def tcp_probe(endpoint: Endpoint) -> bool:
    """Whether something accepts connections there. Sends nothing."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def probe(connection: HostConnection) -> None:
    """Watches one worker's requests until cancelled."""
    missed = 0
    while True:
        await asyncio.sleep(PROBE_S)
        began = connection.waiting_since
        if began is None or time.monotonic() - began < PROBE_S:
            missed = 0
            continue
        if time.monotonic() - began > ANSWER_S:  # it sends, but never the whole of an answer
            connection.abort()
            continue
        found = connection.find()
        if found is None or not await tcp_probe(found):
            missed += 1
            if missed > 1:
                connection.reachability.mark_down("its port does not answer")
        elif missed or found != connection.endpoint:
            missed = 0
            await asyncio.sleep(GRACE_S)
            if connection.waiting_since == began:
                connection.abort()
