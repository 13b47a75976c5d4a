"""Whatever answers at a machine's address: it becomes one of our errors, in bounded time and memory, and says what came."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from hyperframe.frame import HeadersFrame, PingFrame, SettingsFrame

from provisioner.errors import Dropped, Malformed, TransportError, Unreachable
from provisioner.talos.api import channel as channel_module
from provisioner.talos.api.client import TalosMachines
from provisioner.talos.api.gen import cosi_pb2
from provisioner.talos.api.gen.machine_pb2 import ApplyConfiguration, ApplyConfigurationResponse
from tests.unit.talos_api.peers import ADDRESS, APPLY, GET, LIST, Talk, good, server_context, speaking, speaking_grpc

MIB = 2**20


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(bounded())


def with_spec(kind: str, text: str) -> Callable[[str, bytes], Iterable[bytes]]:
    """All as it should be, but for the spec of that kind."""

    def answer(path: str, request: bytes) -> Iterable[bytes]:
        asked = cosi_pb2.GetRequest.FromString(request).type.partition(".")[0] if path in (GET, LIST) else ""
        if asked != kind:
            return good(path, request)
        resource = cosi_pb2.Resource(metadata=cosi_pb2.Metadata(id="x"), spec=cosi_pb2.Spec(yaml_spec=text))
        made = cosi_pb2.GetResponse(resource=resource) if path == GET else cosi_pb2.ListResponse(resource=resource)
        return [made.SerializeToString()]

    return answer


def test_what_is_as_it_should_be_is_read() -> None:
    async def test() -> None:
        async with speaking_grpc() as (_, machines):
            facts = await machines.read(ADDRESS, None)
            assert (facts.stage, facts.macs, facts.unmet[0].reason) == ("maintenance", ("02155D000011",), "waits")

    run(test)


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("MachineStatuses", "stage: [", 'MachineStatuses with "stage: [" where YAML is due'),
        ("MachineStatuses", "status: {unmetConditions: [a]}", "MachineStatuses.status.unmetConditions has a list"),
        ("MachineStatuses", "status: all", 'MachineStatuses.status has "all" where a mapping is due'),
        ("MachineStatuses", "stage: {a: b}", "MachineStatuses.stage has a mapping where a text"),
        ("MachineStatuses", "[" * 200_000, "where YAML is due"),
        ("SystemInformations", f"uuid: {'u' * 100_000}", "SystemInformations.uuid has"),
        ("Disks", "size: much", 'Disks.size has "much" where a whole number is due'),
        ("LinkStatuses", "- a", "LinkStatuses has a list where a mapping is due"),
        ("LinkStatuses", f"type: {'x' * 300_000}", "LinkStatuses with 300,006 characters of YAML"),
    ],
)
def test_a_spec_of_another_form_names_its_place(kind: str, text: str, words: str) -> None:
    async def test() -> None:
        async with speaking_grpc() as (peer, machines):
            peer.answer = with_spec(kind, text)
            with pytest.raises(Malformed, match="as Talos") as caught:
                await machines.read(ADDRESS, None)
            assert words in str(caught.value)
            assert len(str(caught.value)) < 400
            peer.answer = good  # the connection is as good as before
            assert (await machines.read(ADDRESS, None)).stage == "maintenance"

    run(test)


@pytest.mark.parametrize("messages", [[], [b"\xff\xff\xff"], [b"", b""]], ids=["none", "no protobuf", "empty"])
def test_an_answer_to_a_config_that_says_nothing(messages: list[bytes]) -> None:
    async def test() -> None:
        async with speaking_grpc() as (peer, machines):
            peer.answer = lambda path, request: messages if path == APPLY else good(path, request)
            with pytest.raises(Malformed, match="as Talos"):
                await machines.apply(ADDRESS, None, b"config", dry_run=True)

    run(test)


def test_of_many_warnings_the_first_are_told_and_how_many_there_were() -> None:
    many = ApplyConfiguration.FromString(b"\x18\x4d")  # a mode that a later Talos may have
    many.warnings.extend(["w" * 3_000] * 300)

    async def test() -> None:
        async with speaking_grpc() as (peer, machines):
            peer.answer = lambda _p, _r: [ApplyConfigurationResponse(messages=[many]).SerializeToString()]
            outcome = await machines.apply(ADDRESS, None, b"config", dry_run=True)
            assert outcome.mode == "77"
            assert outcome.warnings[-1] == "... 290 more"
            assert len(outcome.warnings) == 11
            assert sum(map(len, outcome.warnings)) < 6_000

    run(test)


def test_a_list_without_an_end_costs_no_more_than_its_bound() -> None:
    resource = cosi_pb2.Resource(metadata=cosi_pb2.Metadata(id="x"), spec=cosi_pb2.Spec(yaml_spec="a: " + "b" * 10_000))
    message = cosi_pb2.ListResponse(resource=resource).SerializeToString()

    def answer(path: str, request: bytes) -> Iterable[bytes]:
        return itertools.repeat(message) if path == LIST else good(path, request)

    async def test() -> None:
        async with speaking_grpc() as (peer, machines):
            peer.answer = answer
            with pytest.raises(Malformed, match="more than 1 MiB for one call"):
                await machines.read(ADDRESS, None)
            sent = peer.sent
            assert sent < 16 * MIB  # what the system's buffers hold is more than what we take
            await asyncio.sleep(0.05)
            assert peer.sent <= sent + 2 * len(message), "nobody listens to it any more"
            peer.answer = good
            assert (await machines.read(ADDRESS, None)).stage == "maintenance"

    run(test)


def test_a_message_that_says_it_is_endless() -> None:
    class Endless(bytes):
        def __len__(self) -> int:
            return 2**32 - 1

    async def test() -> None:
        async with speaking_grpc() as (peer, machines):
            peer.answer = lambda _p, _r: itertools.chain([Endless(b"x")], itertools.repeat(b"y" * 60_000))
            with pytest.raises(Malformed, match="more than 1 MiB for one call"):
                await machines.read(ADDRESS, None)

    run(test)


# --- peers that speak something else ---


async def ssh(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    await writer.drain()
    await asyncio.sleep(0.2)


async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(64)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n<html>")
    await writer.drain()
    await asyncio.sleep(0.2)


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(SettingsFrame(0).serialize())
    while True:
        writer.write(PingFrame(0, opaque_data=b"12345678").serialize() * 1_000)
        await writer.drain()


def frames(*each: Any) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SettingsFrame(0).serialize())
        await reader.read(24)
        await asyncio.sleep(0.05)
        writer.write(b"".join(frame.serialize() if hasattr(frame, "serialize") else frame for frame in each))
        await writer.drain()
        await asyncio.sleep(0.3)

    return talk


def plain_http2() -> ssl.SSLContext:
    return server_context()


def without_http2() -> ssl.SSLContext:
    context = server_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


@pytest.mark.parametrize(
    ("talk", "context", "words"),
    [
        (ssh, None, "no TLS (wrong version number)"),
        (web, None, "no TLS (wrong version number)"),
        (web, without_http2, "it speaks TLS, but no HTTP/2"),
        (web, plain_http2, r'no HTTP/2: "HTTP/1.1 400 Bad Request\r\n\r\n<html>"'),
        (frames(b"\x00\x00\x00" * 30), plain_http2, "it broke the rules of HTTP/2"),
        (
            frames(HeadersFrame(1, data=b"\xff" * 40, flags=["END_HEADERS"])),
            plain_http2,
            "it broke the rules of HTTP/2",
        ),
        (frames(HeadersFrame(1, data=b"\x88", flags=["END_HEADERS"])), plain_http2, "content of type nothing"),
        (frames(HeadersFrame(1, data=b"\x84", flags=["END_HEADERS"])), plain_http2, "as Talos"),
        (flood, plain_http2, "more than 1 MiB for one call"),
    ],
    ids=["ssh", "plain http", "no alpn", "http/1.1 in http/2", "zeros", "hpack", "no grpc", "no status", "flood"],
)
def test_what_speaks_something_else_says_so(
    talk: Talk, context: Callable[[], ssl.SSLContext] | None, words: str
) -> None:
    async def test() -> None:
        async with speaking(talk, context() if context else None) as machines:
            with pytest.raises(Malformed, match="as Talos") as caught:
                await machines.read(ADDRESS, None)
            assert words in str(caught.value)

    run(test)


@pytest.mark.parametrize("secured", [True, False], ids=["after TLS", "before TLS"])
def test_who_accepts_and_says_nothing_is_waited_for_no_longer_than_the_bound(
    monkeypatch: pytest.MonkeyPatch, secured: bool
) -> None:
    monkeypatch.setattr(channel_module, "CONNECT_S", 0.2)

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def test() -> None:
        async with speaking(silent, server_context() if secured else None) as machines:
            with pytest.raises(Unreachable, match=r"no answer within 0\.2 s"):
                await machines.read(ADDRESS, None)

    run(test)


async def at_once(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None: ...


async def after_hello(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read(10)


@pytest.mark.parametrize("talk", [at_once, after_hello])
@pytest.mark.parametrize("secured", [True, False])
def test_who_hangs_up_is_no_stranger(talk: Talk, secured: bool) -> None:
    async def test() -> None:
        async with speaking(talk, server_context() if secured else None) as machines:
            with pytest.raises(Unreachable) as caught:
                await machines.read(ADDRESS, None)
            assert str(caught.value) in ("connection reset", "the connection was closed")

    run(test)


def test_the_words_of_a_port_where_nobody_listens() -> None:
    async def test() -> None:
        async with speaking(ssh, None) as machines:
            pass
        with pytest.raises(Unreachable, match=r"^connection refused$"):
            await machines.read(ADDRESS, None)
        await machines.close()

    run(test)


def test_a_watch_of_a_stranger_ends_by_an_error_of_ours() -> None:
    async def watched(machines: TalosMachines) -> None:
        async for _facts in machines.watch(ADDRESS, None):
            pass

    async def test() -> None:
        async with speaking_grpc() as (peer, machines):
            peer.answer = with_spec("MachineStatuses", "stage: [")
            with pytest.raises(TransportError):
                await watched(machines)
            peer.answer = lambda path, request: [b"\xff"] if path.endswith("Watch") else good(path, request)
            with pytest.raises(Malformed, match="cannot be read"):
                await watched(machines)

    run(test)


@pytest.mark.parametrize(("dry_run", "error"), [(False, Dropped), (True, Unreachable)])
def test_a_config_whose_answer_was_lost_may_have_been_taken(dry_run: bool, error: type[Exception]) -> None:
    def unavailable(path: str, request: bytes) -> Iterable[bytes]:
        raise GRPCError(Status.UNAVAILABLE, "going down")

    async def test() -> None:
        async with speaking_grpc() as (peer, machines):
            peer.answer = unavailable
            with pytest.raises(error, match="going down"):
                await machines.apply(ADDRESS, None, b"", dry_run=dry_run)

    run(test)
