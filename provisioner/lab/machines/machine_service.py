"""Talos' machine API: which methods are served, who may call each, and how a reply is put together.

Roles are those of Talos' `internal/app/machined/pkg/system/services/machined.go`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from google.protobuf.message_factory import GetMessageClass
from grpclib.const import Cardinality, Handler, Status
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
from provisioner.talos.api.gen import machine_pb2 as pb

Roles = frozenset[str]
UNARY: Mapping[str, tuple[Roles, Callable[[Answerer, Any], Awaitable[Any]]]] = {
    "ApplyConfiguration": (ADMINS, answers.apply_configuration),
    "Bootstrap": (ADMINS, answers.bootstrap),
    "EtcdMemberList": (ETCD_READERS, answers.etcd_member_list),
    "EtcdStatus": (ETCD_READERS, answers.etcd_status),
    "Hostname": (READERS, answers.hostname),
    "Memory": (READERS, answers.memory),
    "Reboot": (OPERATORS, answers.reboot),
    "Reset": (ADMINS, answers.reset),
    "ServiceList": (READERS, answers.service_list),
    "Shutdown": (OPERATORS, answers.shutdown),
    "Version": (READERS, answers.version),
}
"""A reply has one element for each machine asked."""
STREAMING: Mapping[str, tuple[Roles, Callable[[Answerer, Any], AsyncIterator[Any]]]] = {
    "Dmesg": (READERS, answers.dmesg),
    "Events": (READERS, answers.events),
    "Kubeconfig": (ADMINS, answers.kubeconfig),
    "Logs": (READERS, answers.logs),
    "Read": (ADMINS, answers.read),
}
_SERVICE = pb.DESCRIPTOR.services_by_name["MachineService"]
_MAINTENANCE_REFUSED = frozenset({"Version", "Upgrade", "Reset", "MetaWrite", "MetaDelete"})
"""Known to the maintenance server, but only for a management tunnel."""


def apid_methods(proxy: Proxy, who_asks: Callable[[Stream[Any, Any]], Caller]) -> dict[str, Handler]:
    """The methods of a configured machine, by path."""

    def unary(name: str) -> Callable[[Stream[Any, Any]], Awaitable[None]]:
        roles, answer = UNARY[name]
        reply: Any = GetMessageClass(_SERVICE.methods_by_name[name].output_type)
        element = type(reply().messages.add())

        async def call(stream: Stream[Any, Any]) -> None:
            who_asks(stream).require(roles)
            request = await received(stream)
            elements = await proxy.gather(stream.metadata, lambda answerer: answer(answerer, request), element)
            lose_answer(proxy.local, stream)
            await stream.send_message(reply(messages=elements))

        return call

    def streaming(name: str) -> Callable[[Stream[Any, Any]], Awaitable[None]]:
        roles, answer = STREAMING[name]
        message = GetMessageClass(_SERVICE.methods_by_name[name].output_type)

        async def call(stream: Stream[Any, Any]) -> None:
            who_asks(stream).require(roles)
            request = await received(stream)
            if targets := proxy.many(stream.metadata):
                await _from_several(stream, proxy, targets, lambda answerer: answer(answerer, request), message)
            else:
                async for each in answer(proxy.one(stream.metadata), request):
                    await stream.send_message(each)

        return call

    return _handlers({name: unary(name) for name in UNARY} | {name: streaming(name) for name in STREAMING})


def maintenance_methods(local: Answerer) -> dict[str, Handler]:
    """The own server of Talos 1.11 and 1.12 before a config came: it takes one, and nothing else. `node` and `nodes` are ignored."""

    async def apply(stream: Stream[Any, Any]) -> None:
        element = await answers.apply_in_maintenance(local, await received(stream))
        lose_answer(local, stream)
        await stream.send_message(pb.ApplyConfigurationResponse(messages=[element]))

    return _handlers({"ApplyConfiguration": apply})


def refused_in_maintenance(path: str) -> GRPCError:
    """Why any other method is not served."""
    service, _, method = path.removeprefix("/").partition("/")
    if service != _SERVICE.full_name:
        return GRPCError(Status.UNIMPLEMENTED, f"unknown service {service}")
    if method in _MAINTENANCE_REFUSED:
        return GRPCError(Status.UNIMPLEMENTED, "API is not implemented in maintenance mode")
    return GRPCError(Status.UNIMPLEMENTED, f"method {method} not implemented")


def _handlers(calls: Mapping[str, Callable[[Stream[Any, Any]], Awaitable[None]]]) -> dict[str, Handler]:
    """By path, with the types of the protocol's own description."""
    found = {}
    for name, call in calls.items():
        method = _SERVICE.methods_by_name[name]
        kind = Cardinality.UNARY_STREAM if method.server_streaming else Cardinality.UNARY_UNARY
        types = (GetMessageClass(method.input_type), GetMessageClass(method.output_type))
        found[f"/{_SERVICE.full_name}/{name}"] = Handler(call, kind, *types)
    return found


async def _from_several(
    stream: Stream[Any, Any],
    proxy: Proxy,
    targets: list[str],
    answer: Callable[[Answerer], AsyncIterator[Any]],
    failed: Callable[[], Any],
) -> None:
    """Messages come as they come, each with its target's name; that one failed is a message too."""

    async def from_one(target: str) -> None:
        try:
            async for message in answer(proxy.target(target)):
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
