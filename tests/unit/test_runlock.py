"""One run at a time per cluster."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from provisioner.errors import Fault
from provisioner.runlock import locked

HOLD = """
import sys, time, pathlib
from provisioner.runlock import locked
with locked(pathlib.Path(sys.argv[1]), "home"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Any:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate(timeout=10)


def test_a_second_run_is_told_which_process_is_at_work(holder: Any, tmp_path: Path) -> None:
    with pytest.raises(Fault) as caught, locked(tmp_path, "home"):
        pass
    assert caught.value.id == "P-RUN-LOCKED"
    assert f"process {holder.pid} " in caught.value.seen[0]


def test_the_lock_of_a_killed_run_is_free(holder: Any, tmp_path: Path) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait(60)
    assert (tmp_path / "lock.pid").exists(), "it could not tidy up"
    with locked(tmp_path, "home"):
        pass


def test_a_folder_that_cannot_be_locked_is_no_bug(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(Fault) as caught, locked(tmp_path, "home"):
        pass
    assert caught.value.id == "P-LOCAL-HOME"
