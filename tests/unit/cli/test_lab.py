"""`provision lab`: faults with their places and measures, refusals in words, a frozen lab, and a lab that is deleted."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from provisioner.cli.app import app
from provisioner.errors import Fault
from provisioner.faults import exit_code
from provisioner.lab import control
from provisioner.lab.descriptor import Descriptor
from provisioner.lab.world.faults import FAULTS
from tests.conftest import ROOT

DESCRIPTOR = Descriptor(
    pid=4711,
    started="",
    rate=1,
    epoch=0,
    epoch_s=0,
    seed=1,
    host="hv01.lab",
    address="",
    user="",
    ca="",
    control_port=1,
    control_token="",
)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a lab is asked, of a cluster file in the present folder."""
    (tmp_path / "clusters").mkdir()
    shutil.copy(ROOT / "clusters" / "lab.yaml", tmp_path / "clusters")
    monkeypatch.chdir(tmp_path)
    asked: list[dict[str, Any]] = []

    def answer(_card: Descriptor, do: str, **more: Any) -> dict[str, Any]:
        if not more.get("name"):
            return {"known": [{"name": name, **asdict(row)} for name, row in FAULTS.items()]}
        asked.append({"do": do, **more})
        if more["name"] == "clear":
            return {"forgotten": ["no-memory cp-1"], "undone": [], "stays": ["foreign-vm: the VM x"]}
        return {"injected": more["name"]}

    monkeypatch.setattr(control, "start", lambda *_a, **_k: DESCRIPTOR)
    monkeypatch.setattr(control, "ask", answer)
    return asked


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["lab", *arguments])


def fault_of(result: Result) -> Fault:
    assert isinstance(result.exception, Fault), result.output
    return result.exception


def test_each_fault_tells_its_place_and_its_measure(asked: list[dict[str, Any]]) -> None:
    lines = run("fault").stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("disk-full "))
    assert lines[at + 1].split() == ["--place", "volume,", "as", "C:,", "default", "the", "first"]
    assert lines[at + 2].split() == ["--value", "bytes", "left,", "default", "1.04858e+06"]
    at = next(number for number, line in enumerate(lines) if line.startswith("rights-lost "))
    assert lines[at + 1].split() == ["--place", "user,", "required"]


def test_a_value_of_zero_is_a_value(asked: list[dict[str, Any]]) -> None:
    assert run("fault", "disk-full", "--value", "0").stdout == "disk-full has happened\n"
    assert run("fault", "no-memory", "--times", "2").stdout == "no-memory will happen 2 times\n"
    assert [(each["value"], each["times"]) for each in asked] == [(0.0, 1), (None, 2)]


def test_clear_tells_what_was_undone_and_what_stays(asked: list[dict[str, Any]]) -> None:
    assert run("fault", "clear").stdout.splitlines() == [
        "cancelled: no-memory cp-1",
        "stays: foreign-vm: the VM x",
        "for a clean lab: provision lab reset lab --yes",
    ]


def test_what_the_lab_refuses_is_told_in_its_words(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_card: Descriptor, _do: str, **more: Any) -> dict[str, Any]:
        if more.get("name"):
            raise control.LabRefusedError("the host has no volume Q:")
        return {"known": [{"name": "disk-full", **asdict(FAULTS["disk-full"])}]}

    monkeypatch.setattr(control, "ask", refuse)
    fault = fault_of(run("fault", "disk-full", "--place", "Q:"))
    assert (fault.id, fault.message) == ("P-LAB-REFUSED", "the host has no volume Q:")


@pytest.mark.parametrize("command", [("start",), ("status",), ("stop",), ("reset", "--yes"), ("fault", "clear")])
def test_a_frozen_lab_is_a_fault_with_the_way_out(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    def frozen(*_arguments: Any, **_more: Any) -> Any:
        raise control.LabFrozenError(4711, 15)

    for name in ("start", "running", "ask", "stop", "reset"):
        monkeypatch.setattr(control, name, frozen)
    fault = fault_of(run(*command))
    assert fault.id == "P-LAB-FROZEN"
    assert "kill -CONT 4711" in " ".join(fault.next_steps)
    assert "kill -KILL 4711" in " ".join(fault.next_steps)


def test_a_lab_is_deleted_on_consent_alone(asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    deleted: list[Path] = []

    def reset(folder: Path) -> bool:
        deleted.append(folder)
        return True

    monkeypatch.setattr(control, "reset", reset)
    assert fault_of(run("reset")).id == "P-RUN-CONFIRM"
    assert deleted == []
    assert run("reset", "--yes").stdout == "lab deleted; provision up lab starts a new one\n"
    assert [folder.name for folder in deleted] == ["lab"]


@pytest.mark.usefixtures("asked")
def test_start_status_and_stop_say_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def status(_descriptor: Descriptor, do: str, **_: Any) -> dict[str, Any]:
        assert do == "status"
        return {"vms": 4, "now_s": 61.5}

    monkeypatch.setattr(control, "running", lambda _folder: DESCRIPTOR)
    monkeypatch.setattr(control, "ask", status)
    monkeypatch.setattr(control, "stop", lambda _folder: True)
    assert run("start").stdout.startswith("lab running: process 4711, 1 x real time, state in ")
    assert "4 VMs on hv01.lab" in run("status").stdout
    told = json.loads(run("status", "--json").stdout)
    assert (told["schema"], told["running"], told["vms"]) == ("provision/lab-status/1", True, 4)
    assert run("stop").stdout == "lab stopped\n"


@pytest.mark.usefixtures("asked")
def test_a_lab_that_is_not_running_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "running", lambda _folder: None)
    monkeypatch.setattr(control, "stop", lambda _folder: False)
    for command in ("status", "stop"):
        done = run(command)
        assert (done.exit_code, done.stdout) == (0, "lab lab is not running\n")


def test_a_fault_that_does_not_exist(asked: list[dict[str, Any]]) -> None:
    fault = fault_of(run("fault", "disk-ful"))
    assert (fault.id, fault.probable_cause) == ("P-RUN-UNKNOWN", "disk-full was meant")
    assert asked == []
    listed = json.loads(run("fault", "--json").stdout)
    assert {row["name"] for row in listed["known"]} == set(FAULTS)


# --- a lab that is not there ------------------------------------------------------------------------------------------


def test_a_real_host_has_no_lab(asked: list[dict[str, Any]]) -> None:
    Path("clusters/home.yaml").write_text("version: 1\nhost: {address: hv01.lan, user: u}\n")
    fault = fault_of(run("start", "home"))
    assert (fault.id, exit_code(fault.id)) == ("P-LAB-START", 4)
    assert "real host" in fault.message


@pytest.mark.parametrize("command", [("up", "lab"), ("plan", "lab"), ("lab", "start", "lab")])
def test_a_lab_that_does_not_start_says_why(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    def ended(*_arguments: Any, **_more: Any) -> Any:
        raise control.LabError("it ended with 1, see lab.log")

    monkeypatch.setattr(control, "start", ended)
    fault = fault_of(CliRunner().invoke(app, list(command)))
    assert fault.id == "P-LAB-START"
    assert fault.seen == ("it ended with 1, see lab.log",)


def test_a_lab_that_does_not_run_is_not_read(asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` looks, and starts nothing."""
    started: list[str] = []
    monkeypatch.setattr(control, "start", lambda *_a, **_k: started.append("lab"))
    fault = fault_of(CliRunner().invoke(app, ["status", "lab"]))
    assert fault.id == "P-LAB-START"
    assert fault.next_steps == ("provision lab start lab",)
    assert not started
