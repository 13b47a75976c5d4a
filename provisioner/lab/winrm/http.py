"""HTTP/1.1 of the endpoint: one thread per connection, since sign-in, keys and the long poll of a Receive belong to the connection."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Any

import h11

from provisioner.lab.winrm.auth import ENCRYPTED, ConnectionAuth, Headers, SignInRefused, Undecryptable
from provisioner.lab.winrm.exchange import Answer, Caller, ConnectionGone, Dropped, Handle, Identity
from provisioner.lab.winrm.fault_injection import FaultInjection
from provisioner.lab.winrm.network import Network, Wire
from provisioner.lab.winrm.stats import Counters

SOAP_TYPE = "application/soap+xml;charset=UTF-8"
MAX_BODY = 4 * 1024 * 1024
"""Bytes; far above any envelope the service takes, so that those get their proper fault."""


class HttpConnection:
    """One connection from its first byte to its last."""

    def __init__(
        self,
        raw: socket.socket,
        *,
        network: Network,
        auth: ConnectionAuth,
        tls: ssl.SSLContext | None,
        handle: Handle,
        counters: Counters,
        faults: FaultInjection,
    ) -> None:
        self._wire: Wire = network.enter(raw)
        self._network = network
        self._auth = auth
        self._tls = tls
        self._handle = handle
        self._counters = counters
        self._faults = faults
        self._http = h11.Connection(h11.SERVER)
        self._peer = raw.getpeername()[0]

    def serve(self) -> None:
        """Until one side ends it."""
        self._counters.add("connections")
        try:
            with contextlib.suppress(OSError, ConnectionGone, h11.ProtocolError):
                self._wire.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._wire.pass_gate()
                self._shake_hands()
                while self._exchange():
                    pass
        finally:
            self._network.leave(self._wire)
            with contextlib.suppress(OSError):
                self._wire.raw.close()

    def _shake_hands(self) -> None:
        if self._tls is None:
            return
        secured = self._tls.wrap_socket(self._wire.raw, server_side=True, do_handshake_on_connect=False)
        self._wire.raw = secured
        secured.do_handshake()

    def _exchange(self) -> bool:
        """One request and its answer; False when it was the last."""
        request, body = self._read()
        if request is None:
            return False
        headers = {name.decode("latin1"): value.decode("latin1") for name, value in request.headers}
        self._counters.add("requests")
        self._wire.pass_gate()
        if request.method != b"POST" or request.target.split(b"?")[0].rstrip(b"/") != b"/wsman":
            self._reply(404)
        elif len(body) > MAX_BODY:
            self._reply(413)
        else:
            self._answer(headers, body)
        if self._http.our_state is h11.MUST_CLOSE or self._http.their_state is h11.MUST_CLOSE:
            return False
        self._http.start_next_cycle()
        return True

    def _read(self) -> tuple[h11.Request | None, bytes]:
        request: h11.Request | None = None
        body = bytearray()
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=100, headers=[]))
                data = self._wire.raw.recv(65536)
                self._counters.add("bytes_in", len(data))
                self._http.receive_data(data)
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                if len(body) <= MAX_BODY:
                    body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return request, bytes(body)
            else:  # the peer closed
                return None, b""

    # -- the answer

    def _answer(self, headers: dict[str, str], body: bytes) -> None:
        try:
            identity, extra = self._auth.identify(headers, self._certificate_user())
        except SignInRefused as refused:
            if refused.failed:
                self._counters.add("sign_in_failures")
            self._reply(401, headers=refused.headers)
            return
        encrypted = headers.get("content-type", "").lower().startswith(ENCRYPTED)
        if encrypted:
            try:
                body = self._auth.decrypt(body)
            except Undecryptable:
                self._reply(400)
                return
        elif body and self._tls is None:
            self._reply(500)  # what WinRM answers to clear text while AllowUnencrypted is false
            return
        if not body:  # a client that only wants its keys
            self._reply(200, headers=extra)
            return
        self._serve_envelope(identity, body, extra, encrypted=encrypted)

    def _serve_envelope(self, identity: Identity, body: bytes, extra: Headers, *, encrypted: bool) -> None:
        if self._faults.of_user("winrm-refuse", identity.user):
            self._auth.forget()
            self._counters.add("sign_in_failures")
            self._reply(401, headers=self._auth.challenge())
            return
        try:
            answer = self._handle(body, Caller(identity, self._peer, self._wire.alive, self._wire.deliverable))
        except Dropped:
            self._wire.reset()
            raise
        try:
            self._go_wrong(answer)
            self._wire.pass_gate()
            content_type, data = self._auth.encrypt(answer.envelope) if encrypted else (SOAP_TYPE, answer.envelope)
            self._reply(answer.status, data, extra, content_type, self._faults.at("winrm-slow", answer.places) or 0.0)
        except _AnswerLost:
            raise
        except (OSError, ConnectionGone):
            answer.put_back()
            raise

    def _go_wrong(self, answer: Answer) -> None:
        """Faults that were asked for, now that the request has been worked on."""
        if (noticed := self._faults.at("winrm-lose-answer", answer.places)) is not None:
            self._wire.reset()
            raise ConnectionGone if noticed == 1 else _AnswerLost
        if answer.places and self._faults.drops_all(answer.places[0]):
            self._network.reset_all()
        if stall_s := self._faults.at("winrm-stall", answer.places):
            self._network.wait(lambda: self._wire.dead, stall_s)

    def _certificate_user(self) -> str:
        """Common name of the client's certificate, which TLS has verified; empty without one."""
        if not isinstance(self._wire.raw, ssl.SSLSocket):
            return ""
        subject: Any = (self._wire.raw.getpeercert() or {}).get("subject", ())  # typeshed says no more than object
        names = {key: value for part in subject for key, value in part}
        return str(names.get("commonName", ""))

    def _reply(
        self,
        status: int,
        body: bytes = b"",
        headers: Headers | None = None,
        content_type: str = SOAP_TYPE,
        bytes_per_s: float = 0.0,
    ) -> None:
        head = [("Server", "Microsoft-HTTPAPI/2.0"), ("Content-Length", str(len(body)))]
        if body:
            head.append(("Content-Type", content_type))
        response = h11.Response(status_code=status, headers=[*head, *(headers or [])])
        self._send(response, h11.Data(data=body), h11.EndOfMessage(), bytes_per_s=bytes_per_s)

    def _send(self, *events: h11.Event, bytes_per_s: float = 0.0) -> None:
        """In one write: head and body apart cost a delayed acknowledgement."""
        data = b"".join(self._http.send(event) or b"" for event in events)
        if self._wire.dead:
            raise ConnectionGone
        step = max(1, int(bytes_per_s / 20)) if bytes_per_s else len(data)
        for start in range(0, len(data), step):
            if start:
                self._network.wait(lambda: self._wire.dead, step / bytes_per_s)
            self._wire.raw.sendall(data[start : start + step])
        self._counters.add("bytes_out", len(data))


class _AnswerLost(ConnectionGone):
    """A fault that was asked for: the answer is lost, and the endpoint does not notice."""


def serve_in_background(connection: HttpConnection) -> None:
    threading.Thread(target=connection.serve, name="winrm-connection", daemon=True).start()
