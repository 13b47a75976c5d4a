"""A run as a whole: given up in time, nothing destroyed beyond what was shown, and no key needed to remove."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from provisioner.errors import Dropped, Fault, Finding, HostRefused, NotTrusted, Rejected, TransportError, Unreachable
from provisioner.model.events import FaultReported, Note, RunEnded
from provisioner.model.options import RemovalScope, RunOptions
from provisioner.workflows.down import DOWN, plan_down
from provisioner.workflows.rebuild import REBUILD
from provisioner.workflows.up import UP
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import PLACE, cluster_of, observed_of

CLUSTER = cluster_of({})
WHOLE = observed_of({"all": "up"}, CLUSTER)


def world_of() -> FakeWorld:
    """The host of a whole cluster; its secrets are damaged."""
    world = FakeWorld(CLUSTER, WHOLE)
    world.store.secrets = b"damaged"
    return world


async def test_damaged_secrets_keep_nobody_from_removing() -> None:
    """The box of P-CONFIG-BADSECRETS sends people to `down`: there it must work."""
    world = world_of()
    result = await world.down(RemovalScope())
    assert result.ended.outcome == "ok"
    assert world.host.vms == {}


@pytest.mark.parametrize("command", ["up", "down", "rebuild"])
async def test_ctrl_c_gives_up_a_reading_that_hangs(command: str) -> None:
    world = FakeWorld(CLUSTER, WHOLE)
    world.host.hang("observe")
    running = asyncio.ensure_future(world.session().run({"up": UP, "down": DOWN, "rebuild": REBUILD}[command]))
    await asyncio.sleep(0)
    world.stop.set()
    result = await asyncio.wait_for(running, 10)
    assert (result.ended.outcome, result.ended.exit) == ("interrupted", 130)
    assert isinstance(world.events[-1], RunEnded)


@pytest.mark.parametrize("error", [Unreachable("no route"), Fault("P-LOCAL-HOME", "the disk is full")])
async def test_a_picture_that_cannot_be_taken_is_no_reason_to_fail(error: Exception) -> None:
    world = FakeWorld(CLUSTER, WHOLE)
    session = world.session()
    await session.run(UP)
    assert await session._picture("home-cp-1") != ""
    if isinstance(error, Fault):
        world.store.fail("save_picture", error)
    else:
        world.host.fail("console", error)
    assert await session._picture("home-cp-1") == ""


async def test_no_more_is_destroyed_than_was_shown() -> None:
    world = world_of()
    plan = plan_down(CLUSTER, WHOLE, RunOptions(remove=RemovalScope()))
    shown = replace(plan, actions=plan.actions[1:])
    result = await world.down(RemovalScope(), shown=shown)
    assert result.fault is not None
    assert result.fault.id == "P-RUN-PLANCHANGED"
    assert world.host.made("remove_vm") == []


@pytest.mark.parametrize(
    ("extent", "flags"),
    [
        (RemovalScope(), ""),
        (RemovalScope(switch=True), " --switch"),
        (RemovalScope(switch=True, image=True, secrets=True), " --all"),
    ],
)
async def test_the_box_says_to_type_the_same_again_once(extent: RemovalScope, flags: str) -> None:
    world = world_of()
    refusal = HostRefused(id="VMFilesLocked", message="in use", function="Remove-TalosVM")
    world.host.fail("remove_vm", refusal, forever=True)
    await world.down(extent)
    boxes = world.told(FaultReported)
    assert {box.id for box in boxes} == {"P-VM-STUCK"}
    for box in boxes:
        assert box.resume_command == (f"provision down home{flags}",)
        assert not set(box.resume_command) & set(box.next_steps)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (Rejected("the host refuses the sign-in"), "P-HOST-SIGNIN"),
        (NotTrusted("another certificate"), "P-HOST-CERT"),
        (Dropped("reset"), "P-HOST-LOST"),
        (Unreachable("no route"), "P-HOST-LOST"),
        (HostRefused(id="HyperV.OperationFailed", message="no", function="Remove-TalosVM"), "P-HOST-REFUSED"),
        (
            HostRefused(id="MethodInvocationNotSupportedInConstrainedLanguage", message="no", function=""),
            "P-HOST-CONSTRAINED",
        ),
    ],
)
async def test_whatever_becomes_of_the_host_in_the_middle_is_no_bug(error: TransportError, fault: str) -> None:
    world = world_of()
    world.host.fail("remove_vm", error, forever=True)
    result = await world.down(RemovalScope())
    assert result.fault is not None
    assert result.fault.id == fault


# --- what is said at the end ------------------------------------------------------------------------------------------


def unmakeable(world: FakeWorld) -> None:
    """VMs can be removed, and new ones are refused."""
    world.host.fail("new_vm", HostRefused(id="VMNoSpace", message="no space", function="New-TalosVM"), forever=True)


async def test_a_rebuild_that_fails_in_its_second_half_says_that_the_machines_are_gone() -> None:
    """And sends nobody back to `rebuild`, which would destroy the new machines too."""
    world = FakeWorld(CLUSTER, WHOLE)
    unmakeable(world)
    result = await world.rebuild()
    assert (result.ended.outcome, result.ended.summary) == ("failed", "the old machines are removed")
    assert world.host.made("remove_vm"), "they were"
    assert {resume_command for fault in world.told(FaultReported) for resume_command in fault.resume_command} == {
        "provision up home"
    }


async def test_ctrl_c_in_the_second_half_of_a_rebuild_says_so_too() -> None:
    world = FakeWorld(CLUSTER, WHOLE)
    world.host.before("new_vm", lambda _call: world.stop.set())
    result = await world.rebuild()
    ended = world.told(RunEnded)[-1]
    assert (result.ended.outcome, ended.summary) == ("interrupted", "the old machines are removed")
    assert ended.resume_command == "provision up home"


async def test_an_idle_up_says_what_it_did_not_compare() -> None:
    result = await FakeWorld(CLUSTER, WHOLE, notes=addresses()).up()
    assert result.ended.outcome == "unchanged"
    assert result.ended.summary == (
        "nothing to do: VMs, versions and access are as the file says; the configs of running machines are not compared"
    )


async def test_an_idle_up_tells_the_differences_that_it_leaves() -> None:
    changed = replace(CLUSTER, kubernetes="v1.33.0")
    nodes = tuple(replace(node, version="v1.34.1") for node in WHOLE.nodes or ())
    world = FakeWorld(changed, replace(WHOLE, nodes=nodes), notes=addresses())
    result = await world.up()
    assert result.ended.outcome == "unchanged"
    assert "as the file says" not in result.ended.summary
    told = [note.message for note in world.told(Note) if note.level == "warning"]
    assert len(told) == 1
    assert told[0].startswith("home-cp-1, home-worker-1: Kubernetes v1.34.1, the file says v1.33.0")


def addresses() -> dict[str, object]:
    return {"machines": {name: {"address": facts.address} for name, facts in WHOLE.machines.items()}}


async def test_the_findings_of_a_fault_are_told_with_it() -> None:
    finding = Finding(place=PLACE, path="machine.install.disk", problem="no such disk")
    world = FakeWorld(CLUSTER, observed_of({}, CLUSTER))
    fault = Fault("P-CONFIG-REFUSED", "the config has a finding", findings=(finding,))
    world.host.fail("new_switch", fault)
    await world.up()
    assert [met.findings[0].problem for met in world.told(FaultReported) if met.findings] == ["no such disk"]


async def test_all_events_count_from_the_begin_that_was_given() -> None:
    world = FakeWorld(CLUSTER, WHOLE)
    await world.clock.sleep(100)
    session = world.session()
    session.recorder.begun_s = 40.0
    await session.run(UP)
    assert world.events[0].at_s == 60.0


async def test_one_lost_host_is_one_box() -> None:
    """However many machines waited for it."""
    world = FakeWorld(
        CLUSTER, observed_of({"all": "up", "machines": {"home-cp-1": None, "home-worker-1": None}}, CLUSTER)
    )
    for call in ("find_vms", "watch_neighbors"):
        world.host.fail(call, Unreachable("no route"), forever=True)
    result = await world.up()
    assert (result.ended.outcome, result.ended.exit) == ("failed", 5)
    assert [met.id for met in world.told(FaultReported)] == ["P-HOST-LOST"]
