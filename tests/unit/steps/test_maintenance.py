"""Finding a machine: what is blamed when it does not come up, and only what is so now."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from provisioner.errors import Dropped, Fault, Unreachable
from provisioner.model.cluster import LabSpec
from provisioner.model.events import Note
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import AwaitDisk, BootstrapEtcd, FindMachine
from provisioner.steps import access, bootstrap, config, install, maintenance
from provisioner.steps.run_context import Run
from tests.fakes.machines import Box
from tests.fakes.script import Call
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import HOST, cluster_of, machine_of, observed_of

CLUSTER = cluster_of({})
CP, WORKER = "home-cp-1", "home-worker-1"
MAC = CLUSTER.machine(WORKER).mac
THERE = "192.168.1.161"
FIND = Action(
    step=StepId.MAINTENANCE, verb=Verb.WAIT, object=WORKER, work=FindMachine(), machine=WORKER, host="hv01", why=""
)
RETURN = replace(FIND, step=StepId.INSTALL, work=AwaitDisk())


def at_work(*, heartbeat: str = "OkApplicationsUnknown", iso: bool = True) -> tuple[FakeWorld, Run]:
    """The worker's VM runs, and no machine of ours answers."""
    seen = observed_of({"all": "up", "machines": {WORKER: None}, "etcd": None, "nodes": None}, CLUSTER)
    world = FakeWorld(CLUSTER, seen)
    vm = world.host.vm(WORKER)
    drives = tuple(replace(d, path="C:\\talos.iso" if iso else "") if d.kind == "dvd" else d for d in vm.drives)
    world.host.vms[vm.id] = replace(vm, heartbeat=heartbeat, drives=drives)
    return world, world.run()


def stranger_appears(world: FakeWorld) -> None:
    """Somebody else's machine in maintenance, with our MAC address."""
    facts = machine_of({"mode": "maintenance", "stage": "maintenance"}, WORKER, CLUSTER)
    facts = replace(facts, address=THERE, uuid="5a6b7c8d-0000-4000-8000-000000000002")
    world.machines.boxes[THERE] = Box(facts=facts)
    world.host.knows(MAC, THERE)


async def fault_of(run: Run, action: Action = FIND) -> Fault:
    apply = maintenance.apply if action.step is StepId.MAINTENANCE else install.apply
    with pytest.raises(Fault) as caught:
        await apply(action, run)
    return caught.value


async def test_a_stranger_where_ours_should_be_is_named_when_ours_runs() -> None:
    world, run = at_work()
    stranger_appears(world)
    fault = await fault_of(run)
    assert fault.id == "P-BOOT-FOREIGN"
    assert world.machines.made("apply") == []


async def test_a_stranger_is_not_blamed_for_a_vm_in_which_nothing_runs() -> None:
    world, run = at_work(heartbeat="NoContact")
    stranger_appears(world)
    fault = await fault_of(run)
    assert fault.id == "P-BOOT-NOMAINT"
    assert any(THERE in line for line in fault.seen), "it is told, all the same"


async def test_a_stranger_that_left_decides_nothing() -> None:
    world, run = at_work()
    stranger_appears(world)
    world.machines.fail("read", Dropped("gone"), forever=True, address=THERE)
    assert (await fault_of(run)).id == "P-BOOT-NOMAINT"


async def test_a_vm_with_nothing_to_boot_from_says_so() -> None:
    _, run = at_work(heartbeat="NoContact", iso=False)
    fault = await fault_of(run)
    assert "no ISO in its drive" in fault.probable_cause
    assert not any("rebuild" in line for line in fault.next_steps)


@pytest.mark.parametrize("action", [FIND, RETURN])
async def test_a_lost_host_is_blamed_before_the_machine(action: Action) -> None:
    world, run = at_work()
    for call in ("find_vms", "watch_neighbors"):
        world.host.fail(call, Unreachable("no route"), forever=True)
    fault = await fault_of(run, action)
    assert (fault.id, fault.seen) == ("P-HOST-LOST", ("no route",))


@pytest.mark.parametrize("action", [FIND, RETURN])
async def test_a_vm_that_was_stopped_meanwhile_is_told_as_that(action: Action) -> None:
    world, run = at_work()
    vm = world.host.vm(WORKER)
    world.host.vms[vm.id] = replace(vm, state="Off")
    fault = await fault_of(run, action)
    assert (fault.id, "Off" in fault.message) == ("P-VM-STUCK", True)


@pytest.mark.parametrize("action", [FIND, RETURN])
async def test_a_vm_that_was_removed_meanwhile_is_told_as_that(action: Action) -> None:
    world, run = at_work()
    del world.host.vms[world.host.vm(WORKER).id]
    fault = await fault_of(run, action)
    assert (fault.id, fault.message) == ("P-VM-STUCK", f"{WORKER} does not run: its VM is gone")
    assert fault.seen == (f"its VM is not on {HOST} any more", "it ran when this step began")


