"""Kill `provision up lab` (SIGKILL) at every `action_started` and `action_ended` line, and run it again: the same healthy cluster,
unchanged secrets, no machine twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from _pytest.mark.structures import ParameterSet

from tests.end_to_end.conftest import Desk, make_desk, stop_labs

MACHINES = ("lab-cp-1", "lab-worker-1", "lab-worker-2", "lab-worker-3")
SPEED = 150.0
CLUSTER_WIDE = (
    "switch/create/LAB@hv01.lab",
    "image/fetch/talos-v1.11.5-metal-amd64.iso@hv01.lab",
    "secrets/create/secrets",
)
"""Done once per host; their kill points begin on an empty host."""
LATER = (
    *(f"vm/create/{m}" for m in MACHINES),
    *(f"maintenance/find/{m}" for m in MACHINES),
    *(f"config/apply/{m}" for m in MACHINES),
    *(f"install/wait/{m}" for m in MACHINES),
    "bootstrap/once/etcd",
    *(f"eject/eject/{m}" for m in MACHINES),
    "health/wait/lab",
    "access/write/admin@lab",
)
POINTS = [(action, moment) for action in (*CLUSTER_WIDE, *LATER) for moment in ("action_started", "action_ended")]


SHORT = ("secrets/create/secrets", "vm/create/lab-cp-1", "bootstrap/once/etcd")


def _row(action: str, moment: str) -> ParameterSet:
    """One point. Those after which the most would be lost are in the short row."""
    short = moment == "action_ended" and action in SHORT
    return pytest.param(action, moment, id=f"{moment}:{action}", marks=() if short else pytest.mark.long)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A lab that is used again and again: emptied before each case as far as the case needs it."""
    desk = make_desk(tmp_path_factory.mktemp("ground"))
    desk.write_cluster(speed=SPEED)
    desk.good("lab", "start")
    yield desk
    stop_labs(desk)


def test_the_points_are_all_there_are(ground: Desk) -> None:
    """A whole run begins and ends exactly these actions: no line of interest is left out above."""
    ground.good("down", "lab", "--all", "--yes")
    events = ground.good("up", "lab", "--progress", "json").events
    for moment in ("action_started", "action_ended"):
        assert sorted(e["action"] for e in events if e.get("type") == moment) == sorted((*CLUSTER_WIDE, *LATER))


@pytest.mark.parametrize(("action", "moment"), [_row(action, moment) for action, moment in POINTS])
def test_killed_and_run_again(ground: Desk, action: str, moment: str) -> None:
    ground.ask_lab(
        "fault", name="winrm-forget", place="Create"
    )  # else shells of killed runs fill the host's quota of 30
    everything = ["--all"] if action in CLUSTER_WIDE else []  # else switch, image and secrets stay, as after any `down`
    ground.good("down", "lab", "--yes", *everything)
    killed = ground.killed_when(
        lambda event: event.get("type") == moment and event.get("action") == action, "up", "lab"
    )
    assert killed, "the run reached that line"
    secrets = _secrets(ground)

    again = ground.good("up", "lab", "--json").json

    assert again["outcome"] in ("ok", "unchanged")
    if secrets is not None:
        assert ground.secrets() == secrets
    assert sorted(ground.ask_lab("status")["vm_names"]) == sorted(("fileserver", *MACHINES)), "no machine twice"
    status = ground.good("status", "lab", "--json").json
    assert status["healthy"], json.dumps(status)
    assert status["etcd_members"] == 1
    assert status["isos_mounted"] == []
    assert _server(ground).startswith("https://127.0.0.1:")


def _secrets(desk: Desk) -> bytes | None:
    path = desk.provision_home / "lab" / "secrets.yaml"
    return path.read_bytes() if path.exists() else None


def _server(desk: Desk) -> str:
    config = yaml.safe_load(Path(desk.folder / ".kube" / "config").read_text())
    return str(config["clusters"][0]["cluster"]["server"])
