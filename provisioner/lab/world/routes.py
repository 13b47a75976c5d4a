"""Where each address and port of the virtual LAN is reached on loopback: the table that the lab publishes, and the ports it holds.

A port once given to a place stays that place's own, over restarts too, since kubeconfigs and talosconfigs carry it. While nothing
listens it is held by a socket that is only bound: connections are refused, and no other program gets the port.
"""

from __future__ import annotations

import socket

from provisioner.lab.world.kernel import Kernel

LOOPBACK = "127.0.0.1"


class LoopbackRoutes:
    """Ports of this computer's loopback for places of the LAN. Changes are told as topic `route`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._held: dict[str, socket.socket] = {}
        self._published: dict[str, int] = {}

    def publish(self, address: str, port: int, loopback_port: int) -> None:
        with self._kernel.lock:
            place = f"{address}:{port}"
            self._kernel.state.routes[place] = self._published[place] = loopback_port
            self._kernel.changed("route", place)

    def withdraw(self, address: str, port: int) -> None:
        """To be called once the listener is closed: the port is held again."""
        with self._kernel.lock:
            place = f"{address}:{port}"
            self._published.pop(place, None)
            if place in self._kernel.state.routes:
                self._hold(place)
            self._kernel.changed("route", place)

    def table(self) -> dict[str, str]:
        """Every place that has a port, listened on or not: `<address>:<port>` of the LAN -> `127.0.0.1:<port>`."""
        with self._kernel.lock:
            return {place: f"{LOOPBACK}:{port}" for place, port in sorted(self._kernel.state.routes.items())}

    def loopback_port(self, address: str, port: int) -> int:
        """The port kept for that place, stable for the life of the lab; made when first asked for."""
        with self._kernel.lock:
            place = f"{address}:{port}"
            if place not in self._published:
                self._hold(place)
            return self._kernel.state.routes[place]

    def listener(self, address: str, port: int) -> socket.socket:
        """A socket bound to that port, not yet listening; the caller listens on it and closes it."""
        with self._kernel.lock:
            place = f"{address}:{port}"
            self._hold(place)
            return self._held.pop(place)

    def close(self) -> None:
        """Lets go of the ports on which nothing listens."""
        with self._kernel.lock:
            for held in self._held.values():
                held.close()
            self._held.clear()

    def _hold(self, place: str) -> None:
        """Binds the port of a place, or any free one where another program has taken it, as it may while the lab is down."""
        if place in self._held:
            return
        kept = self._kernel.state.routes
        try:
            held = _bound(kept.get(place, 0))
        except OSError:
            held = _bound(0)
        self._held[place] = held
        if kept.get(place) != held.getsockname()[1]:
            kept[place] = held.getsockname()[1]
            self._kernel.changed("route", place)


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last listener may linger
        bound.bind((LOOPBACK, port))
        # Those connections must allow it too, and inherit that from their listener. Not before a free port was chosen: else the
        # kernel may choose one that another such socket holds.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    except OSError:
        bound.close()
        raise
    return bound
