"""Where an address is reached from this computer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where to connect, and which name the certificate there must bear."""

    host: str
    port: int
    server_name: str


class Dialer(Protocol):
    """Resolves the peer of every connection of the product. The lab's LAN is virtual: the lab publishes where each of its addresses and
    ports can be reached. On a real LAN the answer is the question.
    """

    def resolve(self, address: str, port: int) -> Endpoint:
        """Where `address:port` is reached, now: a lab's answer may change. Called from any thread; opens no connection.

        Raises `Unreachable` when the LAN has no such place.
        """
