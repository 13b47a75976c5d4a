"""A host whose Hyper-V could not be read is never an empty one: for no command, at no moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from provisioner.errors import Fault, HostRefused
from provisioner.model.events import FaultReported
from provisioner.model.options import RemovalScope, RunOptions
from provisioner.operations.observe import observe, observe_hosts
from provisioner.operations.status import status
from provisioner.ports import HyperVUnavailable
from provisioner.steps import waiting
from provisioner.workflows.down import DOWN
from provisioner.workflows.rebuild import REBUILD
from provisioner.workflows.up import UP
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import cluster_of, host_of, observed_of

CLUSTER = cluster_of({})
EVERYTHING = RemovalScope(switch=True, image=True, secrets=True)
UNREAD: Mapping[str, tuple[Mapping[str, Any], str]] = {
    "vmms stopped": ({"vmms_status": "Stopped"}, "P-HOST-NOHYPERV"),
    "module missing": ({"hyperv_module": False}, "P-HOST-NOHYPERV"),
    "rights lost": ({"is_administrator": False, "is_hyperv_administrator": False}, "P-HOST-RIGHTS"),
}


def unread(facts: Mapping[str, Any]) -> FakeWorld:
    """The world of a whole cluster whose host tells no more than its own facts."""
    world = FakeWorld(CLUSTER, observed_of({"all": "up"}, CLUSTER))
    world.host.facts = replace(world.host.facts, disk_folder="", **facts)
    world.host.whole = False
    return world


@pytest.mark.parametrize(("facts", "fault_id"), UNREAD.values(), ids=UNREAD)
@pytest.mark.parametrize("command", ["up", "down", "rebuild"])
async def test_every_run_refuses_with_the_one_fault(command: str, facts: Mapping[str, Any], fault_id: str) -> None:
    world = unread(facts)
    options = RunOptions(remove=EVERYTHING)
    result = await world.session(options=options).run({"up": UP, "down": DOWN, "rebuild": REBUILD}[command])
    assert (result.ended.exit, [fault.id for fault in world.told(FaultReported)]) == (4, [fault_id])
    assert world.store.secrets is not None
    assert world.store.cluster_id
    assert [call.name for call in world.host.calls] == ["observe"]


@pytest.mark.parametrize(("facts", "fault_id"), UNREAD.values(), ids=UNREAD)
async def test_no_plan_is_made_from_it(facts: Mapping[str, Any], fault_id: str) -> None:
    world = unread(facts)
    for reading in (observe, observe_hosts):
        with pytest.raises(Fault) as met:
            await reading(CLUSTER, world.ports)
        assert met.value.id == fault_id
        assert met.value.next_steps, "the box says what to type"


@pytest.mark.parametrize(("facts", "fault_id"), UNREAD.values(), ids=UNREAD)
async def test_status_says_that_it_was_not_read_and_never_absent(facts: Mapping[str, Any], fault_id: str) -> None:
    world = unread(facts)
    world.machines.boxes.clear()  # nor do the machines answer
    report = await status(CLUSTER, world.ports)
    assert report.state == "unknown"
    assert [row.vm for row in report.machines] == [None, None]
    assert fault_id in report.host_unread[0]


@pytest.mark.parametrize(("facts", "fault_id"), UNREAD.values(), ids=UNREAD)
async def test_a_host_that_loses_hyperv_in_the_middle_is_told_as_that(facts: Mapping[str, Any], fault_id: str) -> None:
    world = FakeWorld(CLUSTER, observed_of({"all": "up"}, CLUSTER))
    refusal = HostRefused(id="HyperV.ObjectNotFound", message="not found", function="Remove-TalosVM")
    host = host_of(dict(facts))
    world.host.fail("remove_vm", HyperVUnavailable(refusal, host), forever=True)
    result = await world.down(EVERYTHING)
    assert (result.ended.exit, {fault.id for fault in world.told(FaultReported)}) == (4, {fault_id})
    assert world.store.secrets is not None


async def test_a_management_service_that_hangs_is_told_from_a_host_that_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = cluster_of({})
    world = FakeWorld(cluster, observed_of({"all": "up"}, cluster))
    world.clock.rate = 1e9
    monkeypatch.setattr(waiting, "CALL_REAL_S", 0.01)
    world.host.hang("observe")
    with pytest.raises(Fault) as caught:
        await observe_hosts(cluster, world.ports)
    assert caught.value.id == "P-HOST-LOST"
    assert "Restart-Service vmms" in caught.value.next_steps[0]
