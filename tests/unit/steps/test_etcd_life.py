"""The note that etcd was started: kept as long as the machines, and no longer."""

from __future__ import annotations

from typing import Any

from provisioner.model.options import RemovalScope
from tests.fakes.script import Call
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import cluster_of, observed_of

CLUSTER = cluster_of({"workers": 1})
NOTES: dict[str, Any] = {"bootstrapped": {"vms": ["id-home-cp-1"]}, "other": 1}


def world_of(given: dict[str, Any]) -> FakeWorld:
    return FakeWorld(CLUSTER, observed_of(given, CLUSTER), notes=NOTES)


async def test_down_forgets_it_before_the_first_machine_goes() -> None:
    """Whoever is killed right after that finds a cluster without machines, and begins a new one."""
    world = world_of({"all": "up"})
    seen: list[dict[str, Any]] = []

    def look(_call: Call) -> None:
        seen.append(world.store.notes)

    world.host.before("remove_vm", look)
    result = await world.down(RemovalScope())
    assert result.ended.exit == 0
    assert seen == [{"other": 1}] * 2
    assert world.store.notes == {"other": 1}


async def test_down_forgets_it_where_the_machines_were_removed_by_hand() -> None:
    world = world_of({"secrets": {"exists": True, "cluster_id": "c0ffee"}})
    result = await world.down(RemovalScope())
    assert (result.ended.exit, result.ended.outcome) == (0, "ok")
    assert world.store.notes == {"other": 1}


async def test_up_keeps_it() -> None:
    world = world_of({"all": "up"})
    assert (await world.up()).ended.exit == 0
    assert world.store.notes["bootstrapped"] == NOTES["bootstrapped"]


async def test_rebuild_begins_anew_where_etcd_was_lost() -> None:
    """The way out that P-ETCD-LOST names: refused by `up`, done by `rebuild`, and then kept."""
    gone = {"vms": [{"name": "home-cp-1", "gone": True}], "folders": [{"machine": "home-cp-1", "gone": True}]}
    world = world_of({"all": "up"} | gone | {"machines": {"home-cp-1": None}, "etcd": None, "nodes": None})
    refused = await world.up()
    assert refused.fault is not None
    assert refused.fault.id == "P-ETCD-LOST"
    assert world.host.made("new_vm") == []
    assert (await world.rebuild()).ended.exit == 0
    assert len(world.machines.made("bootstrap")) == 1
    assert (await world.up()).ended.outcome == "unchanged"
