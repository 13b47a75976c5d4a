"""What moves the world: one lock, one clock, a list of things due, a log, and a bell for those who watch.

Rules of the house:
- who reads or writes `state` holds `lock`; no one sleeps or does I/O while holding it,
  but for the file that keeps what is `SYNCED`;
- what takes time is either scheduled (`after`) or slept through (`spend`) by the caller's own thread, without the lock;
- every change of state is told by `changed(topic, key)`, where topics are `vm`, `guest`, `host`, `link`, `switch`, `kube`, `file`.
"""

from __future__ import annotations

import heapq
import itertools
import random
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from provisioner.lab.world.clock import RunningClock, WorldClock
from provisioner.lab.world.interfaces import Guests
from provisioner.lab.world.state import State

Watcher = Callable[[str, str], None]

SYNCED = "synced"
"""Topic of a change that is on a disk before any client sees it, as what etcd has answered is."""


@dataclass(order=True)
class Due:
    """Something that will happen at `when`."""

    when: float
    number: int
    name: str = field(compare=False)
    act: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


@dataclass(frozen=True)
class LogLine:
    """One line of the world's own log: from it the bench computes the critical path. `cause` names what it had to wait for."""

    at: float
    kind: str
    key: str
    details: dict[str, Any]


class Kernel:
    """State, lock, clock and schedule. Rules and protocols are built on it."""

    def __init__(self, state: State, clock: WorldClock | None = None, seed: int = 1) -> None:
        self.state = state
        self.guests: Guests
        """What runs inside VMs; set before the host boots."""
        self.clock: WorldClock = clock or RunningClock()
        if not state.began:
            state.began = self.clock.wall().timestamp() - self.clock.now()
        self.random = random.Random(seed)  # noqa: S311 - a repeatable world, not a secret
        self.lock = threading.RLock()
        self.bell = threading.Condition(self.lock)
        self.log: list[LogLine] = []
        self._due: list[Due] = []
        self._numbers = itertools.count()
        self._watchers: list[Watcher] = []
        self._stopping = False
        self._thread: threading.Thread | None = None

    # -- time

    def now(self) -> float:
        return self.clock.now()

    def date_of(self, moment: float) -> datetime:
        """A date for a moment of the world, the same whenever it is asked for: seconds of the world run faster than dates."""
        return datetime.fromtimestamp(self.state.began + moment, UTC)

    def after(self, seconds: float, name: str, act: Callable[[], None]) -> Due:
        """`act` runs under the lock, `seconds` of the world from now."""
        with self.bell:
            due = Due(self.now() + max(0.0, seconds), next(self._numbers), name, act)
            heapq.heappush(self._due, due)
            self.bell.notify_all()
            return due

    def spend(self, seconds: float) -> None:
        """The calling thread lets that many seconds of the world pass. Never called with the lock held."""
        until = self.now() + seconds
        with self.bell:
            while not self._stopping and self.clock.let_pass(self.bell, until, self._step):
                pass

    def wait_for(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Waits until the condition holds, at most that many seconds of the world; tells whether it does."""
        until = self.now() + seconds
        with self.bell:
            while not condition():
                if self._stopping or not self.clock.let_pass(self.bell, until, self._step):
                    return condition()
            return True

    def _step(self, until: float) -> bool:
        """Runs the next thing due up to `until`; False when there is none."""
        while self._due and self._due[0].cancelled:
            heapq.heappop(self._due)
        if not self._due or self._due[0].when > until:
            return False
        due = heapq.heappop(self._due)
        self.clock.move_to(due.when)
        due.act()
        return True

    # -- life

    def start(self) -> None:
        """Begins to run what falls due, on a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="world", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        with self.bell:
            self._stopping = True
            self.bell.notify_all()
        if self._thread is not None:
            self._thread.join(5)

    def _run(self) -> None:
        with self.bell:
            while not self._stopping:
                try:
                    if self._step(self.now()):
                        continue
                except Exception:  # noqa: BLE001 - a defect of the lab: it is shown, as that of any thread, and the world goes on
                    threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
                    continue
                self.clock.wait(self.bell, self._due[0].when - self.now() if self._due else 3600.0)

    # -- telling others

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """`watcher(topic, key)` is called under the lock at every change and must not block; the result ends it."""
        with self.lock:
            self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def changed(self, topic: str, key: str = "") -> None:
        with self.bell:
            for watcher in list(self._watchers):
                watcher(topic, key)
            self.bell.notify_all()

    def note(self, kind: str, key: str, **details: Any) -> None:
        """A line of the world's own log."""
        with self.lock:
            self.log.append(LogLine(self.now(), kind, key, details))

    def injected(self, name: str, place: str = "") -> float | None:
        """Whether a fault of that name waits at that place; uses it up once and gives its value."""
        with self.lock:
            for injection in self.state.injections:
                if injection.name == name and injection.place in ("", place) and injection.times > 0:
                    injection.times -= 1
                    return injection.value
            return None
