"""A genuine PowerShell engine as a child process: `pwsh -s`, PSRP over standard input and output, one packet per line.

Nothing of PSRP is understood here. One rule of the protocol shapes it: the engine hands each line to its thread pool, so a packet goes
out only when its predecessor of the same kind for the same GUID is acknowledged; otherwise input comes in the wrong order (facts, 17).
"""

from __future__ import annotations

import base64
import contextlib
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from provisioner.lab.winrm.exchange import Identity

SESSION = "00000000-0000-0000-0000-000000000000"
"""By this GUID `pwsh -s` means the pool as a whole."""
CLOSE_WAIT_S = 5.0
_PACKET = re.compile(rb"\s*<(\w+)(?: Stream='\w*')? PSGuid='([0-9a-fA-F-]{36})'\s*(?:/>|>([^<]*)</)")


@dataclass(frozen=True)
class EngineSpec:
    """How to start an engine. `env` is its whole environment, or makes it for the user who signed in."""

    argv: Sequence[str]
    env: Mapping[str, str] | Callable[[Identity], Mapping[str, str]] = field(default_factory=dict)
    after_pipeline: Callable[[], None] = lambda: None
    """Called when a pipeline has ended, before its client is told."""
    spares: int = 0
    """Engines with an opened pool, kept ready for clients that ask for a plain one."""
    warm_up: str = "Write-Output 1"
    """Script that runs in a spare before it is given away."""

    def environment(self, identity: Identity) -> dict[str, str]:
        return dict(self.env(identity) if callable(self.env) else self.env)


class EngineGone(Exception):
    """The process has ended."""


class Engine:
    """One process. `on_data(guid, data)` and `on_end()` are called on its reading thread."""

    def __init__(self, spec: EngineSpec, identity: Identity) -> None:
        self.identity = identity
        self._process = subprocess.Popen(
            [*spec.argv, "-NoLogo", "-NoProfile", "-s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=spec.environment(identity),
        )
        self.on_data: Callable[[str, bytes], None] = lambda _guid, _data: None
        self.on_end: Callable[[], None] = lambda: None
        self._condition = threading.Condition()
        self._unacknowledged: Counter[tuple[str, str]] = Counter()
        self._ended = False
        self._writing = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="pwsh-out", daemon=True)
        self._listener = threading.Thread(target=self._listen, name="pwsh-err", daemon=True)

    def start(self) -> None:
        self._reader.start()
        self._listener.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._ended

    def send(self, kind: str, guid: str, data: bytes = b"", *, stream: str = "Default") -> None:
        """Data, Command, Signal or Close for a GUID. Raises EngineGone."""
        key = (kind, guid.upper())
        with self._condition:
            self._condition.wait_for(lambda: self._ended or self._unacknowledged[key] <= 0)
            if self._ended:
                raise EngineGone
            self._unacknowledged[key] += 1
        guid = guid.lower()
        content = base64.b64encode(data).decode()
        line = (
            f"<Data Stream='{stream}' PSGuid='{guid}'>{content}</Data>\n"
            if kind == "Data"
            else f"<{kind} PSGuid='{guid}' />\n"
        )
        assert self._process.stdin is not None
        try:
            with self._writing:
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise EngineGone from error

    def wait_acknowledged(self, kind: str, guid: str, seconds: float = 60.0) -> bool:
        key = (kind, guid.upper())
        with self._condition:
            self._condition.wait_for(lambda: self._ended or self._unacknowledged[key] <= 0, seconds)
            return not self._ended and self._unacknowledged[key] <= 0

    def close(self) -> None:
        """Asks it to end, then ends it; waits a few seconds at most."""
        with contextlib.suppress(EngineGone):
            self.send("Close", SESSION)
            self.wait_acknowledged("Close", SESSION, CLOSE_WAIT_S)
        self.end()

    def end(self) -> None:
        """Ends it without a goodbye: its standard input ends, and if that is not enough, it is killed."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()
        try:
            self._process.wait(CLOSE_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._tidy()

    def kill(self) -> None:
        self._process.kill()
        self._tidy()

    def _tidy(self) -> None:
        """Waits for the process and for the threads that hear it out."""
        self._process.wait()
        for thread in (self._reader, self._listener):
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(CLOSE_WAIT_S)
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                packet = _PACKET.match(line)
                if packet is None:
                    continue  # a child process that inherited standard output wrote it
                kind, guid = packet[1].decode(), packet[2].decode().upper()
                if kind == "Data":
                    self.on_data(guid, base64.b64decode(packet[3]))
                elif kind.endswith("Ack"):
                    self._acknowledge(kind.removesuffix("Ack"), guid)
        self._process.wait()
        with self._condition:
            self._ended = True
            self._condition.notify_all()
        self.on_end()

    def _acknowledge(self, kind: str, guid: str) -> None:
        with self._condition:
            self._unacknowledged[kind, guid] -= 1
            if kind == "Close":  # nothing more is to be heard of it
                for key in [key for key in self._unacknowledged if key[1] == guid]:
                    del self._unacknowledged[key]
            self._condition.notify_all()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for _ in lines:
                pass