async def test_a_machine_that_fell_back_to_maintenance_is_told_at_once() -> None:
    """Nothing changes by waiting: its config is lost, as can be seen in the first minutes."""
    world, run = at_work()
    facts = replace(machine_of({"mode": "maintenance", "stage": "maintenance"}, WORKER, CLUSTER), address=THERE)
    world.machines.boxes[THERE] = Box(facts=facts)
    run.of(WORKER).address = THERE
    fault = await fault_of(run, RETURN)
    assert fault.id == "P-INSTALL-STUCK"
    assert "back to maintenance" in fault.probable_cause
    assert world.clock.now() < 400, "not after the whole bound of 20 minutes"


@pytest.mark.parametrize(
    ("step", "call"),
    [(bootstrap, "etcd_members"), (access, "read"), (config, "read")],
)
async def test_no_step_blames_a_machine_whose_host_is_gone(step: ModuleType, call: str) -> None:
    seen = observed_of({"all": "up", "etcd": None}, CLUSTER)
    world = FakeWorld(CLUSTER, seen)
    run = world.run()
    run.of(CP).facts = replace(run.facts_of(CP), mode="maintenance", stage="maintenance")
    world.machines.fail(call, Unreachable("silent"), forever=True)
    world.host.fail("find_vms", Unreachable("no route"), forever=True)
    action = replace(FIND, object=CP, machine=CP, step=StepId.ACCESS, work=BootstrapEtcd())
    with pytest.raises(Fault) as caught:
        await step.apply(action, run)
    assert caught.value.id == "P-HOST-LOST"


# --- a machine that booted the ISO although Talos is on its disk ----------------------------------------------------------

HINT = {"machines": {WORKER: {"address": THERE, "installed": True, "vm": f"id-{WORKER}"}}}


def halted(*, iso: str = "C:\\talos.iso", hint: dict[str, Any] | None = None) -> tuple[FakeWorld, Run]:
    """The worker was installed by an earlier run, and answers nobody until it is started without the ISO."""
    given = {"all": "up", "vms": [{"name": WORKER, "iso": iso}], "machines": {WORKER: None}}
    world = FakeWorld(CLUSTER, observed_of(given, CLUSTER), notes=HINT if hint is None else hint)
    secure = replace(machine_of({}, WORKER, CLUSTER), address=THERE)

    def boots(_call: Call) -> None:
        if not world.host.vm(WORKER).iso:
            world.machines.boxes[THERE] = Box(facts=secure, etcd="")

    world.host.power = lambda _vm: None  # what is in it boots as said here
    world.host.before("start_vm", boots)
    world.host.knows(MAC, THERE)
    return world, world.run()


async def test_a_halted_machine_is_started_from_its_disk_without_the_iso() -> None:
    world, run = halted()
    assert "runs with our config" in await maintenance.apply(FIND, run)
    done = [c.name for c in world.host.calls if c.name in ("dismount_iso", "stop_vm", "start_vm")]
    assert done == ["dismount_iso", "stop_vm", "start_vm"]
    assert world.clock.now() > maintenance.HALTED_AFTER_S, "it was given time to answer"
    assert any("booted the ISO again" in note.message for note in world.told(Note))


@pytest.mark.parametrize(
    "given",
    [
        {"iso": ""},
        {"hint": {}},
        {"hint": {"machines": {WORKER: {"address": THERE, "installed": True, "vm": "of-another-vm"}}}},
        {"hint": {"machines": {WORKER: {"address": THERE, "installed": False, "vm": f"id-{WORKER}"}}}},
    ],
    ids=["no ISO", "no hint", "of another VM", "not installed"],
)
async def test_no_other_machine_is_restarted(given: dict[str, Any]) -> None:
    world, run = halted(**given)
    await fault_of(run)
    assert world.host.made("stop_vm") == []


async def test_it_is_restarted_once_and_then_told_as_halted() -> None:
    world, run = halted()
    world.host.stuck_drives = True
    fault = await fault_of(run)
    assert fault.id == "P-BOOT-HALTED"
    assert len(world.host.made("stop_vm")) == 1


async def test_a_worker_that_waits_for_its_control_plane_is_not_cut_off() -> None:
    """After a restart of the host its API opens only when etcd runs: until then silence says nothing."""
    world, run = halted()
    run.etcd_runs = False
    await fault_of(run)
    assert world.host.made("stop_vm") == []


@pytest.mark.parametrize("lab", [False, True])
async def test_a_stranger_of_the_lab_is_told_as_part_of_it(lab: bool) -> None:
    """Who tries the lab need not be afraid of the machine that it has for exactly that."""
    world, run = at_work(heartbeat="NoContact")
    if lab:
        hosts = {name: replace(host, lab=LabSpec()) for name, host in run.cluster.hosts.items()}
        run.cluster = replace(run.cluster, hosts=hosts)
    stranger_appears(world)
    seen = " ".join((await fault_of(run)).seen)
    assert ("another machine answers, which is part of the lab" in seen) == lab
    assert ("another machine answers: " in seen) != lab
