"""The engine: who waits for whom, what a failure stops and what not, what Ctrl-C leaves."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from provisioner.errors import Abandoned, Fault
from provisioner.model.events import ActionEnded, ActionStarted, Event, StepEnded, StepStarted
from provisioner.model.plan import Action
from provisioner.model.steps import STEP, Scope, StepId
from provisioner.steps.actions import Kept
from provisioner.workflows import tables
from provisioner.workflows.engine import Engine, Outcome
from provisioner.workflows.up import UP, plan_up
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import cluster_of, observed_of


class Bench:
    """Runs the plan of a fresh cluster; every applier notes itself and does what the test says."""

    def __init__(self, workers: int = 2) -> None:
        self.cluster = cluster_of({"workers": workers})
        self.seen = observed_of({}, self.cluster)
        self.plan = plan_up(self.cluster, self.seen)
        self.events: list[Event] = []
        self.log: list[str] = []
        self.hooks: dict[str, Callable[[], Awaitable[None]]] = {}
        self.stop = asyncio.Event()

    async def apply(self, action: Action, _run: Any) -> str:
        self.log.append(f"begin {action.id}")
        hook = self.hooks.get(action.id)
        if hook is not None:
            await hook()
        await asyncio.sleep(0)
        self.log.append(f"end {action.id}")
        return "proven"

    async def go(self) -> Outcome:
        world = FakeWorld(self.cluster, self.seen)
        world.events, world.stop = self.events, self.stop
        return await Engine(self.plan, world.run(), dict.fromkeys(StepId, self.apply)).go()

    def before(self, first: str, second: str) -> bool:
        return self.log.index(f"end {first}") < self.log.index(f"begin {second}")

    def fails(self, action: str, fault: str) -> None:
        async def hook() -> None:
            raise Fault(fault, "on purpose")

        self.hooks[action] = hook


async def test_every_action_is_done_once_and_in_an_order_that_talos_allows() -> None:
    bench = Bench()
    outcome = await bench.go()
    assert not outcome.faults
    assert not outcome.left
    begun = [line for line in bench.log if line.startswith("begin")]
    assert len(begun) == len(set(begun)) == sum(bool(a.work) for a in bench.plan.actions)
    cp, worker = "home-cp-1", "home-worker-1"
    for first, second in (
        ("switch/create/LAB@hv01", f"vm/create/{cp}"),
        ("image/fetch/talos-v1.11.5.iso@hv01", f"vm/create/{cp}"),
        ("secrets/create/secrets", f"vm/create/{cp}"),
        (f"vm/create/{cp}", f"maintenance/find/{cp}"),
        (f"config/apply/{cp}", f"install/wait/{cp}"),
        (f"install/wait/{cp}", "bootstrap/once/etcd"),
        ("bootstrap/once/etcd", f"install/wait/{worker}"),
        (f"install/wait/{worker}", f"eject/eject/{worker}"),
        ("bootstrap/once/etcd", "health/wait/home"),
    ):
        assert bench.before(first, second), f"{first} before {second}"


async def test_no_phase_waits_for_the_slowest_machine() -> None:
    """A worker that never reaches maintenance does not keep the control plane from bootstrap."""
    bench = Bench()
    bootstrapped = asyncio.Event()

    async def until_bootstrap() -> None:
        await asyncio.wait_for(bootstrapped.wait(), 5)

    async def tell() -> None:
        bootstrapped.set()

    bench.hooks["maintenance/find/home-worker-2"] = until_bootstrap
    bench.hooks["bootstrap/once/etcd"] = tell
    outcome = await bench.go()
    assert not outcome.faults
    assert bench.before("bootstrap/once/etcd", "config/apply/home-worker-2")


async def test_a_failure_stops_only_what_hangs_on_it() -> None:
    bench = Bench()
    bench.fails("maintenance/find/home-worker-2", "P-BOOT-NOMAINT")
    outcome = await bench.go()
    assert [fault.id for _, fault in outcome.faults] == ["P-BOOT-NOMAINT"]
    after = {f"{step}/home-worker-2" for step in ("config/apply", "install/wait", "eject/eject")}
    left = {a.id for a in outcome.left}
    assert left == after | {"health/wait/home"}, "a cluster that lacks a machine cannot become healthy"
    assert "end eject/eject/home-worker-1" in bench.log
    ended = {e.step: e.outcome for e in bench.events if isinstance(e, StepEnded)}
    assert ended[StepId.MAINTENANCE] == "failed"
    assert ended[StepId.BOOTSTRAP] == "done"


async def test_what_waits_in_vain_is_left_and_is_no_fault_of_its_own() -> None:
    bench = Bench()

    async def hook() -> None:
        raise Abandoned("it may wait for bootstrap, and that failed")

    bench.hooks["install/wait/home-worker-1"] = hook
    outcome = await bench.go()
    assert outcome.faults == []
    assert "install/wait/home-worker-1" in {action.id for action in outcome.left}


async def test_the_fault_of_the_lowest_step_is_told_first() -> None:
    bench = Bench()
    bench.fails("vm/create/home-worker-1", "P-VM-SPACE")
    bench.fails("maintenance/find/home-worker-2", "P-BOOT-NOMAINT")
    found = (await bench.go()).first_fault(bench.plan)
    assert found is not None
    assert found[1].id == "P-VM-SPACE"


async def test_after_a_stop_nothing_new_begins() -> None:
    bench = Bench()

    async def stop() -> None:
        bench.stop.set()

    bench.hooks["vm/create/home-cp-1"] = stop
    outcome = await bench.go()
    assert outcome.interrupted
    assert "end vm/create/home-cp-1" in bench.log, "what was at work ends in its own time"
    assert not [line for line in bench.log if line.startswith("begin maintenance")]
    assert "health" in {a.step for a in outcome.left}


async def test_events_of_steps_and_actions_pair_up() -> None:
    bench = Bench()
    await bench.go()
    started = [e.action for e in bench.events if isinstance(e, ActionStarted)]
    ended = [e.action for e in bench.events if isinstance(e, ActionEnded)]
    assert sorted(started) == sorted(ended)
    steps = [e.step for e in bench.events if isinstance(e, StepStarted)]
    assert sorted(steps) == sorted(e.step for e in bench.events if isinstance(e, StepEnded)) == sorted(UP.steps)


@pytest.mark.parametrize("name", ["home-cp-1", "home-worker-1"])
def test_install_of_a_worker_alone_waits_for_bootstrap(name: str) -> None:
    bench = Bench()
    install = next(a for a in bench.plan.of(StepId.INSTALL) if a.machine == name)
    before = {name.partition("/")[0] for name in install.after}
    assert (StepId.BOOTSTRAP in before) == name.startswith("home-worker")


async def test_machines_are_restarted_one_after_the_other() -> None:
    """With more memory in the file for all: the next is stopped when the one before runs again, the first control plane first."""
    bench = Bench()
    more = {"control_planes": 3, "workers": 2, "machine": {"memory_mib": 8192}}
    bench.cluster = cluster_of(more)
    seen = observed_of(
        {"all": "up", "vms": [{"name": m.name, "memory_mib": 4096} for m in bench.cluster.machines]}, bench.cluster
    )
    bench.plan = plan_up(bench.cluster, seen)
    outcome = await asyncio.wait_for(bench.go(), 10)
    assert not outcome.left
    names = [machine.name for machine in (*bench.cluster.control_planes, *bench.cluster.workers)]
    for earlier, later in itertools.pairwise(names):
        assert bench.before(f"install/wait/{earlier}", f"vm/change/{later}")
    assert bench.before(f"install/wait/{names[-1]}", "health/wait/home")


async def test_a_machine_that_does_not_come_back_keeps_the_others_from_their_restart() -> None:
    bench = Bench()
    bench.cluster = cluster_of({"workers": 2, "machine": {"cpus": 4}})
    bench.plan = plan_up(bench.cluster, observed_of({"all": "up"}, bench.cluster))
    bench.fails("install/wait/home-cp-1", "P-INSTALL-STUCK")
    await bench.go()
    assert not [line for line in bench.log if line.startswith("begin vm/change/home-worker")]


async def test_what_was_only_blocked_is_not_told_as_failed() -> None:
    """One dead machine is one failure: the steps behind it were not begun for it, and took no time of it."""
    bench = Bench()
    bench.fails("maintenance/find/home-worker-2", "P-BOOT-NOMAINT")
    await bench.go()
    ended = {event.step: event for event in bench.events if isinstance(event, StepEnded)}
    assert {step for step, event in ended.items() if event.outcome == "failed"} == {StepId.MAINTENANCE}
    for step in (StepId.CONFIG, StepId.INSTALL, StepId.EJECT):
        assert ended[step].outcome == "stopped"
        assert "not begun: home-worker-2" in ended[step].summary


async def test_what_turned_out_to_need_nothing_is_a_keep() -> None:
    bench = Bench(workers=1)
    first = next(a for a in bench.plan.actions if a.step is StepId.CONFIG)

    async def apply(action: Action, _run: Any) -> str:
        return Kept("has its config already") if action.step is StepId.CONFIG else "proven"

    bench.apply = apply  # type: ignore[method-assign]  # the bench's own applier is the subject
    await bench.go()
    ended = next(e for e in bench.events if isinstance(e, ActionEnded) and e.action == first.id)
    step = next(e for e in bench.events if isinstance(e, StepEnded) and e.step is StepId.CONFIG)
    assert (ended.outcome, step.outcome, step.summary) == ("kept", "kept", "2 kept")


async def test_the_table_of_steps_is_the_order_of_the_engine() -> None:
    """The page of steps is made from the table: what stands there must be what actions come after, no more and no less."""
    cluster = cluster_of({"control_planes": 2, "workers": 2})
    first, workers = cluster.control_planes[0].name, {machine.name for machine in cluster.workers}
    actions = plan_up(cluster, observed_of({}, cluster)).actions
    by_id, table = {action.id: action for action in actions}, {order.step: order for order in tables.UP}
    for action in actions:
        step, order, waits_for = STEP[action.step], table[action.step], [by_id[name] for name in action.after]
        expected = set(order.after) | set(order.after_first)
        expected |= set(order.workers_after) if action.machine in workers else set()
        assert {other.step for other in waits_for} == expected, action.id
        assert all(other.machine == first for other in waits_for if other.step in order.after_first)
        if step.scope is Scope.MACHINE:
            own = [other for other in waits_for if STEP[other.step].scope is Scope.MACHINE]
            assert {other.machine for other in own} <= {action.machine}
