"""The way between clients and the endpoint, as the world's link has it: open, refusing, or swallowing packets.

What a client meets on loopback while the link is down:
- failure `reset`: its connections are reset at once, new ones are refused;
- failure `silence`: nothing it sends is taken up and nothing comes back; a new connection is not even accepted. What was on its way
  arrives when the link is back, as TCP would resend it;
- the host came back with another address: connections to the old one stay silent for ever.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Callable

from provisioner.lab.winrm.exchange import ConnectionGone
from provisioner.lab.world.kernel import Kernel

BACKLOG = 128
LOST_CHECK_S = 1.0
"""How soon a connection to an address that the host has left is tidied up after its client."""
_LOOPBACK = "127.0.0.1"


class Listener:
    """One port on loopback, and the thread that accepts on it."""

    def __init__(self, port: int, accepted: Callable[[socket.socket], None]) -> None:
        if port:
            # Binding below shares the port with its own stand-in; this shows first that no other process has it.
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((_LOOPBACK, port))
        self._accepted = accepted
        self._lock = threading.Lock()
        self._socket = _bound(port)
        self.port: int = self._socket.getsockname()[1]
        self._mode = "closed"
        self._filler: socket.socket | None = None
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, name=f"winrm-accept-{self.port}", daemon=True)

    def start(self, mode: str) -> None:
        """`mode` as in `set`."""
        self.set(mode)
        self._thread.start()

    def set(self, mode: str) -> None:
        """`up`, `reset` (new connections are refused) or `silence` (they hang). Does not block."""
        with self._lock:
            if self._mode in (mode, "stopped"):
                return
            self._mode = mode
            if mode == "up":
                self._socket.listen(BACKLOG)
            elif mode == "reset":
                # A socket that is bound and does not listen keeps the port, and the kernel refuses on its behalf.
                listening, self._socket = self._socket, _bound(self.port)
                listening.close()
            elif mode == "silence":
                # With its queue full, the kernel drops the first packet of every further connection.
                self._socket.listen(0)
                self._filler = socket.socket()
                self._filler.setblocking(False)
                self._filler.connect_ex((_LOOPBACK, self.port))
            if mode != "silence" and self._filler:
                self._filler.close()
                self._filler = None
        self._wake.send(b".")

    def stop(self) -> None:
        with self._lock:
            if self._mode == "stopped":
                return
            self._mode = "stopped"
        self._wake.send(b".")
        if self._thread.ident is not None:
            self._thread.join(5)
        for each in (self._socket, self._filler, self._wake, self._woken):
            if each:
                each.close()

    def _accept(self) -> None:
        while True:
            with selectors.DefaultSelector() as selector:
                with self._lock:  # until it is registered, no other thread closes it
                    if self._mode == "stopped":
                        return
                    selector.register(self._woken, selectors.EVENT_READ)
                    if self._mode == "up":
                        selector.register(self._socket, selectors.EVENT_READ)
                ready = [key.fileobj for key, _ in selector.select()]
            if self._woken in ready:
                self._woken.recv(64)
            else:
                self._accept_one()

    def _accept_one(self) -> None:
        with self._lock:
            if self._mode != "up":
                return
            try:
                accepted, _ = self._socket.accept()
            except OSError:  # gone again before we came to it
                return
        accepted.setblocking(True)
        self._accepted(accepted)


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((_LOOPBACK, port))
    made.setblocking(False)
    return made


class Wire:
    """One accepted connection, as the link sees it."""

    def __init__(self, raw: socket.socket, network: Network) -> None:
        self.raw = raw
        self._network = network
        self._address = network.address
        self.dead = False

    def reset(self) -> None:
        """Ends it with a TCP reset, from any thread; the thread that serves it closes the socket."""
        self.dead = True
        with contextlib.suppress(OSError):
            self.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # Wakes the serving thread from its read. SHUT_WR would say a polite goodbye before the reset; a write ends by itself.
            self.raw.shutdown(socket.SHUT_RD)

    def alive(self) -> bool:
        """False when the peer has gone. Clients of WinRM never send ahead, so anything readable now is their goodbye."""
        if self.dead:
            return False
        try:
            # Around the TLS layer, which has no MSG_PEEK; what can be read there now is an alert.
            return len(socket.socket.recv(self.raw, 1, socket.MSG_PEEK | socket.MSG_DONTWAIT)) > 0 and not self._tls
        except BlockingIOError:
            return True
        except OSError:
            return False

    @property
    def lost(self) -> bool:
        """The host has another address by now, or none: silent until it has this one again."""
        return self._address != self._network.address

    def deliverable(self) -> bool:
        return self._network.mode != "silence" and not self.lost and not self.dead

    def pass_gate(self) -> None:
        """Returns when packets get through. Raises ConnectionGone."""
        while not self._network.wait(lambda: self.deliverable() or self.dead, LOST_CHECK_S):
            if self.lost and not self.alive():
                raise ConnectionGone
        if self.dead:
            raise ConnectionGone

    @property
    def _tls(self) -> bool:
        return hasattr(self.raw, "context")


class Network:
    """Listeners and connections of one endpoint, kept in the state that the world's link is in."""

    def __init__(
        self, kernel: Kernel, *, address_changed: Callable[[str, str], None], restarted: Callable[[], None]
    ) -> None:
        """`address_changed(old, new)`: each may be empty, for none. `restarted()`: the host was. Both are called under the world's lock."""
        self._kernel = kernel
        self._address_changed = address_changed
        self._restarted = restarted
        self._booted = kernel.state.host.booted
        self._condition = threading.Condition()
        self._wires: set[Wire] = set()
        self._listeners: list[Listener] = []
        self.address = ""
        """Of the host, as the connections of now reach it."""
        self._unwatch: Callable[[], None] = lambda: None
        self.mode = "up"

    def start(self, listeners: list[Listener]) -> None:
        with self._kernel.lock:
            self._listeners = listeners
            self._look()
            self._unwatch = self._kernel.watch(lambda _topic, _key: self._look())
            for listener in listeners:
                listener.start(self.mode)

    def stop(self) -> None:
        with self._kernel.lock:
            self._unwatch()
            self._unwatch = lambda: None
        for listener in self._listeners:
            listener.stop()
        self.reset_all()

    def enter(self, raw: socket.socket) -> Wire:
        wire = Wire(raw, self)
        with self._condition:
            self._wires.add(wire)
        if self.mode == "reset":
            wire.reset()
        return wire

    def leave(self, wire: Wire) -> None:
        with self._condition:
            self._wires.discard(wire)

    def reset_all(self) -> None:
        with self._condition:
            for wire in self._wires:
                wire.reset()
            self._condition.notify_all()

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        with self._condition:
            return self._condition.wait_for(condition, seconds)

    def _look(self) -> None:
        """Takes over what the world says. Under the world's lock."""
        state = self._kernel.state
        link = state.lan.link
        mode = "up" if link.up else link.failure
        if mode != self.mode:
            with self._condition:
                self.mode = mode
                self._condition.notify_all()
            for listener in self._listeners:
                listener.set(mode)
            if mode == "reset":
                self.reset_all()
        if state.host.booted != self._booted:
            self._booted = state.host.booted
            self._restarted()
            self.reset_all()
        if state.host.address != self.address:
            with self._condition:
                old, self.address = self.address, state.host.address
                self._condition.notify_all()
            self._address_changed(old, self.address)
