"""The judge is built once, whoever asks first, and told apart: no Go, no network, and a defect of ours."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.interop.talos.judge import build_judge

GO = """#!/bin/sh
if [ "$1" = version ]; then echo go version fake; exit; fi
echo built >> {log}
{work}
"""


def fake_go(folder: Path, monkeypatch: pytest.MonkeyPatch, work: str) -> Path:
    """A `go` that notes each build. What it makes is kept in a cache of the test's own."""
    log = folder / "log"
    go = folder / "go"
    go.write_text(GO.format(log=log, work=work))
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    return log


def test_of_many_at_once_one_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = fake_go(tmp_path, monkeypatch, 'while [ "$1" != -o ]; do shift; done; : > "$2"')
    threads = [threading.Thread(target=build_judge) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.read_text() == "built\n"
    assert build_judge()._program.parent == tmp_path / "cache" / "provision-tests"
    assert log.read_text() == "built\n"


def test_without_a_network_it_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_go(tmp_path, monkeypatch, "echo 'dial tcp: lookup proxy.golang.org: no such host' >&2; exit 1")
    with pytest.raises(pytest.skip.Exception, match="cannot be fetched"):
        build_judge()


def test_a_defect_of_ours_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_go(tmp_path, monkeypatch, "echo './talk.go:5: undefined: x' >&2; exit 1")
    with pytest.raises(pytest.fail.Exception, match="undefined: x"):
        build_judge()


def test_without_go_it_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="no Go on this machine"):
        build_judge()
