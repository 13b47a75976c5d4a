"""The step of the VMs at work: made whole, set right in place, and no node stopped but by asking it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioner.errors import Dropped, Fault, HostRefused, Unreachable
from provisioner.model.events import Note
from provisioner.model.facts import VmFacts
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.ports import VmChange, VmRequest
from provisioner.steps import vm
from provisioner.steps.run_context import Run
from provisioner.steps.vm_policy import differences
from provisioner.workflows.up import plan_up
from tests.fakes.script import Call
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import GIB, cluster_of, observed_of

CP, WORKER = "home-cp-1", "home-worker-1"
CLUSTER = cluster_of({})


def world_of(given: dict[str, Any] | None = None, *, cluster: Any = CLUSTER) -> tuple[FakeWorld, Run]:
    world = FakeWorld(cluster, observed_of({"all": "up"} | (given or {}), cluster))
    return world, world.run()


def planned(world: FakeWorld, machine: str) -> Action:
    """What `up` would do with the machine's VM."""
    plan = plan_up(world.cluster, world.seen)
    return next(action for action in plan.of(StepId.VM) if action.machine == machine)


async def done(world: FakeWorld, run: Run, machine: str) -> VmFacts:
    """Its VM after `up` did it."""
    action = planned(world, machine)
    assert action.verb in (Verb.CHANGE, Verb.START, Verb.CREATE), action.why
    await vm.apply(action, run)
    return run.vm_of(machine)


def order_of(world: FakeWorld) -> list[str]:
    return [call.name for call in world.host.calls if call.name in ("start_vm", "stop_vm", "set_vm", "new_vm")]


# --- a restart ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "drift",
    [
        {"memory_mib": 2048},
        {"cpus": 1},
        {"dynamic_memory": True},
        {"secure_boot": True},
        {"mac": "00155D000009"},
        {"static_mac": False},
        {"boot_order": ("network", "disk", "dvd")},
    ],
    ids=lambda drift: next(iter(drift)),
)
async def test_a_node_is_asked_to_shut_down_and_never_cut(drift: dict[str, Any]) -> None:
    world, run = world_of({"vms": [{"name": WORKER} | drift]})
    assert "stops the node" in planned(world, WORKER).warning
    after = await done(world, run, WORKER)
    assert [call["turn_off"] for call in world.host.made("stop_vm")] == [False]
    assert order_of(world) == ["stop_vm", "set_vm", "start_vm"]
    assert differences(CLUSTER, CLUSTER.machine(WORKER), after) == ()
    assert after.state == "Running"


@pytest.mark.parametrize(
    "drift",
    [
        {"vlan": 7},
        {"switch": "Renamed"},
        {"switch": ""},
        {"start_action": "Nothing"},
        {"stop_action": "Save"},
        {"checkpoint_type": "Production"},
        {"automatic_checkpoints": True},
        {"start_delay_s": 0},
        {"disk_gib": 10},
        {"complete": False, "notes": "mine"},
    ],
    ids=lambda drift: next(iter(drift)),
)
async def test_what_can_be_changed_under_a_node_stops_none(drift: dict[str, Any]) -> None:
    world, run = world_of({"vms": [{"name": WORKER} | drift]})
    assert planned(world, WORKER).warning == ""
    after = await done(world, run, WORKER)
    assert world.host.made("stop_vm") == []
    assert differences(CLUSTER, CLUSTER.machine(WORKER), after) == ()


async def test_the_users_words_stay_above_the_mark() -> None:
    world, run = world_of({"vms": [{"name": WORKER, "complete": False, "notes": "mine"}]})
    after = await done(world, run, WORKER)
    assert after.notes == f"mine\nprovision/1 cluster=c0ffee machine={WORKER}"


@pytest.mark.parametrize("state", ["Paused", "Saved"])
async def test_a_guest_that_stands_still_is_brought_up_before_it_is_asked(state: str) -> None:
    world, run = world_of({"vms": [{"name": WORKER, "memory_mib": 2048, "state": state}]})
    await done(world, run, WORKER)
    assert order_of(world) == ["start_vm", "stop_vm", "set_vm", "start_vm"]


async def test_a_host_that_keeps_the_stop_action_of_a_running_vm_is_told_and_the_rest_is_done() -> None:
    world, run = world_of({"vms": [{"name": WORKER, "stop_action": "Save", "vlan": 7}]})
    refusal = HostRefused(id="VMMustBeOff", message="no", target="FixActions", function="Set-TalosVM")
    world.host.fail("set_vm", refusal)
    after = await done(world, run, WORKER)
    assert (after.vlan, after.stop_action) == (None, "Save")
    assert any("stop action" in note.message for note in world.told(Note))


async def test_any_other_refusal_of_a_change_is_told_as_one() -> None:
    world, run = world_of({"vms": [{"name": WORKER, "vlan": 7}]})
    world.host.fail("set_vm", HostRefused(id="VMMustBeOff", message="no", target="Cpus", function="Set-TalosVM"))
    with pytest.raises(Fault) as caught:
        await vm.apply(planned(world, WORKER), run)
    assert caught.value.id == "P-VM-DRIFT"


async def test_a_change_that_the_host_forgets_is_told_with_the_node_up_again() -> None:
    """Else every run would find it, and stop the node for it."""
    world, run = world_of({"vms": [{"name": WORKER, "secure_boot": True}]})

    async def forgets(change: VmChange) -> VmFacts:
        return world.host.vms[change.id]

    host: Any = world.host
    host.set_vm = forgets
    with pytest.raises(Fault) as caught:
        await vm.apply(planned(world, WORKER), run)
    assert caught.value.id == "P-VM-STUCK"
    assert "Secure Boot on -> off" in caught.value.seen
    assert world.host.vm(WORKER).state == "Running"


