"""Courses of events, written as generators: each `yield` lets time of the world pass.

So the life of a machine reads from top to bottom, as a person would tell it, and needs neither threads nor sleep: the kernel
resumes a course when its time has come, under the world's lock. What changes what a course waits for wakes it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

from provisioner.lab.world.kernel import Due, Kernel


@dataclass(frozen=True)
class UntilWoken:
    """Waits for others: the course must look again at what it waits for, since it may have been woken for something else."""

    at_most_s: float | None = None


Steps = Generator[float | UntilWoken, None, None]
"""Yields seconds to let pass, or `UntilWoken`."""


class Process:
    """One course of events on its way. Made, woken and cancelled under the world's lock."""

    def __init__(self, kernel: Kernel, name: str, steps: Steps) -> None:
        self._kernel = kernel
        self._name = name
        self._steps = steps
        self._cancelled = False
        self._wakeable = False
        self._due: Due | None = kernel.after(0, name, self._go)

    def wake(self) -> None:
        """It goes on at once, if it waits for others; a length of time that things take cannot be cut short."""
        if self._wakeable:
            self._schedule(0)

    def cancel(self) -> None:
        """Nothing of it happens any more. It may be the course itself that asks for it, as a machine that reboots does."""
        self._cancelled = True
        self._wakeable = False
        self._forget_due()

    def _go(self) -> None:
        self._due, self._wakeable = None, False
        if self._cancelled:
            return
        step = next(self._steps, None)
        if step is None or self._cancelled:
            return
        if isinstance(step, UntilWoken):
            self._wakeable = True
            if step.at_most_s is not None:
                self._schedule(step.at_most_s)
        else:
            self._schedule(step)

    def _schedule(self, seconds: float) -> None:
        self._forget_due()
        self._due = self._kernel.after(seconds, self._name, self._go)

    def _forget_due(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
