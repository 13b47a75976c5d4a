"""What a run tells: each event gets its time, and its step's number, in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from provisioner.model.events import Event, RunStarted, StepEvent
from provisioner.ports import Clock


@dataclass
class Recorder:
    """Stamps events and hands them on. All of a run's events count from the moment when its recorder was made."""

    clock: Clock
    sink: Callable[[Event], None]
    begun_s: float = -1.0
    """By the clock port; now, if not given."""
    steps: tuple[str, ...] = ()
    """Ids of the workflow's steps, known once the run has started."""

    def __post_init__(self) -> None:
        if self.begun_s < 0:
            self.begun_s = self.clock.now()

    @property
    def elapsed_s(self) -> float:
        """Seconds of the clock port since the run began."""
        return self.clock.now() - self.begun_s

    def emit(self, event: Event) -> None:
        """Tells of something that happens now."""
        if isinstance(event, RunStarted):
            self.steps = tuple(step["id"] for step in event.steps)
        event = replace(event, t=self.clock.wall(), at_s=self.elapsed_s)
        if isinstance(event, StepEvent) and event.step in self.steps:
            event = replace(event, number=self.steps.index(event.step) + 1, of=len(self.steps))
        self.sink(event)
