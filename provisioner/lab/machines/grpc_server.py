"""grpclib's server with what a machine needs besides: unknown methods, connections that end as a reboot or a power cut ends them.

grpclib keeps neither its connections nor their fate; the hooks used here are private to it and pinned in pyproject.toml.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from google.protobuf.empty_pb2 import Empty
from grpclib.config import Configuration
from grpclib.const import Cardinality, Handler
from grpclib.exceptions import GRPCError
from grpclib.protocol import AbstractHandler, Connection, H2Protocol
from grpclib.server import Server, Stream
from h2.config import H2Configuration

LAST_WORDS_S = 0.5
"""Real seconds that calls under way get to finish before an orderly stop closes their connection."""
HANDSHAKE_TIMEOUT_S = 10.0
SHUTDOWN_TIMEOUT_S = 0.2


class Methods(dict[str, Handler]):
    """Served methods by path. Any other is answered properly: grpclib's own answer lacks the content type, and clients in Go
    would take it for a broken server.
    """

    def __init__(self, served: Mapping[str, Handler], refusal: Callable[[str], GRPCError]) -> None:
        super().__init__(served)
        self._refusal = refusal

    def get(self, path: str, default: Any = None) -> Any:  # noqa: ARG002 - there is always an answer
        return self[path] if path in self else Handler(self._refuse, Cardinality.UNARY_STREAM, Empty, Empty)

    async def _refuse(self, stream: Stream[Any, Any]) -> None:
        raise self._refusal(stream._method_name)


class GrpcServer(Server):
    """One listener of one machine. Used on the servers' event loop alone."""

    def __init__(self, methods: Methods) -> None:
        super().__init__([])
        self._mapping = _counted(methods, self)
        self._protocols: set[H2Protocol] = set()
        """Those whose connection stands."""
        self._ended = False
        self._busy = 0
        """Unary calls under way."""
        self._idle = asyncio.Event()
        self._idle.set()

    async def listen(self, bound: socket.socket, context: ssl.SSLContext) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            self._protocol_factory,
            sock=bound,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            ssl_shutdown_timeout=SHUTDOWN_TIMEOUT_S,
        )

    def _protocol_factory(self) -> H2Protocol:
        handler = super()._protocol_factory().handler
        return _Tracked(self, handler, self._config, self._h2_config)

    def came(self, protocol: H2Protocol) -> None:
        """A connection stands, its TLS handshake done. Too late, if the server has ended meanwhile."""
        if self._ended:
            protocol.connection._transport.abort()
        else:
            self._protocols.add(protocol)

    def went(self, protocol: H2Protocol) -> None:
        self._protocols.discard(protocol)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """A unary call is under way: `drain` lets it finish."""
        self._busy += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._idle.set()

    async def drain(self) -> None:
        """As a reboot ends connections: the last words of calls under way, a GOAWAY, then they are closed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), LAST_WORDS_S)
        for connection in self._connections():
            connection._connection.close_connection()
            connection.flush()
        self._end(lambda transport: transport.close())

    def abort(self) -> None:
        """As a power cut does: connections are simply gone."""
        self._end(lambda transport: transport.abort())

    def pause(self, *, silent: bool) -> None:
        """As behind a dead link: nothing is read any more, and no connection ends. Who writes must keep still, too."""
        for connection in self._connections():
            if silent:
                connection._transport.pause_reading()
            else:
                connection._transport.resume_reading()

    def _connections(self) -> list[Connection]:
        return [protocol.connection for protocol in self._protocols if not protocol.connection.is_closing()]

    def _end(self, how: Callable[[asyncio.Transport], None]) -> None:
        self._ended = True
        for handler in self._handlers:
            handler.close()
        for connection in self._connections():
            how(connection._transport)
        self._protocols.clear()


class _Tracked(H2Protocol):
    """Tells its server when its connection stands and when it is gone."""

    def __init__(
        self, server: GrpcServer, handler: AbstractHandler, config: Configuration, h2: H2Configuration
    ) -> None:
        super().__init__(handler, config, h2)
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.came(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._server.went(self)
        super().connection_lost(exc)


def _counted(methods: Methods, server: GrpcServer) -> Methods:
    """The same methods, unary ones counted while they are under way."""

    def counted(handler: Handler) -> Handler:
        async def call(stream: Stream[Any, Any]) -> None:
            with server.busy():
                await handler.func(stream)
                await stream.send_trailing_metadata()

        return handler._replace(func=call)

    return Methods(
        {
            path: counted(handler) if not handler.cardinality.server_streaming else handler
            for path, handler in methods.items()
        },
        methods._refusal,
    )
