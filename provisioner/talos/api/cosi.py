"""COSI resources as Talos serves them: each spec comes as YAML too, so no resource needs a message definition of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import yaml
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from provisioner.errors import Malformed, TalosRefused
from provisioner.talos.api.channel import malformed
from provisioner.talos.api.gen import cosi_grpc, cosi_pb2
from provisioner.wire import clipped, excerpt

CALL_S = 10.0
"""Real seconds for one read."""
SPEC_CHARS = 2**18
"""Characters of one resource's YAML. The largest that we read are some thousand long."""
RESOURCES = 2_000
"""Of one kind. A node has one link for each pod."""
TEXT_CHARS = 256
"""Of one scalar, where nothing else is said: names, addresses, versions."""
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""Reads every scalar as the text it is: `auto: off` and `55:15:0` stay what Talos wrote."""


@dataclass(frozen=True, kw_only=True)
class ResourceType:
    """A resource type with the namespace it lives in."""

    namespace: str
    type: str


_NOTHING = (None, "", "null", "~")
"""What YAML writes for no value."""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource: every scalar of the spec is text, `true` and `false` included. What is not there is empty; what is there and is of
    another form raises Malformed, which names the place.
    """

    id: str
    spec: Any
    kind: str = ""

    def text(self, *path: str, most: int = TEXT_CHARS) -> str:
        """The scalar at that place, empty when it is not there."""
        found = self.at(*path)
        if found is None:
            return ""
        if not isinstance(found, str) or len(found) > most:
            raise self._wrong(path, f"a text of at most {most} characters", found)
        return found

    def words(self, *path: str) -> str:
        """A text for people, cut where it is too long for them."""
        return clipped(self.text(*path, most=SPEC_CHARS))

    def flag(self, *path: str) -> bool:
        """False when it is not there."""
        found = self.text(*path)
        if found not in ("true", "false", *_NOTHING):
            raise self._wrong(path, "true or false", found)
        return found == "true"

    def number(self, *path: str) -> int:
        """0 when it is not there."""
        found = self.text(*path)
        if found in _NOTHING:
            return 0
        if not found.lstrip("-").isascii() or not found.lstrip("-").isdecimal():
            raise self._wrong(path, "a whole number", found)
        return int(found)

    def each(self, *path: str, most: int) -> tuple[Resource, ...]:
        """The mappings of a list, as resources without an id."""
        found = self.at(*path)
        if found in _NOTHING:
            return ()
        if not isinstance(found, list) or len(found) > most or not all(isinstance(item, dict) for item in found):
            raise self._wrong(path, f"a list of at most {most} mappings", found)
        return tuple(Resource(id=self.id, spec=item, kind=self.kind) for item in found)

    def at(self, *path: str) -> Any:
        """Whatever stands at that place, None when nothing does."""
        found = self.spec
        for number, key in enumerate(path):
            if not isinstance(found, dict):
                if isinstance(found, str | None) and found in _NOTHING:
                    return None
                raise self._wrong(path[:number], "a mapping", found)
            found = found.get(key)
        return found

    def _wrong(self, path: tuple[str, ...], expected: str, found: Any) -> Malformed:
        place = ".".join((self.kind.partition(".")[0] or "a resource", *path))
        form = "a list" if isinstance(found, list) else "a mapping" if isinstance(found, dict) else "nothing"
        came = excerpt(found) if isinstance(found, str) else form
        return malformed(f"{place} has {came} where {expected} is due")


async def get(state: cosi_grpc.StateStub, kind: ResourceType, id: str) -> Resource | None:
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
    return _read(answer.resource, kind)


async def find(state: cosi_grpc.StateStub, kind: ResourceType) -> tuple[Resource, ...]:
    """All resources of a kind. Raises GRPCError."""
    answers = await state.List(
        cosi_pb2.ListRequest(namespace=kind.namespace, type=kind.type, options=cosi_pb2.ListOptions()), timeout=CALL_S
    )
    if len(answers) > RESOURCES:
        raise malformed(f"{len(answers):,} {kind.type.partition('.')[0]}")
    return tuple(_read(answer.resource, kind) for answer in answers)


async def watch(state: cosi_grpc.StateStub, kind: ResourceType, id: str) -> AsyncIterator[Resource | None]:
    """The resource now, and at each change; None while it is not there. Ends only by an error or by closing. Raises GRPCError,
    and TalosRefused for an error that Talos sends as an event.
    """
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
                if event.event_type == cosi_pb2.ERRORED:
                    raise TalosRefused(status="UNKNOWN", message=clipped(event.error))
                gone = event.event_type == cosi_pb2.DESTROYED
                yield None if gone else _read(event.resource, kind)


def _read(resource: cosi_pb2.Resource, kind: ResourceType) -> Resource:
    text = resource.spec.yaml_spec
    if len(text) > SPEC_CHARS:
        raise malformed(f"{kind.type.partition('.')[0]} with {len(text):,} characters of YAML")
    try:
        spec = yaml.load(text, Loader=_Loader)  # noqa: S506 - a BaseLoader makes nothing but text, lists and mappings
    except (yaml.YAMLError, ValueError, RecursionError):
        raise malformed(f"{kind.type.partition('.')[0]} with {excerpt(text)} where YAML is due") from None
    return Resource(id=resource.metadata.id, spec=spec, kind=kind.type)
