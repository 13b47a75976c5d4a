"""A run for tests of single steps, over the fakes."""

from __future__ import annotations

from typing import Any

from provisioner.model.cluster import Cluster
from provisioner.model.events import Event
from provisioner.model.facts import Observed
from provisioner.steps.run_context import Run
from tests.fakes.world import FakeWorld


def run_of(
    cluster: Cluster, seen: Observed, *, notes: dict[str, Any] | None = None, **ports: Any
) -> tuple[Run, list[Event]]:
    """A run that knows what was seen, and the events that it emits. `host` is the one host."""
    world = FakeWorld(cluster, seen, notes=notes)
    run = world.run(ports=world.ports_with(**ports))
    return run, world.events
