"""Which failures are repeated, and what each becomes."""

from __future__ import annotations

import http.client as http_client
import ssl
from socket import gaierror
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import requests
from pypsrp.exceptions import AuthenticationError, WinRMTransportError, WSManFaultError
from spnego.exceptions import InvalidTokenError, NoCredentialError
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import (
    InvalidChunkLength,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.response import HTTPResponse

from provisioner.errors import (
    Dropped,
    HostRefused,
    Malformed,
    NoSignIn,
    NotTrusted,
    Rejected,
    TransportError,
    Unreachable,
)
from provisioner.hyperv import functions
from provisioner.hyperv.module import script_module
from provisioner.winrm import retry
from provisioner.winrm.psrp import PsrpSession
from provisioner.winrm.transport import Invocation, ModuleState, SignIn
from provisioner.winrm.winrs import WinrsSession
from tests.unit.winrm.test_hooks import OnePlace


def caused(error: Exception, cause: Exception) -> Exception:
    """As `raise error from cause` leaves it."""
    error.__cause__ = cause
    return error


POOL = HTTPConnectionPool("127.0.0.1", 1)
CONNECTION: Any = POOL._new_conn()
REFUSED = requests.ConnectionError(
    MaxRetryError(POOL, "/", caused(NewConnectionError(CONNECTION, "x"), ConnectionRefusedError(111, "refused")))
)
RESET = requests.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError(104, "reset")))
READ_TIMEOUT = requests.ReadTimeout(ReadTimeoutError(POOL, "/", "Read timed out."))
CONNECT_TIMEOUT = requests.ConnectTimeout()
CUT_BODY = requests.exceptions.ChunkedEncodingError()
UNTRUSTED = requests.exceptions.SSLError("certificate verify failed: unable to get local issuer certificate")
WRONG_PIN = requests.exceptions.SSLError('Fingerprints did not match. Expected "a", got "b"')
DENIED = AuthenticationError("no")
AT = "192.0.2.10:5986"


def http(code: int, body: str = "") -> WinRMTransportError:
    return WinRMTransportError("http", code, body)


def tls(reason: str, cls: type[ssl.SSLError] = ssl.SSLError) -> requests.exceptions.SSLError:
    inner = cls(1, f"[SSL: {reason}] {reason.lower().replace('_', ' ')} (_ssl.c:1006)")
    inner.reason = reason
    return requests.exceptions.SSLError(MaxRetryError(POOL, "/", SSLError(inner)))


NO_TLS = tls("WRONG_VERSION_NUMBER")
CUT_TLS = tls("UNEXPECTED_EOF_WHILE_READING", ssl.SSLEOFError)
ALERT = tls("SSLV3_ALERT_HANDSHAKE_FAILURE")
BANNER = requests.ConnectionError(
    ProtocolError("Connection aborted.", http_client.BadStatusLine("SSH-2.0-OpenSSH_9.6\r\n"))
)
GONE = requests.ConnectionError(ProtocolError("Connection aborted.", http_client.RemoteDisconnected("closed")))
HEADERS = requests.ConnectionError(
    ProtocolError("Connection aborted.", http_client.HTTPException("got more than 100 headers"))
)
BROKEN_OFF = requests.exceptions.ChunkedEncodingError(ProtocolError("broken", http_client.IncompleteRead(b"x", 5)))
CHUNKS = requests.exceptions.ChunkedEncodingError(InvalidChunkLength(HTTPResponse(), b"zz"))
UNKNOWN_NAME = requests.ConnectionError(
    MaxRetryError(POOL, "/", caused(NameResolutionError("hv01.lan", CONNECTION, gaierror(-2, "x")), gaierror(-2, "x")))
)


