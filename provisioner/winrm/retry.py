"""When a WSMan request may be sent again, and what a failure means.

Requests are repeated as the very same bytes, MessageID included, so the host can tell a repetition from a new request.
Source of the actions and fault codes: [MS-WSMV], https://learn.microsoft.com/openspecs/windows_protocols/ms-wsmv/
"""

from __future__ import annotations

import hashlib
import re
import socket
import ssl

import requests
from pypsrp.exceptions import AuthenticationError, WinRMTransportError, WSManFaultError
from spnego.exceptions import InvalidTokenError, SpnegoError
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from provisioner import web
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
from provisioner.ports import Endpoint
from provisioner.web import http_status
from provisioner.winrm.transport import CONNECT_S, TRIES, WINRM, Invocation
from provisioner.wire import clipped, excerpt, inner_errors, tls_reason

NO_SUCH_TARGET = 2150858843
"""WSMan's fault for an unknown shell or command; the texts differ, the code does not."""
OPERATION_TIMED_OUT = 2150858793
"""WSMan's fault for a Receive that had nothing to say: ask again."""
OPERATION_ABORTED = 995
"""The shell was closed under the request."""
BAD_REQUEST, BAD_GATEWAY, UNAVAILABLE = 400, 502, 503
_SOAP = "http://www.w3.org/2003/05/soap-envelope"
_HEAD = 2_000
"""Characters within which an envelope names its namespace."""
_SIGN_IN_FAULTS = {5: "access denied", 1311: "no logon server", 1326: "logon failure"}

SAFE_TO_REPEAT = frozenset({"Receive", "Get", "Enumerate", "Signal", "Delete", "Disconnect", "Reconnect", "Connect"})
"""Actions whose repetition changes nothing. Create, Command and Send are not among them."""
ENDS = frozenset({"Signal", "Delete"})
"""Actions that end something on the host."""
_ACTION = re.compile(rb"/(\w+)</\w+:Action>")


class OutcomeUnknown(Exception):
    """A request that may not be repeated blindly was lost: it was carried out, or not."""

    def __init__(self, action: str, failure: TransportError) -> None:
        super().__init__(f"{action}: {failure}")
        self.action = action
        self.failure = failure
        """How it was lost."""


class Outage(Exception):
    """The host did not answer, or asks to be asked later: the same request may succeed then."""

    def __init__(self, failure: TransportError, *, sent: bool) -> None:
        super().__init__(str(failure))
        self.failure = failure
        """What it becomes once no one waits any longer."""
        self.sent = sent
        """The host may have got the request, and carried it out."""


class ShellGone(Exception):
    """The host does not know our shell any more: it rebooted, WinRM restarted, or the shell idled too long."""


def action_of(message: bytes) -> str:
    """`Receive`, `Command` ...: the last part of the envelope's action."""
    found = _ACTION.search(message)
    return found[1].decode() if found else ""


def never_sent(error: BaseException) -> bool:
    """Whether not even a connection could be made."""
    if isinstance(error, Unreachable | requests.exceptions.ConnectTimeout):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError | ConnectTimeoutError)


def is_certificate_error(error: BaseException) -> bool:
    """Whether the host's certificate failed our check (and not just its connection)."""
    if not isinstance(error, requests.exceptions.SSLError):
        return False
    text = str(error).lower()
    return "certificate verify" in text or "fingerprint" in text or "hostname" in text


def outage_of(error: BaseException, *, at: str, encrypted: bool, has_responded: bool = False) -> Outage | None:
    """The outage that the error is a sign of; None for anything else, a refused sign-in included.

    `encrypted`: message encryption is in use; then 400 means that its context belonged to a connection that is gone, which a new
    sign-in fixes. `has_responded`: the host has answered as WinRM in this run; then a TLS handshake that breaks off is its network going
    away, and no other program at its port. 503 is the answer of Windows' own web server (HTTP.sys) while the service WinRM is not there,
    so nothing was carried out.
    """
    if isinstance(error, WinRMTransportError):
        if error.code == UNAVAILABLE:
            return Outage(explain(error, at=at), sent=False)
        passing = error.code == BAD_GATEWAY or (error.code == BAD_REQUEST and encrypted)
        return Outage(explain(error, at=at), sent=True) if passing else None
    if is_certificate_error(error):
        return None
    failure = explain(error, at=at)
    if has_responded and any(isinstance(inner, ssl.SSLError) for inner in inner_errors(error)):
        failure = Unreachable(str(failure))
    return Outage(failure, sent=not never_sent(error)) if isinstance(failure, Unreachable) else None


