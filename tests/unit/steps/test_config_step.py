"""The step of the machine configs: what is looked at before one leaves this computer, and what is said when it cannot be delivered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioner.errors import Dropped, Fault, NotTrusted, Rejected, TransportError, Unreachable
from provisioner.model.cluster import Cluster, PatchSpec
from provisioner.model.events import Note
from provisioner.model.facts import DiskFacts
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import ApplyConfig
from provisioner.steps import config
from provisioner.steps.run_context import Run
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import HOST, PLACE, cluster_of, machine_of, observed_of, uuid_of

CP, WORKER = "home-cp-1", "home-worker-1"


def at_work(cluster: Cluster, name: str) -> tuple[FakeWorld, Run]:
    """That machine was found in maintenance, and all three things agree."""
    seen = observed_of({"all": "up", "machines": {CP: None, WORKER: None}}, cluster)
    shown = {name: machine_of({"mode": "maintenance", "stage": "maintenance"}, name, cluster)}
    if name != CP:
        shown[CP] = machine_of({}, CP, cluster)
    world = FakeWorld(cluster, replace(seen, machines=shown))
    return world, world.run()


def sent(world: FakeWorld, *, dry: bool) -> list[bytes]:
    """Configs that left this computer; each must be bound to the key that was proven."""
    calls = world.machines.made("apply")
    assert all(call["pin"].startswith("key of ") for call in calls)
    return [call["config"] for call in calls if call["dry_run"] == dry]


@pytest.mark.parametrize(("of_all", "why"), [(0, ""), (1, ", 1 patch"), (2, ", 2 patches")])
def test_the_plan_counts_patches(of_all: int, why: str) -> None:
    cluster = replace(cluster_of({}), patches=(PatchSpec(documents=({"a": 1},), place=PLACE),) * of_all)
    found = {action.machine: action.why for action in config.plan(cluster, observed_of({}, cluster))}
    assert found[CP] == f"control plane{why}"


@pytest.mark.parametrize(
    "other", [{"uuid": uuid_of("another")}, {"uuid": ""}, {"uuid": "not one"}, {"macs": ("0A0B0C0D0E0F",)}, None]
)
async def test_keys_go_only_to_a_machine_that_is_proven_a_second_time(other: dict[str, Any] | None) -> None:
    """Whoever has the address by now: MAC, UUID and the host's own table must agree, also for the dry run. None: the table has another."""
    world, run = at_work(cluster_of({}), CP)
    box = world.machines.named(CP)
    if other is None:
        run.finders[HOST].rows.clear()
    else:
        box.becomes(**other)
    with pytest.raises(Fault) as caught:
        await config.apply(of(CP), run)
    assert caught.value.id == "P-BOOT-FOREIGN"
    assert world.machines.made("apply") == []


@pytest.mark.parametrize(
    "disks",
    [
        (DiskFacts(path="/dev/nvme0n1", size_bytes=10**10),),
        (DiskFacts(path="/dev/sda", size_bytes=10**9, cdrom=True),),
        (DiskFacts(path="/dev/sda", size_bytes=10**9, readonly=True),),
    ],
    ids=["another", "dvd", "readonly"],
)
async def test_a_disk_that_is_not_there_is_found_before_a_config_is_sent(disks: tuple[DiskFacts, ...]) -> None:
    world, run = at_work(cluster_of({}), CP)
    run.of(CP).facts = replace(run.facts_of(CP), disks=disks)
    with pytest.raises(Fault) as caught:
        await config.apply(of(CP), run)
    assert caught.value.id == "P-CONFIG-NODISK"
    assert world.machines.made("apply") == []


async def test_a_machine_that_has_its_config_gets_no_other() -> None:
    world, run = at_work(cluster_of({}), WORKER)
    run.learn(WORKER, machine_of({}, WORKER, run.cluster))
    assert "already" in await config.apply(of(WORKER), run)
    assert world.configs.made("machine_config") == world.machines.made("apply") == []


