"""How commands end: what others quoted stays hidden, also in the file of a bug and in JSON."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from provisioner.cli.ending import guarded, show_fault
from provisioner.errors import Fault
from provisioner.faults import Exit

TOKEN = "wlzjyw.bei2zfylhs2by0wd"


def test_a_bug_is_told_in_a_private_file_without_what_looks_secret(capsys: pytest.CaptureFixture[str]) -> None:
    def app(**_: object) -> None:
        password = "-".join(("kept", "here"))
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


def test_a_fault_as_json_hides_what_others_quoted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["provision", "up", "lab", "--json"])
    key = "-----BEGIN ED25519 PRIVATE KEY-----\nMC4CAQAwBQ\n-----END ED25519 PRIVATE KEY-----"
    show_fault(Fault("P-CONFIG-REFUSED", "Talos refuses the config", seen=(f"token {TOKEN}", key)))
    told = json.loads(capsys.readouterr().out)
    assert told["seen"] == ["token «secret»", "«secret»"]
