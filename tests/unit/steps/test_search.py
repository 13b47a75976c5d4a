"""The search for a machine: from a VM that runs to a machine that is proven to be it: strangers get nothing, and a machine that has halted is started anew."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.errors import Fault
from provisioner.model.events import Note
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import FindMachine
from provisioner.steps import maintenance
from tests.fakes.machines import HALT, Box
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import ISO, cluster_of, machine_of, observed_of, uuid_of

CP = "home-cp-1"
CLUSTER = cluster_of({"workers": 0})
MAC = CLUSTER.machine(CP).mac
ACTION = Action(
    step=StepId.MAINTENANCE, verb=Verb.WAIT, object=CP, machine=CP, host="hv01", work=FindMachine(), why="it boots"
)


def waiting(*answers: dict[str, Any], iso: str = ISO, installed: bool = False) -> FakeWorld:
    """The VM of the control plane runs; these machines answer in its network, and the host's table knows them by its MAC."""
    seen = observed_of({"all": "up", "etcd": None, "vms": [{"name": CP, "iso": iso}], "machines": {CP: None}}, CLUSTER)
    hint = {"address": "192.168.1.101", "installed": installed, "vm": f"id-{CP}"}
    world = FakeWorld(CLUSTER, seen, notes={"machines": {CP: hint}})
    for values in answers:
        facts = machine_of({"mode": "maintenance", "stage": "maintenance", "cmdline": HALT} | values, CP, CLUSTER)
        world.machines.boxes[facts.address] = Box(facts=facts)
    world.host.knows(MAC, *world.machines.boxes)
    return world


async def found(world: FakeWorld) -> str:
    run = world.run(actions=[ACTION])
    try:
        return await maintenance.apply(ACTION, run)
    finally:
        await run.finders["hv01"].close()


async def failed(world: FakeWorld) -> Fault:
    with pytest.raises(Fault) as caught:
        await found(world)
    assert not world.machines.made("apply"), "no config goes to a machine that is not proven"
    return caught.value


async def test_a_machine_of_this_mac_and_uuid_where_the_host_sees_it_is_ours() -> None:
    world = waiting({})
    assert "maintenance at 192.168.1.101" in await found(world)
    assert world.store.notes["machines"][CP]["address"] == "192.168.1.101"
    assert not world.host.made("stop_vm")


@pytest.mark.parametrize("other", [{"uuid": uuid_of("somebody else")}, {"macs": ("0A0B0C0D0E0F",)}, {"macs": ()}])
async def test_a_machine_that_is_not_proven_is_foreign(other: dict[str, Any]) -> None:
    fault = await failed(waiting(other))
    assert fault.id == "P-BOOT-FOREIGN"
    assert fault.machine == CP
    assert fault.picture == f"{CP}.png"


async def test_ours_is_found_beside_a_stranger_of_the_same_mac() -> None:
    world = waiting({"address": "192.168.1.60", "uuid": uuid_of("somebody else")}, {"address": "192.168.1.61"})
    assert "192.168.1.61" in await found(world)


async def test_a_machine_that_nobody_hears_of_has_not_come_up() -> None:
    fault = await failed(waiting())
    assert fault.id == "P-BOOT-NOMAINT"
    assert any("heartbeat" in line for line in fault.seen), "what the host knows of the VM"
    assert fault.picture == f"{CP}.png"


async def test_a_machine_of_another_cluster_is_told_as_that() -> None:
    world = waiting({"mode": "secure", "stage": "running"})
    world.machines.boxes["192.168.1.101"].authority = "another"
    fault = await failed(world)
    assert any("another cluster" in line for line in fault.seen)


async def test_one_that_runs_with_our_config_already_is_as_good() -> None:
    world = waiting({"mode": "secure", "stage": "running"})
    assert "runs with our config" in await found(world)


async def test_another_machine_of_our_own_cluster_is_not_the_one() -> None:
    """It has the address by now, under our own authority."""
    fault = await failed(waiting({"mode": "secure", "stage": "running", "uuid": uuid_of("another of ours")}))
    assert fault.id == "P-BOOT-FOREIGN"


# --- a machine that has halted ----------------------------------------------------------------------------------------


async def test_a_machine_that_booted_the_iso_again_is_started_from_its_disk() -> None:
    """Talos on the disk and the ISO in the drive: it halts, and nothing would ever listen."""
    world = waiting(installed=True)
    facts = machine_of({}, CP, CLUSTER)
    world.host.before("start_vm", lambda _call: world.machines.boxes.setdefault(facts.address, Box(facts=facts)))
    world.host.before("start_vm", lambda _call: world.host.knows(MAC, facts.address))
    assert "runs with our config" in await found(world)
    done = [call.name for call in world.host.calls if call.name in ("dismount_iso", "stop_vm", "start_vm")]
    assert done == ["dismount_iso", "stop_vm", "start_vm"], "once, and the ISO goes first"
    assert world.host.made("stop_vm")[0]["turn_off"], "a halted guest shuts nothing down"
    assert world.host.vm(CP).iso == ""
    assert any("booted the ISO again" in note.message for note in world.told(Note))


@pytest.mark.parametrize(
    ("installed", "iso"), [(False, ISO), (True, "")], ids=["never installed", "no ISO in the drive"]
)
async def test_no_other_machine_is_restarted(installed: bool, iso: str) -> None:
    world = waiting(installed=installed, iso=iso)
    await failed(world)
    assert not world.host.made("stop_vm")


async def test_one_that_halts_whatever_is_done_is_told_as_halted() -> None:
    world = waiting(installed=True)
    world.host.stuck_drives = True
    world.host.power = lambda _vm: None  # it boots the ISO again, and halts again
    fault = await failed(world)
    assert fault.id == "P-BOOT-HALTED"
    assert "halts" in fault.probable_cause
    assert len(world.host.made("stop_vm")) == 1, "tried once"
