"""A run for tests of single steps: real values, and ports that a test fills with what it needs."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from provisioner.model.events import Event
from provisioner.model.facts import Observed
from provisioner.model.spec import Cluster
from provisioner.steps.finder import Finder
from provisioner.steps.run import Run
from provisioner.steps.vm import find_vm
from provisioner.steps.waits import Waiter
from tests.unit.steps.test_waits import SkippingClock
from tests.unit.steps.world import CLUSTER_ID, HOST


class Notes:
    """The store, as far as its notes go."""

    def __init__(self, notes: dict[str, Any] | None = None) -> None:
        self.notes = notes or {}

    def read_notes(self) -> dict[str, Any]:
        return dict(self.notes)

    def write_notes(self, notes: dict[str, Any]) -> None:
        self.notes = notes

    def ensure_cluster_id(self) -> str:
        return CLUSTER_ID


def run_of(
    cluster: Cluster, seen: Observed, *, notes: dict[str, Any] | None = None, **ports: Any
) -> tuple[Run, list[Event]]:
    """A run that knows what was seen, as `Session` makes it, and the events that it emits. `host` is the one host."""
    events: list[Event] = []
    clock, stop = SkippingClock(), asyncio.Event()

    async def no_picture(_machine: str) -> str:
        return ""

    host = ports.pop("host", None)
    made: Any = SimpleNamespace(hosts={HOST: host}, store=Notes(notes), clock=clock, **ports)
    run = Run(
        cluster=cluster,
        ports=made,
        seen=seen,
        waiter=Waiter(clock=clock, started_s=0.0, emit=events.append, stop=stop),
        emit=events.append,
        picture=no_picture,
        bundle=SimpleNamespace(cluster_id="talos"),
        access=SimpleNamespace(),
    )
    run.finders[HOST] = Finder(host=host, clock=clock, learned=run.learned)
    for machine in cluster.machines:
        vm = find_vm(machine, seen.hosts[machine.host], seen.secrets)
        if vm is not None:
            run.vms[machine.name] = vm
        facts = seen.machines.get(machine.name)
        if facts is not None:
            run.addresses[machine.name] = facts.address
            run.machines[machine.name] = facts
    return run, events