# --- states -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["Paused", "Saved", "Off"])
async def test_a_vm_that_stands_still_goes_on(state: str) -> None:
    world, run = world_of({"vms": [{"name": WORKER, "state": state}], "machines": {WORKER: None}})
    assert (await done(world, run, WORKER)).state == "Running"
    assert order_of(world) == ["start_vm"]


async def test_a_vm_between_two_states_is_waited_for() -> None:
    world, run = world_of({"vms": [{"name": WORKER, "state": "Stopping"}], "machines": {WORKER: None}})

    def settles(_call: Call) -> None:
        if len(world.host.made("start_vm")) == 3:
            world.host.vms[f"id-{WORKER}"] = replace(world.host.vm(WORKER), state="Off")

    world.host.before("start_vm", settles)
    assert (await done(world, run, WORKER)).state == "Running"


async def test_one_that_never_leaves_its_state_is_told_as_that() -> None:
    world, run = world_of({"vms": [{"name": WORKER, "state": "Stopping"}], "machines": {WORKER: None}})
    with pytest.raises(Fault) as caught:
        await vm.apply(planned(world, WORKER), run)
    assert caught.value.id == "P-VM-STUCK"


async def test_a_host_that_is_away_is_waited_for_and_blamed_in_the_end() -> None:
    world, run = world_of({"vms": [{"name": WORKER, "state": "Off"}], "machines": {WORKER: None}})
    world.host.fail("start_vm", Dropped("reset"), Unreachable("no route"))
    assert (await done(world, run, WORKER)).state == "Running"
    world.host.fail("start_vm", Unreachable("no route"), forever=True)
    with pytest.raises(Fault) as caught:
        await vm.apply(planned(world, WORKER), run)
    assert caught.value.id == "P-HOST-LOST"


# --- a new VM -----------------------------------------------------------------------------------------------------------

NOTHING: dict[str, Any] = {
    "vms": [{"name": CP, "gone": True}, {"name": WORKER, "gone": True}],
    "folders": [{"machine": CP, "gone": True}, {"machine": WORKER, "gone": True}],
    "machines": {CP: None, WORKER: None},
    "etcd": None,
    "nodes": None,
}


@pytest.mark.parametrize(("machine", "delay"), [(CP, 0), (WORKER, 20)])
async def test_control_planes_start_before_workers_after_a_restart_of_the_host(machine: str, delay: int) -> None:
    world, run = world_of(NOTHING)
    made = await done(world, run, machine)
    (call,) = world.host.made("new_vm")
    request: VmRequest = call["request"]
    assert (request.start_delay_s, made.start_delay_s) == (delay, delay)
    assert made.state == "Running"


@pytest.mark.parametrize(
    "wrong",
    [
        {"secure_boot": True},
        {"dynamic_memory": True},
        {"mac": "00155D000001"},
        {"static_mac": False},
        {"boot_order": ("dvd", "disk", "network")},
        {"switch": "Default Switch"},
        {"stop_action": "Save"},
        {"complete": False},
        {"state": "Off"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
async def test_a_made_vm_that_reads_back_otherwise_is_not_gone_on_with(wrong: dict[str, Any]) -> None:
    world, run = world_of(NOTHING)
    made = world.host.new_vm

    async def other(request: VmRequest) -> VmFacts:
        return replace(await made(request), **wrong)

    host: Any = world.host
    host.new_vm = other
    with pytest.raises(Fault) as caught:
        await vm.apply(planned(world, CP), run)
    assert caught.value.id == "P-VM-STUCK"


async def test_a_smaller_disk_that_is_attached_again_grows_to_what_the_file_says() -> None:
    left = {"folders": [{"machine": CP, "disk_gib": 3}, {"machine": WORKER, "gone": True}]}
    world, run = world_of(NOTHING | left)
    made = world.host.new_vm

    async def attached(request: VmRequest) -> VmFacts:
        facts = await made(request)
        drives = tuple(replace(d, size_bytes=10 * GIB) if d.kind == "disk" else d for d in facts.drives)
        world.host.vms[facts.id] = replace(facts, drives=drives)
        return world.host.vms[facts.id]

    host: Any = world.host
    host.new_vm = attached
    after = await done(world, run, CP)
    assert [drive.size_bytes for drive in after.drives if drive.kind == "disk"] == [20 * GIB]


def test_each_thing_that_a_vm_must_be_is_seen_when_it_is_not() -> None:
    """The one list: what is set by New-TalosVM is compared afterwards, too."""
    machine = CLUSTER.machine(WORKER)
    good = next(one for one in observed_of({"all": "up"}, CLUSTER).hosts["hv01"].vms if one.name == WORKER)
    assert differences(CLUSTER, machine, good) == ()
    wrong: dict[str, Any] = {
        "cpus": 1,
        "memory_mib": 1,
        "dynamic_memory": True,
        "mac": "00155D000001",
        "static_mac": False,
        "switch": "other",
        "vlan": 7,
        "boot_order": ("dvd", "disk"),
        "secure_boot": True,
        "automatic_checkpoints": True,
        "checkpoint_type": "Standard",
        "start_action": "Nothing",
        "stop_action": "TurnOff",
        "start_delay_s": 1,
        "complete": False,
    }
    for name, value in wrong.items():
        found = differences(CLUSTER, machine, replace(good, **{name: value}))
        assert len(found) == 1, name
        assert found[0].change, name


def test_letters_case_of_a_switch_is_no_difference() -> None:
    machine = CLUSTER.machine(WORKER)
    good = next(one for one in observed_of({"all": "up"}, CLUSTER).hosts["hv01"].vms if one.name == WORKER)
    assert differences(CLUSTER, machine, replace(good, switch="lab")) == ()
