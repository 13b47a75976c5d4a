"""One request on its way: who asks, which machine answers, and what both may wait for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream

from provisioner.lab.listeners import Bell
from provisioner.lab.machines.resources import View
from provisioner.lab.world.guests.machine import Machine
from provisioner.lab.world.guests.sequences import Refused
from provisioner.lab.world.kernel import Kernel

Request = TypeVar("Request")

ADMIN, OPERATOR, READER, ETCD_BACKUP = "os:admin", "os:operator", "os:reader", "os:etcd:backup"
READERS = frozenset({ADMIN, OPERATOR, READER})
OPERATORS = frozenset({ADMIN, OPERATOR})
ADMINS = frozenset({ADMIN})
ETCD_READERS = READERS | {ETCD_BACKUP}


@dataclass
class Answerer:
    """One boot of one machine, as its API sees it: everything that answers stands on this."""

    kernel: Kernel
    machine: Machine
    boot_id: str
    bell: Bell
    view: View
    closed: bool = False
    """Whether its server has gone: calls that wait through another machine end too."""

    @property
    def alive(self) -> bool:
        """Whether that boot still runs. Under the world's lock."""
        return self.machine.guest is not None and self.machine.guest.boot_id == self.boot_id

    def require_alive(self) -> Machine:
        if self.closed or not self.alive:
            raise GRPCError(Status.UNAVAILABLE, "error reading from server: EOF")
        return self.machine

    @contextlib.contextmanager
    def locked(self) -> Iterator[Machine]:
        """The machine, under the world's lock. Raises GRPCError once that boot has ended."""
        with self.kernel.lock:
            yield self.require_alive()

    async def wait(self, ring: asyncio.Event, seconds: float | None = None) -> bool:
        """Until the bell rings, at most that many seconds of the world; tells whether it rang."""
        try:
            async with asyncio.timeout(None if seconds is None else seconds / self.kernel.clock.rate):
                await ring.wait()
        except TimeoutError:
            return False
        return True


@dataclass(frozen=True)
class Caller:
    """Who asks, by the organisations in the client certificate."""

    roles: frozenset[str]

    @classmethod
    def of(cls, certificate: Mapping[str, object] | None) -> Caller:
        subject = (certificate or {}).get("subject") or ()
        assert isinstance(subject, tuple)
        return cls(frozenset(value for part in subject for key, value in part if key == "organizationName"))

    def require(self, roles: frozenset[str]) -> None:
        if not self.roles & roles:
            raise GRPCError(Status.PERMISSION_DENIED, "not authorized")

    @property
    def admin(self) -> bool:
        return ADMIN in self.roles


async def received(stream: Stream[Request, Any]) -> Request:
    """The request's only message."""
    request = await stream.recv_message()
    if request is None:
        raise GRPCError(Status.INTERNAL, "a request without a message")
    return request


def lose_answer(answerer: Answerer, stream: Stream[Any, Any]) -> None:
    """The fault `talos-lose-answer`: the work is done, and the connection ends before the client has it."""
    method = stream._method_name.rpartition("/")[2]
    if answerer.kernel.injected("talos-lose-answer", method) is not None:
        stream._stream.connection._transport.abort()


def as_grpc(refused: Refused) -> GRPCError:
    return GRPCError(Status[refused.code], refused.message)
