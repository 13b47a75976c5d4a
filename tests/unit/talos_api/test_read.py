"""What is read from Talos' answers: YAML as text, the kubeconfig's unfinished archive, certificates from memory."""

from __future__ import annotations

import asyncio
import gzip
import io
import ssl
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from provisioner.clienttls import load_client_certificate
from provisioner.errors import Unreachable
from provisioner.talos.api import client, cosi
from provisioner.talos.api.client import _physical_macs, unpack_kubeconfig
from provisioner.talos.api.cosi import Resource, _read
from provisioner.talos.api.gen import cosi_pb2
from tests.unit.talos_api.test_channel import CERTIFICATE, KEY_PEM


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def resource(text: str) -> Resource:
    return _read(
        cosi_pb2.Resource(metadata=cosi_pb2.Metadata(id="x"), spec=cosi_pb2.Spec(yaml_spec=text, proto_spec=b"\x01"))
    )


def test_scalars_stay_what_talos_wrote() -> None:
    found = resource("a: off\nb: 55:15:00:01\nc: true\nd: 0o17\ne: {f: 2026-01-01}\ng: 21474836480\nh: null\ni: ''\n")
    assert [found.text(key) for key in "abcd"] == ["off", "55:15:00:01", "true", "0o17"]
    assert found.text("e", "f") == "2026-01-01"
    assert found.number("g") == 20 * 2**30
    assert found.flag("c")
    assert not found.flag("a")
    assert (found.text("i"), found.text("missing"), found.text("a", "deeper"), found.number("missing")) == (
        "",
        "",
        "",
        0,
    )


@pytest.mark.parametrize("text", ["", "controlplane", "- a\n"])
def test_a_spec_that_is_no_mapping_has_no_fields(text: str) -> None:
    assert resource(text).text("stage") == ""


def test_physical_links_by_talos_own_rule() -> None:
    links = [
        resource("type: ether\nkind: ''\nhardwareAddr: 02:15:5d:00:00:11\n"),
        resource("type: ether\nkind: ''\nhardwareAddr: aa:aa:aa:aa:aa:aa\npermanentAddr: 02:15:5d:00:00:12\n"),
        resource("type: ether\nkind: bond\nhardwareAddr: 02:15:5d:00:00:13\n"),
        resource("type: loopback\nhardwareAddr: 00:00:00:00:00:00\n"),
        resource("type: ether\nkind: ''\nhardwareAddr: ''\n"),
        resource("type: ether\nkind: ''\nhardwareAddr: 80:00:00:48:fe:80:00:00:00:00:00:00:00:02:c9:03:00:00:00:01\n"),
    ]
    assert list(_physical_macs(links)) == ["02155D000011", "02155D000012"]


def archive(name: str = "kubeconfig", content: bytes = b"apiVersion: v1\n") -> bytes:
    """As Talos sends it: header and content, no padding, no end blocks."""
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o600
    return gzip.compress(entry.tobuf() + content)


def test_the_kubeconfig_of_an_archive_without_an_end() -> None:
    assert unpack_kubeconfig(archive()) == b"apiVersion: v1\n"
    with (
        tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive()))) as opened,
        pytest.raises(tarfile.ReadError),  # what the usual way would do
    ):
        opened.getmembers()


@pytest.mark.parametrize(
    "packed",
    [b"", b"no gzip", gzip.compress(b""), gzip.compress(b"x" * 600), archive()[:30]],
    ids=[
        "nothing",
        "no gzip",
        "no archive",
        "no entry",
        "cut",
    ],  # gzip stamps the time: names made of it differ by worker
)
def test_a_kubeconfig_that_did_not_arrive_whole(packed: bytes) -> None:
    with pytest.raises(Unreachable, match="kubeconfig"):
        unpack_kubeconfig(packed)


@pytest.mark.parametrize("label", [b"PRIVATE KEY", b"ED25519 PRIVATE KEY"], ids=["PKCS8", "Talos"])
def test_a_client_certificate_is_loaded_without_a_file(label: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.mkstemp", lambda *_a, **_k: pytest.fail("a file"))
    before = descriptors()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    load_client_certificate(context, CERTIFICATE, KEY_PEM.replace(b"PRIVATE KEY", label))
    assert descriptors() == before


def test_a_long_chain_and_a_broken_one_leave_no_descriptor() -> None:
    before = descriptors()
    load_client_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), CERTIFICATE * 400, KEY_PEM)
    with pytest.raises(ssl.SSLError):
        load_client_certificate(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), b"junk" * 100_000, KEY_PEM)
    assert descriptors() == before


@pytest.mark.parametrize("dials_anew", [False, True])
def test_facts_and_fingerprint_are_of_one_connection(monkeypatch: pytest.MonkeyPatch, dials_anew: bool) -> None:
    """Else the UUID of ours and the key of a stranger that took over its address could go together, and a config to the stranger."""
    channel = SimpleNamespace(latest=object(), fingerprint="the first one's")

    async def get(_state: Any, kind: Any, _id: str) -> Resource:
        if kind is client.KERNEL_CMDLINES and dials_anew:
            channel.latest, channel.fingerprint = object(), "the second one's"
        return resource("uuid: 4c4c4544-0000\n")

    async def find(_state: Any, _kind: Any) -> tuple[Resource, ...]:
        return ()

    monkeypatch.setattr(cosi, "get", get)
    monkeypatch.setattr(cosi, "find", find)
    machine: Any = SimpleNamespace(state=None, channel=channel)
    reading = client._read_facts(machine, "192.0.2.1", None)
    if dials_anew:
        with pytest.raises(Unreachable):
            asyncio.run(reading)
    else:
        assert asyncio.run(reading).fingerprint == "the first one's"
