"""Where engines reach the world: line-delimited JSON over TCP on loopback, one connection per runspace.

An engine says `{"token": ...}` first. Then, each answered in turn:

- `{"describe": "types"}` or `{"describe": "<module>"}`: one line, the description of `description.py`.
- `{"call": cmdlet, "set": parameter set, "arguments": {...}}`: events, one a line, up to `["end"]` or `["fatal", record]`:
  `["out", object]`, `["error", record]`, `["warning", text]`, `["verbose", text]`, `["progress", activity, status, percent]`,
  `["genuine", cmdlet, {argument: value}]`, and `["should", target, action]`, to which the engine answers `{"should": true}`.

An engine that closes the connection half-way has been stopped; what was begun then ends as soon as it can.
"""

from __future__ import annotations

import json
import logging
import secrets
import select
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from provisioner.lab.world.hyperv.errors import CmdletError
from provisioner.lab.world.hyperv.service import Caller
from tests.engine.cmdlets.behaviours import Behaviour, Environment
from tests.engine.cmdlets.call import Call, ShellError, Stopped
from tests.engine.cmdlets.description import description

log = logging.getLogger(__name__)

SLICE_S = 0.05
"""Real time after which a call that lets time pass looks whether it was stopped."""


class CmdletServer:
    """Runs the cmdlets of all engines that stand on one world."""

    def __init__(self, surroundings: Environment, behaviours: Mapping[str, Behaviour]) -> None:
        self._surroundings = surroundings
        self._behaviours = behaviours
        self._callers: dict[str, Caller] = {}
        self.failures: list[BaseException] = []
        """What went wrong in the lab itself: empty in a sound lab."""
        self.before_call: Callable[[], None] = lambda: None
        self.after_call: Callable[[], None] = lambda: None
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="cmdlets", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def connections(self) -> int:
        """How many runspaces are connected."""
        return self._server.connections

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Closes the connections too: an engine that goes on is told that the world is gone."""
        self._server.shutdown()
        self._server.close_all()
        self._server.server_close()
        self._thread.join(5)

    def admit(self, caller: Caller) -> str:
        """A token by which an engine may call on behalf of that user."""
        token = secrets.token_hex(16)
        self._callers[token] = caller
        return token

    def forget(self, token: str) -> None:
        """No new connection is taken with that token; those that stand go on."""
        self._callers.pop(token, None)

    def caller_of(self, token: str) -> Caller | None:
        return next((caller for known, caller in self._callers.items() if secrets.compare_digest(known, token)), None)

    def run(self, message: Mapping[str, Any], caller: Caller, wire: _Connection) -> None:
        """One call, with everything it answers but the last event."""
        cmdlet = description().cmdlets[message["call"]]
        call = Call(
            cmdlet=cmdlet,
            set_name=message["set"],
            arguments=message["arguments"],
            caller=caller,
            wire=wire,
            sleep=lambda seconds: self._sleep(seconds, wire),
        )
        behaviour = self._behaviours[cmdlet.name]
        unmodelled = sorted(set(call.arguments) - behaviour.parameters)
        if unmodelled:
            text = f"The lab does not model -{', -'.join(unmodelled)} of {cmdlet.name}."
            raise ShellError(
                "NotModelled", "NotImplemented", text, exception="System.NotImplementedException", terminating=True
            )
        self.before_call()
        try:
            behaviour.act(call, self._surroundings)
        finally:
            self.after_call()

    def _sleep(self, seconds: float, wire: _Connection) -> None:
        """Lets time pass in slices short enough that a stopped pipeline is noticed."""
        kernel = self._surroundings.kernel
        until = kernel.now() + seconds
        while (left := until - kernel.now()) > 0:
            wire.check()
            kernel.spend(min(left, SLICE_S * kernel.clock.rate))


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, cmdlets: CmdletServer) -> None:
        self.cmdlets = cmdlets
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Connection)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.discard(request)

    @property
    def connections(self) -> int:
        return len(self._open)

    def close_all(self) -> None:
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.cmdlets.failures.append(sys.exc_info()[1] or RuntimeError("a connection of an engine failed"))


class _Connection(socketserver.StreamRequestHandler):
    """One runspace."""

    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    server: _Server

    def handle(self) -> None:
        cmdlets = self.server.cmdlets
        try:
            caller = cmdlets.caller_of(str(self._hear().get("token", "")))
            if caller is None:
                return
            while True:
                message = self._hear()
                if "describe" in message:
                    self._describe(str(message["describe"]))
                else:
                    self._call(cmdlets, message, caller)
        except Stopped:
            return

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()

    def _describe(self, what: str) -> None:
        self._write(description().types_wire() if what == "types" else description().module_wire(what))
        self._flush()

    def _call(self, cmdlets: CmdletServer, message: Mapping[str, Any], caller: Caller) -> None:
        last: list[Any] = ["end"]
        try:
            cmdlets.run(message, caller, self)
        except CmdletError as refusal:
            last = self._refused(message["call"], refusal, caller)
        except Stopped:
            raise
        except Exception as failure:  # a fault of the lab itself: the engine is told, whoever runs the lab finds it
            log.exception("%s failed in the lab", message.get("call"))
            cmdlets.failures.append(failure)
            text = f"The lab failed: {type(failure).__name__}: {failure}"
            last = self._refused(
                message["call"],
                ShellError("LabFailure", "NotSpecified", text, exception="System.SystemException", terminating=True),
                caller,
            )
        self._write(last)
        self._flush()

    def _refused(self, name: str, refusal: CmdletError, caller: Caller) -> list[Any]:
        """A refusal that no item caught: it ends the cmdlet only if the real one's does."""
        call = Call(description().cmdlets[name], "", {}, caller, self, lambda _seconds: None)
        if refusal.terminating:
            return ["fatal", call.record(refusal)]
        call.error(refusal)
        return ["end"]

    # -- call.Wire

    def say(self, *message: Any) -> None:
        self._write(list(message))
        if message[0] == "progress":
            self._flush()

    def ask(self, *message: Any) -> Any:
        self._write(list(message))
        self._flush()
        return self._hear().get(message[0])

    def check(self) -> None:
        """An engine says nothing while it waits for an answer: what can be read now is the end of the connection."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        if readable and not self._peek():
            raise Stopped

    def _peek(self) -> bytes:
        try:
            return bytes(self.connection.recv(1, socket.MSG_PEEK))
        except OSError:
            return b""

    def _hear(self) -> dict[str, Any]:
        try:
            line = self.rfile.readline()
        except OSError as gone:
            raise Stopped from gone
        if not line.endswith(b"\n"):
            raise Stopped
        said = json.loads(line)
        return said if isinstance(said, dict) else {}

    def _write(self, message: Any) -> None:
        try:
            self.wfile.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        except OSError as gone:
            raise Stopped from gone

    def _flush(self) -> None:
        try:
            self.wfile.flush()
        except OSError as gone:
            raise Stopped from gone
