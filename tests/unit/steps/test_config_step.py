"""The step of the machine configs: what is looked at before one leaves this computer, and what is said when it cannot be delivered."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from provisioner.errors import Dropped, Fault, NotTrusted, Rejected, TransportError, Unreachable
from provisioner.model.events import Note
from provisioner.model.facts import MachineFacts
from provisioner.model.plan import Action
from provisioner.model.spec import Cluster, PatchSpec
from provisioner.model.steps import StepId
from provisioner.ports import ApplyOutcome
from provisioner.steps import config
from provisioner.steps.run import Run
from tests.unit.steps.running import Notes, run_of
from tests.unit.steps.world import HOST, PLACE, cluster_of, machine_of, observed_of

CP, WORKER = "home-cp-1", "home-worker-1"
UUID = "4c4c4544-0051-3610-8043-b4c04f4a5131"


class Api:
    """A machine in maintenance; `applied` are the configs that reached it."""

    def __init__(self, facts: MachineFacts, failing: TransportError | None = None, *, dry: bool = True) -> None:
        self.facts = facts
        self.failing = failing
        self.dry = dry
        self.applied: list[bytes] = []
        self.asked = 0

    async def read(self, _address: str, _access: Any, *, pin: str = "") -> MachineFacts:
        return self.facts

    async def apply(self, _address: str, _access: Any, sent: bytes, *, dry_run: bool, pin: str) -> ApplyOutcome:
        assert pin == self.facts.fingerprint, "bound to the key that was proven"
        self.asked += 1
        if self.failing is not None and dry_run == self.dry:
            raise self.failing
        if not dry_run:
            self.applied.append(sent)
        return ApplyOutcome(warnings=(), mode="REBOOT", details="")


class Store(Notes):
    def write_machine_config(self, _machine: str, _config: bytes) -> None: ...


def at_work(cluster: Cluster, name: str, **api: Any) -> tuple[Run, Api, list[Any]]:
    """That machine was found in maintenance, and all three things agree."""
    mac = cluster.machine(name).mac
    vms = [{"name": m.name, "bios_uuid": UUID} for m in cluster.machines]
    seen = observed_of({"all": "up", "vms": vms, "machines": {CP: None, WORKER: None}}, cluster)
    facts = machine_of(
        {"mode": "maintenance", "stage": "maintenance", "uuid": UUID, "macs": (mac,), "fingerprint": "key"},
        name,
        cluster,
    )
    machines = Api(facts, **api)
    configs = SimpleNamespace(machine_config=lambda *_, **__: b"config")
    run, events = run_of(cluster, seen, machines=machines, configs=configs)
    object.__setattr__(run.ports, "store", Store())
    run.learn(name, facts)
    run.learn(CP, machine_of({}, CP, cluster)) if name != CP else None
    run.finders[HOST].rows[mac] = {facts.address: None}
    return run, machines, events


def of(name: str) -> Action:
    return Action(step=StepId.CONFIG, verb="apply", object=name, kind="apply", machine=name, why="")


def addressed(name: str, address: str, **changes: Any) -> Cluster:
    cluster = cluster_of({})
    machines = tuple(replace(m, address=address) if m.name == name else m for m in cluster.machines)
    return replace(cluster, machines=machines, **changes)


async def test_an_endpoint_where_the_control_plane_is_not_is_found_before_a_config_is_sent() -> None:
    run, api, _ = at_work(addressed(CP, "192.168.1.41"), CP)
    with pytest.raises(Fault) as caught:
        await config.apply(of(CP), run)
    assert caught.value.id == "P-CONFIG-ENDPOINT"
    assert "192.168.1.101" in caught.value.message
    assert api.asked == 0


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
    run, api, _ = at_work(cluster, CP)
    assert await config.apply(of(CP), run) == "dry run and config taken"
    assert api.applied == [b"config"]


async def test_a_worker_at_another_address_is_a_warning() -> None:
    run, api, events = at_work(addressed(WORKER, "192.168.1.77"), WORKER)
    await config.apply(of(WORKER), run)
    assert api.applied
    assert any("reserve 192.168.1.77" in e.message for e in events if isinstance(e, Note))


@pytest.mark.parametrize("error", [Unreachable("no route"), Rejected("alert"), NotTrusted("another key")])
async def test_a_config_that_cannot_be_delivered_says_that_it_was_not_sent(error: TransportError) -> None:
    run, api, _ = at_work(cluster_of({}), CP, failing=error)
    with pytest.raises(Fault) as caught:
        await config.apply(of(CP), run)
    assert caught.value.id == "P-CONFIG-LOSTANSWER"
    assert "could not be delivered" in caught.value.message
    assert not api.applied


async def test_a_config_whose_answer_was_lost_says_that_it_cannot_be_told() -> None:
    run, _, _ = at_work(cluster_of({}), CP, failing=Dropped("reset"), dry=False)
    with pytest.raises(Fault, match="cannot be told"):
        await config.apply(of(CP), run)
