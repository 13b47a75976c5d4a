"""The main flow with a genuine PowerShell behind the lab's WinRM endpoint: pypsrp, WSMan, engine, our module's text, stub cmdlets, world."""

from __future__ import annotations

import pytest

from tests.end_to_end.conftest import Desk
from tests.engine import lab as engine_lab

SPEED = 20.0
PATIENT = ("--wait-scale", "10")
"""Engines compute in real time while the lab's clock runs fast: on a busy computer a start of theirs takes a minute of the lab."""


@pytest.mark.long
@pytest.mark.usefixtures("pwsh")
def test_from_nothing_to_vms_and_back_under_the_engine(desk: Desk) -> None:
    desk.write_cluster(speed=SPEED)
    engine_lab.start(desk.lab_folder(), speed=SPEED)

    up = desk.good("up", "lab", "--until", "vm", "--json", *PATIENT).json
    assert up["outcome"] == "ok"
    vms = {vm["name"]: vm["state"] for vm in desk.ask_lab("status")["vms_detail"]}
    assert vms == {"fileserver": "Running"} | dict.fromkeys(
        ("lab-cp-1", "lab-worker-1", "lab-worker-2", "lab-worker-3"), "Running"
    )
    again = desk.good("up", "lab", "--until", "vm", "--json", *PATIENT).json
    assert again["outcome"] == "unchanged"

    assert desk.good("down", "lab", "--all", "--yes", "--json", *PATIENT).json["outcome"] == "ok"
    assert desk.ask_lab("status")["vm_names"] == ["fileserver"]


@pytest.mark.long
@pytest.mark.usefixtures("pwsh")
def test_the_whole_cluster_under_the_engine(desk: Desk) -> None:
    desk.write_cluster(speed=SPEED)
    engine_lab.start(desk.lab_folder(), speed=SPEED)
    assert desk.good("up", "lab", "--json", *PATIENT).json["outcome"] == "ok"
    assert desk.good("status", "lab", "--json").json["healthy"]
    assert desk.good("up", "lab", "--json", *PATIENT).json["outcome"] == "unchanged"
