"""Connections to Talos machines, one per address and credentials, and the two ways to call over them: for one message, and for a stream of
bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

from provisioner.errors import NotTrusted, TalosRefused
from provisioner.ports import TALOS_PORT, ByteSink, Dialer, TalosAccess
from provisioner.talos.api.channel import CLUSTER_BYTES, UNVERIFIED_BYTES, TalosChannel, malformed
from provisioner.talos.api.gen import cosi_grpc, machine_grpc
from provisioner.talos.api.tls import maintenance_context, secure_context
from provisioner.wire import clipped

READ_S = 10.0
"""Real seconds for a call that reads, and between two pieces of a stream."""
CHANGE_S = 30.0
"""Real seconds for a call that changes; Talos answers before the work is done."""

Method = Callable[[machine_grpc.MachineServiceStub], Any]
"""Picks a method of Talos' MachineService, as `lambda service: service.Bootstrap`."""


@dataclass(frozen=True, eq=False)
class Connection:
    """One connection, with the two services spoken over it."""

    channel: TalosChannel
    service: machine_grpc.MachineServiceStub
    state: cosi_grpc.StateStub


class Connections:
    """Kept until `close`; each is dialed at its first call, and again when it was lost."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._open: dict[tuple[str, TalosAccess | None, str], Connection] = {}

    async def connect(self, address: str, access: TalosAccess | None, pin: str = "") -> Connection:
        """A live connection. Raises Unreachable, NotTrusted, Rejected, Malformed."""
        key = (address, access, pin)
        connection = self._open.get(key)
        if connection is None:
            context = maintenance_context(pin) if access is None else secure_context(access)
            allowance = UNVERIFIED_BYTES if access is None else CLUSTER_BYTES
            channel = TalosChannel(lambda: self._dialer.resolve(address, TALOS_PORT), context, allowance=allowance)
            connection = self._open[key] = Connection(
                channel, machine_grpc.MachineServiceStub(channel), cosi_grpc.StateStub(channel)
            )
        try:
            await connection.channel.connect()
        except NotTrusted:
            if pin:
                await self._forget(address)
            raise
        return connection

    async def call(
        self,
        address: str,
        access: TalosAccess | None,
        method: Method,
        request: Any,
        *,
        changes: bool,
        within_s: float = READ_S,
        pin: str = "",
    ) -> Any:
        """The one message that answers a call. `changes`: a lost answer leaves the outcome open, so it is `Dropped`, not `Unreachable`."""
        connection = await self.connect(address, access, pin)
        with connection.channel.failures(sent=changes, within_s=within_s):
            messages = (await method(connection.service)(request, timeout=within_s)).messages
            if len(messages) != 1:
                raise malformed(f"{len(messages)} messages where one is due")
            _raise_error_of(messages[0])
            return messages[0]

    async def download(
        self, address: str, access: TalosAccess, method: Method, request: Any, sink: ByteSink, *, most: int
    ) -> int:
        """Gives each piece of a stream of `common.Data` to the sink as it comes; the number of bytes. Memory holds one piece, and the
        machine waits for the sink. Raises Malformed for more than `most` bytes, and what the sink raises.
        """
        received = 0
        async with contextlib.aclosing(self._pieces(address, access, method, request)) as pieces:
            async for piece in pieces:
                received += len(piece)
                if received > most:
                    raise malformed(f"more than {most:,} bytes")
                sink.write(piece)
        return received

    async def _pieces(
        self, address: str, access: TalosAccess, method: Method, request: Any
    ) -> AsyncGenerator[bytes, None]:
        connection = await self.connect(address, access)
        with connection.channel.failures(sent=False, within_s=READ_S):
            async with method(connection.service).open() as stream:
                await stream.send_message(request, end=True)
                while (piece := await asyncio.wait_for(stream.recv_message(), READ_S)) is not None:
                    _raise_error_of(piece)
                    connection.channel.allow_more()
                    yield piece.bytes

    async def close(self) -> None:
        """Ends all connections; idempotent."""
        connections, self._open = self._open, {}
        await asyncio.gather(*(connection.channel.end() for connection in connections.values()))

    async def _forget(self, address: str) -> None:
        """A machine in maintenance made a new key. A kept connection still shows the old one, and each read over it would give the old
        pin: it is ended, so that the next read dials again.
        """
        old = [key for key in self._open if key[0] == address and key[1] is None]
        await asyncio.gather(*(self._open.pop(key).channel.end() for key in old))


def _raise_error_of(message: Any) -> None:
    """The error that a proxied answer may carry in its metadata."""
    if message.metadata.error:
        raise TalosRefused(status="UNKNOWN", message=clipped(message.metadata.error))
