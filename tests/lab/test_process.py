"""The lab's process: what a kill leaves is tidied up, a frozen one is told as such, and a lab can be forgotten."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from provisioner.lab import control
from provisioner.lab import descriptor as descriptors
from provisioner.lab.world import durable
from tests.conftest import ROOT
from tests.lab.world.checker import check
from tests.lab.world.hand import hand_world

pytestmark = [
    pytest.mark.filterwarnings("ignore:subprocess .* still running:ResourceWarning"),  # a lab outlives who starts it
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "lab"
    yield folder
    control.stop(folder)


def start(folder: Path) -> descriptors.Descriptor:
    return control.start(folder, speed=200.0, seed=1)


def kill(folder: Path, card: descriptors.Descriptor) -> None:
    os.kill(card.pid, signal.SIGKILL)
    with FileLock(folder / descriptors.LOCK, timeout=60):
        pass


def test_what_a_killed_lab_had_begun_to_write_is_gone(folder: Path) -> None:
    kill(folder, start(folder))
    left = ("world.jsonab12cd_x", ".lab.json.x8_2jq0a", ".password.abcdefgh", "world.json.tmp", "lab.json.tmp")
    for name in left:
        (folder / name).write_text("keys")
    start(folder)
    assert [name for name in left if (folder / name).exists()] == []
    assert (folder / durable.FILE).is_file()
    assert descriptors.read_password(folder)


def test_a_half_written_certificate_does_not_keep_the_lab_from_starting(folder: Path) -> None:
    """A kill while the endpoint's files are written leaves the old ones, or none."""
    kill(folder, start(folder))
    for path in folder.glob("winrm-*"):
        assert path.read_bytes().rstrip().endswith(b"-----"), path
    assert not list(folder.glob("winrm-*.tmp"))  # the world may be half written: it is kept as it changes
    assert control.running(folder) is None


def test_a_frozen_lab_is_told_as_such(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = start(folder)
    monkeypatch.setattr(control, "STOP_S", 0.5)
    os.kill(card.pid, signal.SIGSTOP)
    try:
        for call in (control.running, start, control.stop, control.reset):
            with pytest.raises(control.LabFrozenError, match=str(card.pid)):
                call(folder)
    finally:
        os.kill(card.pid, signal.SIGCONT)
    monkeypatch.undo()
    assert control.running(folder) == card, "it goes on"


def test_a_lab_that_is_forgotten_begins_anew(folder: Path) -> None:
    assert control.reset(folder) is False
    card = start(folder)
    assert control.reset(folder) is True
    assert not folder.exists()
    assert start(folder).control_token != card.control_token
    kill(folder, start(folder))
    assert control.reset(folder) is True, "one that was killed, too"


def test_a_refusal_is_told_in_words(folder: Path) -> None:
    card = start(folder)
    with pytest.raises(control.LabRefusedError, match=r"^the host has no volume Q:; it has C:, D:$"):
        control.ask(card, "fault", name="disk-full", place="Q:")
    with pytest.raises(control.LabRefusedError, match=r"^--value of switch-outage is seconds, from 0 up, not -1$"):
        control.ask(card, "fault", name="switch-outage", value=-1)
    control.ask(card, "fault", name="winrm-certificate", times=2)
    assert control.ask(card, "fault", name="clear")["forgotten"] == ["winrm-certificate"]


MIDDLE = """
import pathlib, sys, time
from provisioner.lab.world.build import new_world
from provisioner.lab.world.durable import FILE, Saver
from provisioner.lab.world.faults import inject
from tests.lab.world.hand import NullGuests
folder = pathlib.Path(sys.argv[1])
world = new_world(guests=NullGuests, rate=1000.0, with_external_switch="LAB" if sys.argv[2] == "removed" else "")
inject(world, "switch-outage", "LAB", value=60_000.0 if sys.argv[2] == "removed" else 1_000.0, times=2)
world.start()
Saver(world, folder).start()
with world.kernel.lock:
    if sys.argv[2] == "removed":
        world.hyperv.switches.begin_remove_switch(next(s for s in world.hyperv.switches.get_switches() if s.name == "LAB").id, lambda: None)
    else:
        world.hyperv.switches.begin_new_switch("LAB", lambda error: None, adapter_name="Ethernet", notes="x")
while '"name":"LAB"' not in ((folder / FILE).read_text() if (folder / FILE).exists() else "") or world.state.lan.link.up:
    time.sleep(0.01)
print("in the middle", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("work", ["made", "removed"])
def test_a_kill_in_the_middle_of_a_switch_leaves_a_host_that_answers(tmp_path: Path, work: str) -> None:
    command = [sys.executable, "-c", MIDDLE, str(tmp_path), work]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in the middle\n"
        os.kill(process.pid, signal.SIGKILL)
    world = hand_world(state=durable.load(tmp_path))
    assert check(world.state) == []
    assert world.state.lan.link.up
    assert world.network.has_gateway()
