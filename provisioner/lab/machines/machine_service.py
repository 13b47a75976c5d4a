"""Talos' machine API of a configured machine: apid's methods with their roles (facts/talos.md 1.4, 1.9, 4.3)."""

# Methods are called as the protocol calls them:
# ruff: noqa: N802

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from google.protobuf.empty_pb2 import Empty
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream

from provisioner.lab.machines import answers
from provisioner.lab.machines.calls import (
    ADMINS,
    ETCD_READERS,
    OPERATORS,
    READERS,
    Answerer,
    Caller,
    lose_answer,
    received,
)
from provisioner.lab.machines.proxy import NO_FORWARDING, Proxy, common, failure
from provisioner.talos.api.gen import common_pb2
from provisioner.talos.api.gen import machine_pb2 as pb
from provisioner.talos.api.gen.machine_grpc import MachineServiceBase

Request = TypeVar("Request")
Element = TypeVar("Element")
Unary = Callable[[Answerer, Request], Awaitable[Element]]
Streaming = Callable[[Answerer, Request], AsyncIterator[Element]]


class MachineService(MachineServiceBase):
    """Each method names who may call it, what answers, and the messages of the reply."""

    def __init__(self, proxy: Proxy, who_asks: Callable[[Stream[Any, Any]], Caller]) -> None:
        self._proxy = proxy
        self._who_asks = who_asks

    async def ApplyConfiguration(
        self, stream: Stream[pb.ApplyConfigurationRequest, pb.ApplyConfigurationResponse]
    ) -> None:
        elements = await self._unary(stream, ADMINS, answers.apply_configuration, pb.ApplyConfiguration)
        await stream.send_message(pb.ApplyConfigurationResponse(messages=elements))

    async def Bootstrap(self, stream: Stream[pb.BootstrapRequest, pb.BootstrapResponse]) -> None:
        elements = await self._unary(stream, ADMINS, answers.bootstrap, pb.Bootstrap)
        await stream.send_message(pb.BootstrapResponse(messages=elements))

    async def EtcdMemberList(self, stream: Stream[pb.EtcdMemberListRequest, pb.EtcdMemberListResponse]) -> None:
        elements = await self._unary(stream, ETCD_READERS, answers.etcd_member_list, pb.EtcdMembers)
        await stream.send_message(pb.EtcdMemberListResponse(messages=elements))

    async def EtcdStatus(self, stream: Stream[Empty, pb.EtcdStatusResponse]) -> None:
        elements = await self._unary(stream, ETCD_READERS, answers.etcd_status, pb.EtcdStatus)
        await stream.send_message(pb.EtcdStatusResponse(messages=elements))

    async def Hostname(self, stream: Stream[Empty, pb.HostnameResponse]) -> None:
        elements = await self._unary(stream, READERS, answers.hostname, pb.Hostname)
        await stream.send_message(pb.HostnameResponse(messages=elements))

    async def Memory(self, stream: Stream[Empty, pb.MemoryResponse]) -> None:
        elements = await self._unary(stream, READERS, answers.memory, pb.Memory)
        await stream.send_message(pb.MemoryResponse(messages=elements))

    async def Reboot(self, stream: Stream[pb.RebootRequest, pb.RebootResponse]) -> None:
        elements = await self._unary(stream, OPERATORS, answers.reboot, pb.Reboot)
        await stream.send_message(pb.RebootResponse(messages=elements))

    async def Reset(self, stream: Stream[pb.ResetRequest, pb.ResetResponse]) -> None:
        elements = await self._unary(stream, ADMINS, answers.reset, pb.Reset)
        await stream.send_message(pb.ResetResponse(messages=elements))

    async def ServiceList(self, stream: Stream[Empty, pb.ServiceListResponse]) -> None:
        elements = await self._unary(stream, READERS, answers.service_list, pb.ServiceList)
        await stream.send_message(pb.ServiceListResponse(messages=elements))

    async def Shutdown(self, stream: Stream[pb.ShutdownRequest, pb.ShutdownResponse]) -> None:
        elements = await self._unary(stream, OPERATORS, answers.shutdown, pb.Shutdown)
        await stream.send_message(pb.ShutdownResponse(messages=elements))

    async def Version(self, stream: Stream[Empty, pb.VersionResponse]) -> None:
        elements = await self._unary(stream, READERS, answers.version, pb.Version)
        await stream.send_message(pb.VersionResponse(messages=elements))

    async def Dmesg(self, stream: Stream[pb.DmesgRequest, common_pb2.Data]) -> None:
        await self._stream(stream, READERS, answers.dmesg)

    async def Events(self, stream: Stream[pb.EventsRequest, pb.Event]) -> None:
        await self._stream(stream, READERS, answers.events, pb.Event)

    async def Kubeconfig(self, stream: Stream[Empty, common_pb2.Data]) -> None:
        await self._stream(stream, ADMINS, answers.kubeconfig)

    async def Logs(self, stream: Stream[pb.LogsRequest, common_pb2.Data]) -> None:
        await self._stream(stream, READERS, answers.logs)

    async def Read(self, stream: Stream[pb.ReadRequest, common_pb2.Data]) -> None:
        await self._stream(stream, ADMINS, answers.read)

    async def _unary(
        self,
        stream: Stream[Request, Any],
        roles: frozenset[str],
        answer: Unary[Request, Element],
        element: Callable[[], Element],
    ) -> list[Element]:
        self._who_asks(stream).require(roles)
        request = await received(stream)
        elements = await self._proxy.gather(stream.metadata, lambda answerer: answer(answerer, request), element)
        lose_answer(self._proxy.local, stream)
        return elements

    async def _stream(
        self,
        stream: Stream[Request, Any],
        roles: frozenset[str],
        answer: Streaming[Request, Element],
        failed: Callable[[], Any] = common_pb2.Data,
    ) -> None:
        """From several machines at once, messages come as they come, each with its target's name; that one failed is a message too."""
        self._who_asks(stream).require(roles)
        request = await received(stream)
        targets = self._proxy.many(stream.metadata)
        if not targets:
            async for message in answer(self._proxy.one(stream.metadata), request):
                await stream.send_message(message)
            return

        async def from_one(target: str) -> None:
            try:
                async for message in answer(self._proxy.target(target), request):
                    common(message).hostname = target
                    await stream.send_message(message)
            except GRPCError as error:
                if error.message == NO_FORWARDING:
                    raise
                await stream.send_message(failure(failed(), target, error))

        tasks = [asyncio.create_task(from_one(target)) for target in targets]
        try:
            for task in tasks:
                await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class MaintenanceService(MachineService):
    """The own server of Talos 1.11 and 1.12 before a config came: it takes one, and nothing else (facts/talos.md 3.3)."""

    ALLOWED = "/machine.MachineService/ApplyConfiguration"
    REFUSED = frozenset({"Version", "Upgrade", "Reset", "MetaWrite", "MetaDelete"})
    """Known to that server, but only for a management tunnel."""

    def __init__(self, local: Answerer) -> None:
        self._local = local

    async def ApplyConfiguration(
        self, stream: Stream[pb.ApplyConfigurationRequest, pb.ApplyConfigurationResponse]
    ) -> None:
        """`node` and `nodes` are ignored here."""
        element = await answers.apply_in_maintenance(self._local, await received(stream))
        lose_answer(self._local, stream)
        await stream.send_message(pb.ApplyConfigurationResponse(messages=[element]))

    @classmethod
    def refusal(cls, path: str) -> GRPCError:
        """Why any other method is not served."""
        service, _, method = path.removeprefix("/").partition("/")
        if service != "machine.MachineService":
            return GRPCError(Status.UNIMPLEMENTED, f"unknown service {service}")
        if method in cls.REFUSED:
            return GRPCError(Status.UNIMPLEMENTED, "API is not implemented in maintenance mode")
        return GRPCError(Status.UNIMPLEMENTED, f"method {method} not implemented")
