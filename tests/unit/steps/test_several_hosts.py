"""Several hosts in one cluster: each does its own part, machines stand where they were made, and one that is away hides nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from provisioner.errors import Unreachable
from provisioner.model.cluster import Cluster
from provisioner.model.facts import Observed
from provisioner.model.options import RemovalScope, RunOptions
from provisioner.model.steps import StepId
from provisioner.operations.status import status
from provisioner.workflows.down import plan_down
from provisioner.workflows.rebuild import without_machines
from provisioner.workflows.up import plan_up
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import HOST, cluster_of, observed_of

OTHER = "hv02"
CP, WORKER = "home-cp-1", "home-worker-1"


def on_two_hosts() -> Cluster:
    """The control plane on one, the worker on the other."""
    one = cluster_of({})
    spec = replace(one.hosts[HOST], name=OTHER, address="hv02.lan")
    machines = tuple(replace(m, host=OTHER) if m.name == WORKER else m for m in one.machines)
    return replace(one, hosts={HOST: one.hosts[HOST], OTHER: spec}, machines=machines)


def seen_on(cluster: Cluster, placed: dict[str, str], **more: Any) -> Observed:
    """Machine -> host that its VM is on; no VMs beyond."""
    whole = observed_of({"all": "up"} | more, cluster)
    state = whole.hosts[HOST]
    return replace(
        whole,
        hosts={
            host: replace(
                state,
                vms=tuple(vm for vm in state.vms if placed.get(vm.name) == host),
                folders=tuple(folder for folder in state.folders if placed.get(folder.mark.machine) == host),
            )
            for host in cluster.hosts
        },
    )


def test_each_host_gets_its_switch_its_iso_and_its_machines() -> None:
    cluster = on_two_hosts()
    fresh = observed_of({}, cluster)
    plan = plan_up(cluster, replace(fresh, hosts=dict.fromkeys(cluster.hosts, fresh.hosts[HOST])))
    for step in (StepId.SWITCH, StepId.IMAGE):
        assert [action.host for action in plan.of(step)] == [HOST, OTHER]
    assert {action.machine: action.host for action in plan.of(StepId.VM)} == {CP: HOST, WORKER: OTHER}
    ids = [action.id for action in plan.actions]
    assert len(ids) == len(set(ids))

    (of_worker,) = (action for action in plan.of(StepId.VM) if action.machine == WORKER)
    assert any(name.startswith("switch/") and OTHER in name for name in of_worker.after)
    assert not any(f"@{HOST}" in name for name in of_worker.after), "the other host may take its time"


def test_a_machine_that_the_file_moved_is_not_made_twice() -> None:
    cluster = on_two_hosts()
    plan = plan_up(cluster, seen_on(cluster, {CP: HOST, WORKER: HOST}))
    (refusal,) = plan.refusals
    assert refusal.fault is not None
    assert (refusal.fault.id, refusal.machine) == ("P-VM-DRIFT", WORKER)
    assert f"host: {HOST}" in refusal.fault.next_steps[0]


def test_a_mac_address_is_used_once_on_all_hosts_together() -> None:
    cluster = on_two_hosts()
    stranger = {"name": "fileserver", "mac": cluster.machine(WORKER).mac}
    seen = seen_on(cluster, {CP: HOST, WORKER: OTHER, "fileserver": HOST}, vms=[stranger])
    (refusal,) = plan_up(cluster, seen).refusals
    assert refusal.fault is not None
    assert refusal.fault.id == "P-VM-MACTWICE"
    assert HOST in refusal.fault.message


def test_what_would_be_free_after_down_is_counted_host_by_host() -> None:
    cluster = on_two_hosts()
    seen = seen_on(cluster, {CP: HOST, WORKER: OTHER})
    after = without_machines(seen)
    for host, state in seen.hosts.items():
        freed = after.hosts[host].host.memory_free_bytes - state.host.memory_free_bytes
        assert freed == 4096 * 1024**2, "one machine of 4 GiB each"
        assert after.hosts[host].vms == ()


def test_down_removes_from_all_hosts() -> None:
    cluster = on_two_hosts()
    plan = plan_down(cluster, seen_on(cluster, {CP: HOST, WORKER: OTHER}), RunOptions(remove=RemovalScope()))
    assert {action.machine: action.host for action in plan.of(StepId.REMOVE)} == {CP: HOST, WORKER: OTHER}


@pytest.mark.parametrize("away", [OTHER, HOST])
async def test_a_host_that_is_away_does_not_hide_the_other(away: str) -> None:
    cluster = on_two_hosts()
    seen = seen_on(cluster, {CP: HOST, WORKER: OTHER})
    notes = {"machines": {name: {"address": facts.address} for name, facts in seen.machines.items()}}

    world = FakeWorld(cluster, seen, notes=notes)
    world.hosts[away].fail("observe", Unreachable("no route to host"))
    world.machines.fail("read", Unreachable("nobody there"), forever=True)
    async with asyncio.timeout(10):
        report = await status(cluster, world.ports)
    vms = {row.name: row.vm for row in report.machines}
    there = CP if away == OTHER else WORKER
    assert vms == {there: "Running", ({CP, WORKER} - {there}).pop(): None}
    assert len(report.host_unread) == 1
    assert away in report.host_unread[0]


async def test_nothing_is_called_absent_while_a_host_is_unread() -> None:
    """All machines belong to the host that was read, and are missing there; what stands on the other one nobody knows."""
    cluster = on_two_hosts()
    cluster = replace(cluster, machines=tuple(replace(m, host=HOST) for m in cluster.machines))
    world = FakeWorld(cluster, seen_on(cluster, {}))
    world.hosts[OTHER].fail("observe", Unreachable("no route to host"), forever=True)
    world.machines.boxes.clear()
    told = await status(cluster, world.ports)
    assert {row.vm for row in told.machines} == {"missing"}
    assert told.state != "absent"
