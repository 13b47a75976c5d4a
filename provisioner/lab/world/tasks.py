"""The task scheduler: what runs on the host apart from the session that started it, and so survives the drop at the switch."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable

from provisioner.lab.world.hyperv.errors import CmdletError
from provisioner.lab.world.hyperv.service import SYSTEM, Caller
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import ScheduledTask

READY, RUNNING, DONE, TERMINATED = 267011, 267009, 0, 267014
"""LastTaskResult: has not run yet, runs now, ended well, was ended."""
BY_EVENTS = "(events of the world)"
"""Command of a task that its owner carries on, by `Kernel.after` and `finish`."""


class Tasks:
    """Register-, Start-, Get- and Unregister-ScheduledTask. What a task runs is up to `run`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.run: Callable[[ScheduledTask], None] | None = None
        """Runs the task's command to its end, on a thread of its own and without the lock; an exception is a failure (result 1)."""

    def register(self, name: str, command: str, arguments: str, caller: Caller = SYSTEM) -> ScheduledTask:
        """As SYSTEM: for administrators only. A task of that name is replaced, as with -Force."""
        if not caller.administrator:
            raise CmdletError("HRESULT 0x80070005", "PermissionDenied", "Access is denied.", name)
        with self._kernel.lock:
            task = ScheduledTask(name=name, command=command, arguments=arguments)
            self._kernel.state.host.tasks[name.lower()] = task
            self._kernel.changed("host")
            return copy.copy(task)

    def get(self, name: str) -> ScheduledTask | None:
        with self._kernel.lock:
            task = self._kernel.state.host.tasks.get(name.lower())
            return copy.copy(task) if task else None

    def start(self, name: str) -> None:
        """Returns at once; a task that runs already is left alone."""
        with self._kernel.lock:
            task = self._found(name)
            if task.last_result == RUNNING:
                return
            task.last_result = RUNNING
            self._kernel.changed("host")
            run = self.run
        if run is not None and task.command != BY_EVENTS:
            threading.Thread(target=self._work, args=(run, task), name=f"task {name}", daemon=True).start()

    def finish(self, name: str, result: int = DONE) -> None:
        """The task's command has ended."""
        with self._kernel.lock:
            task = self._kernel.state.host.tasks.get(name.lower())
            if task is not None and task.last_result == RUNNING:
                task.last_result = result
                self._kernel.changed("host")

    def unregister(self, name: str) -> None:
        with self._kernel.lock:
            self._found(name)
            del self._kernel.state.host.tasks[name.lower()]
            self._kernel.changed("host")

    def end_all(self) -> None:
        """The host went down, and what ran with it."""
        with self._kernel.lock:
            for task in self._kernel.state.host.tasks.values():
                if task.last_result == RUNNING:
                    task.last_result = TERMINATED

    def _found(self, name: str) -> ScheduledTask:
        task = self._kernel.state.host.tasks.get(name.lower())
        if task is None:
            raise CmdletError(
                "CmdletizationQuery_NotFound_TaskName",
                "ObjectNotFound",
                f"No task of the name '{name}' was found.",
                name,
            )
        return task

    def _work(self, run: Callable[[ScheduledTask], None], task: ScheduledTask) -> None:
        try:
            run(copy.copy(task))
        except Exception as error:  # noqa: BLE001 - whatever the command fails with is the task's result
            self._kernel.note("task_failed", task.name, error=str(error))
            self.finish(task.name, 1)
        else:
            self.finish(task.name)
