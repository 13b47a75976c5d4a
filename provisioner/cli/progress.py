"""What passes on the events of a run while it is at work, and what is worth telling."""

from __future__ import annotations

import asyncio
import errno
import sys
from collections.abc import Callable

from provisioner.cli.signals import flushed
from provisioner.model.events import Event
from provisioner.model.status import FinalObject
from provisioner.views import View


class DetachableView:
    """The view of a run as long as it is read. When the reader has left (`| head`), the run stops as at Ctrl-C, and says nothing more."""

    def __init__(self, view: View, stop: asyncio.Event) -> None:
        self._view = view
        self._stop = stop
        self._left = False

    def emit(self, event: Event) -> None:
        """Shows the event, unless the reader has left."""
        self._show(lambda: self._view.emit(event))

    def close(self, final: FinalObject) -> None:
        """Shows how the run ended, unless the reader has left."""
        self._show(lambda: self._view.close(final))

    def _show(self, write: Callable[[], None]) -> None:
        if self._left:
            return
        try:
            write()
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):  # EIO: the terminal was closed
                raise
            self._left = True
            self._stop.set()
            for stream in (sys.stdout, sys.stderr):
                flushed(stream)


class OutageNotes:
    """Tells of a host that does not answer, once it has been so for a moment: a stale connection that is dialled again is no news."""

    QUIET_S = 0.4
    """Real seconds: a transport's affair, not the world's."""

    def __init__(self, note: Callable[[str, str], None]) -> None:
        self._note = note
        """Takes level and message."""
        self._pending: dict[str, asyncio.TimerHandle] = {}
        self._told: set[str] = set()

    def report(self, host: str, reason: str | None) -> None:
        """A host does not answer, for that reason; with None it answers again. To be called within a running loop."""
        pending = self._pending.pop(host, None)
        if pending is not None:
            pending.cancel()
        if reason is not None:
            self._pending[host] = asyncio.get_running_loop().call_later(self.QUIET_S, self._tell, host, reason)
        elif host in self._told:
            self._told.discard(host)
            self._note("info", f"{host} answers again")

    def _tell(self, host: str, reason: str) -> None:
        self._told.add(host)
        self._note("info", f"{host} does not answer ({reason}); waiting for it")
