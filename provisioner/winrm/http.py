"""pypsrp's HTTP transport, made to know its connection, to check a pin, and to send again through outages.

The hooks into pypsrp's private transport and urllib3's pools are each covered by a test that fails when they vanish.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import requests
from pypsrp.exceptions import WinRMTransportError
from pypsrp.wsman import _TransportHTTP
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential
from tenacity.nap import sleep_using_event
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from provisioner.errors import NoSignIn
from provisioner.ports import Endpoint
from provisioner.web import BoundedAdapter, BoundedResponse, size, status_of, straight
from provisioner.winrm import retry
from provisioner.winrm.connection import HostConnection
from provisioner.winrm.retry import malformed
from provisioner.winrm.transport import (
    ANSWER_BYTES,
    CALL_BYTES,
    CALL_REQUESTS,
    CONNECT_S,
    READ_S,
    WINRM,
    Invocation,
    InvocationCancelled,
    SignIn,
)
from provisioner.wire import excerpt

_LAST_WORDS = 3
"""How often an end is sent for what no one waits for any more; the abort that freed the thread may hit the first try."""
SIGN_IN_LEGS = 8
"""Requests that one sign-in may take. Negotiate with NTLM takes three."""
_SCHEME = re.compile(r"(?:^|,)\s*([A-Za-z][\w-]{0,30})(?=\s*(?:,|$)|\s+[^\s=,]+)")
"""A scheme in WWW-Authenticate, with or without parameters."""
_KNOWN = frozenset({"negotiate", "ntlm", "kerberos"})

warnings.filterwarnings("ignore", module="pypsrp")  # it warns of what a host writes, which must not reach the screen


class HostAdapter(BoundedAdapter):
    """Tells the host's `HostConnection` of each connection it opens; `tls` are urllib3's own settings for checking the certificate."""

    def __init__(self, connection: HostConnection, most: int, **tls: Any) -> None:
        self._connection = connection
        self._tls = tls
        self.legs = 0
        """Requests since the transport began to send."""
        self._signed_in = False
        self._latest: BoundedResponse | None = None
        super().__init__(expected=WINRM, most=most)

    def send(self, *args: Any, **given: Any) -> requests.Response:
        """Raises Malformed for a sign-in without an end."""
        self.legs += 1
        if self.legs > SIGN_IN_LEGS:
            raise malformed(f"a sign-in of more than {SIGN_IN_LEGS} steps")
        return super().send(*args, **given)

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> BoundedResponse:
        """Raises NoSignIn when no password was sent and none can be; Malformed for an answer without a sign-in, and for one in the clear
        where encryption was agreed: it is not the host's.
        """
        answer = self._latest = super().build_response(req, resp)
        if answer.status_code == requests.codes.unauthorized and "Authorization" not in req.headers:
            offered = _schemes(answer.headers.get("WWW-Authenticate", ""))
            if not _KNOWN.intersection(scheme.lower() for scheme in offered):
                raise NoSignIn(offered)
        if answer.status_code != requests.codes.unauthorized and "Authorization" in req.headers:
            self._signed_in = True
        if answer.status_code == requests.codes.ok:
            if not self._signed_in:
                begin: bytes = next(answer.iter_content(200), b"")
                raise malformed(f"{status_of(answer)} without a sign-in: {excerpt(begin, 200)}")
            if _is_encrypted(req) and not _is_encrypted(answer):
                raise malformed(f"{status_of(answer)} in the clear, where encryption was agreed")
        return answer

    def close(self) -> None:
        """Ends the connections, and the one of an answer that was not read to its end."""
        if self._latest is not None:
            self._latest.close()
        super().close()

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **kwargs, **self._tls)
        self.poolmanager.pool_classes_by_scheme = {
            "http": self._noting(HTTPConnectionPool),
            "https": self._noting(HTTPSConnectionPool),
        }

    def _noting(self, pool: Any) -> Any:
        noted = self._connection

        class NotedConnection(pool.ConnectionCls):  # type: ignore[misc]  # a class given as a value
            def connect(self) -> None:
                super().connect()
                noted.opened(self.sock)

        return type(f"Noted{pool.__name__}", (pool,), {"ConnectionCls": NotedConnection})


class HostTransport(_TransportHTTP):
    """The transport of one WSMan client. `call` is whose requests are sent at present."""

    def __init__(self, sign_in: SignIn, connection: HostConnection, *, most: int = ANSWER_BYTES) -> None:
        auth: dict[str, Any] = {"auth": "negotiate", "username": sign_in.user, "password": sign_in.password}
        if sign_in.certificate:
            crt, key = sign_in.certificate
            auth = {"auth": "certificate", "certificate_pem": str(crt), "certificate_key_pem": str(key)}
        super().__init__(
            "host.invalid",  # set by each session: where the host is then
            ssl=sign_in.https,
            encryption="auto",
            cert_validation=True,
            connection_timeout=int(CONNECT_S),
            read_timeout=READ_S,
            **auth,
        )
        self._sign_in = sign_in
        self._connection = connection
        self._most = most
        self._adapter: HostAdapter | None = None
        self.call: Invocation | None = None

    def locate(self) -> Endpoint:
        """Asks where the host is, and aims there."""
        place = self._connection.locate()
        self.server, self.port = place.host, place.port
        self.endpoint = self._create_endpoint(self.ssl, place.host, place.port, self.path)
        return place

    def _build_session(self) -> requests.Session:
        place = self.locate()  # at every new connection: it may have moved
        self.negotiate_hostname_override = place.server_name
        session = straight(super()._build_session())  # `verify` it has from the environment: a user's own authorities
        tls: dict[str, Any] = {}
        if self._sign_in.pin:
            tls["assert_fingerprint"] = self._sign_in.pin
            session.verify = False  # the pin is the check, in place of the authorities'
        else:
            if self._sign_in.ca_path:
                session.verify = str(self._sign_in.ca_path)
            if place.server_name != place.host:
                tls["assert_hostname"] = tls["server_hostname"] = place.server_name
        self._adapter = HostAdapter(self._connection, self._most, **(tls if self.ssl else {}))
        session.adapters.clear()
        session.mount("https://" if self.ssl else "http://", self._adapter)
        return session

    def reset(self) -> None:
        """Forgets the connection and what was signed in on it; the next request makes a new one."""
        self.encryption = None
        if self.session is not None:
            self.session.close()
            self.session = None

    def send(self, message: bytes, *, retries_on_read_timeout: int = 0, timeout: Any = None) -> bytes:
        """Sends, and through outages sends again what may be sent again, within the call's outage tolerance.

        Raises TransportErrors, `retry.OutcomeUnknown` when a request that must not be repeated was lost, InvocationCancelled, and WinRMTransportError
        for an answer that carries a WSMan fault: the library that called reads it.
        """
        del retries_on_read_timeout  # one policy rules: this one
        call = self.call
        if call is None:
            raise RuntimeError("a request outside a call")
        action = retry.action_of(message)
        timeouts = (CONNECT_S, READ_S if timeout is None else timeout)

        def may_repeat(error: BaseException) -> bool:
            return isinstance(error, retry.Outage) and (action in retry.SAFE_TO_REPEAT or not error.sent)

        def give_up(state: RetryCallState) -> bool:
            if call.cancelled.is_set():
                return action not in retry.ENDS or state.attempt_number >= _LAST_WORDS
            return not self._connection.within_outage_tolerance(call.outage_tolerance_s)

        try:
            return Retrying(
                retry=retry_if_exception(may_repeat),
                stop=give_up,
                wait=wait_random_exponential(multiplier=0.1, max=0.5),
                sleep=sleep_using_event(call.cancelled),
                reraise=True,
            )(self._send_once, call, action, message, timeouts)
        except retry.Outage as outage:
            if not may_repeat(outage):
                raise retry.OutcomeUnknown(action, outage.failure) from outage
            if call.cancelled.is_set():
                raise InvocationCancelled from outage
            raise outage.failure from outage

    def _send_once(self, call: Invocation, action: str, message: bytes, timeouts: tuple[float, float]) -> bytes:
        call.requests += 1
        if call.requests > CALL_REQUESTS:
            raise malformed(f"more than {CALL_REQUESTS:,} answers to one call")
        self._connection.request_started()
        if call.cancelled.is_set() and action == "Receive":
            raise InvocationCancelled  # asked after `request_started`: from here on an abort reaches the request
        if self._adapter is not None:
            self._adapter.legs = 0
        try:
            answer = super().send(message, timeout=timeouts)
        except Exception as error:
            raise self._failed(call, error) from error
        self._connection.response_received()
        call.received += len(answer)
        if call.received > CALL_BYTES:
            raise malformed(f"more than {size(CALL_BYTES)} in answer to one call")
        return answer

    def _failed(self, call: Invocation, error: Exception) -> Exception:
        """Tells the connection, and returns what to raise."""
        if (
            isinstance(error, WinRMTransportError)
            and error.code != retry.UNAVAILABLE
            and retry.is_soap(error.response_text or "")
        ):
            self._connection.response_received()
            return error
        outage = retry.outage_of(
            error,
            at=self._sign_in.at,
            encrypted=self.wrap_required,
            has_responded=self._connection.reachability.has_responded,
        )
        if outage is not None:
            self.reset()
            if call.cancelled.is_set():
                self._connection.request_ended()  # it was us who cut it
            else:
                self._connection.request_failed(str(outage.failure))
            return outage
        self._connection.request_ended()
        self.reset()
        if retry.is_certificate_error(error):
            return retry.not_trusted(error, self._connection.locate(), self._sign_in.pin)
        return retry.explain(error, at=self._sign_in.at)


def _schemes(header: str) -> tuple[str, ...]:
    """What a WWW-Authenticate header offers, the first few."""
    return tuple(dict.fromkeys(_SCHEME.findall(header[:2_000])))[:5]


def _is_encrypted(message: requests.PreparedRequest | requests.Response) -> bool:
    return str(message.headers.get("Content-Type", "")).startswith(
        ("multipart/encrypted", "multipart/x-multi-encrypted")
    )
