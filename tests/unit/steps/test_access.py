"""The files for clients: written once, and each proven by a call of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from provisioner.errors import Fault, Unreachable
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import WriteAccess
from provisioner.steps import access
from tests.fakes.script import Call
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import cluster_of, observed_of

CLUSTER = cluster_of({})
ACTION = Action(step=StepId.ACCESS, verb=Verb.WRITE, object="admin@home", work=WriteAccess(), why="contexts")


def up() -> FakeWorld:
    return FakeWorld(CLUSTER, observed_of({"all": "up", "access": {}}, CLUSTER))


async def test_files_are_written_and_tried() -> None:
    world = up()
    assert "Talos v1.11.5 and Kubernetes answer" in await access.apply(ACTION, world.run())
    assert set(world.store.files) == {"talosconfig", "kubeconfig"}
    assert {name for name, found in world.store.access.items() if found.there} == {"talosconfig", "kubeconfig"}
    assert [call["kubeconfig"] for call in world.kubernetes.made("ready")] == [world.store.files["kubeconfig"]]


async def test_an_api_that_is_not_ready_yet_is_waited_for() -> None:
    world = up()
    world.kubernetes.is_ready = False
    looks = 0

    def third(_call: Call) -> None:
        nonlocal looks
        looks += 1
        world.kubernetes.is_ready = looks == 3

    world.kubernetes.before("ready", third)
    await access.apply(ACTION, world.run())
    assert looks == 3
    assert len(world.store.made("write_client_files")) == 1


def not_ready(world: FakeWorld) -> None:
    world.kubernetes.is_ready = False


def no_kubernetes(world: FakeWorld) -> None:
    world.kubernetes.fail("ready", Unreachable("connection refused"), forever=True)


def no_talos(world: FakeWorld) -> None:
    world.machines.fail("read", Unreachable("no route to host"), forever=True)


@pytest.mark.parametrize(
    ("spoil", "seen"),
    [(not_ready, "/readyz"), (no_kubernetes, "connection refused"), (no_talos, "no route to host")],
)
async def test_files_that_do_not_work_are_told(spoil: Callable[[FakeWorld], None], seen: str) -> None:
    world = up()
    spoil(world)
    with pytest.raises(Fault) as caught:
        await access.apply(ACTION, world.run())
    assert caught.value.id == "P-KUBE-ACCESS"
    assert any(seen in line for line in caught.value.seen)
