"""Whole runs over the fakes: what is made, what is kept, what is gone. The lab's tests do the same over the real protocols."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provisioner.errors import HostRefused
from provisioner.model.facts import SwitchFacts, SwitchJobFacts
from provisioner.model.options import RemovalScope, RunOptions
from provisioner.model.steps import StepId
from tests.fakes.script import Call
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import CLUSTER_ID, cluster_of, observed_of

CLUSTER = cluster_of({"control_planes": 3, "workers": 2})
NAMES = [machine.name for machine in CLUSTER.machines]


def nothing() -> FakeWorld:
    return FakeWorld(CLUSTER, observed_of({}, CLUSTER))


def contexts(world: FakeWorld) -> set[str]:
    return {name for name, found in world.store.access.items() if found.there}


async def test_up_makes_it_all_and_the_second_up_nothing() -> None:
    world = nothing()
    result = await world.up()
    assert (result.ended.outcome, result.fault) == ("ok", None)
    assert sorted(vm.name for vm in world.host.vms.values()) == sorted(NAMES)
    assert all(vm.mark is not None and not vm.iso for vm in world.host.vms.values())
    assert {box.facts.mode for box in world.machines.boxes.values()} == {"secure"}
    assert len(world.machines.made("bootstrap")) == 1
    assert contexts(world) == {"talosconfig", "kubeconfig"}
    before = len(world.host.calls)
    again = await world.up()
    assert (again.ended.outcome, again.fault) == ("unchanged", None)
    assert {call.name for call in world.host.calls[before:]} == {"observe"}


async def test_machines_are_made_as_the_file_says() -> None:
    cluster = cluster_of({"machine": {"vlan": 20, "cpus": 3, "memory_mib": 6144, "disk_gib": 33}})
    world = FakeWorld(cluster, observed_of({}, cluster))
    await world.up(RunOptions(until=StepId.VM))
    for machine in cluster.machines:
        vm = world.host.vm(machine.name)
        assert (vm.vlan, vm.cpus, vm.memory_mib, vm.mac) == (20, 3, 6144, machine.mac)
        assert vm.drives[0].size_bytes == 33 * 1024**3
        assert vm.start_delay_s == (0 if machine in cluster.control_planes else 20), "etcd first, after a reboot"


async def test_a_whole_cluster_is_only_looked_at() -> None:
    cluster = cluster_of({})
    world = FakeWorld(cluster, observed_of({"all": "up"}, cluster))
    seen = {name: {"address": facts.address} for name, facts in world.seen.machines.items()}
    world.store.notes = {"machines": seen}
    result = await world.up()
    assert (result.ended.outcome, result.fault) == ("unchanged", None)
    assert {call.name for call in world.host.calls} == {"observe"}
    assert not world.machines.made("apply")


async def test_down_removes_the_machines_and_keeps_the_rest() -> None:
    world = nothing()
    await world.up()
    result = await world.down(RemovalScope())
    assert (result.ended.outcome, result.fault) == ("ok", None)
    assert world.host.vms == {}
    assert world.machines.boxes == {}
    assert world.host.switches["lab"].exists
    assert [image.ours for image in world.host.images.values()] == [True]
    assert world.store.secrets is not None
    assert contexts(world) == set()
    again = await world.down(RemovalScope())
    assert again.ended.outcome == "unchanged"


async def test_down_with_all_leaves_nothing() -> None:
    world = nothing()
    await world.up()
    result = await world.down(RemovalScope(switch=True, image=True, secrets=True))
    assert (result.ended.outcome, result.fault) == ("ok", None)
    assert (world.host.vms, world.host.images) == ({}, {})
    assert not world.host.switches["lab"].exists
    assert world.store.secrets is None
    assert len(world.store.aside) == 1


async def test_rebuild_makes_other_machines_of_the_same_cluster() -> None:
    world = nothing()
    await world.up()
    secrets, old = world.store.secrets, dict(world.host.vms)
    result = await world.rebuild()
    assert (result.ended.outcome, result.fault) == ("ok", None)
    assert len(world.host.made("remove_vm")) == len(old)
    assert sorted(vm.name for vm in world.host.vms.values()) == sorted(NAMES)
    assert world.store.secrets == secrets
    assert len(world.machines.made("bootstrap")) == 2
    assert world.store.made("remove_contexts") == []
    assert contexts(world) == {"talosconfig", "kubeconfig"}, "the same contexts are needed again"


async def test_rebuild_makes_nothing_beside_what_could_not_be_removed() -> None:
    world = nothing()
    await world.up()
    before = len(world.host.made("new_vm"))
    refusal = HostRefused(id="HyperV.OperationFailed", message="no", function="Remove-TalosVM")
    world.host.fail("remove_vm", refusal, forever=True)
    result = await world.rebuild()
    assert result.ended.outcome == "failed"
    assert len(world.host.made("new_vm")) == before


@pytest.mark.parametrize("state", ["Running", "Failed"])
async def test_a_switch_is_gone_when_the_host_says_so(state: str) -> None:
    world = nothing()
    await world.up()
    there = world.host.switches["lab"]
    before = len(world.host.made("find_switch"))

    def job(_call: Call) -> None:
        """The host's job takes its time, or fails; then there is no switch any more."""
        looks = len(world.host.made("find_switch")) - before
        at_work = replace(there, job=SwitchJobFacts(id="j9", kind="Remove", state=state, error_id="HyperV.Busy"))
        gone = SwitchFacts(name="LAB", exists=False, job=SwitchJobFacts(id="j9", kind="Remove", state="Done"))
        world.host.switches["lab"] = at_work if looks < 3 else gone

    world.host.before("find_switch", job)
    result = await world.down(RemovalScope(switch=True))
    looks = len(world.host.made("find_switch")) - before
    if state == "Failed":
        assert result.fault is not None
        assert (result.fault.id, looks) == ("P-SWITCH-FAILED", 1)
    else:
        assert (result.ended.outcome, looks) == ("ok", 3)


async def test_rebuild_removes_nothing_that_could_not_be_made_again() -> None:
    cluster = cluster_of({"sha256": "a" * 64})
    world = FakeWorld(cluster, observed_of({"all": "up", "images": [{"sha256": "b" * 64}]}, cluster))
    result = await world.rebuild()
    assert result.fault is not None
    assert result.fault.id == "P-ISO-CHECKSUM"
    assert world.host.made("remove_vm") == []


async def test_another_clusters_machines_are_not_touched() -> None:
    other = f"{CLUSTER_ID[::-1]}"
    cluster = cluster_of({})
    theirs = [
        {"name": name, "mark": f"provision/1 cluster={other} machine={name}"} for name in ("x-cp-1", "x-worker-1")
    ]
    world = FakeWorld(cluster, observed_of({"all": "up", "vms": theirs}, cluster))
    await world.down(RemovalScope())
    assert sorted(vm.name for vm in world.host.vms.values()) == ["x-cp-1", "x-worker-1"]
