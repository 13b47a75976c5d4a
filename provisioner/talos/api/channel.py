"""One connection to one machine's API: grpclib's channel, dialed through the Dialer, with what grpclib lacks.

- Connecting has a bound, and TCP keepalive ends a watch over a dead link after about 25 s. HTTP/2 pings are not used: Talos'
  server punishes frequent ones.
- In TLS 1.3 the client's handshake ends before the server has judged the client's certificate, so the channel counts as
  connected only when the server's first HTTP/2 bytes are there: until then nothing is sent, and a refusal is seen as such.
- A GOAWAY without an error means "draining": calls in flight end as they should, the next call dials anew.
- Why a connection was lost is kept.

grpclib's and h2's names used here are private; each is covered by a test that fails when it vanishes.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

from grpclib.client import Channel, Handler
from grpclib.const import Status
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError
from grpclib.protocol import H2Protocol
from hyperframe.frame import GoAwayFrame

from provisioner.clienttls import is_alert, plain_words
from provisioner.errors import Dropped, NotTrusted, Rejected, TalosRefused, Unreachable
from provisioner.ports import Endpoint
from provisioner.talos.api.tls import peer_fingerprint

CONNECT_S = 5.0
"""Real seconds to connect, handshake included."""
GOODBYE_S = 0.2
"""Real seconds for the other side's part of ending TLS."""
_KEEPALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPALIVE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
"""Seconds, seconds, and probes; the first is Linux' name, the second macOS' for the same."""


class TalosProtocol(H2Protocol):
    """Keeps why the connection was lost, and tells when the server has accepted us."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.transport: asyncio.Transport | None = None
        self.lost: BaseException | None = None
        self.gone = asyncio.Event()
        self.draining = False
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.transport = transport
        table = self.connection._connection._frame_dispatch_table
        close_at_once = table[GoAwayFrame]  # h2 knows no other way

        def go_away(frame: GoAwayFrame) -> Any:
            self.draining = True
            if frame.error_code or not self.processor.streams:
                return close_at_once(frame)
            return [], []

        table[GoAwayFrame] = go_away

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.accepted.done():
            self.accepted.set_result(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost = exc
        self.gone.set()
        super().connection_lost(exc)
        if not self.accepted.done():
            self.accepted.set_exception(exc or ConnectionResetError("closed before the first byte"))
            self.accepted.exception()  # nobody may be waiting for it any more


class TalosChannel(Channel):
    """Dials at the first call and whenever the connection is gone; asks `locate` each time, for the machine may have moved."""

    def __init__(self, locate: Callable[[], Endpoint], context: ssl.SSLContext) -> None:
        super().__init__(ssl=context)
        self._locate = locate
        self.latest: TalosProtocol | None = None
        self.fingerprint = ""
        """Of the server's key on the present connection."""

    async def end(self) -> None:
        """Says good-bye, and does not wait long for an answer."""
        latest, self.latest = self.latest, None
        self.close()
        if latest is not None and latest.transport is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_S):
                    await latest.gone.wait()
            latest.transport.abort()
            await asyncio.sleep(0)

    async def connect(self) -> None:
        """Connects if need be. Raises Unreachable, NotTrusted, Rejected."""
        with self.failures(sent=False):
            await self.__connect__()

    @contextlib.contextmanager
    def failures(self, *, sent: bool) -> Iterator[None]:
        """Errors of ours for those of a call. `sent`: the call may change something and is on its way, so losing its answer
        leaves the outcome open.
        """
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            words = getattr(error, "verify_message", "") or error.args[-1]  # OpenSSL's, or those of our own pin
            raise NotTrusted(f"the machine's certificate is not the one expected: {words}") from error
        except GRPCError as error:
            if error.status is not Status.UNAVAILABLE:
                raise TalosRefused(status=error.status.name, message=error.message or "") from error
            words = error.message or "unavailable"  # it goes down, or what stands behind apid does
            raise (Dropped if sent else Unreachable)(words) from error
        except (OSError, StreamTerminatedError, ProtocolError) as error:  # TimeoutError and SSLError are OSErrors
            cause = error if isinstance(error, OSError) else (self.latest and self.latest.lost) or error
            if is_alert(error) or is_alert(cause):
                raise Rejected(f"the machine refuses our certificate: {cause}") from error
            words = (
                "no answer in time"
                if isinstance(cause, TimeoutError)
                else plain_words(str(cause)) or type(cause).__name__
            )
            raise (Dropped if sent else Unreachable)(words) from error

    def _protocol_factory(self) -> TalosProtocol:
        self.latest = TalosProtocol(Handler(), self._config, self._h2_config)
        return self.latest

    @property
    def _connected(self) -> bool:
        return super()._connected and self.latest is not None and not self.latest.draining

    async def _create_connection(self) -> H2Protocol:
        place = self._locate()
        async with asyncio.timeout(CONNECT_S):
            transport, protocol = await self._loop.create_connection(
                self._protocol_factory,
                place.host,
                place.port,
                ssl=self._ssl,
                server_hostname=place.server_name,
                ssl_handshake_timeout=CONNECT_S,
                ssl_shutdown_timeout=1.0,
            )
            try:
                await protocol.accepted
            except BaseException:
                transport.abort()
                raise
        self.fingerprint = peer_fingerprint(transport)
        _keep_alive(transport.get_extra_info("socket"))
        return protocol


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
