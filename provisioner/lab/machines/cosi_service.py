"""COSI's state API as Talos serves it: Get, List and Watch by the rules of internal/app/resources/access.go; nothing is written."""

# Methods are called as the protocol calls them:
# ruff: noqa: N802

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream

from provisioner.lab.machines import kinds, resources
from provisioner.lab.machines.calls import READERS, Answerer, Caller, received
from provisioner.talos.api.gen import cosi_pb2 as pb
from provisioner.talos.api.gen.cosi_grpc import StateBase

Route = Callable[[Stream[Any, Any]], Answerer]
"""Which machine answers a call, by its metadata."""
WhoAsks = Callable[[Stream[Any, Any]], Caller]


class CosiService(StateBase):
    def __init__(self, route: Route, who_asks: WhoAsks) -> None:
        self._route = route
        self._who_asks = who_asks

    async def Get(self, stream: Stream[pb.GetRequest, pb.GetResponse]) -> None:
        request = await received(stream)
        answerer, kind = self._open(stream, request.namespace, request.type)
        with answerer.locked():
            entry = answerer.view.look(kind, request.namespace).get(request.id)
        if entry is None:
            raise GRPCError(
                Status.NOT_FOUND, f"resource {kind.type}({request.namespace}/{request.id}@undefined) doesn't exist"
            )
        await stream.send_message(pb.GetResponse(resource=entry.resource()))

    async def List(self, stream: Stream[pb.ListRequest, pb.ListResponse]) -> None:
        request = await received(stream)
        answerer, kind = self._open(stream, request.namespace, request.type)
        with answerer.locked():
            entries = resources.selected(answerer.view.look(kind, request.namespace), request.options.id_query.regexp)
        for name in sorted(entries):
            await stream.send_message(pb.ListResponse(resource=entries[name].resource()))

    async def Watch(self, stream: Stream[pb.WatchRequest, pb.WatchResponse]) -> None:
        """First an empty message as a hello, then what is, then each change, until the machine goes or the client hangs up."""
        request = await received(stream)
        answerer, kind = self._open(stream, request.namespace, request.type)
        single = request.id if request.HasField("id") else None
        if single is not None and (request.options.bootstrap_contents or request.options.label_query):
            raise GRPCError(Status.UNIMPLEMENTED, "not supported for a watch of a single resource")
        await stream.send_message(pb.WatchResponse())
        known: dict[str, resources.Entry] | None = None
        while True:
            ring = answerer.bell.listen()
            with answerer.locked():
                found = answerer.view.look(kind, request.namespace)
            if single is not None:
                found = {single: found[single]} if single in found else {}
                events = list(_first_of_one(kind, single, found) if known is None else _changes(known, found))
            else:
                found = resources.selected(found, request.options.id_query.regexp)
                events = list(_first_of_all(request, kind, found) if known is None else _changes(known, found))
            known = found
            for event in events:
                await stream.send_message(pb.WatchResponse(event=[event]))
            await answerer.wait(ring)

    async def Create(self, stream: Stream[pb.CreateRequest, pb.CreateResponse]) -> None:
        await self._refuse_write(stream)

    async def Update(self, stream: Stream[pb.UpdateRequest, pb.UpdateResponse]) -> None:
        await self._refuse_write(stream)

    async def Destroy(self, stream: Stream[pb.DestroyRequest, pb.DestroyResponse]) -> None:
        await self._refuse_write(stream)

    async def _refuse_write(self, stream: Stream[Any, Any]) -> None:
        admin = self._who_asks(stream).admin
        raise GRPCError(Status.PERMISSION_DENIED, "write access is not allowed" if admin else "not authorized")

    def _open(self, stream: Stream[Any, Any], namespace: str, type: str) -> tuple[Answerer, kinds.Kind]:
        """Who answers, and the kind asked for, if this caller may read it."""
        caller = self._who_asks(stream)
        caller.require(READERS)
        kind = kinds.ALL.get(type)
        if kind is None:
            raise GRPCError(Status.PERMISSION_DENIED, f'resource type "{type}" is not supported')
        if namespace not in kinds.NAMESPACES:
            raise GRPCError(Status.PERMISSION_DENIED, f'namespace "{namespace}" is not supported')
        if kind.sensitive and not caller.admin:
            raise GRPCError(Status.PERMISSION_DENIED, "not authorized")
        if stream.metadata is not None and "nodes" in stream.metadata:
            raise GRPCError(Status.INVALID_ARGUMENT, "one-2-many proxying is not supported for COSI methods")
        answerer = self._route(stream)
        return answerer, kind


def _first_of_one(kind: kinds.Kind, id: str, found: dict[str, resources.Entry]) -> Iterator[pb.Event]:
    if id in found:
        yield pb.Event(event_type=pb.CREATED, resource=found[id].resource())
    else:
        yield pb.Event(event_type=pb.DESTROYED, resource=resources.tombstone(kind, id))


def _first_of_all(request: pb.WatchRequest, kind: kinds.Kind, found: dict[str, resources.Entry]) -> Iterator[pb.Event]:
    """BOOTSTRAPPED goes only to clients of api_version 1."""
    if not request.options.bootstrap_contents:
        return
    for name in sorted(found):
        yield pb.Event(event_type=pb.CREATED, resource=found[name].resource())
    if request.api_version >= 1:
        yield pb.Event(event_type=pb.BOOTSTRAPPED, resource=resources.tombstone(kind, ""))


def _changes(old: dict[str, resources.Entry], new: dict[str, resources.Entry]) -> Iterator[pb.Event]:
    for name, entry in new.items():
        before = old.get(name)
        if before is None:
            yield pb.Event(event_type=pb.CREATED, resource=entry.resource())
        elif before.version != entry.version:
            yield pb.Event(event_type=pb.UPDATED, resource=entry.resource(), old=before.resource())
    for name in sorted(old.keys() - new.keys()):
        yield pb.Event(event_type=pb.DESTROYED, resource=old[name].resource())
