"""When a WSMan request may be sent again, and what a failure means (facts: WinRM, robust client).

Requests are repeated as the very same bytes, MessageID included, so the host can tell a repetition from a new request.
"""

from __future__ import annotations

import hashlib
import re
import socket
import ssl

import requests
from pypsrp.exceptions import AuthenticationError, WinRMTransportError, WSManFaultError
from spnego.exceptions import SpnegoError
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from provisioner.clienttls import plain_words
from provisioner.errors import Dropped, HostRefused, NotTrusted, Rejected, TransportError, Unreachable
from provisioner.hyperv.transport import CONNECT_S, Abandoned, Call
from provisioner.ports import Endpoint

NO_SUCH_TARGET = 2150858843
"""WSMan's fault for an unknown shell or command; the texts differ, the code does not."""
OPERATION_TIMED_OUT = 2150858793
"""WSMan's fault for a Receive that had nothing to say: ask again."""
OPERATION_ABORTED = 995
"""The shell was closed under the request."""
_SIGN_IN_FAULTS = {5: "access denied", 1311: "no logon server", 1326: "logon failure"}

SAFE_TO_REPEAT = frozenset({"Receive", "Get", "Enumerate", "Signal", "Delete", "Disconnect", "Reconnect", "Connect"})
"""Actions whose repetition changes nothing. Create, Command and Send are not among them."""
ENDS = frozenset({"Signal", "Delete"})
"""Actions that end something on the host."""
_ACTION = re.compile(rb"/(\w+)</\w+:Action>")


class Ambiguous(Exception):
    """A request that may not be repeated blindly was lost: it was carried out, or not."""


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
    return "certificate" in text or "fingerprint" in text or "hostname" in text


def is_transient(error: BaseException, *, encrypted: bool) -> bool:
    """Whether the same request may succeed later. `encrypted`: message encryption is in use; then 400 means that the context
    belonged to a connection that is gone, which a new sign-in mends. A refused sign-in is never transient.
    """
    if is_certificate_error(error):
        return False
    if isinstance(error, WinRMTransportError):
        return error.code in ((400, 502, 503) if encrypted else (502, 503))
    return isinstance(
        error,
        Unreachable  # the dialer knows no place for the host at the moment
        | requests.exceptions.ConnectionError
        | requests.exceptions.Timeout
        | requests.exceptions.ChunkedEncodingError,  # the connection ended within an answer
    )


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
    return NotTrusted(f"the host's certificate is not trusted: {_reason(error)}; shown SHA-256 {shown}")


def explain(error: BaseException) -> BaseException:
    """The error of ours for an exception of the libraries; what is no talk with the host comes back as it is."""
    if isinstance(error, TransportError | Abandoned):
        return error
    if isinstance(error, AuthenticationError | SpnegoError):
        return Rejected(f"the host refuses the sign-in: {error}")
    if isinstance(error, WSManFaultError):
        if error.code in _SIGN_IN_FAULTS:
            return Rejected(f"the host refuses the sign-in: {_SIGN_IN_FAULTS[error.code]} ({error.code})")
        return HostRefused(id=f"WinRM.{error.code}", message=error.reason or str(error), function="WinRM")
    if isinstance(error, WinRMTransportError):
        return Unreachable(f"something answers there, but not as WinRM: HTTP {error.code}")
    if isinstance(error, requests.exceptions.RequestException):
        return Unreachable(_reason(error))
    return error


def failure_of(call: Call, error: BaseException) -> BaseException:
    """What the caller learns. An outage after a change was begun leaves its outcome open; a read can just be asked again."""
    explained = explain(error)
    if isinstance(explained, Unreachable) and call.changes and call.sent:
        return Dropped(str(explained))
    return explained


def _reason(error: BaseException) -> str:
    """The operating system's or OpenSSL's own words; those of requests are a dump of nested objects."""
    inner = error
    while (nested := _nested(inner)) is not None:
        inner = nested
    words = getattr(inner, "verify_message", "") or getattr(inner, "strerror", "") or str(inner)
    return plain_words(words) or type(inner).__name__


def _nested(error: BaseException) -> BaseException | None:
    """What requests and urllib3 wrap."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return reason
    wrapped = next((item for item in error.args if isinstance(item, BaseException)), None)
    return wrapped or (error.__cause__ if isinstance(error, HTTPError) else None)
