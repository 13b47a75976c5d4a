"""The channel against a small gRPC server: what grpclib lacks is there, and each private name that it takes."""

from __future__ import annotations

import asyncio
import datetime as dt
import inspect
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID
from google.protobuf.empty_pb2 import Empty
from grpclib.client import Channel
from grpclib.protocol import H2Protocol
from grpclib.server import Server
from h2.connection import H2Connection
from hyperframe.frame import GoAwayFrame

from provisioner.clienttls import load_client_certificate
from provisioner.errors import Dropped, NotTrusted, Rejected, TalosRefused, Unreachable
from provisioner.ports import Endpoint
from provisioner.talos.api import channel as channel_module
from provisioner.talos.api.channel import TalosChannel
from provisioner.talos.api.gen.machine_grpc import MachineServiceBase, MachineServiceStub
from provisioner.talos.api.gen.machine_pb2 import Version, VersionInfo, VersionResponse
from provisioner.talos.api.tls import maintenance_context, spki_fingerprint

KEY = ed25519.Ed25519PrivateKey.generate()
NAME = "192.0.2.61"
"""The address that the certificate is for."""


def certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "talos")])
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(minutes=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(NAME))]), critical=False)
        .sign(KEY, None)
        .public_bytes(serialization.Encoding.PEM)
    )


CERTIFICATE = certificate()
KEY_PEM = KEY.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


class Versions(MachineServiceBase):
    """Answers Version alone, when the test lets it."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()

    async def Version(self, stream: Any) -> None:
        await stream.recv_message()
        self.asked.set()
        await self.gate.wait()
        await stream.send_message(VersionResponse(messages=[Version(version=VersionInfo(tag="v1"))]))


for _name in [name for name in MachineServiceBase.__abstractmethods__ if name != "Version"]:
    setattr(Versions, _name, lambda _self, _stream: None)
Versions.__abstractmethods__ = frozenset()


class Talos:
    """A server, and a channel to it."""

    def __init__(self) -> None:
        self.service = Versions()  # type: ignore[abstract]  # all others are set below the class
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_alpn_protocols(["h2"])
        load_client_certificate(self.context, CERTIFICATE, KEY_PEM)
        self.port = 0
        self.server: Server | None = None
        self.transports: list[asyncio.Transport] = []
        self.channel = TalosChannel(
            lambda: Endpoint(host="127.0.0.1", port=self.port, server_name="127.0.0.1"), maintenance_context()
        )

    async def start(self) -> None:
        self.server = Server([self.service])
        make = self.server._protocol_factory

        def noting() -> H2Protocol:
            made = make()
            connection_made = made.connection_made

            def noted(transport: Any) -> None:
                self.transports.append(transport)
                connection_made(transport)

            setattr(made, "connection_made", noted)
            return made

        setattr(self.server, "_protocol_factory", noting)
        await self.server.start("127.0.0.1", self.port, ssl=self.context, reuse_address=True)
        listening = self.server._server
        assert isinstance(listening, asyncio.Server)
        self.port = listening.sockets[0].getsockname()[1]

    def cut(self) -> None:
        for transport in self.transports:
            transport.abort()

    def go_away(self) -> None:
        """As grpc-go's graceful stop: calls up to the last stream are still answered."""
        for transport in self.transports:
            transport.write(GoAwayFrame(0, last_stream_id=2**31 - 1, error_code=0).serialize())

    async def stop(self) -> None:
        assert self.server is not None
        self.server.close()
        self.cut()
        await asyncio.sleep(0)

    async def version(self) -> str:
        await self.channel.connect()
        with self.channel.failures(sent=False):
            answer = await MachineServiceStub(self.channel).Version(Empty(), timeout=5)
        return answer.messages[0].version.tag


@asynccontextmanager
async def talos() -> AsyncIterator[Talos]:
    made = Talos()
    await made.start()
    try:
        yield made
    finally:
        await made.channel.end()
        await made.stop()
        await asyncio.sleep(0.01)


