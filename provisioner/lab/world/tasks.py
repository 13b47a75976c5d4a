"""The task scheduler: what runs on the host apart from the session that started it, and so survives the drop at the switch."""

from __future__ import annotations

import copy

from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import ScheduledTask

READY, RUNNING, DONE, TERMINATED = 267011, 267009, 0, 267014
"""LastTaskResult: has not run yet, runs now, ended well, was ended."""
BY_EVENTS = "(events of the world)"
"""Command of a task that its owner carries on, by `Kernel.after` and `finish`."""


class Tasks:
    """Register-, Start-, Get- and Unregister-ScheduledTask. Who starts a task carries it on, and tells its end by `finish`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def register(self, name: str, command: str, arguments: str) -> ScheduledTask:
        """As SYSTEM. A task of that name is replaced, as with -Force."""
        with self._kernel.lock:
            task = ScheduledTask(name=name, command=command, arguments=arguments)
            self._kernel.state.host.tasks[name.lower()] = task
            self._kernel.changed("host")
            return copy.copy(task)

    def get(self, name: str) -> ScheduledTask | None:
        with self._kernel.lock:
            task = self._kernel.state.host.tasks.get(name.lower())
            return copy.copy(task) if task else None

    def start(self, name: str) -> bool:
        """The task begins; one that runs already is left alone: False."""
        with self._kernel.lock:
            task = self._kernel.state.host.tasks[name.lower()]
            begins = task.last_result != RUNNING
            task.last_result = RUNNING
            self._kernel.changed("host")
            return begins

    def finish(self, name: str, result: int = DONE) -> None:
        """The task's command has ended."""
        with self._kernel.lock:
            task = self._kernel.state.host.tasks.get(name.lower())
            if task is not None and task.last_result == RUNNING:
                task.last_result = result
                self._kernel.changed("host")

    def unregister(self, name: str) -> None:
        with self._kernel.lock:
            del self._kernel.state.host.tasks[name.lower()]
            self._kernel.changed("host")

    def end_all(self) -> None:
        """The host went down, and what ran with it."""
        with self._kernel.lock:
            for task in self._kernel.state.host.tasks.values():
                if task.last_result == RUNNING:
                    task.last_result = TERMINATED