@pytest.mark.parametrize(
    ("error", "plain", "encrypted"),
    [
        (REFUSED, True, True),
        (RESET, True, True),
        (READ_TIMEOUT, True, True),
        (CONNECT_TIMEOUT, True, True),
        (CUT_BODY, True, True),
        (BROKEN_OFF, True, True),
        (GONE, True, True),
        (CUT_TLS, True, True),
        (Unreachable("no such place now"), True, True),
        (http(502), True, True),
        (http(503), True, True),
        (http(400), False, True),
        (http(500), False, False),
        (http(401), False, False),
        (DENIED, False, False),
        (UNTRUSTED, False, False),
        (WRONG_PIN, False, False),
        (NO_TLS, False, False),
        (ALERT, False, False),
        (BANNER, False, False),
        (HEADERS, False, False),
        (CHUNKS, False, False),
        (ET.ParseError("syntax error"), False, False),
        (ValueError("no protocol"), False, False),
    ],
    ids=repr,
)
def test_what_may_succeed_later(error: Exception, plain: bool, encrypted: bool) -> None:
    assert (retry.outage_of(error, at=AT, encrypted=False) is not None) is plain
    assert (retry.outage_of(error, at=AT, encrypted=True) is not None) is encrypted


@pytest.mark.parametrize("error", [NO_TLS, ALERT], ids=repr)
def test_a_handshake_that_breaks_off_is_an_outage_of_a_host_that_has_answered(error: Exception) -> None:
    """Its network goes away in the middle; the same before it ever answered is another program at its port."""
    outage = retry.outage_of(error, at=AT, encrypted=False, has_responded=True)
    assert outage is not None
    assert isinstance(outage.failure, Unreachable)
    assert retry.outage_of(UNTRUSTED, at=AT, encrypted=False, has_responded=True) is None


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (REFUSED, False),
        (CONNECT_TIMEOUT, False),
        (Unreachable("x"), False),
        (http(503), False),
        (RESET, True),
        (READ_TIMEOUT, True),
        (CUT_BODY, True),
        (http(502), True),
    ],
    ids=repr,
)
def test_what_the_host_cannot_have_seen(error: Exception, sent: bool) -> None:
    outage = retry.outage_of(error, at=AT, encrypted=False)
    assert outage is not None
    assert outage.sent is sent


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (DENIED, Rejected, "refuses the sign-in"),
        (InvalidTokenError(context_msg="bad"), Malformed, "a sign-in that cannot be read"),
        (NoCredentialError(), Rejected, "refuses the sign-in"),
        (ImportError("gssapi"), NoSignIn, "it offers Kerberos"),
        (WSManFaultError(5, "HV01", "denied", None, None, None), Rejected, "access denied"),
        (WSManFaultError(1326, "HV01", "", None, None, None), Rejected, "logon failure"),
        (WSManFaultError(2150859173, "HV01", "too many shells", None, None, None), HostRefused, "WinRM.2150859173"),
        (WSManFaultError(None, None, None, None, None, None), Malformed, "a fault without a code: nothing"),
        (http(404, "<html>"), Malformed, 'not as WinRM: HTTP 404 Not Found: "<html>"'),
        (http(403), Malformed, "not as WinRM: HTTP 403 Forbidden: nothing"),
        (http(503), Malformed, "HTTP 503 Service Unavailable"),
        (REFUSED, Unreachable, "connection refused at 192.0.2.10:5986"),
        (RESET, Unreachable, "connection reset at 192.0.2.10:5986"),
        (READ_TIMEOUT, Unreachable, "no answer from 192.0.2.10:5986, where connections are accepted"),
        (GONE, Unreachable, "the connection was closed without an answer at 192.0.2.10:5986"),
        (BROKEN_OFF, Unreachable, "the answer from 192.0.2.10:5986 broke off"),
        (UNKNOWN_NAME, Unreachable, "name not known: 192.0.2.10"),
        (CUT_TLS, Unreachable, "the connection was closed at 192.0.2.10:5986"),
        (NO_TLS, Malformed, "not as WinRM: no TLS (wrong version number)"),
        (ALERT, Malformed, "not as WinRM: it ends the TLS handshake: sslv3 alert handshake failure"),
        (BANNER, Malformed, r'not as WinRM: no HTTP: "SSH-2.0-OpenSSH_9.6\r\n"'),
        (HEADERS, Malformed, "headers that cannot be read"),
        (CHUNKS, Malformed, "the length of a part"),
        (ET.ParseError("syntax error"), Malformed, "an answer that cannot be read (ParseError)"),
        (RecursionError(), Malformed, "cannot be read (RecursionError)"),
        (UnicodeDecodeError("utf-8", b"", 0, 0, ""), Malformed, "cannot be read"),
        (NotTrusted("as it is"), NotTrusted, "as it is"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_a_failure_becomes(error: Exception, kind: type[TransportError], text: str) -> None:
    explained = retry.explain(error, at=AT)
    assert type(explained) is kind
    assert text in str(explained)


def test_the_action_is_read_from_the_envelope() -> None:
    envelope = b"<s:Header><wsa:Action s:mustUnderstand='true'>http://schemas.microsoft.com/wbem/wsman/1/windows/shell/Receive</wsa:Action>"
    assert retry.action_of(envelope) == "Receive"
    assert (
        retry.action_of(b"<wsa:Action>http://schemas.xmlsoap.org/ws/2004/09/transfer/Create</wsa:Action>") == "Create"
    )
    assert retry.action_of(b"") == ""
    assert not {"Create", "Command", "Send", ""} & retry.SAFE_TO_REPEAT


@pytest.mark.parametrize(
    ("call", "failure", "learned"),
    [
        (Invocation(changes=True, sent=True), Unreachable("reset"), Dropped),
        (Invocation(changes=True, sent=False), Unreachable("refused"), Unreachable),
        (Invocation(changes=False, sent=True), Unreachable("reset"), Unreachable),
        (Invocation(changes=True, sent=True), Malformed("nonsense"), Malformed),
        (Invocation(changes=True, sent=True), Rejected("no"), Rejected),
    ],
)
def test_a_change_whose_answer_is_lost_has_an_open_outcome(
    call: Invocation, failure: TransportError, learned: type[TransportError]
) -> None:
    """`Dropped` tells a step to look whether the change arrived; a read, or what never left, can just be asked again."""
    assert type(retry.failure_of(call, failure)) is learned


@pytest.mark.parametrize("session", [PsrpSession, WinrsSession])
def test_both_transports_tell_it_so(session: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_self: Any, call: Invocation, *_: Any) -> None:
        call.sent = True
        raise Unreachable("connection reset at 192.0.2.10:5986")

    monkeypatch.setattr(session, "_run", lost)
    more = (ModuleState(),) if session is PsrpSession else ()
    made = session(SignIn(user="u", password="p"), OnePlace(), script_module(), *more)
    with pytest.raises(Dropped, match="connection reset"):
        made.run(Invocation(statements=(functions.start_vm(["a"]),), changes=True))
    with pytest.raises(Unreachable):
        made.run(Invocation(statements=(functions.get_vm(["a"]),)))


def test_after_many_losses_the_last_reason_is_told() -> None:
    reset = Unreachable("connection reset at 192.0.2.10:5986")
    lost = retry.OutcomeUnknown("Command", reset)
    assert not retry.is_over(lost, 1, within_outage_tolerance=True)
    assert retry.is_over(lost, 1, within_outage_tolerance=False)
    assert retry.is_over(lost, 4, within_outage_tolerance=True)
    assert str(retry.given_up(lost, 1)) == str(reset)
    assert str(retry.given_up(lost, 4)) == f"the host lost our session 4 times, last in Command: {reset}"
    assert str(retry.given_up(retry.OutcomeUnknown("Create", reset), 4)) == str(reset), "there was none to lose"
    assert not retry.is_over(retry.ShellGone("it rebooted"), 3, within_outage_tolerance=False)
