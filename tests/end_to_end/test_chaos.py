"""Bad moments: a fault in the middle of `up`. It lives through it, or ends with the right id."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import Any

import pytest

from tests.end_to_end.conftest import BOUND_S, Desk, Done
from tests.end_to_end.test_bad_days import expect


def up_with(desk: Desk, step: str, *faults: dict[str, Any]) -> Done:
    """`up` with faults of the lab let happen at the first action of a step, in their order."""
    desk.good("lab", "start")
    process = subprocess.Popen(
        desk.command("up", "lab", "--progress", "json"),
        cwd=desk.folder,
        env=desk.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    bound = threading.Timer(BOUND_S, process.kill)
    bound.start()
    lines, happened = [], False
    try:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                lines.append(line)
                event = json.loads(line)
                if not happened and event["type"] == "action_started" and event["step"] == step:
                    for fault in faults:
                        desk.ask_lab("fault", **fault)
                    happened = True
        process.wait(60)
    finally:
        bound.cancel()
        process.kill()
        process.wait(60)
    assert happened, "the fault had its moment"
    return Done(process.returncode, "".join(lines), "")


@pytest.mark.long
@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ("vm", {"name": "link-drop", "place": "silence", "value": 20}),
        ("config", {"name": "talos-lose-answer", "place": "ApplyConfiguration", "times": 5}),
        ("bootstrap", {"name": "talos-lose-answer", "place": "Bootstrap", "times": 2}),
        ("image", {"name": "host-reboot", "value": 60}),
    ],
    ids=lambda value: value if isinstance(value, str) else value["name"],
)
def test_up_lives_through_it(desk: Desk, step: str, fault: dict[str, Any]) -> None:
    assert up_with(desk, step, fault).json["outcome"] == "ok"
    assert desk.good("status", "lab", "--json").json["healthy"] is True
    names = desk.ask_lab("status")["vm_names"]
    assert sorted(names) == ["fileserver", "lab-cp-1", "lab-worker-1", "lab-worker-2", "lab-worker-3"]


@pytest.mark.parametrize(
    ("fault", "fault_id"),
    [
        ({"name": "winrm-refuse", "times": 99}, "P-HOST-SIGNIN"),
        ({"name": "winrm-certificate"}, "P-HOST-CERT"),
    ],
    ids=["sign-in", "certificate"],
)
def test_a_host_that_turns_us_away_in_the_middle(desk: Desk, fault: dict[str, Any], fault_id: str) -> None:
    """All connections end, so new ones are dialled; what the host says to them is told as at the beginning."""
    dropped = {"name": "link-drop", "place": "reset", "value": 20}
    expect(up_with(desk, "image", fault, dropped), fault_id, 4)


def test_an_account_without_rights(desk: Desk) -> None:
    desk.good("lab", "start")
    desk.ask_lab("fault", name="rights-lost", place="provision")
    fault = expect(desk.run("up", "lab", "--json"), "P-HOST-RIGHTS", 4)
    assert "Add-LocalGroupMember" in json.dumps(fault)
