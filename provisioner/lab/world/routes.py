"""Where each address and port of the virtual LAN is reached on loopback: the table that the lab publishes, and the ports it holds.

A port once given to a place stays that place's own, over restarts too, since kubeconfigs and talosconfigs carry it. It is held by a
socket that is bound and never listens: while nobody serves there connections are refused, and no other program gets the port.
"""

from __future__ import annotations

import socket

from provisioner.lab.world.kernel import Kernel

LOOPBACK = "127.0.0.1"


class LoopbackRoutes:
    """`seams.Routes` on this computer's loopback."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._holders: dict[str, socket.socket] = {}
        self._published: dict[tuple[str, int], int] = {}

    def publish(self, address: str, port: int, loopback_port: int) -> None:
        with self._kernel.lock:
            self._published[(address, port)] = loopback_port
            self._kernel.changed("route", f"{address}:{port}")

    def withdraw(self, address: str, port: int) -> None:
        with self._kernel.lock:
            if self._published.pop((address, port), None) is not None:
                self._kernel.changed("route", f"{address}:{port}")

    def table(self) -> dict[str, str]:
        """What is served now: `<address>:<port>` of the LAN -> `127.0.0.1:<port>`."""
        with self._kernel.lock:
            return {f"{a}:{p}": f"{LOOPBACK}:{local}" for (a, p), local in sorted(self._published.items())}

    def loopback_port(self, address: str, port: int) -> int:
        with self._kernel.lock:
            return self._hold(f"{address}:{port}")

    def listener(self, address: str, port: int) -> socket.socket:
        with self._kernel.lock:
            return _bound(self._hold(f"{address}:{port}"))

    def close(self) -> None:
        """Lets go of all ports."""
        with self._kernel.lock:
            for holder in self._holders.values():
                holder.close()
            self._holders.clear()

    def _hold(self, place: str) -> int:
        kept = self._kernel.state.routes
        if place not in self._holders:
            try:
                holder = _bound(kept.get(place, 0))
            except OSError:  # another program took the port while the lab was down
                holder = _bound(0)
            self._holders[place] = holder
            kept[place] = holder.getsockname()[1]
            self._kernel.changed("route", place)
        return kept[place]


def _bound(port: int) -> socket.socket:
    """A socket on a loopback port that others of this user, namely the holder of the port, may be bound to as well."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((LOOPBACK, port))
    except OSError:
        bound.close()
        raise
    return bound
