"""One machine, found and proven without reading the whole cluster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioner.errors import Fault, NotTrusted, Unreachable
from provisioner.operations.machine import Located, locate, named, picture_of
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import cluster_of, observed_of

CP = "home-cp-1"
CLUSTER = cluster_of({})


def world_of(*, vm: str = f"id-{CP}", address: str = "", **observed: Any) -> FakeWorld:
    """A cluster that is up, and what an earlier run noted of its control plane."""
    seen = observed_of({"all": "up", **observed}, CLUSTER)
    hint = {"address": address or seen.machines[CP].address if CP in seen.machines else address, "vm": vm}
    return FakeWorld(CLUSTER, seen, notes={"machines": {CP: hint}})


async def located(world: FakeWorld) -> Located:
    return await locate(CLUSTER, world.ports, CLUSTER.machine(CP))


def calls(world: FakeWorld) -> list[str]:
    return [call.name for call in world.host.calls]


async def test_one_vm_and_one_machine_are_asked() -> None:
    world = world_of()
    found = await located(world)
    assert (found.vm.name, found.facts and found.facts.stage, found.unread) == (CP, "running", "")
    assert calls(world) == ["find_vms"]


@pytest.mark.parametrize("vm", ["", "id-of-a-vm-that-is-gone", "id-home-worker-1"])
async def test_without_a_hint_that_holds_its_host_is_read(vm: str) -> None:
    """A VM with another mark is not taken for the machine, whatever an earlier run noted."""
    world = world_of(vm=vm)
    assert (await located(world)).vm.name == CP
    assert "observe" in calls(world)


async def test_a_machine_that_moved_is_found_by_its_mac() -> None:
    world = world_of(address="192.168.1.77")
    found = await located(world)
    assert found.facts is not None
    assert "find_neighbors" in calls(world)


async def test_another_machine_at_its_address_is_not_taken_for_it() -> None:
    world = world_of()
    (box,) = (box for box in world.machines.boxes.values() if box.facts.hostname == CP)
    box.facts = replace(box.facts, uuid="5a6b7c8d-0000-4000-8000-000000000000")
    found = await located(world)
    assert found.facts is None
    assert "another machine answers" in found.unread


@pytest.mark.parametrize("error", [NotTrusted("another authority"), Unreachable("silent")])
async def test_a_machine_that_does_not_answer_as_ours_is_told(error: Exception) -> None:
    world = world_of()
    world.machines.fail("read", error, forever=True)
    found = await located(world)
    assert (found.facts, str(error) in found.unread) == (None, True)
    assert found.to_json()["unread"] == found.unread


async def test_nothing_is_asked_of_a_vm_that_is_off() -> None:
    world = world_of(vms=[{"name": CP, "state": "Off"}])
    found = await located(world)
    assert (found.facts, found.unread) == (None, "the VM is Off")
    assert world.machines.calls == []


async def test_a_machine_without_a_vm_is_a_fault() -> None:
    world = world_of()
    world.host.vms.clear()
    with pytest.raises(Fault) as caught:
        await located(world)
    assert caught.value.id == "P-VM-ABSENT"
    assert caught.value.next_steps == ("provision up home",)


def test_a_name_may_be_the_end_of_one() -> None:
    assert named(CLUSTER, "cp-1") is named(CLUSTER, CP) is CLUSTER.machine(CP)


@pytest.mark.parametrize("name", ["cp-9", "1", "p-1", ""])
def test_a_name_that_is_none_or_several_is_a_fault(name: str) -> None:
    with pytest.raises(Fault, match="machine") as caught:
        named(CLUSTER, name)
    assert caught.value.id == "P-RUN-UNKNOWN"
    assert CP in caught.value.seen[0]


async def test_its_screen_is_saved() -> None:
    world = world_of()
    found, path = await picture_of(CLUSTER, world.ports, CLUSTER.machine(CP))
    assert found.vm.name == CP
    assert path.parent.name == "console"
    assert [call.name for call in world.host.calls][-1] == "console"


async def test_a_host_that_is_lost_while_it_looks_is_told() -> None:
    world = world_of()
    world.host.fail("console", Unreachable("no route"))
    with pytest.raises(Fault) as caught:
        await picture_of(CLUSTER, world.ports, CLUSTER.machine(CP))
    assert caught.value.id == "P-HOST-LOST"
