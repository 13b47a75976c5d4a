"""What the endpoint counts: so that a test can say "three requests per call" and the bench "the module was loaded once"."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Stats:
    """A copy of the counters at one moment."""

    requests: int
    """HTTP requests, sign-in rounds included."""
    bytes_in: int
    bytes_out: int
    """Of HTTP, before TLS."""
    connections: int
    shells: int
    """Shells opened so far."""
    open_shells: int
    module_loads: int
    sign_in_failures: int
    actions: Counter[str]
    """WSMan requests by verb: Create, Command, Receive, ..."""
    calls: Counter[str]
    """Commands of pipelines by function name, in the contract's spelling. Behind a genuine engine, where commands are not looked at,
    pipelines under the name `(pipeline)`.
    """
    faults: Counter[int]
    """Faults answered, by number; those of an OperationTimeout are no errors."""


@dataclass
class Counters:
    """The counters themselves, kept by all threads of the endpoint."""

    requests: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    connections: int = 0
    shells: int = 0
    module_loads: int = 0
    sign_in_failures: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    faults: Counter[int] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, amount: int = 1) -> None:
        with self.lock:
            setattr(self, name, getattr(self, name) + amount)

    def count(self, name: str, key: str | int) -> None:
        with self.lock:
            getattr(self, name)[key] += 1

    def snapshot(self, open_shells: int) -> Stats:
        with self.lock:
            return Stats(
                requests=self.requests,
                bytes_in=self.bytes_in,
                bytes_out=self.bytes_out,
                connections=self.connections,
                shells=self.shells,
                open_shells=open_shells,
                module_loads=self.module_loads,
                sign_in_failures=self.sign_in_failures,
                actions=Counter(self.actions),
                calls=Counter(self.calls),
                faults=Counter(self.faults),
            )