def run(test: Callable[[Talos], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20), talos() as made:
            await test(made)

    asyncio.run(bounded())


def test_a_call_and_the_fingerprint_of_who_answered() -> None:
    async def test(talos: Talos) -> None:
        assert await talos.version() == "v1"
        der = x509.load_pem_x509_certificate(CERTIFICATE).public_bytes(serialization.Encoding.DER)
        assert talos.channel.fingerprint == spki_fingerprint(der)

    run(test)


def test_keepalive_is_set_on_the_socket() -> None:
    async def test(talos: Talos) -> None:
        await talos.version()
        assert talos.channel.latest is not None
        assert talos.channel.latest.transport is not None
        connection = talos.channel.latest.transport.get_extra_info("socket")
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 10

    run(test)


def test_a_graceful_goaway_lets_the_call_end_and_the_next_one_dials_anew() -> None:
    async def test(talos: Talos) -> None:
        talos.service.gate.clear()
        call = asyncio.create_task(talos.version())
        await talos.service.asked.wait()
        first = talos.channel.latest
        talos.go_away()
        talos.service.gate.set()
        assert await call == "v1"
        assert await talos.version() == "v1"
        assert talos.channel.latest is not first

    run(test)


@pytest.mark.parametrize(("sent", "error"), [(False, Unreachable), (True, Dropped)])
def test_a_connection_lost_within_a_call(sent: bool, error: type[Exception]) -> None:
    async def test(talos: Talos) -> None:
        talos.service.gate.clear()
        await talos.channel.connect()

        async def call() -> None:
            with talos.channel.failures(sent=sent):
                await MachineServiceStub(talos.channel).Version(Empty(), timeout=5)

        calling = asyncio.create_task(call())
        await talos.service.asked.wait()
        talos.cut()
        with pytest.raises(error):
            await calling

    run(test)


def test_an_answer_that_does_not_come_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(talos: Talos) -> None:
        talos.service.gate.clear()
        await talos.channel.connect()

        async def call() -> None:
            with talos.channel.failures(sent=True):
                await MachineServiceStub(talos.channel).Version(Empty(), timeout=0.05)

        with pytest.raises(Dropped):
            await call()

    run(test)


def test_the_server_judges_our_certificate_before_anything_is_sent() -> None:
    async def test(talos: Talos) -> None:
        talos.context.verify_mode = ssl.CERT_REQUIRED
        talos.context.sslobject_class = Alerting
        with pytest.raises(Rejected, match=r"(?i)alert"):
            await talos.version()
        assert not talos.service.asked.is_set()

    run(test)


class Alerting(ssl.SSLObject):
    """asyncio drops a failed server handshake before OpenSSL's alert is flushed; failing one step later lets it out."""

    failed: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        if self.failed is not None:
            raise self.failed
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.failed = error
            raise ssl.SSLWantReadError(2, "alert pending") from None


def test_nobody_there_and_somebody_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "CONNECT_S", 0.1)

    async def test(talos: Talos) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            port, talos.port = talos.port, silent.getsockname()[1]
            with pytest.raises(Unreachable):
                await talos.version()  # refused
            silent.listen()
            with pytest.raises(Unreachable):
                await talos.version()  # accepted by the kernel, answered by nobody
        talos.port = port
        assert await talos.version() == "v1"

    run(test)


def test_a_method_that_the_server_does_not_know_is_its_answer() -> None:
    async def test(talos: Talos) -> None:
        await talos.channel.connect()
        stub = MachineServiceStub(talos.channel)
        stub.Version.name = "/machine.MachineService/NoSuch"
        with pytest.raises(TalosRefused) as caught, talos.channel.failures(sent=False):
            await stub.Version(Empty(), timeout=5)
        assert caught.value.status in ("UNIMPLEMENTED", "UNKNOWN")

    run(test)


def test_a_wrong_pin_is_not_trusted() -> None:
    async def test(talos: Talos) -> None:
        talos.channel._ssl = maintenance_context("AAAA")
        with pytest.raises(NotTrusted, match="AAAA"):
            await talos.version()
        assert not talos.service.asked.is_set()

    run(test)


def test_the_private_names_are_there() -> None:
    assert "self._protocol_factory" in inspect.getsource(Channel._create_connection)
    assert "self._create_connection()" in inspect.getsource(Channel.__connect__)
    assert isinstance(inspect.getattr_static(Channel, "_connected"), property)
    assert "_frame_dispatch_table" in inspect.getsource(H2Connection.__init__)
    assert GoAwayFrame in H2Connection()._frame_dispatch_table
    assert {"connection_made", "data_received", "connection_lost"} <= set(vars(H2Protocol))