def peer_fingerprint(endpoint: Endpoint) -> str:
    """SHA-256 (hex) of the certificate that the host shows, for the message; nothing is sent to it. Empty if it shows none."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((endpoint.host, endpoint.port), timeout=CONNECT_S) as plain,
            context.wrap_socket(plain, server_hostname=endpoint.server_name) as secured,
        ):
            return hashlib.sha256(secured.getpeercert(binary_form=True) or b"").hexdigest()
    except OSError:
        return ""


def not_trusted(error: BaseException, endpoint: Endpoint, pin: str) -> NotTrusted:
    """Says what was expected and what the host shows, each as SHA-256 of its certificate."""
    shown = peer_fingerprint(endpoint)
    if pin:
        expected = pin.replace(":", "").lower()
        return NotTrusted(f"the host's certificate is not the pinned one: expected SHA-256 {expected}, shown {shown}")
    why = next(
        (tls_reason(e) for e in inner_errors(error) if isinstance(e, ssl.SSLCertVerificationError)), "another name"
    )
    return NotTrusted(f"the host's certificate is not trusted: {why}; shown SHA-256 {shown}")


def is_over(error: OutcomeUnknown | ShellGone, tries: int, *, within_outage_tolerance: bool) -> bool:
    """Whether a call is not tried again: the host loses our session again and again, or nothing has answered for too long."""
    return tries == TRIES or (isinstance(error, OutcomeUnknown) and not within_outage_tolerance)


def given_up(error: OutcomeUnknown | ShellGone, tries: int) -> Unreachable:
    """Says how it was lost last. While a session is made there is none to lose: then that alone."""
    if isinstance(error, OutcomeUnknown) and (tries == 1 or error.action == "Create"):
        return Unreachable(str(error.failure))
    return Unreachable(f"the host lost our session {tries} times, last in {error}")


def malformed(came: str) -> Malformed:
    """The error for an answer that is not of WinRM's form."""
    return Malformed(came, expected=WINRM)


def is_soap(text: str) -> bool:
    """Whether the body of an error is WSMan's own, and so says why in its own codes."""
    return _SOAP in text[:_HEAD]


def explain(error: BaseException, *, at: str = "the host") -> TransportError:
    """The error of ours for whatever the libraries raise while they talk with the host or read what it sent. `at`: `host:port`."""
    if isinstance(error, TransportError):
        return error
    if isinstance(error, ImportError):  # of pyspnego, which needs one more library for what the host offers
        return NoSignIn(("Kerberos",))
    if isinstance(error, InvalidTokenError):
        return malformed("a sign-in that cannot be read")
    if isinstance(error, AuthenticationError | SpnegoError):
        return Rejected("the host refuses the sign-in")
    if isinstance(error, WSManFaultError):
        return _of_fault(error)
    if isinstance(error, WinRMTransportError):
        return malformed(f"{http_status(error.code)}: {excerpt(error.response_text or '')}")
    found = web.explain(error, at=at, expected=WINRM)
    return (
        malformed(str(found)) if isinstance(found, Rejected) else found
    )  # we showed it no certificate that it could refuse


def _of_fault(fault: WSManFaultError) -> TransportError:
    if fault.code in _SIGN_IN_FAULTS:
        return Rejected(f"the host refuses the sign-in: {_SIGN_IN_FAULTS[fault.code]} ({fault.code})")
    words = clipped(str(fault.reason or fault.provider_fault or ""))
    if fault.code is None:
        return malformed(f"a fault without a code: {excerpt(words)}")
    return HostRefused(id=f"WinRM.{str(fault.code)[:60]}", message=words or "no reason was given", function="WinRM")


def failure_of(call: Invocation, failure: TransportError) -> TransportError:
    """What the caller learns. An outage after a change was begun leaves its outcome open; a read can just be asked again."""
    if isinstance(failure, Unreachable) and call.changes and call.sent:
        return Dropped(str(failure))
    return failure
