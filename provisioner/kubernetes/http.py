"""HTTP to a Kubernetes API: our own authority alone is trusted, our certificate never leaves memory, and errors are ours."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import requests
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

from provisioner.clienttls import load_client_certificate
from provisioner.errors import KubeRefused, Malformed, NotTrusted, Rejected, TransportError, Unreachable
from provisioner.kubernetes.kubeconfig import Access
from provisioner.kubernetes.reading import KUBERNETES, JsonObject, malformed, parsed
from provisioner.ports import Endpoint
from provisioner.web import BoundedAdapter, explain, http_status, size, straight
from provisioner.wire import break_connection, clipped, excerpt

CONNECT_S = 5.0
READ_S = 10.0
CALL_S = 30.0
"""Real seconds for a whole call: a peer that sends a byte now and then is cut."""
ANSWER_BYTES = 32 * 2**20
"""Of one answer, a watch included. A node is told in 20 KiB: this is a cluster of more than a thousand."""
PART_BYTES = 512
"""Taken at once where a peer does not cut its stream into parts itself: an event must not wait for the next one."""
EVENT_BYTES = 4 * 2**20
"""Of one event of a watch; etcd takes objects of 1.5 MiB at most."""
WATCH_S = 30
"""Real seconds after which the server ends a watch. The read time-out is a little longer, so a dead link is noticed by then."""
WATCH_SLACK_S = 5.0


_BUDGET, _CAUSES = "DisruptionBudget", 1_000
"""The cause of a refused eviction that names the budget; and how many causes an answer may have."""


class NotedConnection(HTTPSConnection):
    """Remembers its socket: http.client forgets it as soon as it knows that the answer ends with the connection. And for which thread it
    works: a call that no one waits for any more is ended by its thread.
    """

    noted: socket.socket | None = None
    at_work: ClassVar[dict[int, NotedConnection]] = {}
    """Thread -> the connection that it used last."""

    def connect(self) -> None:
        self.at_work[threading.get_ident()] = self
        super().connect()
        self.noted = self.sock

    def request(self, *args: Any, **given: Any) -> None:
        self.at_work[threading.get_ident()] = self
        super().request(*args, **given)

    def cut(self) -> None:
        """Ends it, from another thread."""
        if self.noted is not None:
            break_connection(self.noted)


class NotedPool(HTTPSConnectionPool):
    ConnectionCls = NotedConnection


def cut_call(thread: int) -> None:
    """Ends the call that the thread is at, if it is at one."""
    connection = NotedConnection.at_work.get(thread)
    if connection is not None:
        connection.cut()


def leave(thread: int) -> None:
    """The thread has ended."""
    NotedConnection.at_work.pop(thread, None)


_ENVIRONMENT = ("ca_certs", "ca_cert_dir", "cert_file", "key_file", "cert_reqs")
"""What requests would put into a connection from its own environment."""


class ContextAdapter(BoundedAdapter):
    """Uses one TLS context for everything."""

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._settings: dict[str, Any] = {
            "ssl_context": context,
            "server_hostname": server_name,
            "assert_hostname": server_name,
        }
        super().__init__(expected=KUBERNETES, most=ANSWER_BYTES)

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
        self._at = f"{access.host}:{access.port}"
        self._session = straight(requests.Session())
        self._session.mount("https://", ContextAdapter(context, place.server_name))

    def text(self, path: str) -> str:
        """Raises TransportError."""
        with self._answer("GET", path) as answer:
            return clipped(answer.text)

    def document(self, path: str, **query: str) -> JsonObject:
        """The JSON object of an answer. Raises TransportError."""
        with self._answer("GET", path, params=query) as answer:
            return parsed(answer.content)

    def create(self, path: str, body: Mapping[str, Any]) -> None:
        """Posts an object. Raises TransportError; after an Unreachable it may have been taken or not."""
        with self._answer("POST", path, json=body):
            pass

    def patch(self, path: str, change: Mapping[str, Any]) -> None:
        """Merges the change into an object (RFC 7386). Raises as `create` does."""
        headers = {"Content-Type": "application/merge-patch+json"}
        with self._answer("PATCH", path, data=json.dumps(change), headers=headers):
            pass

    def watch(self, path: str, **query: str) -> WatchStream:
        """Raises TransportError; the watch ends after `WATCH_S`."""
        params = {"watch": "1", "timeoutSeconds": str(WATCH_S), "allowWatchBookmarks": "true", **query}
        timeout = (CONNECT_S, WATCH_S + WATCH_SLACK_S)
        with failures(self._at):
            answer = self._session.get(self._base + path, params=params, timeout=timeout, stream=True)
            if not answer.ok:
                with answer:
                    _check(answer)
        return WatchStream(answer, self._at)

    def close(self) -> None:
        """Ends its idle connections; idempotent."""
        self._session.close()

    @contextlib.contextmanager
    def _answer(self, method: str, path: str, **given: Any) -> Iterator[requests.Response]:
        """An answer that says yes, read within the block; errors are ours."""
        with failures(self._at):
            url, timeout = self._base + path, (CONNECT_S, READ_S)
            with self._session.request(method, url, timeout=timeout, **given) as answer:
                _check(answer)
                yield answer


class WatchStream:
    """Events of a watch, one by one."""

    def __init__(self, answer: requests.Response, at: str) -> None:
        self._answer = answer
        self._at = at

    def __iter__(self) -> Iterator[JsonObject]:
        """Raises TransportError."""
        with failures(self._at), self._answer:
            begun: list[bytes] = []  # of the event that has not come whole yet
            length = 0
            for part in self._answer.iter_content(PART_BYTES):
                *ends, rest = part.split(b"\n")
                for end in ends:
                    line = b"".join((*begun, end))
                    begun, length = [], 0
                    if line.strip():
                        yield parsed(line)
                begun.append(rest)
                length += len(rest)
                if length > EVENT_BYTES:
                    raise malformed(f"an event of more than {size(EVENT_BYTES)}")
            if length:
                raise Unreachable("the watch broke off within an event")

    def cut(self) -> None:
        """Ends it, from another thread."""
        connection = self._answer.raw.connection
        if isinstance(connection, NotedConnection):
            connection.cut()


@contextlib.contextmanager
def failures(at: str) -> Iterator[None]:
    """Errors of ours for whatever the libraries make of what the API sends. `at`: the place asked for, `host:port`."""
    try:
        yield
    except TransportError:
        raise
    except Exception as error:
        found = explain(error, at=at, expected=KUBERNETES)
        if isinstance(found, NotTrusted | Rejected):
            raise type(found)(f"the API server: {found}") from error
        raise found from error


def _check(answer: requests.Response) -> None:
    if answer.ok:
        return
    try:
        status = parsed(answer.content)
        reason, message = status.text("reason"), status.words("message")
        causes = status.within("details").each("causes", most=_CAUSES)
        message = " ".join([message, *(cause.words("message") for cause in causes if cause.text("reason") == _BUDGET)])
    except Malformed:
        reason, message = http_status(answer.status_code, answer.reason or ""), excerpt(answer.content)
    if answer.status_code == requests.codes.unauthorized:
        raise Rejected(f"the API server does not know us: {message}")
    raise KubeRefused(code=answer.status_code, reason=reason, message=message)
