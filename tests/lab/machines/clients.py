"""Clients of Talos' API: TLS as a client sets it up, an ordinary gRPC channel, and the calls that many tests make."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
import yaml
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.protocol import H2Protocol
from hyperframe.frame import GoAwayFrame

from provisioner.talos.api.gen import cosi_pb2 as cosi
from provisioner.talos.api.gen.cosi_grpc import StateStub
from tests.lab.machines.clusters import Cluster, as_pem

STATUS = "MachineStatuses.runtime.talos.dev"


def insecure() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


def secure(cluster: Cluster, client: tuple[bytes, bytes] | None = None) -> ssl.SSLContext:
    """Verifies the server by the cluster's CA; presents the client certificate, if any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(cadata=as_pem(cluster.os_ca)[0].decode())
    if client is not None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "client.pem"
            file.write_bytes(client[0] + client[1])
            context.load_cert_chain(file)
    return context


class PatientChannel(Channel):
    """Takes a GOAWAY without error as what it is, an announcement. grpclib drops even answers that came just before it."""

    def _protocol_factory(self) -> H2Protocol:
        protocol = super()._protocol_factory()
        made = protocol.connection_made

        def connection_made(transport: Any) -> None:
            made(transport)
            protocol.connection._connection._frame_dispatch_table[GoAwayFrame] = lambda _frame: ([], [])

        setattr(protocol, "connection_made", connection_made)
        return protocol


async def hang_up(channel: Channel) -> None:
    """A TLS close takes turns with the peer, and a test's loop does not live that long."""
    transport = getattr(getattr(channel._protocol, "connection", None), "_transport", None)
    if transport is not None:
        transport.abort()
    channel.close()
    for _ in range(3):
        await asyncio.sleep(0)


def run(work: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await work

    asyncio.run(bounded())


async def get(channel: Channel, type: str, id: str, namespace: str = "runtime") -> Any:
    reply = await StateStub(channel).Get(cosi.GetRequest(namespace=namespace, type=type, id=id))
    return yaml.safe_load(reply.resource.spec.yaml_spec)


async def refusal(call: Any) -> tuple[Status, str]:
    with pytest.raises(GRPCError) as refused:
        await call
    return refused.value.status, refused.value.message or ""


def handshake(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    bare = socket.create_connection(("127.0.0.1", port), timeout=5)
    try:
        return context.wrap_socket(bare, server_hostname="127.0.0.1")
    except BaseException:
        bare.close()
        raise


class Watching:
    """An open watch in a test's own loop."""

    def __init__(self, channel: Channel, request: cosi.WatchRequest) -> None:
        self._context = StateStub(channel).Watch.open()
        self._request = request

    async def __aenter__(self) -> AsyncIterator[cosi.WatchResponse]:
        stream = self._stream = await self._context.__aenter__()
        await stream.send_message(self._request, end=True)
        return stream.__aiter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(Exception):  # the stream may be dead already; the test has said so
            await self._stream.cancel()
        with contextlib.suppress(GRPCError):
            await self._context.__aexit__(kind, error, trace)


def stage_of(response: cosi.WatchResponse) -> str:
    (event,) = response.event
    return str(yaml.safe_load(event.resource.spec.yaml_spec)["stage"])
