"""Nothing is destroyed that was not confirmed: each answer at a real terminal, and none at all. The same against a lab, over the real
protocols, stands in tests/end_to_end/test_confirmations.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from provisioner.faults import Exit, exit_code
from tests.terminal import CTRL_C, CTRL_D, ENTER, Terminal
from tests.unit.cli.over_fakes import AFTER, FILE

MODULE = "tests.unit.cli.over_fakes"
VMS = ["home-cp-1", "home-worker-1"]
REFUSED = exit_code("P-RUN-CONFIRM")


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "home.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    root = Path(__file__).resolve().parents[3]
    return {**os.environ, "PYTHONPATH": str(root), "PROVISION_PASSWORD": "of no host", "PYTHONUTF8": "1"}


def after() -> dict[str, Any]:
    told: dict[str, Any] = json.loads(Path(AFTER).read_text())
    return told


def assert_nothing_happened() -> None:
    assert after() == {"vms": VMS, "calls": []}
    assert not list(Path(os.environ["PROVISION_HOME"]).glob("home/runs/*")), "no run began"


@pytest.mark.parametrize("command", ["down", "rebuild"])
@pytest.mark.parametrize(
    ("keys", "code", "says"),
    [
        (f"hoem{ENTER}", REFUSED, "hoem"),
        (f"HOME{ENTER}", REFUSED, "HOME"),
        (f"yes{ENTER}", REFUSED, "yes"),
        (ENTER, REFUSED, "nothing"),
        (CTRL_D, REFUSED, "nothing"),
        (CTRL_C, int(Exit.INTERRUPTED), ""),
    ],
    ids=["wrong", "capitals", "yes", "empty", "ctrl-d", "ctrl-c"],
)
def test_whoever_does_not_type_the_name_keeps_everything(
    environment: dict[str, str], command: str, keys: str, code: int, says: str
) -> None:
    with Terminal(MODULE, command, "home", cwd=Path.cwd(), env=environment, python=sys.executable) as terminal:
        terminal.sees(f"Type home to {'remove' if command == 'down' else 'rebuild'} it: ")
        assert_shows_what_goes(terminal.shown)
        terminal.types(keys)
        assert terminal.ended() == code, terminal.shown
        assert says in terminal.shown.partition(" it: ")[2]
    assert_nothing_happened()


def assert_shows_what_goes(shown: str) -> None:
    """Before the question stands what it is about."""
    assert all(name in shown for name in VMS)


@pytest.mark.parametrize("command", ["down", "rebuild"])
def test_the_name_typed_does_it(environment: dict[str, str], command: str) -> None:
    with Terminal(MODULE, command, "home", cwd=Path.cwd(), env=environment, python=sys.executable) as terminal:
        terminal.sees(" it: ")
        terminal.types(f"home{ENTER}")
        assert terminal.ended() == 0, terminal.shown
    assert_removed(command)


def assert_removed(command: str) -> None:
    told = after()
    assert list(Path(os.environ["PROVISION_HOME"]).glob("home/runs/*"))
    assert told["calls"].count("remove_vm") == len(VMS)
    assert told["calls"].count("new_vm") == (len(VMS) if command == "rebuild" else 0)
    assert told["vms"] == (VMS if command == "rebuild" else [])


@pytest.mark.parametrize("command", ["down", "rebuild"])
def test_yes_asks_nobody(environment: dict[str, str], command: str) -> None:
    done = without_terminal(environment, command, "home", "--yes")
    assert done.returncode == 0, done.stderr
    assert "Type home" not in done.stderr
    assert_removed(command)


@pytest.mark.parametrize("command", ["down", "rebuild"])
def test_without_a_terminal_nobody_can_confirm(environment: dict[str, str], command: str) -> None:
    done = without_terminal(environment, command, "home", given="home\n")
    assert done.returncode == REFUSED
    assert f"provision {command} home --yes" in done.stderr
    assert_nothing_happened()


def test_a_dry_run_destroys_nothing(environment: dict[str, str]) -> None:
    for command in ("down", "rebuild"):
        done = without_terminal(environment, command, "home", "--dry-run", "--yes")
        assert done.returncode == 0, done.stderr
        assert_nothing_happened()


def test_an_empty_name_is_not_the_cluster_of_the_environment(environment: dict[str, str]) -> None:
    """`provision down "$EMPTY" --yes`."""
    for command in ("down", "rebuild"):
        done = without_terminal(environment | {"PROVISION_CLUSTER": "home"}, command, "", "--yes")
        assert done.returncode == exit_code("P-FILE-NOTFOUND"), done.stderr
        assert after()["calls"] == []


def without_terminal(environment: dict[str, str], *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", MODULE, *arguments],
        env=environment,
        input=given,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
