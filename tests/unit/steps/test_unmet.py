"""Health: each condition of each layer keeps a cluster from being called healthy, and is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from provisioner.errors import Fault, Unreachable
from provisioner.model.facts import NodeFacts, PodFacts, UnmetFacts
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import AwaitHealth
from provisioner.steps import health
from tests.fakes.script import Call
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import cluster_of, observed_of

CLUSTER = cluster_of({"control_planes": 3, "workers": 1})
CP, WORKER = "home-cp-1", "home-worker-1"
ACTION = Action(step=StepId.HEALTH, verb=Verb.WAIT, object="home", work=AwaitHealth(), why="4 nodes Ready")


def up() -> FakeWorld:
    return FakeWorld(CLUSTER, observed_of({"all": "up"}, CLUSTER))


async def test_a_healthy_cluster_is_that() -> None:
    assert "4 nodes Ready" in await health.apply(ACTION, up().run())


def pod(world: FakeWorld, fits: Callable[[PodFacts], bool], *, ready: bool | None) -> None:
    """Those pods become ready or not; None removes them."""
    kept = [p for p in world.kubernetes.all_pods if ready is not None or not fits(p)]
    world.kubernetes.all_pods = tuple(replace(p, ready=ready) if ready is not None and fits(p) else p for p in kept)


def dns_not_ready(world: FakeWorld) -> None:
    pod(world, lambda p: p.app == "kube-dns", ready=False)


def no_dns(world: FakeWorld) -> None:
    pod(world, lambda p: p.app == "kube-dns", ready=None)


def proxy_not_ready(world: FakeWorld) -> None:
    pod(world, lambda p: p.app == "kube-proxy" and p.node == WORKER, ready=False)


def no_scheduler(world: FakeWorld) -> None:
    pod(world, lambda p: p.name == "kube-scheduler-home-cp-2", ready=None)


def server_not_ready(world: FakeWorld) -> None:
    pod(world, lambda p: p.name == "kube-apiserver-home-cp-3", ready=False)


def node_not_ready(world: FakeWorld) -> None:
    others = tuple(node for node in world.kubernetes.all_nodes if node.name != WORKER)
    world.kubernetes.all_nodes = (*others, NodeFacts(name=WORKER, ready=False, reason="KubeletNotReady: no network"))


def node_not_registered(world: FakeWorld) -> None:
    world.kubernetes.all_nodes = tuple(node for node in world.kubernetes.all_nodes if node.name != WORKER)


def etcd_lacks_one(world: FakeWorld) -> None:
    box = world.machines.named(CP)
    box.members = (box.members or ())[:2]


def etcd_learns(world: FakeWorld) -> None:
    box = world.machines.named(CP)
    box.members = tuple(replace(member, learner=member.hostname == "home-cp-3") for member in box.members or ())


def machine_unready(world: FakeWorld) -> None:
    unmet = (UnmetFacts(name="services", reason="kubelet not healthy"),)
    world.machines.named(WORKER).becomes(ready=False, unmet=unmet)


def machine_boots(world: FakeWorld) -> None:
    world.machines.named(WORKER).becomes(stage="booting")


def machine_silent(world: FakeWorld) -> None:
    address = world.machines.named(WORKER).facts.address
    world.machines.fail("watch", Unreachable("no route to host"), forever=True, address=address)


@pytest.mark.parametrize(
    ("spoil", "names"),
    [
        (dns_not_ready, "kube-dns"),
        (no_dns, "kube-dns"),
        (proxy_not_ready, "kube-proxy"),
        (no_scheduler, "home-cp-2: kube-scheduler is not ready"),
        (server_not_ready, "home-cp-3: kube-apiserver is not ready"),
        (node_not_ready, "KubeletNotReady: no network"),
        (node_not_registered, f"{WORKER}: not registered"),
        (etcd_lacks_one, "home-cp-3: not a member of etcd"),
        (etcd_learns, "home-cp-3: not a member of etcd"),
        (machine_unready, "kubelet not healthy"),
        (machine_boots, "booting"),
        (machine_silent, f"{WORKER}: does not answer"),
    ],
)
async def test_what_is_unmet_is_named(spoil: Callable[[FakeWorld], None], names: str) -> None:
    world = up()
    spoil(world)
    with pytest.raises(Fault) as caught:
        await health.apply(ACTION, world.run())
    assert caught.value.id == "P-KUBE-NOTREADY"
    assert any(names in line for line in caught.value.seen), caught.value.seen


async def test_what_gets_well_is_healthy() -> None:
    world = up()
    whole = world.kubernetes.all_pods
    dns_not_ready(world)

    def heals(_call: Call) -> None:
        if len(world.kubernetes.made("pods")) == 3:
            world.kubernetes.all_pods = whole

    world.kubernetes.before("pods", heals)
    await health.apply(ACTION, world.run())
    assert len(world.kubernetes.made("pods")) == 3
