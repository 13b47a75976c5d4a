"""The lab as the client starts and finds it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provisioner.lab import control
from provisioner.lab.descriptor import read_descriptor, read_password
from provisioner.lab.private_files import write_private


def test_the_lab_inherits_no_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It lives for days, and everybody of this account can read its environment."""
    for name in ("PROVISION_PASSWORD", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "KUBECONFIG"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    started: dict[str, Any] = {}

    class Popen:
        returncode = 1

        def __init__(self, _command: list[str], *, env: dict[str, str], **_: Any) -> None:
            started.update(env)

        def wait(self, _timeout: float) -> int:
            return 1

    monkeypatch.setattr(subprocess, "Popen", Popen)
    with pytest.raises(control.LabError):
        control.start(tmp_path, speed=1, seed=1)
    assert "hunter2" not in started.values()
    assert {"PATH", "LC_ALL", "HOME"} <= started.keys()


def hide(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("name", ["lab.json", "password", "lab.log", "world.json"])
@pytest.mark.parametrize("make", [Path.mkdir, hide])
def test_what_lies_in_the_way_of_a_labs_files_is_told(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    """Neither waited for nor replaced: a FIFO has a reader that never comes."""
    make(tmp_path / name)
    before = (tmp_path / name).lstat()
    assert read_descriptor(tmp_path) is None
    assert read_password(tmp_path) is None
    with pytest.raises(OSError, match="no file"):
        write_private(tmp_path / name, b"key")
    assert (tmp_path / name).lstat().st_ino == before.st_ino
    if name == "lab.log":
        with pytest.raises(control.LabError, match="cannot be used"):
            control.start(tmp_path, speed=1, seed=1)


@pytest.mark.parametrize("card", [b"[]", b"null", b"{}", b'{"schema": "provision/lab/2"}', b"\xff", b"[" * 5000])
def test_a_damaged_card_is_none(tmp_path: Path, card: bytes) -> None:
    (tmp_path / "lab.json").write_bytes(card)
    assert read_descriptor(tmp_path) is None
