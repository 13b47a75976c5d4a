"""What is read from Talos' answers: YAML as text, certificates from memory."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from provisioner.clienttls import load_client_certificate
from provisioner.errors import Malformed, Unreachable
from provisioner.talos.api import cosi, reader
from provisioner.talos.api.cosi import Resource, ResourceType, _read
from provisioner.talos.api.gen import cosi_pb2
from provisioner.talos.api.reader import _physical_macs
from tests.unit.talos_api.test_channel import CERTIFICATE, KEY_PEM


def descriptors() -> int:
    return len(list(Path("/dev/fd").iterdir()))


KIND = ResourceType(namespace="runtime", type="MachineStatuses.runtime.talos.dev")


def resource(text: str) -> Resource:
    spec = cosi_pb2.Spec(yaml_spec=text, proto_spec=b"\x01")
    return _read(cosi_pb2.Resource(metadata=cosi_pb2.Metadata(id="x"), spec=spec), KIND)


def test_scalars_stay_what_talos_wrote() -> None:
    found = resource("a: off\nb: 55:15:00:01\nc: true\nd: 0o17\ne: {f: 2026-01-01}\ng: 21474836480\nh: null\ni: ''\n")
    assert [found.text(key) for key in "abcd"] == ["off", "55:15:00:01", "true", "0o17"]
    assert found.text("e", "f") == "2026-01-01"
    assert found.number("g") == 20 * 2**30
    assert found.flag("c")
    assert (found.text("i"), found.text("missing"), found.text("missing", "deeper"), found.number("missing")) == (
        "",
        "",
        "",
        0,
    )
    assert found.each("h", most=1) == found.each("missing", most=1) == ()


@pytest.mark.parametrize("text", ["", "null", "~"])
def test_a_spec_that_is_empty_has_no_fields(text: str) -> None:
    assert resource(text).text("stage") == ""


@pytest.mark.parametrize(
    ("text", "read", "words"),
    [
        ("controlplane", lambda r: r.text("stage"), 'MachineStatuses has "controlplane" where a mapping is due'),
        ("- a\n", lambda r: r.text("stage"), "MachineStatuses has a list where a mapping is due"),
        ("a: off", lambda r: r.text("a", "deeper"), 'MachineStatuses.a has "off" where a mapping is due'),
        ("stage: [a]", lambda r: r.text("stage"), "MachineStatuses.stage has a list where a text"),
        (f"stage: {'x' * 300}", lambda r: r.text("stage"), "(300 characters) where a text of at most 256 characters"),
        ("size: 1e9", lambda r: r.number("size"), 'MachineStatuses.size has "1e9" where a whole number is due'),
        ("size: ²", lambda r: r.number("size"), "where a whole number is due"),
        ("ready: yes", lambda r: r.flag("ready"), 'MachineStatuses.ready has "yes" where true or false is due'),
        ("s: {u: [a]}", lambda r: r.each("s", "u", most=9), "MachineStatuses.s.u has a list where a list of at most 9 mappings"),
        ("u: [{}, {}]", lambda r: r.each("u", most=1), "where a list of at most 1 mappings is due"),
        ("u: all", lambda r: r.each("u", most=1), 'MachineStatuses.u has "all" where a list'),
    ],
)  # fmt: skip
def test_what_is_of_another_form_is_no_absence(text: str, read: Callable[[Resource], Any], words: str) -> None:
    with pytest.raises(Malformed, match=re.escape(words)):
        read(resource(text))


@pytest.mark.parametrize(
    "text",
    [
        "[a",
        "a: *b",
        "&a [*a]",
        "? [a]: b",
        "a: !!python/object:x",
        "a:\tb\n\t- c",
        "\x07",
        "[" * 100_000,
        "x" * 300_000,
    ],
    ids=["open", "alias", "within itself", "key", "tag", "tabs", "control", "deep", "long"],
)
def test_yaml_that_cannot_be_read_says_what_came(text: str) -> None:
    with contextlib.suppress(Malformed):  # what a reader that makes text alone can read is no harm
        assert len(resource(text).text("a")) < 300
        return
    with pytest.raises(
        Malformed, match=r"MachineStatuses with .{1,200} where YAML is due|MachineStatuses with 300,000 characters"
    ):
        resource(text)


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
        if kind is reader.KERNEL_CMDLINES and dials_anew:
            channel.latest, channel.fingerprint = object(), "the second one's"
        return resource("uuid: 4c4c4544-0000\n")

    async def find(_state: Any, _kind: Any) -> tuple[Resource, ...]:
        return ()

    monkeypatch.setattr(cosi, "get", get)
    monkeypatch.setattr(cosi, "find", find)
    machine: Any = SimpleNamespace(state=None, channel=channel)
    reading = reader._read_facts(machine, "192.0.2.1", None)
    if dials_anew:
        with pytest.raises(Unreachable):
            asyncio.run(reading)
    else:
        assert asyncio.run(reading).fingerprint == "the first one's"
