"""The step of the switch: lost answers, a job that ends in between, a host that refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provisioner.errors import Dropped, Fault, HostRefused, Rejected, Unreachable
from provisioner.model.facts import SwitchJobFacts
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import CreateSwitch, RemoveSwitch
from provisioner.steps import removal, switch
from tests.fakes.script import Call
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import CLUSTER_ID, HOST, cluster_of, observed_of

CLUSTER = cluster_of({})
ACTION = Action(step=StepId.SWITCH, verb=Verb.CREATE, object="LAB", host=HOST, work=CreateSwitch(), why="")


def fresh() -> FakeWorld:
    """A host without the switch."""
    return FakeWorld(CLUSTER, observed_of({}, CLUSTER))


async def made(world: FakeWorld) -> str:
    return await switch.apply(ACTION, world.run())


async def test_a_request_that_was_lost_itself_is_made_again() -> None:
    world = fresh()
    world.host.fail("new_switch", Unreachable("no route"))
    assert "External on Ethernet" in await made(world)
    assert len(world.host.made("new_switch")) == 2


async def test_a_lost_answer_is_not_asked_for_twice() -> None:
    world = fresh()
    world.host.fail("new_switch", Dropped("reset"), done=True)
    await made(world)
    assert len(world.host.made("new_switch")) == 1


async def test_a_job_that_ends_before_it_is_confirmed_is_looked_at_again() -> None:
    world = fresh()

    def ends(_call: Call) -> None:
        there = world.host.switches["lab"]
        assert there.job is not None
        world.host.switches["lab"] = replace(there, job=replace(there.job, state="Done"))

    world.host.before("confirm_switch", ends)
    assert "External on Ethernet" in await made(world)
    assert len(world.host.made("confirm_switch")) == 1, "the host refused it: no such job any more"


async def test_a_switch_is_made_when_its_job_is_done_and_not_before() -> None:
    """The job repairs what the host lost after the switch is there."""
    world = fresh()
    world.host.job_ends = "Running"

    def repaired(_call: Call) -> None:
        world.host.job_ends = "Done" if len(world.host.made("confirm_switch")) == 3 else "Running"

    world.host.before("confirm_switch", repaired)
    await made(world)
    assert len(world.host.made("confirm_switch")) == 3


async def test_a_job_of_an_earlier_run_is_gone_on_with() -> None:
    world = FakeWorld(CLUSTER, observed_of({"switch": {"job": {"state": "Running"}}}, CLUSTER))
    await made(world)
    assert len(world.host.made("new_switch")) == 1
    assert world.host.switches["lab"].job == SwitchJobFacts(id="j1", kind="New", state="Done")


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (Rejected("no"), "P-HOST-SIGNIN"),
        (HostRefused(id="NotAdministrator", message="no", function="New-TalosSwitch"), "P-HOST-RIGHTS"),
        (Unreachable("silence"), "P-SWITCH-LINKLOST"),
    ],
)
async def test_what_ends_it(error: Exception, fault: str) -> None:
    world = fresh()
    world.host.fail("find_switch", error, forever=True)
    with pytest.raises(Fault) as caught:
        await made(world)
    assert caught.value.id == fault


async def test_the_host_watches_itself_for_a_minute_and_a_half() -> None:
    """DHCP, spanning tree and the identification of the network take up to a minute after the link is back."""
    world = fresh()
    await made(world)
    (call,) = world.host.made("new_switch")
    assert call["request"].watchdog_s == 90


@pytest.mark.parametrize(("ends", "fault"), [("Failed", "P-SWITCH-FAILED"), ("Undone", "P-SWITCH-UNDONE")])
async def test_a_job_that_ends_badly_ends_the_step(ends: str, fault: str) -> None:
    world = fresh()
    world.host.job_ends = ends
    with pytest.raises(Fault) as caught:
        await made(world)
    assert caught.value.id == fault
    assert len(world.host.made("confirm_switch")) == 1


async def test_a_removal_whose_job_fails_is_told() -> None:
    seen = observed_of(
        {"all": "up", "switch": {"mark": f"provision/1 cluster={CLUSTER_ID} machine=switch:LAB"}}, CLUSTER
    )
    world = FakeWorld(CLUSTER, seen)
    action = Action(
        step=StepId.SWITCH,
        verb=Verb.REMOVE,
        object="LAB",
        host=HOST,
        why="",
        work=RemoveSwitch(cluster_id=CLUSTER_ID),
    )
    world.host.vms.clear()

    def fails(_call: Call) -> None:
        job = SwitchJobFacts(id="j2", kind="Remove", state="Failed", error_id="HyperV.InUse", message="in use")
        world.host.switches["lab"] = replace(world.host.switches["lab"], exists=True, job=job)

    world.host.before("find_switch", fails)
    with pytest.raises(Fault, match="could not be removed") as caught:
        await removal.apply(action, world.run())
    assert caught.value.id == "P-SWITCH-FAILED"
