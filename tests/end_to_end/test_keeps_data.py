"""What the user has in the cluster outlives what happens to its VMs: `up` deletes no disk, and starts etcd once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.end_to_end.conftest import Desk

ONE_OF_EACH = {"control_planes": 1, "workers": 1}


def remember(desk: Desk) -> None:
    text = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "precious"}, "data": {"of": "mine"}}
    path = desk.folder / "precious.json"
    path.write_text(json.dumps(text))
    done = desk.kubectl("create", "--validate=false", "-f", str(path))
    assert done.code == 0, done.err


def remembered(desk: Desk) -> bool:
    return desk.kubectl("get", "configmap", "precious", "-o", "jsonpath={.data.of}").out == "mine"


def faults_of(desk: Desk, *command: str) -> tuple[int, dict[str, Any]]:
    done = desk.run(*command, "--json")
    return done.code, done.json["fault"]


def test_a_deleted_vm_gets_its_disk_back_and_etcd_with_it(desk: Desk) -> None:
    desk.write_cluster(machines=ONE_OF_EACH)
    desk.good("up", "lab")
    remember(desk)
    desk.ask_lab("fault", name="vm-deleted", place="lab-cp-1")
    desk.ask_lab("fault", name="vm-deleted", place="lab-worker-1")

    planned = desk.good("plan", "lab", "--json").json
    said = json.dumps(planned)
    assert "attach again the disk that is there" in said
    assert not [action for action in planned["actions"] if action.get("destroys")]
    events = desk.good("up", "lab", "--progress", "json").events
    assert events[-1]["outcome"] == "ok"
    assert remembered(desk)
    assert desk.good("status", "lab", "--json").json["state"] == "healthy"
    assert desk.good("up", "lab", "--json").json["outcome"] == "unchanged"


@pytest.mark.long
def test_a_lost_disk_with_etcd_is_told_and_never_papered_over(desk: Desk) -> None:
    desk.write_cluster(machines=ONE_OF_EACH)
    desk.good("up", "lab")
    remember(desk)
    desk.ask_lab("fault", name="vm-deleted", place="lab-cp-1", value=1)
    notes = desk.provision_home / "lab" / "notes.json"

    for command in (("up", "lab"), ("up", "lab", "--until", "install")):
        code, fault = faults_of(desk, *command)
        assert (code, fault["id"]) == (6, "P-ETCD-LOST"), fault
        assert "lost" in fault["message"]
        assert any("provision rebuild lab" in line for line in fault["next_steps"])
    noted = json.loads(notes.read_text())
    notes.write_text(json.dumps({key: value for key, value in noted.items() if key != "bootstrapped"}))
    code, fault = faults_of(desk, "up", "lab")
    assert (code, fault["id"]) == (6, "P-ETCD-LOST"), "the worker tells of the old cluster"
    assert {vm["name"] for vm in desk.ask_lab("status")["vms_detail"]} == {"fileserver", "lab-worker-1"}

    desk.good("down", "lab", "--yes")
    assert desk.good("up", "lab", "--json").json["outcome"] == "ok"
    assert not remembered(desk), "a new cluster, as was asked for"
