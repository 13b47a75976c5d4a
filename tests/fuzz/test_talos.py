"""Whatever a machine answers, on whatever call: a value, or one of our errors, and never a long one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from random import Random

from provisioner.ports import TalosAccess
from provisioner.talos.api.client import TalosMachines
from provisioner.talos.api.gen import cosi_pb2
from tests.fuzz.bend import bend_bytes, bend_text
from tests.fuzz.budget import dice
from tests.fuzz.ends import end_of_call
from tests.unit.talos_api.peers import ADDRESS, GET, LIST, SPECS, good, speaking_grpc

NOBODY: TalosAccess | None = None


async def first_of_a_watch(machines: TalosMachines) -> None:
    """One that says nothing is waited for: it is how a machine says that nothing changed."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            async for _facts in machines.watch(ADDRESS, None):
                return


CALLS: tuple[Callable[[TalosMachines], Awaitable[object]], ...] = (
    lambda machines: machines.read(ADDRESS, NOBODY),
    lambda machines: machines.read(ADDRESS, NOBODY),
    lambda machines: machines.apply(ADDRESS, NOBODY, b"config", dry_run=False),
    lambda machines: machines.bootstrap(ADDRESS, NOBODY),  # type: ignore[arg-type]  # the peer asks for no certificate
    lambda machines: machines.etcd_members(ADDRESS, NOBODY),  # type: ignore[arg-type]
    lambda machines: machines.services(ADDRESS, NOBODY),  # type: ignore[arg-type]
    first_of_a_watch,
)


def bent(chance: Random) -> Callable[[str, bytes], Iterable[bytes]]:
    victim = chance.choice(list(SPECS))
    how = chance.randrange(4)

    def answer(path: str, request: bytes) -> Iterable[bytes]:
        kind = cosi_pb2.GetRequest.FromString(request).type.partition(".")[0] if path in (GET, LIST) else ""
        messages = good(path, request)
        if kind and kind != victim and how:
            return messages
        if how == 0:
            return [bend_bytes(message, chance) for message in messages] * chance.randint(0, 3)
        if how == 1 or path not in (GET, LIST):
            return [bend_bytes(message, chance) for message in messages]
        text = SPECS[kind]
        for _ in range(how - 1):
            text = bend_text(text, chance)
        spec = cosi_pb2.Spec(yaml_spec=text.encode("utf-8", "replace").decode())
        resource = cosi_pb2.Resource(metadata=cosi_pb2.Metadata(id="x"), spec=spec)
        made = cosi_pb2.GetResponse(resource=resource) if path == GET else cosi_pb2.ListResponse(resource=resource)
        return [made.SerializeToString()]

    return answer


async def test_a_machine_that_answers_anything() -> None:
    ends: set[str] = set()
    async with speaking_grpc() as (peer, machines):
        for name, chance in dice("talos", 120):
            peer.answer = bent(chance)
            call = chance.choice(CALLS)
            ends.add(await end_of_call(name, lambda call=call: call(machines)))  # type: ignore[misc]
    assert {"value", "Malformed"} <= ends
