"""What the screens say of a cluster that is not as it should be, by the product's own commands."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from provisioner.lab import descriptor as descriptors
from tests.end_to_end.conftest import Desk, make_desk, stop_labs

TWO = {"control_planes": 1, "workers": 1}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A healthy cluster of two; each test writes the file that it is held against."""
    desk = make_desk(tmp_path_factory.mktemp("made"))
    desk.write_cluster(machines=TWO)
    desk.good("up", "lab")
    yield desk
    stop_labs(desk)


def test_versions_that_differ_are_told_by_plan_up_and_status(made: Desk) -> None:
    made.write_cluster(machines=TWO, kubernetes="v1.33.0", talos="v1.11.3")
    plan = made.run("plan", "lab", "--exit-code")
    assert plan.code == 10
    assert "Talos v1.11.5, the file says v1.11.3" in plan.out
    assert "as the file says." not in plan.out
    assert not any(action["verb"] == "fetch" for action in made.good("plan", "lab", "--json").json["actions"])
    assert made.run("status", "lab", "--exit-code").code == 10
    again = made.good("up", "lab")
    assert "as the file says" not in again.out
    assert "the file says v1.33.0" in again.err


def test_a_machine_that_the_file_no_longer_names_is_told(made: Desk) -> None:
    made.write_cluster(machines={"control_planes": 1, "workers": 0})
    plan = made.run("plan", "lab", "--exit-code")
    assert plan.code == 10
    assert "lab-worker-1: not in the file" in " ".join(plan.out.split())
    row = made.run("status", "lab", "--json").json["machines"][-1]
    assert (row["name"], row["role"], row["stage"], row["ready"]) == (
        "lab-worker-1",
        "not in the file",
        "running",
        True,
    )


def test_what_could_not_be_read_ends_with_4(made: Desk) -> None:
    made.write_cluster(machines=TWO)
    made.ask_lab("fault", name="winrm-refuse", place="provision")
    told = made.run("status", "lab", "--json")
    assert told.code == 4
    assert (told.json["state"], told.json["complete"]) == ("unknown", False)
    assert [machine["vm"] for machine in told.json["machines"]] == [None, None]
    assert made.good("status", "lab", "--json").json["state"] == "healthy"


def test_a_cni_of_the_user_s_own_is_not_waited_for(desk: Desk) -> None:
    own = {"all": [{"cluster": {"network": {"cni": {"name": "none"}}, "proxy": {"disabled": True}}}]}
    desk.write_cluster(machines=TWO, patches=own)
    done = desk.good("up", "lab", "--json").json
    assert "no CNI is installed yet" in done["summary"]
    assert desk.good("up", "lab", "--json").json["outcome"] == "unchanged"
    assert desk.good("status", "lab", "--json").json["state"] == "no CNI yet"


@pytest.mark.long
def test_a_host_that_dies_in_the_middle_is_the_one_to_blame(desk: Desk) -> None:
    desk.write_cluster(machines=TWO)
    desk.good("lab", "start")
    card = descriptors.read_descriptor(desk.lab_folder())
    assert card is not None
    faults = []
    with desk.running("up", "lab") as (process, lines):
        for line in lines:
            if line.get("type") == "step_started" and line["step"] == "install":
                os.kill(card.pid, signal.SIGKILL)
            if line.get("type") == "fault":
                faults.append(line["id"])
        assert process.wait(60) == 5
    assert set(faults) == {"P-HOST-LOST"}
    assert desk.good("up", "lab", "--json").json["outcome"] == "ok", "the same command again goes on"
