"""Where each address and port of the virtual LAN is reached: a loopback port of its own, kept for the life of the lab."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from provisioner.lab.world.kernel import Kernel

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Route:
    address: str
    port: int
    loopback_port: int


class LoopbackRoutes:
    """Implements `seams.Routes`. The ports stand in the world's state, so a lab that starts again has the same ones if it can.

    A port without a listener stays bound: connections are refused, as by a machine on which nothing listens, and neither
    another program nor the kernel's choice for an outgoing connection can take it.
    """

    def __init__(self, kernel: Kernel, on_change: Callable[[], None] = lambda: None) -> None:
        self._kernel = kernel
        self._on_change = on_change
        self._kept: dict[int, socket.socket] = {}
        self._published: set[str] = set()

    def publish(self, address: str, port: int, loopback_port: int) -> None:
        with self._kernel.lock:
            self._kernel.state.routes[_name(address, port)] = loopback_port
            self._published.add(_name(address, port))
        self._on_change()

    def withdraw(self, address: str, port: int) -> None:
        """Nobody listens there any more: the port is held again. To be called after the listener was closed."""
        with self._kernel.lock:
            name = _name(address, port)
            self._published.discard(name)
            number = self._kernel.state.routes.get(name)
            if number is not None and number not in self._kept:
                self._keep(number)
        self._on_change()

    def loopback_port(self, address: str, port: int) -> int:
        with self._kernel.lock:
            name = _name(address, port)
            known = self._kernel.state.routes.get(name, 0)
            if known and (known in self._kept or name in self._published):
                return known
            if not known or not self._keep(known):
                known = self._keep(0)
            self._kernel.state.routes[name] = known
        self._on_change()
        return known

    def listener(self, address: str, port: int) -> socket.socket:
        with self._kernel.lock:
            number = self.loopback_port(address, port)
            kept = self._kept.pop(number, None)
            return kept if kept is not None else _bound(number)

    def table(self) -> list[Route]:
        """Every place that has a port, listened on or not."""
        with self._kernel.lock:
            return [
                Route(name.rpartition(":")[0], int(name.rpartition(":")[2]), number)
                for name, number in sorted(self._kernel.state.routes.items())
            ]

    def close(self) -> None:
        with self._kernel.lock:
            for kept in self._kept.values():
                kept.close()
            self._kept.clear()

    def _keep(self, number: int) -> int:
        """Binds the port, any free one for 0; gives its number, or 0 when somebody else has it."""
        try:
            bound = _bound(number)
        except OSError:
            return 0
        taken: int = bound.getsockname()[1]
        self._kept[taken] = bound
        return taken


def _name(address: str, port: int) -> str:
    return f"{address}:{port}"


def _bound(number: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if number:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((LOOPBACK, number))
    except OSError:
        bound.close()
        raise
    return bound
