"""Which failures are repeated, and what each becomes."""

from __future__ import annotations

import pytest
import requests
from pypsrp.exceptions import AuthenticationError, WinRMTransportError, WSManFaultError
from spnego.exceptions import InvalidTokenError
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError, ReadTimeoutError

from provisioner.errors import HostRefused, NotTrusted, Rejected, TransportError, Unreachable
from provisioner.hyperv import resend

POOL = HTTPConnectionPool("127.0.0.1", 1)
REFUSED = requests.ConnectionError(
    MaxRetryError(POOL, "/", NewConnectionError(HTTPConnection("127.0.0.1", 1), "[Errno 111] refused"))
)
RESET = requests.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError(104, "reset")))
READ_TIMEOUT = requests.ReadTimeout(ReadTimeoutError(POOL, "/", "Read timed out."))
CONNECT_TIMEOUT = requests.ConnectTimeout()
CUT_BODY = requests.exceptions.ChunkedEncodingError()
UNTRUSTED = requests.exceptions.SSLError("certificate verify failed: unable to get local issuer certificate")
WRONG_PIN = requests.exceptions.SSLError('Fingerprints did not match. Expected "a", got "b"')
HANDSHAKE_CUT = requests.exceptions.SSLError("EOF occurred in violation of protocol")
DENIED = AuthenticationError("no")


def http(code: int) -> WinRMTransportError:
    return WinRMTransportError("http", code, "")


@pytest.mark.parametrize(
    ("error", "plain", "encrypted"),
    [
        (REFUSED, True, True),
        (RESET, True, True),
        (READ_TIMEOUT, True, True),
        (CONNECT_TIMEOUT, True, True),
        (CUT_BODY, True, True),
        (HANDSHAKE_CUT, True, True),
        (Unreachable("no such place now"), True, True),
        (http(502), True, True),
        (http(503), True, True),
        (http(400), False, True),
        (http(500), False, False),
        (http(401), False, False),
        (DENIED, False, False),
        (UNTRUSTED, False, False),
        (WRONG_PIN, False, False),
        (ValueError("ours"), False, False),
    ],
    ids=repr,
)
def test_what_may_succeed_later(error: Exception, plain: bool, encrypted: bool) -> None:
    assert resend.is_transient(error, encrypted=False) is plain
    assert resend.is_transient(error, encrypted=True) is encrypted


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (REFUSED, False),
        (CONNECT_TIMEOUT, False),
        (Unreachable("x"), False),
        (RESET, True),
        (READ_TIMEOUT, True),
        (CUT_BODY, True),
    ],
    ids=repr,
)
def test_what_the_host_cannot_have_seen(error: Exception, sent: bool) -> None:
    assert resend.never_sent(error) is not sent


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (DENIED, Rejected, "refuses the sign-in"),
        (InvalidTokenError(context_msg="bad"), Rejected, "refuses the sign-in"),
        (WSManFaultError(5, "HV01", "denied", None, None, None), Rejected, "access denied"),
        (WSManFaultError(1326, "HV01", "", None, None, None), Rejected, "logon failure"),
        (WSManFaultError(2150859173, "HV01", "too many shells", None, None, None), HostRefused, "WinRM.2150859173"),
        (http(404), Unreachable, "not as WinRM: HTTP 404"),
        (REFUSED, Unreachable, "refused"),
        (RESET, Unreachable, "reset"),
        (NotTrusted("as it is"), NotTrusted, "as it is"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_a_failure_becomes(error: Exception, kind: type[TransportError], text: str) -> None:
    explained = resend.explain(error)
    assert type(explained) is kind
    assert text in str(explained)


def test_a_bug_of_ours_is_no_outage() -> None:
    error = KeyError("x")
    assert resend.explain(error) is error


def test_the_action_is_read_from_the_envelope() -> None:
    envelope = b"<s:Header><wsa:Action s:mustUnderstand='true'>http://schemas.microsoft.com/wbem/wsman/1/windows/shell/Receive</wsa:Action>"
    assert resend.action_of(envelope) == "Receive"
    assert (
        resend.action_of(b"<wsa:Action>http://schemas.xmlsoap.org/ws/2004/09/transfer/Create</wsa:Action>") == "Create"
    )
    assert resend.action_of(b"") == ""
    assert not {"Create", "Command", "Send", ""} & resend.SAFE_TO_REPEAT


def test_an_outage_is_told_in_words_for_people() -> None:
    """What people read while a host is away is no dump of urllib3's objects."""
    pool = HTTPConnectionPool("192.0.2.10", 5985)
    inner = NewConnectionError(HTTPConnection("192.0.2.10", 5985), "Failed to establish a new connection")
    error = requests.ConnectionError(MaxRetryError(pool, "/wsman", inner))
    assert str(resend.explain(error)) == "Failed to establish a new connection"
