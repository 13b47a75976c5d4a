"""A lease that moved the endpoint, and secrets that are another cluster's: told by their cause, in the plan where it can be seen there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioner.errors import Fault
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import AwaitHealth
from provisioner.operations.observe import observe
from provisioner.steps import health
from provisioner.workflows.up import plan_up
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import cluster_of, observed_of

CLUSTER = cluster_of({})
CP, WORKER = "home-cp-1", "home-worker-1"
SEEN = observed_of({"all": "up"}, CLUSTER)
OLD = SEEN.machines[CP].address
NEW = "192.168.1.177"


def world_of(**more: Any) -> FakeWorld:
    """A healthy cluster, with the notes of the run that made it."""
    notes: dict[str, Any] = {name: {"address": facts.address} for name, facts in SEEN.machines.items()}
    url = f"https://{OLD}:6443"
    world = FakeWorld(CLUSTER, SEEN, notes={"machines": notes, "endpoint": url, "client_endpoint": url, **more})
    for vm in list(world.host.vms.values()):
        world.host.vms[vm.id] = replace(vm, heartbeat="OkApplicationsUnknown")
    return world


def lease_moves(world: FakeWorld) -> None:
    world.machines.move(OLD, NEW)
    world.host.knows(CLUSTER.machine(CP).mac, NEW)


async def test_a_plan_says_that_the_lease_has_moved_and_writes_the_files_for_clients_anew() -> None:
    world = world_of()
    lease_moves(world)
    plan = plan_up(CLUSTER, await observe(CLUSTER, world.ports))
    (warning,) = plan.warnings
    assert warning.id == "P-CONFIG-ENDPOINT"
    assert OLD in warning.message
    assert NEW in warning.message
    assert OLD in warning.next_steps[0], "that is the address to reserve"
    assert [(a.step, a.verb) for a in plan.changes] == [(StepId.ACCESS, Verb.WRITE)]


async def test_files_that_were_written_for_the_new_address_are_kept() -> None:
    world = world_of(client_endpoint=f"https://{NEW}:6443")
    lease_moves(world)
    assert plan_up(CLUSTER, await observe(CLUSTER, world.ports)).changes == ()


async def test_nothing_is_said_of_an_endpoint_that_does_not_hang_on_the_lease() -> None:
    world = world_of()
    lease_moves(world)
    seen = await observe(CLUSTER, world.ports)
    fixed = replace(CLUSTER, endpoint=f"https://{OLD}:6443")
    assert plan_up(fixed, seen).warnings == ()


async def test_health_names_the_moved_lease_as_the_cause() -> None:
    world = world_of()
    lease_moves(world)
    run = world.run()
    run.of(CP).address = NEW
    world.kubernetes.all_pods = ()
    action = Action(step=StepId.HEALTH, verb=Verb.WAIT, object="home", work=AwaitHealth(), why="")
    with pytest.raises(Fault) as caught:
        await health.apply(action, run)
    assert caught.value.id == "P-CONFIG-ENDPOINT"
    assert any(OLD in line for line in caught.value.next_steps)


async def test_an_endpoint_that_the_file_changes_is_a_difference() -> None:
    changed = replace(CLUSTER, endpoint="https://api.home.lan:6443")
    plan = plan_up(changed, await observe(changed, world_of().ports))
    assert [(d.what, d.wanted) for d in plan.differences] == [("endpoint", "https://api.home.lan:6443")]


async def test_secrets_of_another_cluster_are_refused_by_the_plan() -> None:
    world = world_of()
    for box in world.machines.boxes.values():
        box.authority = "another"
    plan = plan_up(CLUSTER, await observe(CLUSTER, world.ports))
    (refusal,) = plan.refusals
    assert refusal.fault is not None
    assert refusal.fault.id == "P-INSTALL-NOTOURS"
    assert any(CP in line and OLD in line for line in refusal.fault.seen)


async def test_one_machine_under_another_authority_does_not_condemn_the_secrets() -> None:
    world = world_of()
    world.machines.named(WORKER).authority = "another"
    plan = plan_up(CLUSTER, await observe(CLUSTER, world.ports))
    assert not [a for a in plan.refusals if a.step is StepId.SECRETS]


async def test_a_stranger_under_our_mac_while_our_vm_boots_does_not_either() -> None:
    world = world_of()
    for vm in list(world.host.vms.values()):
        world.host.vms[vm.id] = replace(vm, heartbeat="NoContact")
    for box in world.machines.boxes.values():
        box.authority = "another"
    plan = plan_up(CLUSTER, await observe(CLUSTER, world.ports))
    assert not plan.refusals
