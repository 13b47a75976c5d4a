"""Which machine answers: apid's forwarding by the request's `node` and `nodes` metadata (internal/app/apid/pkg/director)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from provisioner.lab.machines.calls import Answerer
from provisioner.lab.world.guests import clusters, scalars
from provisioner.lab.world.guests.machine import Machine
from provisioner.talos.api.gen import common_pb2

Element = TypeVar("Element")
Find = Callable[[Machine], Answerer | None]
"""The open apid of a machine, if it has one."""


class Proxy:
    """Of one apid: finds the machines that a call is meant for."""

    def __init__(self, local: Answerer, find: Find) -> None:
        self.local = local
        self._find = find

    def one(self, metadata: Any) -> Answerer:
        """For calls that go to one machine: `node`, or the machine itself."""
        nodes = _values(metadata, "node")
        if len(nodes) > 1:
            raise GRPCError(Status.INVALID_ARGUMENT, "node metadata must be single-valued")
        return self.target(nodes[0]) if nodes else self.local

    def many(self, metadata: Any) -> list[str]:
        """Targets named by `nodes`; empty when the answer comes from one machine and passes through unchanged."""
        return _values(metadata, "nodes")

    async def gather(
        self, metadata: Any, answer: Callable[[Answerer], Awaitable[Element]], failed: Callable[[], Element]
    ) -> list[Element]:
        """One element per machine. A target that fails does not fail the call: its element carries the error."""
        targets = self.many(metadata)
        if not targets:
            return [await answer(self.one(metadata))]
        elements = []
        for target in targets:
            try:
                element = await answer(self.target(target))
                common(element).hostname = target
            except GRPCError as error:
                if error.status is Status.PERMISSION_DENIED and error.message == NO_FORWARDING:
                    raise
                element = failure(failed(), target, error)
            elements.append(element)
        return elements

    def target(self, name: str) -> Answerer:
        """The machine of that name or address. Raises GRPCError."""
        local = self.local.machine
        with self.local.kernel.lock:
            if self.local.require_alive() and _is_called(local, name):
                return self.local
            if not local.control_plane:
                raise GRPCError(Status.PERMISSION_DENIED, NO_FORWARDING)
            called = [machine for machine in clusters.peers(local) if _is_called(machine, name)]
            for machine in called:
                if (answerer := self._find(machine)) is not None:
                    return answerer
        if called:
            why = f"dial tcp {name}:50000: connect: connection refused"
        elif scalars.is_address(name):
            why = f"dial tcp {name}:50000: connect: no route to host"
        else:
            why = f"dial tcp: lookup {name} on 127.0.0.53:53: no such host"
        raise GRPCError(Status.UNAVAILABLE, f'connection error: desc = "transport: Error while dialing: {why}"')


NO_FORWARDING = "no request forwarding"


def failure(element: Element, target: str, error: GRPCError) -> Element:
    """What stands in a reply for a target that failed."""
    about = common(element)
    about.hostname = target
    about.error = f"rpc error: code = {_go_name(error.status)} desc = {error.message}"
    about.status.code, about.status.message = error.status.value, error.message or ""
    return element


def common(element: Any) -> common_pb2.Metadata:
    """The metadata that each element of a reply has."""
    metadata: common_pb2.Metadata = element.metadata
    return metadata


def _is_called(machine: Machine, name: str) -> bool:
    talos = machine.talos
    names = (talos.hostname, talos.nodename, f"{talos.hostname}.{talos.domainname}")
    return name in ("127.0.0.1", "localhost", *clusters.addresses(machine), *names)


def _values(metadata: Any, key: str) -> list[str]:
    return [str(value) for value in metadata.getall(key, ())] if metadata is not None else []


def _go_name(status: Status) -> str:
    """`FAILED_PRECONDITION` -> `FailedPrecondition`, as gRPC's Go library prints it."""
    return "".join(word.capitalize() for word in status.name.split("_"))