def of(name: str) -> Action:
    return Action(step=StepId.CONFIG, verb=Verb.APPLY, object=name, work=ApplyConfig(), machine=name, why="")


def addressed(name: str, address: str, **changes: Any) -> Cluster:
    cluster = cluster_of({})
    machines = tuple(replace(m, address=address) if m.name == name else m for m in cluster.machines)
    return replace(cluster, machines=machines, **changes)


async def test_an_endpoint_where_the_control_plane_is_not_is_found_before_a_config_is_sent() -> None:
    world, run = at_work(addressed(CP, "192.168.1.41"), CP)
    with pytest.raises(Fault) as caught:
        await config.apply(of(CP), run)
    assert caught.value.id == "P-CONFIG-ENDPOINT"
    assert "192.168.1.101" in caught.value.message
    assert world.machines.made("apply") == []


@pytest.mark.parametrize(
    "cluster",
    [
        addressed(CP, "192.168.1.101"),
        addressed(CP, "192.168.1.41", endpoint="https://api.home.lan:6443"),
        addressed(CP, "192.168.1.41", vip="192.168.1.40"),
        addressed(
            CP,
            "192.168.1.41",
            control_plane_patches=(
                PatchSpec(
                    documents=({"machine": {"network": {"interfaces": [{"addresses": ["192.168.1.41/24"]}]}}},),
                    place=PLACE,
                ),
            ),
        ),
    ],
    ids=["there", "endpoint", "vip", "patch"],
)
async def test_where_it_does_not_decide_the_config_is_sent(cluster: Cluster) -> None:
    world, run = at_work(cluster, CP)
    world.configs.patched[CP] = {"addresses": ("192.168.1.41",)} if cluster.control_plane_patches else {}
    assert await config.apply(of(CP), run) == "dry run and config taken"
    assert sent(world, dry=True) == sent(world, dry=False) == [world.store.machine_configs[CP]]


async def test_a_worker_at_another_address_is_a_warning() -> None:
    world, run = at_work(addressed(WORKER, "192.168.1.77"), WORKER)
    await config.apply(of(WORKER), run)
    assert sent(world, dry=False)
    assert any("reserve 192.168.1.77" in note.message for note in world.told(Note))


@pytest.mark.parametrize("error", [Unreachable("no route"), Rejected("alert"), NotTrusted("another key")])
async def test_a_config_that_cannot_be_delivered_says_that_it_was_not_sent(error: TransportError) -> None:
    world, run = at_work(cluster_of({}), CP)
    world.machines.fail("apply", error, forever=True, dry_run=True)
    with pytest.raises(Fault) as caught:
        await config.apply(of(CP), run)
    assert caught.value.id == "P-CONFIG-LOSTANSWER"
    assert "could not be delivered" in caught.value.message
    assert not sent(world, dry=False)


async def test_a_config_whose_answer_was_lost_says_that_it_cannot_be_told() -> None:
    world, run = at_work(cluster_of({}), CP)
    world.machines.fail("apply", Dropped("reset"), forever=True, dry_run=False)
    with pytest.raises(Fault, match="cannot be told"):
        await config.apply(of(CP), run)


async def test_the_identity_is_proven_again_right_before_the_keys_leave() -> None:
    """Between the search and the config another machine may have taken the address."""
    world, run = at_work(cluster_of({}), CP)
    world.machines.named(CP).becomes(uuid="5a6b7c8d-0000-4000-8000-000000000002")
    with pytest.raises(Fault) as caught:
        await config.apply(of(CP), run)
    assert caught.value.id == "P-BOOT-FOREIGN"
    assert world.machines.made("apply") == [], "not even the dry run, which carries the keys too"


async def test_a_machine_that_took_its_config_is_known_to_have_had_an_empty_disk() -> None:
    _, run = at_work(cluster_of({}), CP)
    await config.apply(of(CP), run)
    assert {name for name, own in run.records.items() if own.configured} == {CP}
