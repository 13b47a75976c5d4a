"""Peers that a client of Talos may meet: one that speaks gRPC and answers whatever bytes it is told, and ones that speak something else."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from grpclib.const import Cardinality, Handler
from grpclib.encoding.base import CodecBase
from grpclib.server import Server

from provisioner.clienttls import load_client_certificate
from provisioner.ports import Endpoint, TalosAccess
from provisioner.talos.api.client import TalosMachines
from provisioner.talos.api.gen import cosi_pb2
from provisioner.talos.api.gen.machine_pb2 import (
    ApplyConfiguration,
    ApplyConfigurationResponse,
    Bootstrap,
    BootstrapResponse,
    EtcdMember,
    EtcdMemberListResponse,
    EtcdMembers,
    ServiceInfo,
    ServiceList,
    ServiceListResponse,
)
from tests.unit.talos_api.test_channel import CERTIFICATE, KEY_PEM, NAME

ADDRESS = NAME
ACCESS = TalosAccess(ca=CERTIFICATE, crt=CERTIFICATE, key=KEY_PEM)
GET, LIST, WATCH = (f"/cosi.resource.State/{name}" for name in ("Get", "List", "Watch"))
APPLY, BOOTSTRAP, MEMBERS, SERVICES, READ = (
    f"/machine.MachineService/{name}"
    for name in ("ApplyConfiguration", "Bootstrap", "EtcdMemberList", "ServiceList", "Read")
)
SPECS = {
    "MachineStatuses": "stage: maintenance\nstatus:\n  ready: false\n  unmetConditions:\n    - name: network\n      reason: waits\n",
    "SystemInformations": "uuid: 5a6b7c8d-1111-2222-3333-444455556666\n",
    "HostnameStatuses": "hostname: talos-abc\ndomainname: ''\n",
    "SystemDisks": "devPath: /dev/sda\n",
    "KernelCmdlines": "cmdline: talos.platform=metal\n",
    "Versions": "version: v1.11.5\n",
    "Infos": "clusterId: abc\n",
    "LinkStatuses": "type: ether\nkind: ''\nhardwareAddr: 02:15:5d:00:00:11\n",
    "Disks": "dev_path: /dev/sda\nsize: 21474836480\nreadonly: false\ncdrom: false\n",
}


class RawCodec(CodecBase):
    """Messages are the bytes that they are on the wire."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


def good(path: str, request: bytes) -> list[bytes]:
    """What a machine answers."""
    if path in (GET, LIST, WATCH):
        kind = cosi_pb2.GetRequest.FromString(request).type.partition(".")[0]  # the field is the same in all three
        resource = cosi_pb2.Resource(metadata=cosi_pb2.Metadata(id="x"), spec=cosi_pb2.Spec(yaml_spec=SPECS[kind]))
        if path == WATCH:
            return [
                cosi_pb2.WatchResponse(
                    event=[cosi_pb2.Event(event_type=cosi_pb2.CREATED, resource=resource)]
                ).SerializeToString()
            ]
        answer = cosi_pb2.GetResponse(resource=resource) if path == GET else cosi_pb2.ListResponse(resource=resource)
        return [answer.SerializeToString()]
    answers: dict[str, Any] = {
        APPLY: ApplyConfigurationResponse(messages=[ApplyConfiguration(warnings=["w"], mode_details="d")]),
        BOOTSTRAP: BootstrapResponse(messages=[Bootstrap()]),
        MEMBERS: EtcdMemberListResponse(messages=[EtcdMembers(members=[EtcdMember(id=1, hostname="cp-1")])]),
        SERVICES: ServiceListResponse(messages=[ServiceList(services=[ServiceInfo(id="etcd", state="Running")])]),
    }
    return [answers[path].SerializeToString()]


class Peer:
    """Speaks gRPC; `answer` gives the messages for each call, and may change from call to call."""

    def __init__(self) -> None:
        self.answer: Callable[[str, bytes], Iterable[bytes]] = good
        self.sent = 0
        """Bytes of messages that it could get rid of."""

    def __mapping__(self) -> dict[str, Handler]:
        return {
            path: Handler(
                self._answering(path),
                Cardinality.UNARY_STREAM,  # then nobody minds how many messages there are
                bytes,
                bytes,
            )
            for path in (GET, LIST, WATCH, APPLY, BOOTSTRAP, MEMBERS, SERVICES, READ)
        }

    def _answering(self, path: str) -> Callable[[Any], Awaitable[None]]:
        async def answering(stream: Any) -> None:
            request = await stream.recv_message()
            await stream.send_initial_metadata()
            for message in self.answer(path, request):
                await stream._stream.send_data(b"\0" + len(message).to_bytes(4, "big") + message)
                self.sent += len(message)
            if path == WATCH:
                await asyncio.Event().wait()
            await stream.send_trailing_metadata()

        return answering


def server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    load_client_certificate(context, CERTIFICATE, KEY_PEM)
    return context


class OnePlace:
    """The machine's address is reached on a port of loopback."""

    def __init__(self, port: int) -> None:
        self.port = port

    def resolve(self, address: str, port: int) -> Endpoint:
        return Endpoint(host="127.0.0.1", port=self.port, server_name=address)


@asynccontextmanager
async def met(port: int) -> AsyncIterator[TalosMachines]:
    machines = TalosMachines(OnePlace(port))
    try:
        yield machines
    finally:
        await machines.close()


@asynccontextmanager
async def speaking_grpc() -> AsyncIterator[tuple[Peer, TalosMachines]]:
    peer = Peer()
    server = Server([peer], codec=RawCodec())
    await server.start("127.0.0.1", 0, ssl=server_context())
    bound: Any = server._server
    try:
        async with met(bound.sockets[0].getsockname()[1]) as machines:
            yield peer, machines
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.01)


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def speaking(talk: Talk, context: ssl.SSLContext | None) -> AsyncIterator[TalosMachines]:
    """A peer that says what it says, over TLS or not."""

    talking: set[asyncio.Task[Any]] = set()

    async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own = asyncio.current_task()
        assert own is not None
        talking.add(own)
        with suppress(OSError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(answering, "127.0.0.1", 0, ssl=context)
    try:
        async with met(server.sockets[0].getsockname()[1]) as machines:
            yield machines
    finally:
        server.close()
        for task in talking:
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        await server.wait_closed()
        await asyncio.sleep(0.01)
