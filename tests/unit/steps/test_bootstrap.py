"""Bootstrap: once in the life of a cluster, whatever became of the machine that it was sent to."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.errors import Dropped, Fault, NotTrusted, TalosRefused
from provisioner.model.facts import EtcdMemberFacts, UnmetFacts
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import BootstrapEtcd
from provisioner.steps import bootstrap
from provisioner.steps.run_context import Run
from tests.fakes.machines import Box
from tests.fakes.script import Call
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import cluster_of, machine_of, observed_of

FIRST, SECOND = "home-cp-1", "home-cp-2"
CLUSTER = cluster_of({"control_planes": 3, "workers": 0})


def remade(
    etcd: str = "Preparing", *, known: bool = True, notes: dict[str, Any] | None = None
) -> tuple[FakeWorld, Run]:
    """The first control plane was lost and made anew in this run; the others are from earlier, with that state of etcd."""
    gone = {FIRST: None} | ({} if known else {SECOND: None})
    seen = observed_of({"all": "up", "vms": [{"name": FIRST, "gone": True}], "machines": gone}, CLUSTER)
    world = FakeWorld(CLUSTER, seen, notes=notes)
    for box in world.machines.boxes.values():
        box.etcd, box.members = etcd, None
    facts = machine_of({}, FIRST, CLUSTER)
    world.machines.boxes[facts.address] = Box(facts=facts)
    run = world.run()
    run.learn(FIRST, facts)
    return world, run


def bootstrapped(world: FakeWorld) -> list[str]:
    return [call["address"] for call in world.machines.made("bootstrap")]


ACTION = Action(step=StepId.BOOTSTRAP, verb=Verb.ONCE, object="etcd", work=BootstrapEtcd(), machine=FIRST, why="on it")


@pytest.mark.parametrize("state", ["Running", "Failed", "Starting"])
async def test_a_control_plane_made_anew_never_begins_a_second_etcd(state: str) -> None:
    world, run = remade(state)
    with pytest.raises(Fault) as caught:
        await bootstrap.apply(ACTION, run)
    assert caught.value.id == "P-ETCD-STUCK"
    assert any(SECOND in line for line in caught.value.seen)
    assert bootstrapped(world) == []


async def test_it_joins_the_others_instead() -> None:
    world, run = remade("Running")

    def joins(_call: Call) -> None:
        world.machines.named(FIRST).members = (EtcdMemberFacts(hostname=FIRST),)

    world.machines.before("services", joins)
    assert "names home-cp-1" in await bootstrap.apply(ACTION, run)
    assert bootstrapped(world) == []


async def test_one_that_does_not_tell_is_not_taken_to_have_none() -> None:
    world, run = remade()
    refusal = TalosRefused(status="INTERNAL", message="no")
    world.machines.fail("services", refusal, forever=True, address=world.machines.named(SECOND).facts.address)
    with pytest.raises(Fault):
        await bootstrap.apply(ACTION, run)
    assert bootstrapped(world) == []


async def test_nor_is_one_that_was_not_reached() -> None:
    world, run = remade(known=False)
    run.of(SECOND).failed = True
    with pytest.raises(Fault, match=f"{SECOND} may hold its data"):
        await bootstrap.apply(ACTION, run)
    assert bootstrapped(world) == []


async def test_a_run_that_was_killed_before_bootstrap_goes_on() -> None:
    """All three have their configs, and etcd waits on each of them."""
    world, run = remade()
    await bootstrap.apply(ACTION, run)
    assert bootstrapped(world) == [world.machines.named(FIRST).facts.address]
    assert run.hints.etcd_began is not None


async def test_bootstrap_is_sent_once_however_long_etcd_takes() -> None:
    world, run = at_work()
    slow = TalosRefused(status="UNAVAILABLE", message="etcd is not running")
    world.machines.fail("etcd_members", *[slow] * 8, address=world.machines.named(FIRST).facts.address)
    await bootstrap.apply(ACTION, run)
    assert len(bootstrapped(world)) == 1


async def test_a_booting_member_of_a_cluster_that_was_bootstrapped_counts_as_one() -> None:
    """Etcd is in Preparing for a moment at each boot, its data on the disk."""
    world, run = remade(notes={"bootstrapped": True})
    with pytest.raises(Fault):
        await bootstrap.apply(ACTION, run)
    assert bootstrapped(world) == []


async def test_a_certificate_that_is_not_yet_valid_is_waited_for() -> None:
    """A clock that is off is an ordinary bad day, not a bug."""
    cluster = cluster_of({"workers": 0})
    world = FakeWorld(cluster, observed_of({"all": "up", "etcd": None}, cluster))
    for call in ("etcd_members", "bootstrap"):
        world.machines.fail(call, NotTrusted("certificate is not yet valid"), forever=True)
    with pytest.raises(Fault) as caught:
        await bootstrap.apply(ACTION, world.run())
    assert caught.value.id == "P-ETCD-STUCK"
    assert "not yet valid" in caught.value.seen[0]


# --- one control plane: nobody it could join ------------------------------------------------------------------------------

ALONE = cluster_of({"workers": 1})
NOTE = {"bootstrapped": {"vms": ["id-of-a-vm-that-is-gone"]}}


def remade_alone(*, worker: bool = False, notes: dict[str, Any] | None = None) -> tuple[FakeWorld, Run]:
    """The one control plane was deleted with its disk, and made anew in this run, as by an older version that did not look."""
    gone: dict[str, Any] = {FIRST: None} | ({} if worker else {"home-worker-1": None})
    seen = observed_of(
        {
            "all": "up",
            "vms": [{"name": FIRST, "gone": True}],
            "folders": [{"machine": FIRST, "gone": True}],
            "machines": gone,
            "etcd": None,
            "nodes": None,
        },
        ALONE,
    )
    world = FakeWorld(ALONE, seen, notes=notes)
    facts = machine_of({}, FIRST, ALONE)
    world.machines.boxes[facts.address] = Box(facts=facts)
    run = world.run()
    run.learn(FIRST, facts)
    run.of(FIRST).configured = True
    return world, run


@pytest.mark.parametrize("notes", [NOTE, {"bootstrapped": True}])
async def test_alone_a_remembered_start_is_never_repeated_on_an_empty_disk(notes: dict[str, Any]) -> None:
    world, run = remade_alone(notes=notes)
    with pytest.raises(Fault) as caught:
        await bootstrap.apply(ACTION, run)
    assert caught.value.id == "P-ETCD-LOST"
    assert "lost" in caught.value.message
    assert any("provision rebuild home" in line for line in caught.value.next_steps)
    assert bootstrapped(world) == []


async def test_nor_is_one_that_only_a_worker_tells_of() -> None:
    world, run = remade_alone(worker=True)
    with pytest.raises(Fault) as caught:
        await bootstrap.apply(ACTION, run)
    assert caught.value.id == "P-ETCD-LOST"
    assert any("home-worker-1" in line for line in caught.value.seen)
    assert bootstrapped(world) == []


async def test_without_any_sign_of_an_earlier_life_it_is_the_first() -> None:
    world, run = remade_alone()
    await bootstrap.apply(ACTION, run)
    assert bootstrapped(world) == [machine_of({}, FIRST, ALONE).address]
    assert world.store.notes["bootstrapped"] == {"vms": []}, "whose VM was made by nobody in this test"


def at_work(*, notes: dict[str, Any] | None = None, workers: dict[str, Any] | None = None) -> tuple[FakeWorld, Run]:
    """The control plane of an earlier run runs from its disk, and its etcd does not answer."""
    machines: dict[str, Any] = {"home-worker-1": workers}
    seen = observed_of({"all": "up", "machines": machines, "etcd": None, "nodes": None}, ALONE)
    world = FakeWorld(ALONE, seen, notes=notes)
    return world, world.run()


async def test_a_machine_whose_etcd_ran_is_waited_for_and_not_asked_again() -> None:
    world, run = at_work(notes={"bootstrapped": {"vms": ["id-home-cp-1"]}})
    with pytest.raises(Fault) as caught:
        await bootstrap.apply(ACTION, run)
    assert caught.value.id == "P-ETCD-STUCK"
    assert "an earlier run started etcd on home-cp-1" in caught.value.seen
    assert bootstrapped(world) == []


async def test_and_so_is_one_whose_worker_was_a_ready_node() -> None:
    world, run = at_work(workers={})
    with pytest.raises(Fault) as caught:
        await bootstrap.apply(ACTION, run)
    assert caught.value.id == "P-ETCD-STUCK"
    assert bootstrapped(world) == []


@pytest.mark.parametrize("notes", [None, NOTE, {"bootstrapped": True}])
async def test_a_run_killed_before_bootstrap_goes_on_whatever_is_noted_of_other_vms(
    notes: dict[str, Any] | None,
) -> None:
    """It runs from its disk: Talos itself refuses where there is data."""
    world, run = at_work(notes=notes)
    await bootstrap.apply(ACTION, run)
    assert bootstrapped(world) == [machine_of({}, FIRST, ALONE).address]
    assert world.store.notes["bootstrapped"] == {"vms": ["id-home-cp-1"]}


async def test_data_that_talos_finds_in_another_cluster_is_not_taken_for_ours() -> None:
    world, run = at_work()
    box = world.machines.named(FIRST)

    def somebody_elses(_call: Call) -> None:
        box.members = (EtcdMemberFacts(hostname="theirs"),)

    world.machines.before("bootstrap", somebody_elses)
    with pytest.raises(Fault) as caught:
        await bootstrap.apply(ACTION, run)
    assert caught.value.id == "P-ETCD-TWICE"
    assert "member theirs" in caught.value.seen


@pytest.mark.parametrize(
    ("condition", "likely"), [("time", "machines do not reach a time server"), ("network", ""), ("", "")]
)
async def test_a_clock_is_blamed_only_where_the_machine_says_so(condition: str, likely: str) -> None:
    """An answer that did not come in time says nothing about clocks."""
    world, run = at_work()
    unmet = (UnmetFacts(name=condition, reason="of it"),) if condition else ()
    world.machines.named(FIRST).becomes(unmet=unmet)
    world.machines.fail("etcd_members", Dropped("no answer in time"), forever=True)
    world.machines.fail("bootstrap", Dropped("no answer in time"), forever=True)
    with pytest.raises(Fault) as caught:
        await bootstrap.apply(ACTION, run)
    assert (caught.value.id, caught.value.probable_cause) == ("P-ETCD-STUCK", likely)


async def test_etcd_on_a_disk_that_is_attached_again_is_waited_for() -> None:
    """Its VM was deleted and the disk kept: the new VM runs from it, and Bootstrap would be one too many."""
    seen = observed_of(
        {
            "all": "up",
            "vms": [{"name": FIRST, "gone": True}],
            "machines": {FIRST: None, "home-worker-1": None},
            "etcd": None,
            "nodes": None,
        },
        ALONE,
    )
    world = FakeWorld(ALONE, seen, notes={"bootstrapped": {"vms": ["id-home-cp-1"]}})
    facts = machine_of({}, FIRST, ALONE)
    world.machines.boxes[facts.address] = Box(facts=facts)
    run = world.run()
    run.learn(FIRST, facts)
    with pytest.raises(Fault) as caught:
        await bootstrap.apply(ACTION, run)
    assert caught.value.id == "P-ETCD-STUCK"
    assert "an earlier run started etcd on the disk in C:\\VMs\\home-cp-1" in caught.value.seen
    assert bootstrapped(world) == []


async def test_a_disk_that_turned_out_empty_in_this_run_begins_no_second_etcd() -> None:
    """Nothing was known of the machine at first; then it came up in maintenance, and took a config."""
    seen = observed_of(
        {"all": "up", "machines": {FIRST: None, "home-worker-1": None}, "etcd": None, "nodes": None}, ALONE
    )
    world = FakeWorld(ALONE, seen, notes={"bootstrapped": {"vms": ["id-home-cp-1"]}})
    facts = machine_of({}, FIRST, ALONE)
    world.machines.boxes[facts.address] = Box(facts=facts)
    run = world.run()
    run.learn(FIRST, facts)
    run.of(FIRST).configured = True
    with pytest.raises(Fault) as caught:
        await bootstrap.apply(ACTION, run)
    assert caught.value.id == "P-ETCD-LOST"
    assert bootstrapped(world) == []
