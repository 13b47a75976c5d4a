"""COSI resources as Talos serves them: each spec comes as YAML too, so no resource needs a message definition of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import yaml
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from provisioner.talos.api.gen import cosi_grpc, cosi_pb2

CALL_S = 10.0
"""Real seconds for one read."""
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""Reads every scalar as the text it is: `auto: off` and `55:15:0` stay what Talos wrote."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A resource type with the namespace it lives in."""

    namespace: str
    type: str


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource: every scalar of the spec is text, `true` and `false` included."""

    id: str
    spec: Any

    def text(self, *path: str) -> str:
        """The scalar at that place, empty when it is not there."""
        found = self.at(*path)
        return found if isinstance(found, str) else ""

    def flag(self, *path: str) -> bool:
        return self.text(*path) == "true"

    def number(self, *path: str) -> int:
        """0 when it is not there. Raises ValueError for what is no number."""
        return int(self.text(*path) or 0)

    def at(self, *path: str) -> Any:
        found = self.spec
        for key in path:
            found = found.get(key) if isinstance(found, dict) else None
        return found


async def get(state: cosi_grpc.StateStub, kind: Kind, id: str) -> Resource | None:
    """The resource, or None when Talos has none of that id. Raises GRPCError."""
    try:
        answer = await state.Get(
            cosi_pb2.GetRequest(namespace=kind.namespace, type=kind.type, id=id, options=cosi_pb2.GetOptions()),
            timeout=CALL_S,
        )
    except GRPCError as error:
        if error.status is Status.NOT_FOUND:
            return None
        raise
    return _read(answer.resource)


async def find(state: cosi_grpc.StateStub, kind: Kind) -> tuple[Resource, ...]:
    """All resources of a kind. Raises GRPCError."""
    answers = await state.List(
        cosi_pb2.ListRequest(namespace=kind.namespace, type=kind.type, options=cosi_pb2.ListOptions()), timeout=CALL_S
    )
    return tuple(_read(answer.resource) for answer in answers)


async def watch(state: cosi_grpc.StateStub, kind: Kind, id: str) -> AsyncIterator[Resource | None]:
    """The resource now, and at each change; None while it is not there. Ends only by an error or by closing. Raises GRPCError."""
    request = cosi_pb2.WatchRequest(
        namespace=kind.namespace,
        type=kind.type,
        id=id,
        options=cosi_pb2.WatchOptions(),  # Talos needs them, empty or not
        api_version=1,
    )
    async with state.Watch.open() as stream:
        await stream.send_message(request, end=True)
        async for answer in stream:  # the first has no events: a greeting
            for event in answer.event:
                gone = event.event_type == cosi_pb2.DESTROYED
                yield None if gone else _read(event.resource)


def _read(resource: cosi_pb2.Resource) -> Resource:
    return Resource(id=resource.metadata.id, spec=yaml.load(resource.spec.yaml_spec, Loader=_Loader))  # noqa: S506 - a BaseLoader makes nothing but text, lists and mappings
