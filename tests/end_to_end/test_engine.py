"""The main flow with a genuine PowerShell behind the lab's WinRM endpoint: pypsrp, WSMan, engine, our module's text, stub cmdlets, world."""

from __future__ import annotations

import pytest

from tests.end_to_end.conftest import Desk
from tests.engine import lab as engine_lab

SPEED = 10.0
PATIENT = ("--wait-scale", "10")
"""Engines compute in real time while the lab's clock runs fast: on a busy computer a start of theirs takes a minute of the lab."""
BOUND_S = 400
"""For the whole test: half a minute where nothing else runs, six times that beside tests that compute."""


@pytest.mark.long
@pytest.mark.timeout(BOUND_S)
@pytest.mark.usefixtures("pwsh")
def test_the_whole_cluster_and_back_under_the_engine(desk: Desk) -> None:
    desk.write_cluster(speed=SPEED)
    engine_lab.start(desk.lab_folder(), speed=SPEED)

    assert desk.good("up", "lab", "--json", *PATIENT, bound_s=BOUND_S).json["outcome"] == "ok"
    vms = {vm["name"]: vm["state"] for vm in desk.ask_lab("status")["vms_detail"]}
    assert vms == {"fileserver": "Running"} | dict.fromkeys(
        ("lab-cp-1", "lab-worker-1", "lab-worker-2", "lab-worker-3"), "Running"
    )
    assert desk.good("status", "lab", "--json", bound_s=BOUND_S).json["healthy"]
    assert desk.good("up", "lab", "--json", *PATIENT, bound_s=BOUND_S).json["outcome"] == "unchanged"

    assert desk.good("down", "lab", "--all", "--yes", "--json", *PATIENT, bound_s=BOUND_S).json["outcome"] == "ok"
    assert desk.ask_lab("status")["vm_names"] == ["fileserver"]
