"""The ISO goes out once the machine runs from its disk, and an empty drive is read back."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.errors import Dropped, Fault
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import EjectIso
from provisioner.steps import eject
from provisioner.steps.run_context import Run
from tests.fakes.machines import HALT
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import cluster_of, observed_of

CP = "home-cp-1"
CLUSTER = cluster_of({"workers": 0})
EJECT = Action(step=StepId.EJECT, verb=Verb.EJECT, object=CP, work=EjectIso(), machine=CP, host="hv01", why="")


def at_work(**machine: Any) -> tuple[FakeWorld, Run]:
    """The machine is up, its ISO in the drive."""
    given = {"all": "up", "vms": [{"name": CP, "iso": "C:\\talos.iso"}], "machines": {CP: machine}}
    world = FakeWorld(CLUSTER, observed_of(given, CLUSTER))
    return world, world.run()


async def test_the_drive_is_read_back_empty() -> None:
    world, run = at_work()
    assert "read back empty" in await eject.apply(EJECT, run)
    assert run.vm_of(CP).iso == world.host.vm(CP).iso == ""


async def test_a_drive_that_keeps_its_iso_is_no_success() -> None:
    world, run = at_work()
    world.host.stuck_drives = True
    with pytest.raises(Fault) as caught:
        await eject.apply(EJECT, run)
    assert caught.value.id == "P-HOST-LOST"
    assert "C:\\talos.iso" in caught.value.seen[0]


@pytest.mark.parametrize("machine", [{"system_disk": ""}, {"cmdline": HALT}], ids=["no disk", "from the ISO"])
async def test_the_iso_stays_while_the_machine_is_not_proven_to_run_from_its_disk(machine: dict[str, Any]) -> None:
    world, run = at_work(**machine)
    with pytest.raises(Fault, match="not proven"):
        await eject.apply(EJECT, run)
    assert world.host.made("dismount_iso") == []


async def test_a_lost_answer_is_asked_for_again() -> None:
    world, run = at_work()
    world.host.fail("dismount_iso", Dropped("reset"), done=True)
    assert "read back empty" in await eject.apply(EJECT, run)
