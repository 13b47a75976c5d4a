"""Bytes that a machine streams go to a file piece by piece: whole or not at all, and never more than is allowed."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import pytest

from provisioner.errors import Malformed, TalosRefused
from provisioner.store.files import writing_atomically
from provisioner.talos.api import connections
from provisioner.talos.api.client import TalosMachines
from provisioner.talos.api.gen.common_pb2 import Data, Metadata
from tests.unit.talos_api.peers import ACCESS, ADDRESS, Peer, speaking_grpc

MIB = 2**20
PIECE = b"x" * 2**14


def run(test: Callable[[Peer, TalosMachines], Coroutine[Any, Any, None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60), speaking_grpc() as (peer, machines):
            await test(peer, machines)

    asyncio.run(bounded())


def pieces(*contents: Data) -> Callable[[str, bytes], Iterable[bytes]]:
    return lambda _path, _request: [content.SerializeToString() for content in contents]


async def download(machines: TalosMachines, path: Path, most: int = 16 * MIB) -> int:
    with writing_atomically(path) as sink:
        return await machines.read_file(ADDRESS, ACCESS, "/var/log/x", sink, most=most)


def test_more_than_one_answer_may_hold_comes_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CLUSTER_BYTES", 5 * MIB)  # a little more than HTTP/2 lets a peer send ahead
    path = tmp_path / "log"

    async def test(peer: Peer, machines: TalosMachines) -> None:
        peer.answer = pieces(*(Data(bytes=PIECE) for _ in range(800)))
        assert await download(machines, path) == 800 * len(PIECE)

    run(test)
    assert path.read_bytes() == PIECE * 800
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("last", "error", "words"),
    [
        (Data(metadata=Metadata(error="disk on fire")), TalosRefused, "disk on fire"),
        (Data(bytes=PIECE * 2), Malformed, "more than 32,768 bytes"),
    ],
)
def test_what_ends_badly_leaves_the_old_file(tmp_path: Path, last: Data, error: type[Exception], words: str) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old")

    async def test(peer: Peer, machines: TalosMachines) -> None:
        peer.answer = pieces(Data(bytes=PIECE), last)
        with pytest.raises(error, match=words):
            await download(machines, path, most=2 * len(PIECE))

    run(test)
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("log", b"old")]


def test_what_the_sink_raises_ends_the_call_and_is_not_told_as_the_machines() -> None:
    class Full:
        def write(self, piece: bytes, /) -> int:
            raise OSError("no space left on device")

    async def test(peer: Peer, machines: TalosMachines) -> None:
        peer.answer = pieces(*(Data(bytes=PIECE) for _ in range(5)))
        with pytest.raises(OSError, match="no space left"):
            await machines.read_file(ADDRESS, ACCESS, "/x", Full(), most=2**20)
        peer.answer = pieces(Data(bytes=b"a"))
        received: list[bytes] = []

        class Kept:
            def write(self, piece: bytes, /) -> None:
                received.append(piece)

        assert await machines.read_file(ADDRESS, ACCESS, "/x", Kept(), most=1) == 1
        assert received == [b"a"]

    run(test)


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    async def test(peer: Peer, machines: TalosMachines) -> None:
        peer.answer = pieces()
        assert await download(machines, tmp_path / "log") == 0

    run(test)
    assert (tmp_path / "log").read_bytes() == b""
