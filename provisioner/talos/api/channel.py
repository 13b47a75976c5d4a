"""One connection to one machine's API: grpclib's channel, dialed through the Dialer, with what grpclib lacks.

- Connecting has a bound, and TCP keepalive ends a watch over a dead link after about 25 s. HTTP/2 pings are not used: Talos'
  server punishes frequent ones.
- In TLS 1.3 the client's handshake ends before the server has judged the client's certificate, so the channel counts as
  connected only when the server's first HTTP/2 bytes are there: until then nothing is sent, and a refusal is seen as such.
- A GOAWAY without an error means "draining": calls in flight end as they should, the next call dials again.
- Why a connection was lost is kept.
- What a peer sends is counted, before anything reads it: a call lets in so many bytes, and a peer that sends more loses its connection.
- Whatever is not gRPC becomes `Malformed` here, in one place: of HTTP/2, of its headers, of a message, or of what is made of it.

grpclib's and h2's names used here are private; each is covered by a test that fails when it vanishes.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

from grpclib.client import Channel, Handler, Stream
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.protocol import H2Protocol
from hyperframe.frame import GoAwayFrame

from provisioner.clienttls import is_alert
from provisioner.errors import (
    Dropped,
    Malformed,
    NotTrusted,
    ProvisionError,
    Rejected,
    TalosRefused,
    TransportError,
    Unreachable,
)
from provisioner.ports import Endpoint
from provisioner.talos.api.tls import peer_fingerprint
from provisioner.wire import clipped, excerpt, failure_words, inner_errors, is_tls_cut, tls_reason

CONNECT_S = 5.0
"""Real seconds to connect, handshake included."""
UNVERIFIED_BYTES = 2**20
"""Bytes that a peer in maintenance, which no certificate vouches for, may send for one call. All there is to read is a tenth of it."""
CLUSTER_BYTES = 32 * 2**20
"""The same for a machine of the cluster, and for each piece of a stream: the most that Talos itself takes as one message.

Source: GRPCMaxMessageSize, https://github.com/siderolabs/talos/blob/v1.11.5/pkg/machinery/constants/constants.go
"""
GOODBYE_S = 0.2
"""Real seconds for the other side's part of ending TLS."""
_SETTINGS = b"\x04"
"""The type of the frame that an HTTP/2 server sends first, in the fourth byte. Source: RFC 9113, 3.4."""
_KEEPALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPALIVE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
"""Seconds, seconds, and probes; the first is Linux' name, the second macOS' for the same."""


