"""The plan of `up` as a whole: cluster files that come with the product, and every place to stop at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.clusterfile import load_cluster
from provisioner.compose import WorldClock, new_configs
from provisioner.model.hints import Hints
from provisioner.model.options import RunOptions
from provisioner.model.plan import Verb
from provisioner.model.steps import StepId
from provisioner.workflows.up import UP, expected_endpoint, plan_up
from tests.unit.steps.world import HOST, cluster_of, observed_of
from tests.unit.workflows.test_engine import Bench

CLUSTERS = Path(__file__).resolve().parents[3] / "clusters"


def test_three_control_planes_with_a_virtual_address_can_be_planned() -> None:
    loaded = load_cluster(CLUSTERS / "ha.yaml")
    cluster = loaded.cluster
    assert loaded.warnings == ()
    assert new_configs(WorldClock()).findings(cluster) == (), "Talos takes its configs"
    fresh = observed_of({}, cluster_of({}))
    plan = plan_up(cluster, replace(fresh, hosts=dict.fromkeys(cluster.hosts, fresh.hosts[HOST])))
    assert not plan.refusals
    assert not plan.warnings, "the virtual address is an endpoint that stays"
    assert [a.machine for a in plan.of(StepId.VM) if a.verb is Verb.CREATE] == [m.name for m in cluster.machines]
    (bootstrap,) = plan.of(StepId.BOOTSTRAP)
    assert bootstrap.machine == "ha-cp-1"
    config = new_configs(WorldClock()).effective(cluster, cluster.control_planes[0])
    assert expected_endpoint(cluster, config, Hints()) == "https://192.168.1.40:6443"


@pytest.mark.parametrize("step", UP.steps)
async def test_up_can_stop_after_every_step(step: StepId) -> None:
    bench = Bench()
    bench.plan = plan_up(bench.cluster, observed_of({}, bench.cluster), RunOptions(until=step))
    outcome = await bench.go()
    assert not outcome.left
    assert not outcome.faults
    assert bench.plan.actions[-1].step is step
