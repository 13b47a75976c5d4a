"""Ctrl-C: no new action, what is at work ends, and what is left is said; the same command goes on."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import Any

import pytest

from tests.end_to_end.conftest import BOUND_S, Desk


def interrupted_at(desk: Desk, action: str, number: signal.Signals = signal.SIGINT) -> tuple[list[dict[str, Any]], int]:
    process = subprocess.Popen(
        desk.command("up", "lab", "--progress", "json"),
        cwd=desk.folder,
        env=desk.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    events = []
    try:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                events.append(json.loads(line))
                if events[-1].get("type") == "action_started" and events[-1].get("action") == action:
                    process.send_signal(number)
        return events, process.wait(BOUND_S)
    finally:
        process.kill()
        process.wait(60)


@pytest.mark.parametrize(
    "number",
    [signal.SIGINT, *(pytest.param(number, marks=pytest.mark.long) for number in (signal.SIGTERM, signal.SIGHUP))],
)
def test_first_ctrl_c_in_a_wait(desk: Desk, number: signal.Signals) -> None:
    """SIGTERM, and SIGHUP of a closed terminal, do the same."""
    events, code = interrupted_at(desk, "maintenance/find/lab-cp-1", number)
    assert code == 130
    ended = next(e for e in events if e.get("type") == "run_ended")
    assert ended["outcome"] == "interrupted"
    assert ended["left"], "says what is left"
    assert not [e for e in events if e.get("type") == "action_started" and e["action"].startswith("config/")]
    assert events[-1]["schema"] == "provision/result/1"
    assert desk.good("up", "lab", "--json").json["outcome"] == "ok"


def test_first_ctrl_c_while_the_host_works(desk: Desk) -> None:
    """VMs that are being made are made to the end: nothing half-made is left."""
    _, code = interrupted_at(desk, "vm/create/lab-cp-1")
    assert code == 130
    plan = desk.good("plan", "lab", "--json").json
    vms = {a["object"]: a["why"] for a in plan["actions"] if a["step"] == "vm"}
    assert not [why for why in vms.values() if "half-made" in why]
    assert desk.good("up", "lab", "--json").json["outcome"] == "ok"
