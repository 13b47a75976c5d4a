"""What a command, or a shell as a whole, has to say until a Receive fetches it. Delivered at least once, in order.

A batch that a Receive took is remembered under the MessageID of that request. The same MessageID again is a retransmission, by a client
that never got the answer, and gets the very same batch; any other MessageID acknowledges it. What could not be written to the socket
is put back.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from provisioner.lab.winrm import soap
from provisioner.lab.winrm.exchange import ConnectionGone

COALESCE_S = 0.004
"""A Receive that found something waits this long for more: saves round trips of chatty pipelines."""
CHECK_S = 0.1
"""How often a Receive that waits looks whether its connection lives."""


@dataclass(frozen=True)
class Batch:
    """What one Receive carries away."""

    chunks: tuple[tuple[str, bytes], ...]
    """Stream name and bytes."""
    done: bool
    """The command is over, and this is the last of it."""


class Channel:
    """Output queue of one command, or of the shell itself."""

    def __init__(self) -> None:
        self.exit_code = 0
        self._condition = threading.Condition()
        self._queue: deque[tuple[str, bytes]] = deque()
        self._done = False
        self._told = False
        self._failure: soap.Fault | None = None
        self._receives = 0
        self._last: tuple[str, Batch] | None = None

    @property
    def done(self) -> bool:
        """Nothing more will come (output may still wait to be fetched)."""
        return self._done

    def put(self, stream: str, data: bytes, *, last: bool = False) -> None:
        with self._condition:
            self._queue.append((stream, data))
            self._done = self._done or last
            self._condition.notify_all()

    def finish(self, exit_code: int = 0) -> None:
        with self._condition:
            self._done, self.exit_code = True, exit_code
            self._condition.notify_all()

    def fail(self, fault: soap.Fault) -> None:
        """Receives that wait, and those to come, get this fault once the queue is empty."""
        with self._condition:
            self._failure = fault
            self._condition.notify_all()

    def wait_done(self, seconds: float) -> bool:
        with self._condition:
            return self._condition.wait_for(lambda: self._done or self._failure is not None, seconds)

    def receive(self, request: soap.Request) -> Batch:
        """Waits for output up to the request's OperationTimeout. Raises Fault and ConnectionGone."""
        deadline = time.monotonic() + request.timeout_s
        with self._condition:
            if self._last and self._last[0] == request.message_id:
                return self._last[1]
            self._last = None
            self._receives += 1
            number = self._receives
            self._condition.notify_all()
            while not (self._ready() and request.caller.deliverable()):
                if not request.caller.alive():
                    raise ConnectionGone
                if self._failure and not self._queue:
                    raise self._failure
                if self._told:
                    raise soap.unknown_command()
                if number != self._receives:
                    raise soap.aborted("A newer Receive for the same output has taken the place of this one.")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise soap.timed_out()
                self._condition.wait(min(left, CHECK_S))
            if not request.caller.alive():
                raise ConnectionGone
            self._gather()
            return self._take(request)

    def put_back(self, message_id: str) -> None:
        """The answer to that Receive could not be sent."""
        with self._condition:
            if self._last and self._last[0] == message_id:
                batch = self._last[1]
                self._queue.extendleft(reversed(batch.chunks))
                if batch.done:
                    self._told = False
                self._last = None
                self._condition.notify_all()

    def _ready(self) -> bool:
        return bool(self._queue) or (self._done and not self._told)

    def _gather(self) -> None:
        end = time.monotonic() + COALESCE_S
        while not self._done and (left := end - time.monotonic()) > 0:
            self._condition.wait(left)

    def _take(self, request: soap.Request) -> Batch:
        budget = max(4096, (request.max_envelope - 4096) * 3 // 4)  # base64, and room for the envelope
        chunks: list[tuple[str, bytes]] = []
        size = 0
        while self._queue and (not chunks or size + len(self._queue[0][1]) + 160 <= budget):
            chunks.append(self._queue.popleft())
            size += len(chunks[-1][1]) + 160
        done = self._done and not self._queue
        self._told = self._told or done
        batch = Batch(tuple(chunks), done)
        self._last = (request.message_id, batch)
        return batch
