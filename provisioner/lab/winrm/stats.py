"""What the endpoint counts: so that a test can say "three requests per call" and the bench "the module was loaded once"."""

from __future__ import annotations

import copy
import threading
from collections import Counter
from dataclasses import dataclass, field, replace


@dataclass(kw_only=True)
class Stats:
    """The counters at one moment."""

    requests: int = 0
    """HTTP requests, sign-in rounds included."""
    bytes_in: int = 0
    bytes_out: int = 0
    """Of HTTP, before TLS."""
    connections: int = 0
    shells: int = 0
    """Shells opened so far."""
    open_shells: int = 0
    module_loads: int = 0
    sign_in_failures: int = 0
    actions: Counter[str] = field(default_factory=Counter)
    """WSMan requests by verb: Create, Command, Receive, ..."""
    calls: Counter[str] = field(default_factory=Counter)
    """Commands of pipelines by function name, in the contract's spelling."""
    faults: Counter[int] = field(default_factory=Counter)
    """Faults answered, by number; those of an OperationTimeout are no errors."""


class Counters:
    """The counters themselves, kept by all threads of the endpoint."""

    def __init__(self) -> None:
        self._stats = Stats()
        self._lock = threading.Lock()

    def add(self, name: str, amount: int = 1) -> None:
        with self._lock:
            setattr(self._stats, name, getattr(self._stats, name) + amount)

    def count(self, name: str, key: str | int) -> None:
        with self._lock:
            getattr(self._stats, name)[key] += 1

    def snapshot(self, open_shells: int) -> Stats:
        with self._lock:
            return replace(copy.deepcopy(self._stats), open_shells=open_shells)
