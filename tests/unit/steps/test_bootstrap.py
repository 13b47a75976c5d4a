"""Bootstrap: once in the life of a cluster, whatever became of the machine that it was sent to."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.errors import Fault, NotTrusted, TalosRefused, TransportError
from provisioner.model.facts import EtcdMemberFacts, ServiceFacts
from provisioner.model.plan import Action
from provisioner.model.steps import StepId
from provisioner.steps import bootstrap
from provisioner.steps.run import Run
from tests.unit.steps.running import run_of
from tests.unit.steps.world import cluster_of, machine_of, observed_of

FIRST, SECOND = "home-cp-1", "home-cp-2"
CLUSTER = cluster_of({"control_planes": 3, "workers": 0})


class Etcd:
    """Talos' API of control planes: etcd's state by address, and whether Bootstrap was called."""

    def __init__(self, states: dict[str, str], errors: dict[str, TransportError] | None = None) -> None:
        self.states = states
        self.errors = errors or {}
        self.bootstrapped: list[str] = []
        self.looks = 0

    async def etcd_members(self, address: str, _access: Any) -> tuple[EtcdMemberFacts, ...]:
        self.looks += 1
        if address in self.bootstrapped or self.states.get(address) == "joined":
            return (EtcdMemberFacts(id=1, hostname=FIRST),)
        raise TalosRefused(status="UNAVAILABLE", message="etcd is not running")

    async def services(self, address: str, _access: Any) -> tuple[ServiceFacts, ...]:
        if error := self.errors.get(address):
            raise error
        return (ServiceFacts(id="etcd", state=self.states.get(address, ""), healthy=False),)

    async def bootstrap(self, address: str, _access: Any) -> None:
        self.bootstrapped.append(address)


def address_of(machine: str) -> str:
    return machine_of({}, machine, CLUSTER).address


def remade(etcd: Etcd, *, known: bool = True, notes: dict[str, Any] | None = None) -> Run:
    """The first control plane was lost and made anew in this run; the others are from earlier."""
    seen = observed_of(
        {
            "all": "up",
            "vms": [{"name": FIRST, "gone": True}],
            "machines": {FIRST: None} | ({} if known else {SECOND: None}),
        },
        CLUSTER,
    )
    run, _ = run_of(CLUSTER, seen, notes=notes, machines=etcd)
    run.learn(FIRST, machine_of({}, FIRST, CLUSTER))
    return run


ACTION = Action(step=StepId.BOOTSTRAP, verb="once", object="etcd", kind="once", machine=FIRST, why="on it")


@pytest.mark.parametrize("state", ["Running", "Failed", "Starting"])
async def test_a_control_plane_made_anew_never_begins_a_second_etcd(state: str) -> None:
    etcd = Etcd({address_of(SECOND): state})
    with pytest.raises(Fault) as caught:
        await bootstrap.apply(ACTION, remade(etcd))
    assert caught.value.id == "P-ETCD-STUCK"
    assert any(SECOND in line for line in caught.value.seen)
    assert etcd.bootstrapped == []


async def test_it_joins_the_others_instead() -> None:
    etcd = Etcd({address_of(SECOND): "Running"})
    run = remade(etcd)

    async def services(address: str, _access: Any) -> tuple[ServiceFacts, ...]:
        etcd.states[address_of(FIRST)] = "joined"
        return (ServiceFacts(id="etcd", state="Running", healthy=True),)

    etcd.services = services
    assert "names home-cp-1" in await bootstrap.apply(ACTION, run)
    assert etcd.bootstrapped == []


async def test_one_that_does_not_tell_is_not_taken_to_have_none() -> None:
    etcd = Etcd({}, errors={address_of(SECOND): TalosRefused(status="INTERNAL", message="no")})
    with pytest.raises(Fault):
        await bootstrap.apply(ACTION, remade(etcd))
    assert etcd.bootstrapped == []


async def test_nor_is_one_that_was_not_reached() -> None:
    etcd = Etcd({})
    run = remade(etcd, known=False)
    run.failed.add(SECOND)
    with pytest.raises(Fault, match=f"{SECOND} may hold its data"):
        await bootstrap.apply(ACTION, run)
    assert etcd.bootstrapped == []


async def test_a_run_that_was_killed_before_bootstrap_goes_on() -> None:
    """All three have their configs, and etcd waits on each of them."""
    etcd = Etcd(dict.fromkeys(map(address_of, (SECOND, "home-cp-3")), "Preparing"))
    run = remade(etcd)
    await bootstrap.apply(ACTION, run)
    assert etcd.bootstrapped == [address_of(FIRST)]
    assert run.was_bootstrapped()


async def test_a_booting_member_of_a_cluster_that_was_bootstrapped_counts_as_one() -> None:
    """Etcd is in Preparing for a moment at each boot, its data on the disk."""
    etcd = Etcd(dict.fromkeys(map(address_of, (SECOND, "home-cp-3")), "Preparing"))
    with pytest.raises(Fault):
        await bootstrap.apply(ACTION, remade(etcd, notes={"bootstrapped": True}))
    assert etcd.bootstrapped == []


async def test_a_certificate_that_is_not_yet_valid_is_waited_for() -> None:
    """A clock that is off is an ordinary bad day, not a bug."""
    etcd = Etcd({})
    cluster = cluster_of({"workers": 0})
    seen = observed_of({"all": "up", "etcd": None}, cluster)
    run, _ = run_of(cluster, seen, machines=etcd)

    async def members(_address: str, _access: Any) -> tuple[EtcdMemberFacts, ...]:
        raise NotTrusted("certificate is not yet valid")

    async def refuse(_address: str, _access: Any) -> None:
        raise NotTrusted("certificate is not yet valid")

    etcd.etcd_members, etcd.bootstrap = members, refuse
    with pytest.raises(Fault) as caught:
        await bootstrap.apply(ACTION, run)
    assert caught.value.id == "P-ETCD-STUCK"
    assert "not yet valid" in caught.value.seen[0]
