"""pypsrp's HTTP transport, made to know its connection, to check a pin, and to send again through outages.

The hooks into pypsrp's private transport and urllib3's pools are each covered by a test that fails when they vanish.
"""

from __future__ import annotations

import ipaddress
from typing import Any

import requests
from pypsrp.exceptions import WinRMTransportError
from pypsrp.wsman import _TransportHTTP
from requests.adapters import HTTPAdapter
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential
from tenacity.nap import sleep_using_event
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from provisioner.hyperv import resend
from provisioner.hyperv.transport import CONNECT_S, READ_S, Abandoned, Call, Line, SignIn
from provisioner.ports import Endpoint

_LAST_WORDS = 3
"""How often we try to end what nobody waits for any more; the cut that freed us may hit the first try."""


class HostAdapter(HTTPAdapter):
    """Tells the line of each connection it opens; `tls` are urllib3's own settings for checking the certificate."""

    def __init__(self, line: Line, **tls: Any) -> None:
        self._line = line
        self._tls = tls
        super().__init__(max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **kwargs, **self._tls)
        self.poolmanager.pool_classes_by_scheme = {
            "http": self._noting(HTTPConnectionPool),
            "https": self._noting(HTTPSConnectionPool),
        }

    def _noting(self, pool: Any) -> Any:
        line = self._line

        class NotedConnection(pool.ConnectionCls):  # type: ignore[misc]  # a class given as a value
            def connect(self) -> None:
                super().connect()
                line.opened(self.sock)

        return type(f"Noted{pool.__name__}", (pool,), {"ConnectionCls": NotedConnection})


class HostTransport(_TransportHTTP):
    """The transport of one WSMan client. `call` is whose requests are sent at present."""

    def __init__(self, sign_in: SignIn, line: Line) -> None:
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
        self._line = line
        self.call: Call | None = None

    def locate(self) -> Endpoint:
        """Asks where the host is, and aims there."""
        place = self._line.locate()
        self.server, self.port = place.host, place.port
        self.endpoint = self._create_endpoint(self.ssl, place.host, place.port, self.path)
        return place

    def _build_session(self) -> requests.Session:
        place = self.locate()  # at every new connection: it may have moved
        self.negotiate_hostname_override = place.server_name
        self.no_proxy = _is_loopback(place.host)
        session = super()._build_session()
        tls: dict[str, Any] = {}
        if self._sign_in.pin:
            tls["assert_fingerprint"] = self._sign_in.pin
            session.verify = False  # the pin is the check, in place of the authorities'
        else:
            if self._sign_in.ca_path:
                session.verify = str(self._sign_in.ca_path)
            if place.server_name != place.host:
                tls["assert_hostname"] = tls["server_hostname"] = place.server_name
        session.mount("https://", HostAdapter(self._line, **tls))
        session.mount("http://", HostAdapter(self._line))
        return session

    def reset(self) -> None:
        """Forgets the connection and what was signed in on it; the next request makes a new one."""
        self.encryption = None
        if self.session is not None:
            self.session.close()
            self.session = None

    def send(self, message: bytes, *, retries_on_read_timeout: int = 0, timeout: Any = None) -> bytes:
        """Sends, and through outages sends again what may be sent again, within the call's patience.

        Raises `resend.Ambiguous` when a request that must not be repeated was lost, Abandoned, else what the libraries raise.
        """
        del retries_on_read_timeout  # one policy rules: this one
        call = self.call
        if call is None:
            raise RuntimeError("a request outside a call")
        action = resend.action_of(message)
        timeouts = (CONNECT_S, READ_S if timeout is None else timeout)

        def give_up(state: RetryCallState) -> bool:
            if call.abandoned.is_set():
                return action not in resend.ENDS or state.attempt_number >= _LAST_WORDS
            return not self._line.bearable(call.patience_s)

        try:
            return Retrying(
                retry=retry_if_exception(lambda error: self._may_repeat(action, error)),
                stop=give_up,
                wait=wait_random_exponential(multiplier=0.1, max=0.5),
                sleep=sleep_using_event(call.abandoned),
                reraise=True,
            )(self._send_once, call, action, message, timeouts)
        except Exception as error:
            if resend.is_certificate_error(error):
                raise resend.not_trusted(error, self._line.locate(), self._sign_in.pin) from None
            transient = resend.is_transient(error, encrypted=self.wrap_required)
            if transient and not self._may_repeat(action, error):
                raise resend.Ambiguous(action) from error
            if transient and call.abandoned.is_set():
                raise Abandoned from error
            raise

    def _send_once(self, call: Call, action: str, message: bytes, timeouts: tuple[float, float]) -> bytes:
        call.requests += 1
        self._line.begin()
        if call.abandoned.is_set() and action == "Receive":
            raise Abandoned  # asked after `begin`: from here on a cut reaches the request
        try:
            answer = super().send(message, timeout=timeouts)
        except BaseException as error:
            if resend.is_transient(error, encrypted=self.wrap_required):
                self.reset()
                if call.abandoned.is_set():
                    self._line.refused()  # it was us who cut it
                else:
                    self._line.failed(resend.explain(error).args[0])
            elif isinstance(error, WinRMTransportError):
                self._line.answered()
            else:
                self._line.refused()
            raise
        self._line.answered()
        return answer

    def _may_repeat(self, action: str, error: BaseException) -> bool:
        return resend.is_transient(error, encrypted=self.wrap_required) and (
            action in resend.SAFE_TO_REPEAT or resend.never_sent(error)
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
