"""Peers that a client of WinRM may meet at a host's address: whatever a test says, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from provisioner.hyperv.client import HyperVHost
from provisioner.model.cluster import HostSpec
from provisioner.model.units import HTTP_PORT, HTTPS_PORT
from provisioner.ports import Endpoint
from tests.fakes.clock import FakeClock

Talk = Callable[[socket.socket], None]
"""What the peer does with one connection, on a thread of its own."""


class OnePlace:
    """The host's address is reached on a port of loopback."""

    def __init__(self, port: int) -> None:
        self.port = port

    def resolve(self, address: str, port: int) -> Endpoint:
        return Endpoint(host="127.0.0.1", port=self.port, server_name="127.0.0.1")


class Peer:
    """Listens on loopback and talks as it is told."""

    def __init__(self, talk: Talk, context: ssl.SSLContext | None = None) -> None:
        self._talk = talk
        self._context = context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.met = 0
        """Connections so far."""
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.met += 1
            self._open.append(connection)
            answering = threading.Thread(target=self._answer, args=(connection,), daemon=True)
            self._threads.append(answering)
            answering.start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            self._talk(connection)
        connection.close()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(5)


def read_request(connection: socket.socket) -> bytes:
    """One HTTP request, head and body; empty at the end."""
    taken = b""
    while b"\r\n\r\n" not in taken:
        more = connection.recv(65536)
        if not more:
            return b""
        taken += more
    head, _, body = taken.partition(b"\r\n\r\n")
    length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
    while len(body) < length:
        more = connection.recv(65536)
        if not more:
            return b""
        body += more
    return head + b"\r\n\r\n" + body


def http(answer: Callable[[bytes], bytes | Iterator[bytes]]) -> Talk:
    """Answers requests, one after the other; an iterator of parts is sent as it comes."""

    def talk(connection: socket.socket) -> None:
        while request := read_request(connection):
            parts = answer(request)
            for part in (parts,) if isinstance(parts, bytes) else parts:
                connection.sendall(part)

    return talk


def signed_in(answer: Callable[[bytes], bytes | Iterator[bytes]]) -> Talk:
    """Asks for a sign-in, takes whatever comes for one, and then answers."""
    known = False

    def answering(request: bytes) -> bytes | Iterator[bytes]:
        nonlocal known
        known = known or b"\r\nAuthorization: Negotiate " in request
        return answer(request) if known else said("401 Unauthorized", b"", "WWW-Authenticate: Negotiate")

    return http(answering)


def said(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = "\r\n".join((f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""))
    return head.encode("latin-1") + body


@contextlib.asynccontextmanager
async def host_at(
    peer: Peer, *, https: bool = False, transport: str = "psrp", ca: Path | None = None
) -> AsyncIterator[HyperVHost]:
    spec = HostSpec(
        name="hv01.lan",
        address="192.0.2.10",
        port=HTTPS_PORT if https else HTTP_PORT,
        user="Administrator",
        transport=transport,
    )
    host = HyperVHost(spec, password="not to be told", dialer=OnePlace(peer.port), clock=FakeClock(), ca_path=ca)
    try:
        async with asyncio.timeout(60):
            yield host
    finally:
        await host.close()
        peer.stop()
