"""HTTP to a Kubernetes API: our own authority alone is trusted, our certificate never leaves memory, and errors are ours."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from provisioner.clienttls import is_alert, load_client_certificate, plain_words
from provisioner.errors import KubeRefused, NotTrusted, Rejected, TransportError, Unreachable
from provisioner.kubernetes.kubeconfig import Access
from provisioner.ports import Endpoint

CONNECT_S = 5.0
READ_S = 10.0
WATCH_S = 30
"""Real seconds after which the server ends a watch. The read time-out is a little longer, so a dead link is noticed by then."""
WATCH_SLACK_S = 5.0


class NotedConnection(HTTPSConnection):
    """Remembers its socket: http.client forgets it as soon as it knows that the answer ends with the connection."""

    noted: socket.socket | None = None

    def connect(self) -> None:
        super().connect()
        self.noted = self.sock


class NotedPool(HTTPSConnectionPool):
    ConnectionCls = NotedConnection


_ENVIRONMENT = ("ca_certs", "ca_cert_dir", "cert_file", "key_file", "cert_reqs")
"""What requests would put into a connection from its own environment."""


class ContextAdapter(HTTPAdapter):
    """Uses one TLS context for everything."""

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._settings: dict[str, Any] = {
            "ssl_context": context,
            "server_hostname": server_name,
            "assert_hostname": server_name,
        }
        super().__init__(max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **kwargs: Any) -> None:
        super().init_poolmanager(connections, maxsize, block, **kwargs, **self._settings)
        self.poolmanager.pool_classes_by_scheme = {"https": NotedPool}

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        ours = {name: value for name, value in pool.items() if name not in _ENVIRONMENT}
        return host, {**ours, "ssl_context": self._settings["ssl_context"]}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context knows all; nothing is to be set per connection."""


class KubeHttp:
    """The API at one place. Its calls block; use from threads."""

    def __init__(self, access: Access, place: Endpoint) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(cadata=access.ca.decode())
        load_client_certificate(context, access.crt, access.key)
        host = f"[{place.host}]" if ":" in place.host else place.host
        self._base = f"https://{host}:{place.port}"
        self._session = requests.Session()
        self._session.trust_env = False  # no proxies, no netrc: the file says all
        self._session.mount("https://", ContextAdapter(context, place.server_name))

    def get(self, path: str, **query: str) -> requests.Response:
        """Raises TransportError."""
        with failures():
            answer = self._session.get(self._base + path, params=query, timeout=(CONNECT_S, READ_S))
        _check(answer)
        return answer

    def watch(self, path: str, **query: str) -> Watch:
        """Raises TransportError; the watch ends after `WATCH_S`."""
        params = {"watch": "1", "timeoutSeconds": str(WATCH_S), "allowWatchBookmarks": "true", **query}
        timeout = (CONNECT_S, WATCH_S + WATCH_SLACK_S)
        with failures():
            answer = self._session.get(self._base + path, params=params, timeout=timeout, stream=True)
        if not answer.ok:
            with answer, failures():
                _check(answer)
        return Watch(answer)

    def close(self) -> None:
        self._session.close()


class Watch:
    """Events of a watch, one by one."""

    def __init__(self, answer: requests.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Raises TransportError."""
        with failures(), self._answer:
            for line in self._answer.iter_lines():
                if line:
                    yield json.loads(line)

    def cut(self) -> None:
        """Ends it, from another thread."""
        connection = self._answer.raw.connection
        if isinstance(connection, NotedConnection) and connection.noted is not None:
            with contextlib.suppress(OSError):
                # not ssl's own shutdown, which would take the TLS state from under the thread that reads
                socket.socket.shutdown(connection.noted, socket.SHUT_RDWR)


@contextlib.contextmanager
def failures() -> Iterator[None]:
    """Errors of ours for those of requests."""
    try:
        yield
    except requests.exceptions.RequestException as error:
        raise explain(error) from error
    except ValueError as error:
        raise Unreachable(f"the answer is not whole: {error}") from error


def explain(error: BaseException) -> TransportError:
    inner: BaseException | None = error
    words = type(error).__name__
    while inner is not None:
        if isinstance(inner, ssl.SSLCertVerificationError):
            return NotTrusted(f"the API server's certificate is not the one expected: {inner.verify_message or inner}")
        if is_alert(inner):
            return Rejected(f"the API server refuses our certificate: {inner}")
        words = getattr(inner, "strerror", "") or str(inner) or words
        inner = _nested(inner)
    return Unreachable(plain_words(words))


def _nested(error: BaseException) -> BaseException | None:
    """What requests and urllib3 wrap."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return reason
    wrapped = next((item for item in error.args if isinstance(item, BaseException)), None)
    return wrapped or (error.__cause__ if isinstance(error, HTTPError) else None)


def _check(answer: requests.Response) -> None:
    if answer.ok:
        return
    try:
        status = answer.json()
        reason, message = status.get("reason", ""), status.get("message", "")
    except (ValueError, AttributeError):
        reason, message = answer.reason or "", answer.text[:500]
    if answer.status_code == requests.codes.unauthorized:
        raise Rejected(f"the API server does not know us: {message}")
    raise KubeRefused(code=answer.status_code, reason=reason, message=message)
