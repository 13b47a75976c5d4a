"""Health: what counts is what the machine configs ask for, and what was not read is told as that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioner.errors import Fault, Unreachable
from provisioner.model.effective import EffectiveConfig
from provisioner.model.events import Note
from provisioner.model.facts import MachineFacts, NodeFacts, Observed, PodFacts, UnmetFacts
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.unmet import Layer, Unmet
from provisioner.model.work import AwaitHealth
from provisioner.steps import health
from provisioner.steps.health import unmet_conditions
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import cluster_of, observed_of, pods_of

CLUSTER = cluster_of({})
CP, WORKER = "home-cp-1", "home-worker-1"
WAIT = Action(step=StepId.HEALTH, verb=Verb.WAIT, object="home", work=AwaitHealth(), why="")
NO_CNI = UnmetFacts(name="nodeReady", reason="node is not ready")


def configs(**changes: Any) -> dict[str, EffectiveConfig]:
    plain = {m.name: EffectiveConfig(hostname=m.name, node_name=m.name) for m in CLUSTER.machines}
    return {name: replace(config, **changes) for name, config in plain.items()}


def whole(**changes: Any) -> Observed:
    """A healthy cluster."""
    return replace(observed_of({"all": "up"}, CLUSTER), **{"configs": configs(), **changes})


def unmet(seen: Observed, pods: tuple[PodFacts, ...] | None = pods_of(CLUSTER)) -> list[str]:
    return [str(each) for each in unmet_conditions(CLUSTER, seen, pods)]


def changed(nodes: tuple[NodeFacts, ...] | None, **values: Any) -> tuple[NodeFacts, ...]:
    return tuple(replace(node, **values) for node in nodes or ())


def without(pods: tuple[PodFacts, ...], *names: str) -> tuple[PodFacts, ...]:
    return tuple(pod for pod in pods if not pod.name.startswith(names) and pod.app not in names)


def test_a_whole_cluster_lacks_nothing() -> None:
    assert unmet(whole()) == []


@pytest.mark.parametrize("component", ["kube-apiserver", "kube-controller-manager", "kube-scheduler"])
def test_a_static_pod_that_is_not_there_is_missed(component: str) -> None:
    assert unmet(whole(), without(pods_of(CLUSTER), component)) == [f"{CP}: {component} is not ready"]


@pytest.mark.parametrize(
    ("off", "component"),
    [("controller_manager", "kube-controller-manager"), ("scheduler", "kube-scheduler")],
)
def test_a_static_pod_that_the_config_switches_off_is_not_missed(off: str, component: str) -> None:
    assert unmet(whole(configs=configs(**{off: False})), without(pods_of(CLUSTER), component)) == []


def test_no_pods_of_dns_are_missed_but_for_a_config_without_it() -> None:
    pods = without(pods_of(CLUSTER), "kube-dns")
    assert unmet(whole(), pods) == ["pods: kube-dns: no pods yet"]
    assert unmet(whole(configs=configs(core_dns=False)), pods) == []


def test_pods_that_are_not_ready_are_counted() -> None:
    pods = tuple(replace(pod, ready=False) if pod.app == "kube-proxy" else pod for pod in pods_of(CLUSTER))
    assert any("kube-proxy: 0 of" in line for line in unmet(whole(), pods))
    assert unmet(whole(configs=configs(proxy=False)), pods) == []


def test_nodes_are_known_by_the_name_that_their_config_gives_them() -> None:
    named = configs(node_name="")
    named = {name: replace(config, node_name=f"{name}.home.lan") for name, config in named.items()}
    seen = whole()
    assert len(unmet(replace(seen, configs=named), None)) == 2, "no node of those names is registered"
    nodes = tuple(replace(node, name=f"{node.name}.home.lan") for node in seen.nodes or ())
    assert unmet(replace(seen, configs=named, nodes=nodes), None) == []


def test_a_machine_that_registers_no_node_has_none_to_miss() -> None:
    seen = whole()
    nodes = tuple(node for node in seen.nodes or () if node.name != WORKER)
    machines = {**seen.machines, WORKER: replace(seen.machines[WORKER], ready=False, unmet=(NO_CNI,))}
    some = configs() | {WORKER: replace(configs()[WORKER], registers_node=False)}
    assert unmet(replace(seen, nodes=nodes, machines=machines, configs=some)) == []
    assert len(unmet(replace(seen, nodes=nodes, machines=machines))) == 2


def test_what_was_not_read_is_no_absence() -> None:
    """A member list that did not come says nothing about its members, nor a silent API about nodes."""
    seen = whole(etcd=None, etcd_unread="no answer", nodes=None, nodes_unread="refused")
    found = list(unmet_conditions(CLUSTER, seen))
    assert [str(each) for each in found] == ["etcd not read (no answer)", "nodes not read (refused)"]
    assert all(each.unread for each in found)


def test_a_silent_machine_is_unread_and_one_without_a_vm_is_not() -> None:
    machines = {CP: whole().machines[CP]}
    off = observed_of({"all": "up", "vms": [{"name": WORKER, "state": "Off"}]}, CLUSTER).hosts
    silent = list(unmet_conditions(CLUSTER, whole(machines=machines, unread={WORKER: "no answer within 5 s"})))
    stopped = list(unmet_conditions(CLUSTER, whole(machines=machines, hosts=off)))
    assert silent == [Unmet(layer=Layer.MACHINE, machine=WORKER, reason="no answer within 5 s", unread=True)]
    assert stopped == [Unmet(layer=Layer.MACHINE, machine=WORKER, reason="the VM is Off")]


# --- a CNI of the user's own ------------------------------------------------------------------------------------------


def without_cni() -> Observed:
    """A cluster whose nodes wait for a CNI."""
    seen = observed_of({"all": "up"}, CLUSTER)
    machines: dict[str, MachineFacts] = {
        name: replace(facts, ready=False, unmet=(NO_CNI,)) for name, facts in seen.machines.items()
    }
    nodes = changed(seen.nodes, ready=False, reason="cni plugin not initialized", lacks_network=True)
    return replace(seen, machines=machines, nodes=nodes)


@pytest.mark.parametrize("cni", ["none", "flannel"])
async def test_up_ends_where_the_user_s_cni_begins(cni: str) -> None:
    world = FakeWorld(CLUSTER, without_cni())
    world.configs.patched = {m.name: {"cni": cni} for m in CLUSTER.machines}
    run = world.run()
    if cni == "none":
        assert "2 nodes registered, 0 Ready: no CNI is installed yet" in await health.apply(WAIT, run)
        assert [note.level for note in world.told(Note)] == ["warning"]
        return
    with pytest.raises(Fault) as caught:
        await health.apply(WAIT, run)
    assert caught.value.id == "P-KUBE-NOTREADY", "the config brings flannel: nodes must become Ready"


def test_the_second_up_has_nothing_to_wait_for() -> None:
    seen = replace(without_cni(), configs=configs(cni="none"))
    (action,) = health.plan(CLUSTER, seen)
    assert (action.verb, "no CNI is installed yet" in action.why) == (Verb.KEEP, True)


def test_a_node_that_is_not_ready_for_another_reason_is_waited_for() -> None:
    seen = replace(without_cni(), configs=configs(cni="none"))
    nodes = (replace(seen.nodes[0], lacks_network=False, reason="disk pressure"), *seen.nodes[1:]) if seen.nodes else ()
    (action,) = health.plan(CLUSTER, replace(seen, nodes=nodes))
    assert action.verb is Verb.WAIT


# --- the wait ---------------------------------------------------------------------------------------------------------


async def test_pods_are_part_of_health() -> None:
    world = FakeWorld(CLUSTER, observed_of({"all": "up"}, CLUSTER))
    world.kubernetes.all_pods = without(world.kubernetes.all_pods, "kube-scheduler")
    with pytest.raises(Fault) as caught:
        await health.apply(WAIT, world.run())
    assert caught.value.id == "P-KUBE-NOTREADY"
    assert any("kube-scheduler" in line for line in caught.value.seen)


async def test_a_lost_host_is_blamed_before_its_machines() -> None:
    world = FakeWorld(CLUSTER, observed_of({"all": "up"}, CLUSTER))
    world.machines.boxes.clear()
    world.host.fail("find_vms", Unreachable("no route"), forever=True)
    with pytest.raises(Fault) as caught:
        await health.apply(WAIT, world.run())
    assert caught.value.id == "P-HOST-LOST"
    assert "no route" in caught.value.seen


async def test_nodes_that_the_file_does_not_name_are_told_apart() -> None:
    world = FakeWorld(CLUSTER, observed_of({"all": "up"}, CLUSTER))
    world.kubernetes.show((*world.kubernetes.all_nodes, NodeFacts(name="home-worker-9", ready=True)))
    assert await health.apply(WAIT, world.run()) == "2 nodes Ready, 1 more not in the file, etcd 1 of 1 healthy"
