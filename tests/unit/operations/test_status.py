"""`status`: what was read, what was not, and what differs; never an absence for a failed read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provisioner.errors import Fault, Rejected, Unreachable
from provisioner.model.cluster import Cluster
from provisioner.model.facts import EtcdBegan, Observed
from provisioner.model.options import RunOptions
from provisioner.model.plan import Verb
from provisioner.model.steps import StepId
from provisioner.operations.status import report, status
from provisioner.workflows.up import plan_up
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import CLUSTER_ID, HOST, cluster_of, observed_of

CLUSTER = cluster_of({})
CP, WORKER = "home-cp-1", "home-worker-1"


def seen_of(given: dict[str, Any] | None = None, cluster: Cluster = CLUSTER) -> Observed:
    return observed_of({"all": "up"} | (given or {}), cluster)


async def test_a_whole_cluster_is_healthy_and_completely_read() -> None:
    told = await status(CLUSTER, FakeWorld(CLUSTER, seen_of(), notes=addresses()).ports)
    assert (told.state, told.complete, told.drifted) == ("healthy", True, False)
    assert told.uncompared == (CP, WORKER), "nobody compared their configs"


def addresses() -> dict[str, Any]:
    return {"machines": {name: {"address": facts.address} for name, facts in seen_of().machines.items()}}


@pytest.mark.parametrize("error", [Unreachable("no route"), Rejected("401")])
async def test_a_host_that_cannot_be_read_is_unknown_and_incomplete(error: Exception) -> None:
    world = FakeWorld(CLUSTER, seen_of(), notes=addresses())
    world.machines.boxes.clear()
    world.host.fail("observe", error, forever=True)
    told = await status(CLUSTER, world.ports)
    assert (told.state, told.complete) == ("unknown", False)
    assert [row.vm for row in told.machines] == [None, None], "not missing"
    assert "etcd" not in " ".join(told.unmet), "an unread list has no absent members"


async def test_what_is_wrong_on_this_computer_is_no_host_that_is_away() -> None:
    world = FakeWorld(CLUSTER, seen_of(), notes=addresses())
    world.host.fail("observe", Fault("P-LOCAL-HOME", "the disk is full"))
    with pytest.raises(Fault) as caught:
        await status(CLUSTER, world.ports)
    assert caught.value.id == "P-LOCAL-HOME"


def test_a_silent_control_plane_hides_etcd_and_nodes_and_says_so_once() -> None:
    seen = replace(
        seen_of({"machines": {CP: None}, "etcd": None, "nodes": None}),
        unread={CP: "192.168.1.101: no answer within 5 s"},
        etcd_unread="no control plane answers",
        nodes_unread="no control plane answers",
    )
    told = report(CLUSTER, seen)
    assert (told.state, told.complete) == ("unknown", False)
    assert [row.ready for row in told.machines] == [None, None]
    assert [row.unread for row in told.machines] == ["192.168.1.101: no answer within 5 s", ""]
    assert told.unread == ("etcd not read (no control plane answers)", "nodes not read (no control plane answers)")
    assert told.unmet == ()


def test_a_vm_that_is_off_is_no_failed_read() -> None:
    told = report(CLUSTER, seen_of({"vms": [{"name": WORKER, "state": "Off"}], "machines": {WORKER: None}}))
    assert (told.state, told.complete) == ("not healthy", True)
    assert told.machines[1].unmet[0] == "the VM is Off"


def test_a_fault_of_the_host_is_told() -> None:
    fault = Fault("P-HOST-CERT", "the certificate of hv01 is not the one expected")
    told = report(CLUSTER, replace(seen_of(), hosts={}, machines={}), host_faults=(fault,))
    assert (told.state, told.complete) == ("unknown", False)
    assert told.host_unread == ("P-HOST-CERT: the certificate of hv01 is not the one expected",)


async def test_a_machine_that_moved_is_found_by_its_mac() -> None:
    world = FakeWorld(CLUSTER, seen_of(), notes=addresses())
    old = seen_of().machines[WORKER].address
    world.machines.move(old, "192.168.1.177")
    world.host.knows(CLUSTER.machine(WORKER).mac, "192.168.1.177")
    told = await status(CLUSTER, world.ports)
    assert (told.state, told.machines[1].address) == ("healthy", "192.168.1.177")


async def test_notes_that_were_lost_are_no_reason_to_know_nothing() -> None:
    told = await status(CLUSTER, FakeWorld(CLUSTER, seen_of()).ports)
    assert (told.state, told.complete) == ("healthy", True)


# --- differences that up does not change --------------------------------------------------------------------------------


def test_versions_that_differ_are_differences_of_plan_and_status() -> None:
    cluster = replace(CLUSTER, talos="v1.11.3", kubernetes="v1.33.0")
    seen = seen_of(cluster=cluster)
    nodes = tuple(replace(node, version="v1.34.1") for node in seen.nodes or ())
    machines = {name: replace(facts, talos="v1.11.5") for name, facts in seen.machines.items()}
    plan = plan_up(cluster, seen := replace(seen, nodes=nodes, machines=machines))
    assert [(d.object, d.what, d.seen, d.wanted) for d in plan.differences] == [
        (CP, "Talos", "v1.11.5", "v1.11.3"),
        (CP, "Kubernetes", "v1.34.1", "v1.33.0"),
        (WORKER, "Talos", "v1.11.5", "v1.11.3"),
        (WORKER, "Kubernetes", "v1.34.1", "v1.33.0"),
    ]
    assert len(plan.told_differences) == 2, "what reads the same is told once"
    told = report(cluster, seen)
    assert told.drifted
    assert "Kubernetes v1.34.1, the file says v1.33.0" in told.machines[0].drift


def test_a_machine_that_the_file_no_longer_names_is_a_difference() -> None:
    larger = cluster_of({"workers": 2})
    seen = seen_of(cluster=larger)
    plan = plan_up(CLUSTER, seen)
    (difference,) = plan.differences
    assert (difference.object, difference.what, difference.wanted) == ("home-worker-2", "machine", "not in the file")
    row = report(CLUSTER, seen).machines[-1]
    assert (row.name, row.role, row.stage, row.ready) == ("home-worker-2", "not in the file", "running", True)


# --- a plan is the run ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["Running", "Off"])
def test_after_a_reboot_nothing_is_applied_or_bootstrapped_anew(state: str) -> None:
    """Machines are silent while they boot; what an earlier run saw installed is expected to come back by itself."""
    vms = [{"name": m.name, "state": state} for m in CLUSTER.machines]
    seen = seen_of({"vms": vms, "machines": {CP: None, WORKER: None}, "etcd": None, "nodes": None})
    began = EtcdBegan(vms=tuple(vm.id for vm in seen.hosts[HOST].vms))
    seen = replace(seen, installed=frozenset({CP, WORKER}), etcd_began=began)
    plan = plan_up(CLUSTER, seen)
    verbs = {step: {action.verb for action in plan.of(step)} for step in StepId}
    assert verbs[StepId.CONFIG] == {Verb.WAIT}
    assert {a.verb for a in plan.changes} <= {Verb.START}, [a.id for a in plan.changes]


def test_waits_carry_the_bounds_of_the_run() -> None:
    plan = plan_up(CLUSTER, observed_of({}, CLUSTER), RunOptions(wait_scale=2.0))
    bounds = {action.step: action.bound_s for action in plan.actions if action.verb is Verb.WAIT}
    assert bounds[StepId.MAINTENANCE] == 600.0
    assert bounds[StepId.HEALTH] == 1200.0
    assert not any("at most" in action.why for action in plan.actions), "a bound stands in one place"


def test_the_mark_of_another_cluster_is_no_machine_of_ours() -> None:
    vms = [{"name": "other-worker-1", "mark": f"provision/1 cluster=not{CLUSTER_ID} machine=other-worker-1"}]
    assert plan_up(CLUSTER, seen_of({"vms": vms})).differences == ()
    assert HOST in seen_of({"vms": vms}).hosts


ALL_DELETED: dict[str, Any] = {
    "vms": [{"name": CP, "gone": True}, {"name": WORKER, "gone": True}],
    "machines": {CP: None, WORKER: None},
    "etcd": None,
    "nodes": None,
}


def test_disks_that_deleted_vms_left_are_something_that_is_there() -> None:
    told = report(CLUSTER, seen_of(ALL_DELETED))
    assert told.state == "not healthy"
    assert all("attach again the disk that is there" in row.drift[0] for row in told.machines)


def test_without_any_disk_nothing_of_it_is_there() -> None:
    gone = {"folders": [{"machine": CP, "gone": True}, {"machine": WORKER, "gone": True}]}
    assert report(CLUSTER, seen_of(ALL_DELETED | gone)).state == "absent"


def test_a_lost_etcd_is_told_where_its_machine_stands() -> None:
    gone = {"vms": [{"name": CP, "gone": True}], "folders": [{"machine": CP, "gone": True}], "machines": {CP: None}}
    told = report(CLUSTER, seen_of(gone | {"etcd": None, "nodes": None}))
    assert "the disk that held it is gone" in told.machines[0].drift[0]
    assert told.drifted
