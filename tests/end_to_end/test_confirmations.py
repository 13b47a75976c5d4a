"""What a typed answer does to a host: over the real protocols, read back from the lab. All answers stand in tests/unit/cli/test_confirmations.py."""

from __future__ import annotations

import sys

import pytest

from provisioner.faults import Exit, exit_code
from tests.end_to_end.conftest import Desk
from tests.terminal import CTRL_C, ENTER, Terminal


def vms(desk: Desk) -> list[str]:
    names: list[str] = desk.ask_lab("status")["vm_names"]
    return names


def typed(desk: Desk, command: str, keys: str) -> int:
    with Terminal(
        "provisioner", command, "lab", cwd=desk.folder, env=desk.environment, python=sys.executable
    ) as terminal:
        terminal.sees("Type lab to ")
        terminal.types(keys)
        return terminal.ended()


@pytest.mark.end_to_end
def test_machines_go_when_their_cluster_is_named_and_not_before(desk: Desk) -> None:
    desk.write_cluster(speed=400.0)
    desk.good("up", "lab", "--until", "vm")
    made = vms(desk)
    assert len(made) == 5
    refused = exit_code("P-RUN-CONFIRM")
    for command, keys, code in (
        ("down", f"home{ENTER}", refused),
        ("rebuild", ENTER, refused),
        ("down", CTRL_C, int(Exit.INTERRUPTED)),
    ):
        assert typed(desk, command, keys) == code
        assert vms(desk) == made
    assert typed(desk, "down", f"lab{ENTER}") == 0
    assert vms(desk) == ["fileserver"]
