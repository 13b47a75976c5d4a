"""The wait for an installed machine: what counts is that machine alone, wherever it is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioner.errors import Fault
from provisioner.model.facts import MachineFacts
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import AwaitDisk
from provisioner.steps import install
from provisioner.steps.run_context import Run
from tests.fakes.machines import HALT, Box
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import HOST, cluster_of, machine_of, observed_of

CP = "home-cp-1"
CLUSTER = cluster_of({"workers": 0})
OURS, STRANGERS = "4c4c4544-0051-3610-8043-b4c04f4a5131", "deadbeef-0051-3610-8043-b4c04f4a5131"


def waiting(*answers: MachineFacts) -> tuple[FakeWorld, Run]:
    """The machine was at .101 when it took its config; these are the machines that answer now. The host knows no neighbour."""
    seen = observed_of({"all": "up", "vms": [{"name": CP, "bios_uuid": OURS}], "machines": {CP: None}}, CLUSTER)
    world = FakeWorld(CLUSTER, seen)
    world.machines.boxes |= {facts.address: Box(facts=facts) for facts in answers}
    run = world.run()
    run.of(CP).address = "192.168.1.101"
    return world, run


def at(address: str, **values: Any) -> MachineFacts:
    return machine_of({"address": address, "uuid": OURS} | values, CP, CLUSTER)


def action(*, running: bool = False) -> Action:
    return Action(
        step=StepId.INSTALL, verb=Verb.WAIT, object=CP, machine=CP, host=HOST, work=AwaitDisk(running=running), why=""
    )


@pytest.mark.parametrize(("uuid", "likely"), [(OURS, "went back to maintenance"), (STRANGERS, "")])
async def test_only_our_own_machine_can_be_back_in_maintenance(uuid: str, likely: str) -> None:
    """A stranger that took over the address is no sign of how the installation went."""
    world, run = waiting(at("192.168.1.101", uuid=uuid, stage="maintenance", mode="maintenance"))
    with pytest.raises(Fault) as caught:
        await install.apply(action(), run)
    await run.finders[HOST].close()
    assert caught.value.id == "P-INSTALL-STUCK"
    assert likely in caught.value.probable_cause
    assert bool(caught.value.probable_cause) == bool(likely)
    assert world.pictures == [CP]


async def test_a_machine_that_a_patch_gave_the_address_of_the_file_is_found_there() -> None:
    machines = tuple(replace(m, address="192.168.1.41") for m in CLUSTER.machines)
    _, run = waiting(at("192.168.1.41"))
    run.cluster = replace(CLUSTER, machines=machines)
    assert "at 192.168.1.41" in await install.apply(action(), run)
    assert run.of(CP).address == "192.168.1.41"


async def test_after_a_restart_it_must_run_not_only_answer() -> None:
    _, run = waiting(at("192.168.1.101", stage="booting"))
    with pytest.raises(Fault, match="did not come back"):
        await install.apply(action(running=True), run)
    await run.finders[HOST].close()
    assert "runs from /dev/sda" in await install.apply(action(), run)


async def test_a_machine_under_another_authority_is_not_ours_and_stays_as_it_is() -> None:
    """Secrets that were restored from another cluster's backup look like this: nothing is sent, and nothing removed."""
    world, run = waiting(at("192.168.1.101"))
    world.machines.boxes["192.168.1.101"].authority = "another"
    with pytest.raises(Fault) as caught:
        await install.apply(action(), run)
    await run.finders[HOST].close()
    assert caught.value.id == "P-INSTALL-NOTOURS"
    assert "restore the right secrets" in caught.value.next_steps[0]
    assert not world.machines.made("apply")


async def test_another_machine_of_the_same_cluster_is_not_this_one() -> None:
    """It answers under our authority at the address where this one was: the lease has moved."""
    world, run = waiting(at("192.168.1.101", uuid=STRANGERS), at("192.168.1.102"))
    world.host.knows(CLUSTER.machine(CP).mac, "192.168.1.102")
    assert "at 192.168.1.102" in await install.apply(action(), run)
    assert run.of(CP).address == "192.168.1.102"


async def test_a_machine_that_still_runs_from_the_iso_is_not_installed() -> None:
    _, run = waiting(at("192.168.1.101", cmdline=HALT))
    with pytest.raises(Fault) as caught:
        await install.apply(action(), run)
    await run.finders[HOST].close()
    assert any("not from its disk" in line for line in caught.value.seen)


async def test_another_machine_of_the_same_cluster_is_not_taken_for_it() -> None:
    """It answers under our own authority, from its disk, at the address where ours was."""
    _, run = waiting(at("192.168.1.101", uuid=STRANGERS))
    with pytest.raises(Fault) as caught:
        await install.apply(action(), run)
    await run.finders[HOST].close()
    assert caught.value.id == "P-INSTALL-STUCK"
