"""What was made is never forgotten, and what could not be read is never taken for nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.end_to_end.conftest import Desk, Done

ONE_OF_EACH = {"control_planes": 1, "workers": 1}


def ends(done: Done, exit: int, fault_id: str) -> dict[str, Any]:
    assert done.code == exit, f"{done.out}\n{done.err}"
    said = done.json
    fault: dict[str, Any] = said.get("fault") or said
    assert fault["id"] == fault_id, said
    return fault


def on_host(desk: Desk) -> list[str]:
    names: list[str] = sorted(desk.ask_lab("status")["vm_names"])
    return names


@pytest.mark.long
def test_a_host_that_could_not_be_read_is_never_empty(desk: Desk) -> None:
    """Its service stops, its module is gone, the account loses its rights: no command takes that for nothing, and none gives up the keys."""
    desk.write_cluster(machines=ONE_OF_EACH)
    desk.good("up", "lab", "--until", "vm")
    secrets, vms = desk.secrets(), on_host(desk)
    cluster_id = (desk.provision_home / "lab" / "cluster-id").read_text()
    for fault, fault_id in (
        ({"name": "vmms-stopped"}, "P-HOST-NOHYPERV"),
        ({"name": "module-missing"}, "P-HOST-NOHYPERV"),
        ({"name": "rights-lost", "place": "provision"}, "P-HOST-RIGHTS"),
    ):
        desk.ask_lab("fault", **fault)
        ends(desk.run("down", "lab", "--all", "--yes", "--json"), 4, fault_id)
        planned = desk.run("plan", "lab")
        assert planned.code == 4
        assert fault_id in planned.err
        assert "create" not in planned.out
        status = desk.run("status", "lab", "--json")
        assert status.code == 4
        assert status.json["state"] == "unknown"
        assert {machine["vm"] for machine in status.json["machines"]} == {None}
        desk.ask_lab("fault", name="clear")
    assert (desk.secrets(), on_host(desk)) == (secrets, vms)
    assert (desk.provision_home / "lab" / "cluster-id").read_text() == cluster_id
    assert desk.good("down", "lab", "--all", "--yes", "--json").json["outcome"] == "ok"
    assert on_host(desk) == ["fileserver"]


def test_hyperv_that_stops_in_the_middle_is_told_as_that(desk: Desk) -> None:
    desk.write_cluster(machines=ONE_OF_EACH)
    with desk.running("up", "lab") as (_, lines):
        for line in lines:
            if line.get("type") == "step_started" and line["step"] == "vm":
                desk.ask_lab("fault", name="vmms-stopped")
            last = line
    assert last["exit"] == 4, last
    assert last["fault"]["id"] == "P-HOST-NOHYPERV"


def test_a_locked_disk_is_told_until_it_is_gone(desk: Desk) -> None:
    desk.write_cluster(machines=ONE_OF_EACH)
    desk.good("up", "lab", "--until", "vm")
    desk.ask_lab("fault", name="file-locked", place="lab-worker-1", value=1e6)
    for _ in range(2):
        ends(desk.run("down", "lab", "--all", "--yes", "--json"), 5, "P-VM-STUCK")
        assert desk.secrets()
    shown = desk.run("down", "lab", "--all", "--dry-run").err
    assert "left of lab-worker-1" in shown
    desk.ask_lab("fault", name="clear")
    assert desk.good("down", "lab", "--all", "--yes", "--json").json["outcome"] == "ok"
    assert not (desk.provision_home / "lab" / "secrets.yaml").exists()
    assert not (desk.provision_home / "lab" / "cluster-id").exists()


@pytest.mark.long
def test_a_copied_vm_is_neither_used_nor_removed(desk: Desk) -> None:
    """Listed first by the host, with the machine's name, its MAC address and its mark."""
    desk.write_cluster(machines=ONE_OF_EACH)
    desk.good("up", "lab", "--until", "vm")
    desk.ask_lab("fault", name="vm-copied", place="lab-worker-1", value=1)
    fault = ends(desk.run("up", "lab", "--json"), 6, "P-VM-TWICE")
    assert "the machine" in fault["seen"][0]
    assert desk.run("plan", "lab").code == 6
    ends(desk.run("rebuild", "lab", "--yes", "--json"), 6, "P-VM-TWICE")
    assert on_host(desk) == ["fileserver", "lab-cp-1", "lab-worker-1", "lab-worker-1"]
    for _ in range(2):
        ends(desk.run("down", "lab", "--all", "--yes", "--json"), 6, "P-VM-TWICE")
        assert on_host(desk) == ["fileserver", "lab-worker-1"], "the machines are gone, the copy is not"
        assert desk.secrets()


def test_a_switch_is_removed_whatever_its_name_and_whenever_its_keys_went(desk: Desk) -> None:
    desk.write_cluster(machines=ONE_OF_EACH, switch={"name": "External vSwitch (2.5G)", "adapter": "Ethernet"})
    desk.good("up", "lab", "--until", "secrets")
    desk.good("down", "lab", "--secrets", "--yes")
    desk.good("up", "lab", "--until", "secrets")
    said = desk.good("down", "lab", "--all", "--yes")
    assert "existed before us" not in said.err
    planned = desk.good("plan", "lab", "--json").json
    assert [action["verb"] for action in planned["actions"] if action["step"] in ("switch", "secrets")] == [
        "create"
    ] * 2
