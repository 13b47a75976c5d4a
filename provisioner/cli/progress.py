"""Who hears of a run while it is at work, and what is worth telling them."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import Callable
from typing import Any

from provisioner.model.events import Event, Note
from provisioner.model.status import FinalObject
from provisioner.views import View


class DetachableView:
    """The view of a run as long as somebody reads it. When the reader has left (`| head`) the run stops as at Ctrl-C: in order, and
    without a word.
    """

    def __init__(self, view: View, stop: asyncio.Event) -> None:
        self._view = view
        self._stop = stop
        self._left = False

    def emit(self, event: Event) -> None:
        if not self._left:
            try:
                self._view.emit(event)
            except OSError as error:
                self._leave(error)

    def close(self, final: FinalObject) -> None:
        if not self._left:
            try:
                self._view.close(final)
            except OSError as error:
                self._leave(error)

    def _leave(self, error: OSError) -> None:
        if error.errno not in (errno.EPIPE, errno.EIO):  # EIO: the terminal was closed
            raise error
        self._left = True
        self._stop.set()
        for stream in (sys.stdout, sys.stderr):  # what is still in their buffers would fail again at the end
            try:
                stream.flush()
            except OSError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class OutageNotes:
    """Tells of a host that does not answer, once it has been so for a moment: a stale connection that is dialled anew is no news."""

    QUIET_S = 0.4
    """Real seconds: a transport's affair, not the world's."""

    def __init__(self, emit: Callable[[Event], None], stamp: Callable[[], dict[str, Any]]) -> None:
        self._emit = emit
        self._stamp = stamp
        self._pending: dict[str, asyncio.TimerHandle] = {}
        self._told: set[str] = set()

    def report(self, host: str, reason: str | None) -> None:
        pending = self._pending.pop(host, None)
        if pending is not None:
            pending.cancel()
        if reason is not None:
            loop = asyncio.get_running_loop()
            self._pending[host] = loop.call_later(self.QUIET_S, self._tell, host, reason)
        elif host in self._told:
            self._told.discard(host)
            self._emit(Note(level="info", message=f"{host} answers again", **self._stamp()))

    def _tell(self, host: str, reason: str) -> None:
        self._told.add(host)
        self._emit(Note(level="info", message=f"{host} does not answer ({reason}); waiting for it", **self._stamp()))
