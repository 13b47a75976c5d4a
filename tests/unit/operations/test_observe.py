"""Reading a whole cluster: side by side, each machine proven, and nobody waited for who cannot answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from provisioner.errors import Fault, Unreachable
from provisioner.operations.observe import observe
from provisioner.workflows.up import plan_up
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import cluster_of, observed_of, uuid_of

CP, WORKER = "home-cp-1", "home-worker-1"


def whole() -> FakeWorld:
    """A cluster of two that is up, as an earlier run left it."""
    cluster = cluster_of({})
    seen = observed_of({"all": "up"}, cluster)
    return FakeWorld(
        cluster, seen, notes={"machines": {name: {"address": f.address} for name, f in seen.machines.items()}}
    )


def waits_for_machines(world: FakeWorld) -> None:
    """The host answers when a machine was asked, and not before."""
    asked = asyncio.Event()
    world.machines.before("read", lambda _call: asked.set())
    world.host.before("observe", lambda _call: asked.wait())


def address_of(world: FakeWorld, name: str) -> str:
    return world.seen.machines[name].address


async def test_a_cluster_that_is_up_is_read_whole() -> None:
    world = whole()
    seen = await observe(world.cluster, world.ports)
    assert set(seen.machines) == {CP, WORKER}
    assert seen.unread == {}
    assert (seen.etcd, seen.nodes) == (world.seen.etcd, world.seen.nodes)


async def test_machines_are_asked_while_the_host_still_works_on_its_answer() -> None:
    world = whole()
    waits_for_machines(world)
    async with asyncio.timeout(10):
        seen = await observe(world.cluster, world.ports)
    assert set(seen.machines) == {CP, WORKER}


async def test_a_machine_whose_vm_is_off_is_not_waited_for() -> None:
    world = whole()
    vm = world.host.vm(WORKER)
    world.host.vms[vm.id] = replace(vm, state="Off")
    silent = address_of(world, WORKER)
    world.machines.hang("read", address=silent)
    async with asyncio.timeout(10):
        seen = await observe(world.cluster, world.ports)
    assert WORKER not in seen.machines
    assert seen.unread == {}, "there was nothing to read"
    assert [call["address"] for call in world.machines.given_up] == [silent]


async def test_etcd_is_asked_of_a_machine_that_has_its_config_alone() -> None:
    world = whole()
    world.machines.named(CP).becomes(mode="maintenance", stage="maintenance")
    before = len(world.machines.calls)
    seen = await observe(world.cluster, world.ports)
    assert seen.machines[CP].mode == "maintenance"
    assert (seen.etcd, seen.etcd_unread) == (None, "")
    assert len(world.machines.calls) > before


async def test_an_answer_counts_only_when_it_is_that_vms() -> None:
    world = whole()
    world.machines.named(CP).becomes(uuid=uuid_of("somebody else"))
    seen = await observe(world.cluster, world.ports)
    assert CP not in seen.machines
    assert "another machine answers" in seen.unread[CP]
    assert (seen.etcd, seen.nodes) == (None, None), "what a stranger's cluster says is not ours"


async def test_nothing_goes_on_when_the_host_cannot_be_read() -> None:
    world = whole()
    waits_for_machines(world)
    world.host.fail("observe", Unreachable("no route"))
    silent = address_of(world, CP)
    world.machines.hang("read", address=silent)
    with pytest.raises(Fault) as caught:
        await observe(world.cluster, world.ports)
    assert caught.value.id == "P-HOST-UNREACHABLE"
    assert [call["address"] for call in world.machines.given_up] == [silent]


def renamed_mark(world: FakeWorld) -> None:
    """The marks of all VMs bear an id that is not known here."""
    for vm in list(world.host.vms.values()):
        assert vm.mark is not None
        world.host.vms[vm.id] = replace(vm, mark=replace(vm.mark, cluster_id="lost"))


async def test_machines_that_our_keys_open_tell_the_id_that_was_lost() -> None:
    world = whole()
    renamed_mark(world)
    seen = await observe(world.cluster, world.ports)
    assert seen.lost_ids == {"lost": (CP, WORKER)}
    assert seen.machines == {}, "they are not known by their marks"
    assert [action.fault.id for action in plan_up(world.cluster, seen).refusals if action.fault] == ["P-CONFIG-IDLOST"]


async def test_nobody_elses_machine_tells_an_id() -> None:
    """Another UUID, another authority, in maintenance, Off, not found, or no keys to ask with."""
    world = whole()
    renamed_mark(world)
    world.machines.named(CP).becomes(uuid=uuid_of("somebody else"))
    world.machines.named(WORKER).becomes(mode="maintenance")
    assert (await observe(world.cluster, world.ports)).lost_ids == {}
    world = whole()
    renamed_mark(world)
    for name in (CP, WORKER):
        world.machines.named(name).authority = "another"
    assert (await observe(world.cluster, world.ports)).lost_ids == {}
    world = whole()
    renamed_mark(world)
    world.store.secrets = None
    assert (await observe(world.cluster, world.ports)).lost_ids == {}
    world = whole()
    renamed_mark(world)
    world.host.fail("find_neighbors", Unreachable("away"))
    assert (await observe(world.cluster, world.ports)).lost_ids == {}
