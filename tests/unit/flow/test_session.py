"""A run as a whole: given up in time, nothing destroyed beyond what was shown, and no key needed to remove."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from provisioner.errors import Dropped, HostRefused, NotTrusted, Rejected, TransportError, Unreachable
from provisioner.flow.down import plan_down
from provisioner.model.events import FaultMet, RunEnded
from provisioner.model.wishes import Extent
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import cluster_of, observed_of

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
    result = await world.session().down(Extent())
    assert result.outcome == "ok"
    assert world.host.vms == {}


@pytest.mark.parametrize("command", ["up", "down", "rebuild"])
async def test_ctrl_c_gives_up_a_reading_that_hangs(command: str) -> None:
    world = FakeWorld(CLUSTER, WHOLE)
    world.host.hang("observe")
    session = world.session()
    stories = {"up": session.up, "down": lambda: session.down(Extent()), "rebuild": session.rebuild}
    running = asyncio.ensure_future(stories[command]())
    await asyncio.sleep(0)
    session.stop.set()
    result = await asyncio.wait_for(running, 10)
    assert (result.outcome, result.exit) == ("interrupted", 130)
    assert isinstance(world.events[-1], RunEnded)


async def test_no_more_is_destroyed_than_was_shown() -> None:
    world = world_of()
    plan = plan_down(CLUSTER, WHOLE, Extent())
    shown = replace(plan, actions=plan.actions[1:])
    result = await world.session().down(Extent(), shown=shown)
    assert result.fault is not None
    assert result.fault.id == "P-RUN-PLANCHANGED"
    assert world.host.made("remove_vm") == []


@pytest.mark.parametrize(
    ("extent", "flags"),
    [(Extent(), ""), (Extent(switch=True), " --switch"), (Extent(switch=True, image=True, secrets=True), " --all")],
)
async def test_the_box_says_to_type_the_same_again_once(extent: Extent, flags: str) -> None:
    world = world_of()
    refusal = HostRefused(id="VMFilesLocked", message="in use", function="Remove-TalosVM")
    world.host.fail("remove_vm", refusal, forever=True)
    await world.session().down(extent)
    boxes = world.told(FaultMet)
    assert {box.id for box in boxes} == {"P-VM-STUCK"}
    for box in boxes:
        assert box.go_on == (f"provision down home{flags}",)
        assert not set(box.go_on) & set(box.then)


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
    result = await world.session().down(Extent())
    assert result.fault is not None
    assert result.fault.id == fault
