"""A cluster that is not what the file says any more: `up` brings it there, and ends only when it is healthy again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.end_to_end.conftest import Desk


@pytest.mark.long
def test_more_memory_for_machines_at_work(desk: Desk) -> None:
    desk.good("up", "lab")
    desk.write_cluster(
        machines={"control_planes": {"count": 1, "memory": "5 GiB"}, "workers": {"count": 3, "memory": "5 GiB"}}
    )
    assert desk.run("plan", "lab", "--exit-code").code == 10
    done = desk.good("up", "lab", "--progress", "json")
    told = [
        (e["type"], e["action"]) for e in done.events if e.get("action", "").startswith(("vm/change", "install/wait"))
    ]
    names = ["lab-cp-1", "lab-worker-1", "lab-worker-2", "lab-worker-3"]
    turns = [
        turn
        for name in names
        for turn in (("action_started", f"vm/change/{name}"), ("action_ended", f"install/wait/{name}"))
    ]
    assert [turn for turn in told if turn in turns] == turns, "one after the other, the control plane first"
    status = desk.good("status", "lab", "--json").json
    assert (status["state"], status["drifted"]) == ("healthy", False)
    assert {machine["memory_mib"] for machine in status["machines"]} == {5120}
    assert desk.good("up", "lab", "--json").json["outcome"] == "unchanged"


REMOVE = """
import asyncio, sys
from provisioner.cli.loading import open_cluster
from provisioner.cli.options import ClusterOptions
from provisioner.compose import close_ports, open_ports
from provisioner.operations.observe import observe_hosts

async def remove(name):
    context = open_cluster(ClusterOptions(cluster="lab"), start_lab=False)
    ports = open_ports(context, on_call=lambda _info: None, on_away=lambda *_: None)
    seen = await observe_hosts(context.cluster, ports)
    (vm,) = (vm for vm in seen.hosts["hv01.lab"].vms if vm.name == name)
    await ports.hosts["hv01.lab"].remove_vm(vm.id, cluster_id=seen.secrets.cluster_id)
    await close_ports(ports)

asyncio.run(remove(sys.argv[1]))
"""


@pytest.mark.long
def test_a_first_control_plane_made_anew_joins_the_others(desk: Desk) -> None:
    """Somebody deletes its VM. Told to bootstrap again, it would begin a second etcd beside the one that holds the cluster."""
    desk.write_cluster(machines={"control_planes": 3, "workers": 0}, schedule_on_control_planes=True)
    desk.good("up", "lab")
    before = desk.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}").out
    subprocess.run([sys.executable, "-c", REMOVE, "lab-cp-1"], cwd=desk.folder, env=desk.environment, check=True)
    assert desk.good("up", "lab", "--json").json["outcome"] == "ok"
    status = desk.good("status", "lab", "--json").json
    assert (status["state"], status["etcd_members"]) == ("healthy", 3)
    assert desk.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}").out == before != ""


@pytest.mark.long
def test_what_somebody_does_to_vms_by_hand_is_told_and_mended(desk: Desk) -> None:
    """Paused, its disk deleted, deleted itself, its storage failed: each is told as what it is, and nothing more is destroyed than was."""
    desk.write_cluster(machines={"control_planes": 1, "workers": 1})
    desk.good("up", "lab")
    before = desk.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}").out

    desk.ask_lab("fault", name="vm-paused", place="lab-worker-1")
    rows = {row["name"]: row for row in desk.run("status", "lab", "--json").json["machines"]}
    assert rows["lab-worker-1"]["vm"] == "Paused"
    assert desk.good("up", "lab", "--json").json["outcome"] == "ok"
    assert desk.good("status", "lab", "--json").json["state"] == "healthy"

    desk.ask_lab("fault", name="disk-deleted", place="lab-worker-1")
    for _ in range(2):  # the same again is the same answer
        done = desk.run("up", "lab", "--json")
        assert (done.code, done.json["fault"]["id"]) == (6, "P-VM-NODISK")
        assert any("remove the VM lab-worker-1 in Hyper-V Manager" in line for line in done.json["fault"]["next_steps"])
    desk.ask_lab("fault", name="vm-deleted", place="lab-worker-1")  # what the box says
    assert desk.good("up", "lab", "--json").json["outcome"] == "ok"
    assert desk.good("status", "lab", "--json").json["state"] == "healthy"

    desk.ask_lab("fault", name="storage-lost", place="lab-worker-1")
    done = desk.run("up", "lab", "--json")
    assert (done.code, done.json["fault"]["id"]) == (4, "P-VM-CRITICAL")
    assert desk.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}").out == before != ""
