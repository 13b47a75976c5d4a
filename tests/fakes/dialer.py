"""A LAN where every place is where it says, but for those that a test takes away or moves."""

from __future__ import annotations

from provisioner.errors import Unreachable
from provisioner.ports import Dialer, Endpoint


class FakeDialer:
    def __init__(self) -> None:
        self.moved: dict[tuple[str, int], tuple[str, int]] = {}
        self.away: set[str] = set()
        """Addresses that nothing answers at."""

    def resolve(self, address: str, port: int) -> Endpoint:
        if address in self.away:
            raise Unreachable(f"{address}:{port}: no route to host")
        host, number = self.moved.get((address, port), (address, port))
        return Endpoint(host=host, port=number, server_name=address)


_: type[Dialer] = FakeDialer
