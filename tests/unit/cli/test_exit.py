"""How commands end: what others quoted stays hidden, also in the file of a bug and in JSON."""

from __future__ import annotations

import asyncio
import errno
import io
import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from provisioner.cli.app import app as app_of_all
from provisioner.cli.exit import guarded, show_fault
from provisioner.cli.options import in_front
from provisioner.cli.progress import DetachableView
from provisioner.errors import Fault, Interrupted
from provisioner.faults import Exit
from provisioner.model.events import Note
from provisioner.views import make_view
from provisioner.views.console import Console

ROOT = Path(__file__).resolve().parents[3]

TOKEN = "wlzjyw.bei2zfylhs2by0wd"


def test_a_bug_is_told_in_a_private_file_without_what_looks_secret(capsys: pytest.CaptureFixture[str]) -> None:
    def app(**_: object) -> None:
        password = "ereh-tpek"[::-1]  # not to be found in the lines of the source
        raise RuntimeError(f"token {TOKEN} was refused, {len(password)}")

    assert guarded(app) == Exit.BUG
    shown = capsys.readouterr()
    (file,) = (Path(os.environ["PROVISION_HOME"]) / "bugs").iterdir()
    text = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "RuntimeError: token «secret» was refused" in text
    assert TOKEN not in text + shown.out + shown.err
    assert "kept-here" not in text, "values of local variables are not told"
    assert "Traceback" not in shown.err


@pytest.mark.parametrize("error", [typer.Abort(), KeyboardInterrupt(), Interrupted()], ids=repr)
def test_whoever_stops_it_is_told_130_and_no_bug(error: BaseException) -> None:
    def app(**_: object) -> None:
        raise error

    assert guarded(app) == Exit.INTERRUPTED
    assert not (Path(os.environ["PROVISION_HOME"]) / "bugs").exists()


@pytest.mark.parametrize("factor", ["inf", "nan"])
def test_a_wait_without_a_bound_is_refused(factor: str) -> None:
    assert CliRunner().invoke(app_of_all, ["up", "no-such-cluster", "--wait-scale", factor]).exit_code == Exit.USAGE


@pytest.mark.parametrize("grouped", [False, True])
def test_a_full_disk_is_no_bug(grouped: bool, capsys: pytest.CaptureFixture[str]) -> None:
    def app(**_: object) -> None:
        full = OSError(errno.ENOSPC, "No space left on device")
        raise ExceptionGroup("lanes", [full]) if grouped else full

    assert guarded(app) == Exit.NOT_READY
    assert "P-LOCAL-HOME   this computer cannot write: No space left on device" in capsys.readouterr().err
    assert not (Path(os.environ["PROVISION_HOME"]) / "bugs").exists()


def test_where_nothing_can_be_shown_the_exit_code_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    def app(**_: object) -> None:
        sys.stdout.write("a result")

    monkeypatch.setattr(sys, "argv", ["provision", "status", "lab", "--json"])
    monkeypatch.setattr(sys, "stdout", Full())
    assert guarded(app) == Exit.NOT_READY


def test_streams_that_are_closed_lead_nowhere() -> None:
    """As a supervisor may start us (`<&- >&-`): no stream of ours is missing, and no file gets its number."""
    done = subprocess.run(
        ["sh", "-c", '"$0" -m provisioner explain P-RUN-BUG <&- >&-', sys.executable],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_options_of_all_commands_may_stand_after_the_command() -> None:
    assert in_front(["up", "lab", "-vv", "--yes"]) == ["-vv", "up", "lab", "--yes"]
    assert in_front(["--ascii", "up", "lab", "-q"]) == ["--ascii", "-q", "up", "lab"]
    assert in_front(["explain", "--", "-v"]) == ["explain", "--", "-v"]


def test_a_run_stops_when_nobody_reads_it_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """`provision up lab --progress json | head`: in order, as at Ctrl-C."""
    read_end, write_end = os.pipe()
    stop = asyncio.Event()
    with os.fdopen(write_end, "w", encoding="utf-8") as out:
        monkeypatch.setattr(sys, "stdout", out)
        screen = DetachableView(make_view("json", console=Console()), stop)
        note = Note(level="info", message="one", t=datetime(2026, 5, 23, tzinfo=UTC), at_s=0.0)
        screen.emit(note)
        assert not stop.is_set()
        assert b'"one"' in os.read(read_end, 1000)
        os.close(read_end)
        screen.emit(note)
        assert stop.is_set()
        screen.emit(note)  # silent from then on


def test_a_fault_as_json_hides_what_others_quoted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["provision", "up", "lab", "--json"])
    key = "-----BEGIN ED25519 PRIVATE KEY-----\nMC4CAQAwBQ\n-----END ED25519 PRIVATE KEY-----"
    show_fault(Fault("P-CONFIG-REFUSED", "Talos refuses the config", seen=(f"token {TOKEN}", key)))
    told = json.loads(capsys.readouterr().out)
    assert told["seen"] == ["token «secret»", "«secret»"]


@pytest.mark.parametrize("asked", [["--json"], ["--progress", "json"], ["--progress=json"], ["--progress", "plain"]])
def test_who_asked_for_json_gets_a_fault_as_json_too(
    asked: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one from before any run, so that a program that reads the events is not left with nothing."""
    monkeypatch.setattr(sys, "argv", ["provision", "up", "lab", *asked])
    show_fault(Fault("P-LOCAL-PASSWORD", "no password for hv01"))
    shown = capsys.readouterr()
    if "plain" in asked:
        assert "P-LOCAL-PASSWORD" in shown.err
        assert shown.out == ""
    else:
        assert json.loads(shown.out)["id"] == "P-LOCAL-PASSWORD"
