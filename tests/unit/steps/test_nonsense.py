"""A stranger that answers nonsense at an address of ours is a reason to look again: never the end of a run, and no sign of our machine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provisioner.errors import Fault, Malformed, NotTrusted
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import AwaitDisk
from provisioner.steps import config, install, maintenance
from provisioner.steps.discovery import MACS_SHOWN, identity_problem
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import HOST, cluster_of, machine_of, observed_of, vm_of

CP = "home-cp-1"
CLUSTER = cluster_of({"workers": 0})
NONSENSE = Malformed('MachineStatuses with "stage: [" where YAML is due', expected="Talos")
STRANGER = "192.168.1.61"


def action(step: StepId) -> Action:
    return Action(step=step, verb=Verb.WAIT, object=CP, machine=CP, host=HOST, work=AwaitDisk(), why="")


def begun(stage: str = "maintenance") -> FakeWorld:
    seen = observed_of({"all": "up", "machines": {CP: None}}, CLUSTER)
    return FakeWorld(CLUSTER, replace(seen, machines={CP: machine_of({"mode": stage, "stage": stage}, CP, CLUSTER)}))


async def test_the_machine_is_found_beside_a_stranger_with_its_mac() -> None:
    world = begun()
    world.machines.fail("read", NONSENSE, address=STRANGER, forever=True)
    run = world.run()
    machine = CLUSTER.machine(CP)
    finder = run.finder_of(machine)
    finder.rows[machine.mac] = {
        run.address_of(CP): None,
        STRANGER: None,
    }  # the stranger's row is the newer one: it is asked first
    try:
        assert "maintenance at" in await maintenance.apply(action(StepId.MAINTENANCE), run)
    finally:
        await finder.close()
    assert any(call["address"] == STRANGER for call in world.machines.made("read"))


async def test_where_only_the_stranger_answers_its_nonsense_is_what_was_seen() -> None:
    world = begun()
    world.machines.boxes.clear()
    world.machines.fail("read", NONSENSE, forever=True)
    run = world.run()
    finder = run.finder_of(CLUSTER.machine(CP))
    finder.rows[CLUSTER.machine(CP).mac] = {STRANGER: None}
    with pytest.raises(Fault) as caught:
        await maintenance.apply(action(StepId.MAINTENANCE), run)
    await finder.close()
    assert caught.value.id == "P-BOOT-NOMAINT"
    assert any("answers, but not as Talos" in line for line in caught.value.seen)


async def test_nonsense_is_no_other_authority() -> None:
    """P-INSTALL-NOTOURS would send the user after secrets that are right."""
    world = begun("secure")
    world.machines.fail("read", *[NotTrusted("self-signed"), NONSENSE] * 10_000)
    with pytest.raises(Fault) as caught:
        await install.apply(action(StepId.INSTALL), world.run())
    assert caught.value.id == "P-INSTALL-STUCK"
    assert "answers, but not as Talos" in caught.value.seen[0]


async def test_a_config_whose_answer_cannot_be_read_was_sent_perhaps() -> None:
    world = begun()
    world.machines.fail("apply", NONSENSE, dry_run=False, done=True)
    assert "taken" in await config.apply(action(StepId.CONFIG), world.run())
    assert len([call for call in world.machines.made("apply") if not call["dry_run"]]) == 1


def test_of_the_macs_of_a_stranger_a_few_are_shown() -> None:
    macs = tuple(f"02155D{number:06X}" for number in range(2_000))
    finder = begun().run().finder_of(CLUSTER.machine(CP))
    facts = machine_of({"macs": macs}, CP, CLUSTER)
    problem = identity_problem(CLUSTER.machine(CP), vm_of({"name": CP}, CLUSTER), facts, finder)
    assert len(problem) < 300
    assert f"and {2_000 - MACS_SHOWN} more" in problem
