"""Whatever answers at a host's address: a fault with the real reason, soon, and without a byte to another place."""

from __future__ import annotations

import itertools
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.errors import Malformed, NoSignIn, TransportError, Unreachable
from provisioner.hyperv.module import MODULE
from provisioner.model.cluster import HostSpec
from provisioner.ports import ObserveQuery
from provisioner.steps.host_faults import host_fault
from provisioner.winrm import connection
from tests.unit.kubernetes.server import Pki
from tests.unit.winrm.peers import Peer, Talk, host_at, http, read_request, said, signed_in

SPEC = HostSpec(name="hv01.lan", address="192.0.2.10", port=5985, user="Administrator")


async def error_of(
    peer: Peer, *, https: bool = False, transport: str = "psrp", ca: Path | None = None
) -> TransportError:
    async with host_at(peer, https=https, transport=transport, ca=ca) as host:
        with pytest.raises(TransportError) as caught:
            await host.observe(ObserveQuery())
        return caught.value


@pytest.mark.parametrize("transport", ["psrp", "winrs"])
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (said("200 OK", b"<html>IIS</html>"), 'HTTP 200 OK without a sign-in: "<html>IIS</html>"'),
        (said("200 OK"), "HTTP 200 OK without a sign-in: nothing"),
        (said("302 Found", b"", "Location: http://192.0.2.99/login"), 'HTTP 302 Found: a redirect to "http://192.0.2.99/login"'),
        (said("307 Temporary Redirect", b"", "Location: /other"), "a redirect to"),
        (said("403 Forbidden"), "HTTP 403 Forbidden: nothing"),
        (said("404 Not Found", b"<html>no</html>"), 'HTTP 404 Not Found: "<html>no</html>"'),
        (said("500 Internal Server Error", b"<html>no</html>"), "HTTP 500 Internal Server Error"),
        (said("500 Oops", b"<a xmlns='b'/>"), "HTTP 500"),
        (said("401 Unauthorized", b"", "WWW-Authenticate: Negotiate AAAA"), "cannot be read"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", r'no HTTP: "SSH-2.0-OpenSSH_9.6\r\n"'),
        (b"\x15\x03\x01\x00\x02\x02\x46", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "headers that cannot be read"),
        (said("200 OK", b"x", "Content-Encoding: gzip"), "with a compressed body"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "the length of a part of its answer is no number"),
    ],
    ids=["html", "empty", "302", "307", "403", "404", "500", "xml", "token", "ssh", "tls", "headers", "gzip", "chunks"],
)  # fmt: skip
async def test_over_http_what_is_no_winrm_says_so(answer: bytes, words: str, transport: str) -> None:
    def once(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(answer)
            if not answer.startswith(b"HTTP"):
                return  # as who does not understand a word

    error = await error_of(Peer(once), transport=transport)
    assert type(error) is Malformed
    assert error.expected == "WinRM"
    assert words in str(error)
    assert len(str(error)) < 300
    fault = host_fault(error, SPEC)
    assert fault.id == "P-HOST-NOTWINRM"
    assert fault.seen == (error.came,)
    assert fault.next_steps


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server certificate for loopback, and who signed it."""
    pki, folder = Pki(), tmp_path_factory.mktemp("pki")
    crt, key = pki.pair("host", "127.0.0.1")
    (folder / "host.pem").write_bytes(crt + key)
    (folder / "ca.pem").write_bytes(pki.ca_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "host.pem")
    return context, folder / "ca.pem"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>IIS</html>", "an answer that cannot be read"),
        (b"", "an answer that cannot be read (ParseError)"),
        (b"{}", "an answer that cannot be read (ParseError)"),
        (b"<a>" * 10_000, "an answer that cannot be read (ParseError)"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "an answer that cannot be read"),
        (b"<?xml version='1.0' encoding='klingon'?><a/>", "an answer that cannot be read"),
        (b"\x00\xff" * 500, "an answer that cannot be read"),
    ],
    ids=["html", "empty", "json", "cut", "entity", "encoding", "zeros"],
)  # fmt: skip
async def test_over_https_an_answer_that_is_none(
    body: bytes, words: str, authority: tuple[ssl.SSLContext, Path]
) -> None:
    context, ca = authority
    error = await error_of(Peer(signed_in(lambda _request: said("200 OK", body)), context), https=True, ca=ca)
    assert type(error) is Malformed
    assert words in str(error)


def says(words: bytes) -> Talk:
    def talk(connection: socket.socket) -> None:
        connection.sendall(words)
        connection.recv(65536)

    return talk


@pytest.mark.parametrize(
    ("talk", "words"),
    [
        (says(b"SSH-2.0-OpenSSH_9.6\r\n"), "no TLS (wrong version number)"),
        (says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "no TLS (wrong version number)"),
        (says(b"\x16\x03\x03\x00\x05hello"), "no TLS ("),
        (says(b"\x15\x03\x03\x00\x02\x02\x28"), "it ends the TLS handshake"),
    ],
    ids=["ssh", "http", "garbage", "alert"],
)
async def test_a_port_without_tls_is_told_at_once(talk: Talk, words: str) -> None:
    peer = Peer(talk)
    error = await error_of(peer, https=True)
    assert type(error) is Malformed
    assert words in str(error)
    assert peer.met == 1, "nonsense is not repeated as if the network had failed"


async def test_a_service_that_is_not_there_is_waited_for_and_then_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """503 is Windows' own web server, without the service WinRM behind it: it may come."""
    monkeypatch.setattr(connection, "FIRST_CONTACT_S", 0.5)
    peer = Peer(http(lambda _request: said("503 Service Unavailable")))
    error = await error_of(peer)
    assert type(error) is Malformed
    assert "HTTP 503 Service Unavailable" in str(error)
    assert peer.met > 1


@pytest.mark.parametrize(
    ("headers", "offered", "words"),
    [
        (("WWW-Authenticate: Kerberos",), ("Kerberos",), "takes no sign-in by NTLM"),
        (('WWW-Authenticate: Basic realm="Negotiate, please"',), ("Basic",), "offers no way to sign in"),
        (('WWW-Authenticate: Digest qop="auth"', "WWW-Authenticate: Basic"), ("Digest", "Basic"), "offers no way"),
        ((), (), "offers no way to sign in"),
    ],
    ids=["kerberos", "basic", "two", "none"],
)  # fmt: skip
async def test_without_a_way_to_sign_in_no_password_is_sent(
    headers: tuple[str, ...], offered: tuple[str, ...], words: str
) -> None:
    asked: list[bytes] = []

    def answer(request: bytes) -> bytes:
        asked.append(request)
        return said("401 Unauthorized", b"", *headers)

    error = await error_of(Peer(http(answer)))
    assert isinstance(error, NoSignIn)
    assert error.offered == offered
    assert not any(b"uthorization" in request for request in asked)
    fault = host_fault(error, SPEC)
    assert fault.id == "P-HOST-NOSIGNIN"
    assert words in fault.message
    assert any("Negotiate $true" in line for line in fault.next_steps)


async def test_what_accepts_and_hangs_up_is_no_winrm_and_no_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_CONTACT_S", 0.3)
    error = await error_of(Peer(lambda _connection: None))
    assert type(error) is Unreachable
    assert "192.0.2.10:5985" in str(error)
    assert "127.0.0.1" not in str(error)


async def test_what_accepts_and_says_nothing_is_given_up_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_CONTACT_S", 0.2)
    monkeypatch.setattr("provisioner.winrm.http.READ_S", 0.3)

    def listening(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    error = await error_of(Peer(listening))
    assert type(error) is Unreachable
    assert str(error).endswith("no answer from 192.0.2.10:5985, where connections are accepted")


def drip(request: bytes) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    while True:
        time.sleep(0.02)
        yield b"x"


async def test_an_answer_that_comes_byte_by_byte_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "FIRST_CONTACT_S", 0.5)
    monkeypatch.setattr(connection, "ANSWER_S", 0.3)
    monkeypatch.setattr(connection, "PROBE_S", 0.1)
    error = await error_of(Peer(http(drip)))
    assert isinstance(error, Unreachable | Malformed)


def endless(sent: list[int]) -> Talk:
    def parts(_request: bytes) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/soap+xml\r\n\r\n"
        for _ in itertools.count():
            yield b"x" * 65_536
            sent.append(65_536)

    return signed_in(parts)


async def test_an_answer_without_an_end_costs_no_more_than_its_bound(authority: tuple[ssl.SSLContext, Path]) -> None:
    context, ca = authority
    sent: list[int] = []
    error = await error_of(Peer(endless(sent), context), https=True, ca=ca)
    assert type(error) is Malformed
    assert "more than 1 MiB" in str(error)
    assert sum(sent) < 16 * 2**20  # what the system's buffers hold is more than what we take


async def test_no_proxy_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Peer(http(lambda _request: said("200 OK")))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    error = await error_of(Peer(http(lambda _request: said("404 Not Found"))))
    proxy.stop()
    assert "404" in str(error)
    assert proxy.met == 0


def test_what_is_wrong_with_an_answer_of_the_module_is_no_other_programs_doing() -> None:
    fault = host_fault(
        Malformed("Get-TalosVM wrote nothing in Cpus, where a whole number is due", expected=MODULE), SPEC
    )
    assert fault.id == "P-HOST-ANSWER"
    assert fault.seen == ("Get-TalosVM wrote nothing in Cpus, where a whole number is due",)
    assert any("Get-Module TalosHyperV" in line for line in fault.next_steps)