class TalosProtocol(H2Protocol):
    """Keeps why the connection was lost, signals when the server has accepted us, and counts what it sends."""

    def __init__(self, allowance: int, *args: Any) -> None:
        super().__init__(*args)
        self._allowance = self._left = allowance
        self.transport: asyncio.Transport | None = None
        self.lost: BaseException | None = None
        self.gone = asyncio.Event()
        self.draining = False
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        """Refuses a peer without HTTP/2, and takes a GOAWAY without an error as draining."""
        super().connection_made(transport)
        self.transport = transport
        secured = transport.get_extra_info("ssl_object")
        if secured is not None and secured.selected_alpn_protocol() != "h2":
            self._refuse("it speaks TLS, but no HTTP/2")
            return
        table = self.connection._connection._frame_dispatch_table
        close_at_once = table[GoAwayFrame]  # h2 knows no other way

        def go_away(frame: GoAwayFrame) -> Any:
            self.draining = True
            if frame.error_code or not self.processor.streams:
                return close_at_once(frame)
            return [], []

        table[GoAwayFrame] = go_away

    def allow(self) -> None:
        """A call begins, or a piece of a stream was taken: the next may come."""
        self._left = self._allowance

    def data_received(self, data: bytes) -> None:
        """As grpclib's, but that nothing which the peer sends raises in the loop."""
        self._left -= len(data)
        if self.connection.is_closing():
            return
        if self._left < 0:
            self._refuse(f"it sent more than {self._allowance / 2**20:g} MiB for one call")
            return
        if not self.accepted.done() and data[3:4] not in (b"", _SETTINGS):
            self._refuse(f"no HTTP/2: {excerpt(data)}")
            return
        try:
            events = self.connection.feed(data)
            self.connection.flush()
            for event in events:
                self.processor.process(event)
            if not self.connection.is_closing():
                self.connection.flush()
        except Exception:  # noqa: BLE001 - whatever h2 and grpclib raise, it is not HTTP/2 as gRPC uses it
            self._refuse("it broke the rules of HTTP/2")
        if not self.accepted.done():
            self.accepted.set_result(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Keeps the reason: an earlier one of ours comes first."""
        self.lost = self.lost or exc
        self.gone.set()
        super().connection_lost(exc)
        self._not_accepted(self.lost or ConnectionResetError("closed before the first byte"))

    def _refuse(self, came: str) -> None:
        """Ends the connection with a peer that does not speak as it should."""
        if self.lost is None:
            self.lost = malformed(came)
        self._not_accepted(self.lost)
        self.processor.close(reason=came)
        if self.transport is not None:
            self.transport.abort()

    def _not_accepted(self, why: BaseException) -> None:
        if not self.accepted.done():
            self.accepted.set_exception(why)
            self.accepted.exception()  # perhaps no one waits any more


class TalosStream(Stream[Any, Any]):
    """A call. A status that grpclib would ascribe to a gRPC server, but that none sends, raises Malformed."""

    def _raise_for_status(self, headers_map: Any) -> None:
        if headers_map.get(":status") != "200":
            raise malformed(f"HTTP status {excerpt(headers_map.get(':status') or '')}")

    def _raise_for_content_type(self, headers_map: Any) -> None:
        given = headers_map.get("content-type") or ""
        if not given and "grpc-status" in headers_map:
            return  # as grpclib's own server answers when it knows no such method
        if given not in ("application/grpc", "application/grpc+proto"):
            raise malformed(f"content of type {excerpt(given)}")

    def _process_grpc_status(self, headers_map: Any) -> Any:
        given = headers_map.get("grpc-status") or ""
        if given not in _STATUSES:
            raise malformed(f"gRPC status {excerpt(given)}")
        return super()._process_grpc_status(headers_map)


_STATUSES = frozenset(str(status.value) for status in Status)


class TalosChannel(Channel):
    """Dials at the first call and whenever the connection is gone; asks `locate` each time, for the machine may have moved."""

    def __init__(
        self, locate: Callable[[], Endpoint], context: ssl.SSLContext, *, allowance: int = UNVERIFIED_BYTES
    ) -> None:
        super().__init__(ssl=context)
        self._locate = locate
        self._allowance = allowance
        self.latest: TalosProtocol | None = None
        self.fingerprint = ""
        """Of the server's key on the present connection."""

    async def end(self) -> None:
        """Ends TLS in order, and waits at most `GOODBYE_S` for the other side."""
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
        with self.failures(sent=False, within_s=CONNECT_S):
            await self.__connect__()

    @contextlib.contextmanager
    def failures(self, *, sent: bool, within_s: float | None = None) -> Iterator[None]:
        """Errors of ours for whatever happens in a call and in reading its answer. `sent`: the call may change something and is on its way,
        so losing its answer leaves the outcome open. `within_s`: how long an answer is waited for.
        """
        self.allow_more()
        try:
            yield
        except ProvisionError:
            raise
        except Exception as error:
            lost = self.latest.lost if self.latest is not None else None
            raise _explained(error, lost, sent=sent, within_s=within_s) from error

    def allow_more(self) -> None:
        """The peer may send as many bytes again: a call begins, or a piece of a stream was taken."""
        if self.latest is not None:
            self.latest.allow()

    def request(self, name: str, cardinality: Any, request_type: Any, reply_type: Any, **given: Any) -> TalosStream:
        """As grpclib's, with our own kind of stream."""
        made = super().request(name, cardinality, request_type, reply_type, **given)
        made.__class__ = TalosStream
        return made  # type: ignore[return-value]

    def _protocol_factory(self) -> TalosProtocol:
        self.latest = TalosProtocol(self._allowance, Handler(), self._config, self._h2_config)
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


def malformed(came: str) -> Malformed:
    """The error for a peer that does not answer as Talos does; `came` is what it sent instead."""
    return Malformed(came, expected="Talos")


def _explained(error: Exception, lost: BaseException | None, *, sent: bool, within_s: float | None) -> TransportError:
    """What a call that failed means; `lost`: why its connection was lost, if it was."""
    lost_answer = Dropped if sent else Unreachable
    if isinstance(error, GRPCError):
        words = clipped(error.message or "")
        if error.status is not Status.UNAVAILABLE:
            return TalosRefused(status=error.status.name, message=words)
        return lost_answer(words or "unavailable")  # it goes down, or what stands behind apid does
    cause = lost if isinstance(error, StreamTerminatedError) and lost is not None else error
    if isinstance(cause, TransportError):
        return cause
    if (explained := _explained_tls(cause)) is not None:
        return explained
    if isinstance(cause, OSError):  # TimeoutError is one
        return lost_answer(failure_words(cause, within_s=within_s))
    if isinstance(cause, StreamTerminatedError):
        return lost_answer("the call was cut off")
    return malformed(f"its answer cannot be read ({type(error).__name__})")


def _explained_tls(cause: BaseException) -> TransportError | None:
    """None for an error that is none of TLS, and for a connection that was merely cut."""
    error = next((each for each in inner_errors(cause) if isinstance(each, ssl.SSLError)), None)
    if error is None:
        return None
    if isinstance(error, ssl.SSLCertVerificationError):
        return NotTrusted(f"the machine's certificate is not the one expected: {tls_reason(error)}")
    if is_alert(error):
        return Rejected(f"the machine refuses our certificate: {tls_reason(error)}")
    return None if is_tls_cut(error) else malformed(f"no TLS ({tls_reason(error)})")


def _keep_alive(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
