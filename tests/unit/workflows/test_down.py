"""`down`: never a success with something of ours left, keys last, and nothing of anybody else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioner.errors import HostRefused, Unreachable
from provisioner.model.events import FaultReported, Note
from provisioner.model.facts import VmFacts
from provisioner.model.naming import Mark, find_mark
from provisioner.model.options import RemovalScope, RunOptions
from provisioner.model.steps import StepId
from provisioner.workflows.down import plan_down
from tests.fakes.script import Call
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import CLUSTER_ID, cluster_of, observed_of, vm_of

CLUSTER = cluster_of({})
EVERYTHING = RemovalScope(switch=True, image=True, secrets=True)
OURS = {"mark": f"provision/1 cluster={CLUSTER_ID} machine=switch:LAB"}
OTHER = {"name": "other-cp-1", "mark": "provision/1 cluster=beef machine=other-cp-1"}


def world_of(**observed: Any) -> FakeWorld:
    return FakeWorld(CLUSTER, observed_of({"all": "up", "switch": dict(OURS), **observed}, CLUSTER))


def copy_of(world: FakeWorld, name: str) -> VmFacts:
    """Somebody copies a VM at the host: its own id and folder, and the same notes."""
    copy = replace(world.host.vm(name), id="copied", folder=f"D:\\copies\\{name}")
    world.host.vms = {copy.id: copy, **world.host.vms}
    return copy


def test_machines_go_first_and_keys_last() -> None:
    """VMs hold the switch and the ISO; the id in the marks tells what is ours."""
    plan = plan_down(CLUSTER, observed_of({"all": "up", "switch": dict(OURS)}, CLUSTER), RunOptions(remove=EVERYTHING))
    vms = {action.id for action in plan.of(StepId.REMOVE)}
    for action in plan.actions:
        before = set(action.after)
        if action.step is StepId.REMOVE:
            assert not before
        elif action.step is StepId.SECRETS:
            assert before == {other.id for other in plan.actions} - {action.id}
        else:
            assert before == vms


async def test_a_locked_disk_is_told_until_it_is_gone() -> None:
    world = world_of()
    world.host.locked.add("c:\\vms\\home-worker-1")
    for _ in range(3):
        result = await world.down(EVERYTHING)
        assert (result.ended.exit, {fault.id for fault in world.told(FaultReported)}) == (5, {"P-VM-STUCK"})
        assert world.host.vms == {}, "the VM itself is gone since the first run"
        assert world.store.secrets is not None
        assert world.store.cluster_id == CLUSTER_ID
    world.host.locked.clear()
    assert (await world.down(EVERYTHING)).ended.outcome == "ok"
    assert (world.host.folders, world.store.secrets, world.store.cluster_id) == ({}, None, "")


async def test_a_copy_is_kept_and_told_run_after_run_until_its_mark_is_gone() -> None:
    world = world_of()
    copy = copy_of(world, "home-worker-1")
    for _ in range(3):
        result = await world.down(EVERYTHING)
        assert (result.ended.exit, result.fault and result.fault.id) == (6, "P-VM-TWICE")
        assert world.host.vms == {copy.id: copy}
        assert world.store.secrets is not None
    refused = await world.up()
    assert (refused.ended.exit, refused.fault and refused.fault.id) == (6, "P-VM-TWICE"), (
        "nor is it taken for the machine"
    )
    world.host.vms[copy.id] = replace(copy, mark=None, notes="", switch="", drives=())
    assert (await world.down(EVERYTHING)).ended.outcome == "ok"
    assert list(world.host.vms) == [copy.id]
    assert (world.host.folders, world.store.secrets) == ({}, None)


async def test_a_rebuild_with_a_copy_removes_nothing() -> None:
    world = world_of()
    copy_of(world, "home-worker-1")
    result = await world.rebuild()
    assert (result.ended.exit, result.fault and result.fault.id) == (6, "P-VM-TWICE")
    assert len(world.host.vms) == 3


async def test_the_id_outlives_the_keys_while_the_switch_bears_it() -> None:
    world = world_of()
    assert (await world.down(RemovalScope(secrets=True))).ended.outcome == "ok"
    assert (world.store.secrets, world.store.cluster_id) == (None, CLUSTER_ID)
    assert (await world.down(RemovalScope(secrets=True))).ended.outcome == "unchanged"
    assert (await world.down(EVERYTHING)).ended.outcome == "ok"
    assert not world.host.switches["lab"].exists
    assert world.store.cluster_id == ""


async def test_a_switch_that_another_cluster_uses_is_handed_over_to_it() -> None:
    world = world_of(vms=[OTHER])
    assert (await world.down(EVERYTHING)).ended.outcome == "ok"
    there = world.host.switches["lab"]
    assert there.exists
    assert there.mark == Mark(cluster_id="beef", machine="switch:LAB")
    assert world.store.cluster_id == "", "nothing bears our id any more"


async def test_a_switch_that_anybody_else_uses_keeps_our_id_known() -> None:
    world = world_of(vms=[{"name": "fileserver", "mark": ""}])
    assert (await world.down(EVERYTHING)).ended.outcome == "ok"
    assert world.host.switches["lab"].exists
    assert world.store.cluster_id == CLUSTER_ID
    del world.host.vms["id-fileserver"]
    assert (await world.down(EVERYTHING)).ended.outcome == "ok"
    assert not world.host.switches["lab"].exists


@pytest.mark.parametrize("what", ["vm", "folder"])
async def test_keys_go_only_after_another_look(what: str) -> None:
    """Between the plan and the end of a run somebody else may have made something under our mark."""
    world = world_of()
    late = vm_of({"name": "home-worker-1", "id": "late"}, CLUSTER)

    def appears(_call: Call) -> None:
        if what == "vm":
            world.host.vms[late.id] = late
        else:
            folder = world.seen.hosts[world.host.name].folders[0]
            world.host.folders[folder.path.lower()] = folder

    world.host.before("remove_image", appears)
    result = await world.down(RemovalScope(image=True, secrets=True))
    assert (result.ended.exit, result.fault and result.fault.id) == (5, "P-VM-STUCK")
    assert world.store.secrets is not None
    assert world.store.cluster_id == CLUSTER_ID


async def test_keys_stay_where_the_other_look_fails() -> None:
    world = world_of()

    def stops(_call: Call) -> None:
        world.host.whole = False
        world.host.facts = replace(world.host.facts, vmms_status="Stopped")

    world.host.before("remove_image", stops)
    result = await world.down(RemovalScope(image=True, secrets=True))
    assert (result.ended.exit, result.fault and result.fault.id) == (4, "P-HOST-NOHYPERV")
    assert world.store.secrets is not None
    world = world_of()
    world.host.before("remove_image", lambda _call: world.host.fail("observe", Unreachable("no route"), forever=True))
    result = await world.down(RemovalScope(image=True, secrets=True))
    assert result.ended.exit == 4
    assert world.store.secrets is not None


async def test_an_image_that_was_taken_meanwhile_is_kept_and_told() -> None:
    world = world_of()
    refusal = HostRefused(id="ImageInUse", message="it is in the drive of other-cp-1", function="Remove-TalosImage")
    world.host.fail("remove_image", refusal)
    result = await world.down(EVERYTHING)
    assert (result.ended.outcome, result.fault) == ("ok", None)
    assert [note.level for note in world.told(Note) if "other-cp-1" in note.message] == ["warning"]


async def test_what_is_marked_by_a_name_with_spaces_is_found_again() -> None:
    name = "External vSwitch (2.5G) machine=x"
    cluster = replace(CLUSTER, switch=replace(CLUSTER.switch, name=name))
    world = FakeWorld(cluster, observed_of({}, cluster))
    assert (await world.up()).ended.outcome == "ok"
    there = world.host.switches[name.lower()]
    assert there.mark is not None
    assert there.mark == find_mark(str(there.mark))
    assert (await world.down(EVERYTHING)).ended.outcome == "ok"
    assert not world.host.switches[name.lower()].exists


async def test_a_switch_that_was_renamed_at_the_host_is_still_ours() -> None:
    world = world_of()
    there = world.host.switches.pop("lab")
    world.host.switches["lan"] = replace(there, name="LAN")
    world.host.vms = {vm_id: replace(vm, switch="LAN") for vm_id, vm in world.host.vms.items()}
    assert (await world.down(RemovalScope(secrets=True))).ended.outcome == "ok"
    assert world.store.cluster_id == CLUSTER_ID
    assert (await world.down(EVERYTHING)).ended.outcome == "ok"
    assert not world.host.switches["lan"].exists
    assert world.store.cluster_id == ""
