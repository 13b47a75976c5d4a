"""What is kept on this computer: journals, files written whole, pictures, usual times."""

from __future__ import annotations

import io
import json
import os
import stat
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from provisioner.errors import Fault
from provisioner.model.events import Event, Note, PlanMade, RunEnded, RunStarted
from provisioner.model.facts import ConsoleFacts
from provisioner.store.cluster_folder import png_of
from provisioner.store.durations import usual_times
from provisioner.store.files import make_private_folder, write_atomically
from provisioner.store.journal import FileJournal, read_run, run_numbers
from tests.unit.views.streams import SECRETS, STREAMS

NOW = datetime(2026, 5, 23, 12, 4, 7, tzinfo=UTC)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def opened(folder: Path) -> FileJournal:
    """A journal that has taken its number; closed at once."""
    journal = FileJournal(folder)
    journal.close()
    return journal


# --- journal ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in STREAMS if name != "leaky"])
def test_a_run_is_read_back_as_it_was_written(name: str, tmp_path: Path) -> None:
    events = STREAMS[name]()
    journal = FileJournal(tmp_path)
    for event in events:
        journal.emit(event)
    journal.close()
    again = list(read_run(journal.folder))
    assert [json.dumps(event.to_json()) for event in again] == [json.dumps(event.to_json()) for event in events]
    assert [type(event) for event in again] == [type(event) for event in events]


def test_no_secret_gets_into_the_record(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    for event in STREAMS["leaky"]():
        journal.emit(event)
    journal.close()
    text = (journal.folder / "events.jsonl").read_text()
    assert [secret for secret in SECRETS if secret in text] == []
    assert text.count("«secret»") == 5
    assert len(list(read_run(journal.folder))) == len(STREAMS["leaky"]())


def test_each_line_is_in_the_file_before_the_next_thing_happens(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    for number in range(3):
        journal.emit(Note(t=NOW, at_s=number, level="info", message=f"line {number}"))
        assert (journal.folder / "events.jsonl").read_bytes().count(b"\n") == number + 1
    journal.close()
    journal.emit(Note(t=NOW, at_s=9, level="info", message="after the end"))
    assert len(list(read_run(journal.folder))) == 3


def test_runs_are_numbered_and_numbers_are_not_used_again(tmp_path: Path) -> None:
    first, second = opened(tmp_path), opened(tmp_path)
    assert (first.run, second.run) == (1, 2)
    assert first.folder == tmp_path / "runs" / "1"
    (tmp_path / "runs" / "11").mkdir()
    (tmp_path / "runs" / "notes").mkdir()
    (first.folder / "events.jsonl").unlink()
    first.folder.rmdir()
    assert opened(tmp_path).run == 12
    assert run_numbers(tmp_path) == [2, 11, 12]


def test_journals_are_private(tmp_path: Path) -> None:
    journal = opened(tmp_path / "home")
    assert mode_of(tmp_path / "home") == 0o700
    assert mode_of(journal.folder) == 0o700
    assert mode_of(journal.folder / "events.jsonl") == 0o600


def test_torn_and_foreign_lines_are_left_out(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    journal.emit(Note(t=NOW, at_s=1, level="info", message="whole"))
    journal.close()
    with (journal.folder / "events.jsonl").open("ab") as stream:
        stream.write(b'{"t":"2026-05-23T12:04:08Z","type":"of_a_later_version","at_s":2}\n')
        stream.write(b'["no event"]\n{"type":"note"}\n\xff\xfe\n')
        stream.write(b'{"t":"2026-05-23T12:04:09Z","type":"note","at_s":3,"level":"info","mess')
    assert [event.message for event in read_run(journal.folder) if isinstance(event, Note)] == ["whole"]
    assert len(list(read_run(journal.folder))) == 1
    assert list(read_run(tmp_path / "runs" / "77")) == []


def test_a_home_that_cannot_be_written_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file where a folder should be")
    with pytest.raises(Fault) as caught:
        FileJournal(tmp_path / "home")
    assert caught.value.id == "P-LOCAL-HOME"


# --- usual times ------------------------------------------------------------------------------------------------------


def test_usual_times_are_medians_of_good_runs_of_that_command(tmp_path: Path) -> None:
    for name in ("good", "failing-boot", "kept", "good", "interrupted"):
        journal = FileJournal(tmp_path)
        for event in STREAMS[name]():
            journal.emit(event)
        journal.close()
    down = FileJournal(tmp_path)
    down.emit(RunStarted(t=NOW, at_s=0, command="down", cluster="home", host="h", run=6))
    down.emit(RunEnded(t=NOW, at_s=1, outcome="ok", exit=0, elapsed_s=1.0))
    down.close()
    usual = usual_times(tmp_path, command="up")
    assert usual["run"] == pytest.approx(238.3, abs=1)
    assert usual["maintenance"] == pytest.approx(54.0)
    assert "host" not in usual  # it was kept: that took no time
    assert usual_times(tmp_path, command="down") == {"run": 1.0}
    assert usual_times(tmp_path / "nowhere", command="up") == {}


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: os.mkfifo(path), lambda path: path.write_text("[" * 5000)])
def test_an_old_journal_never_matters(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """A folder or a FIFO in its place, or what nests for ever: it is a record for people."""
    runs = tmp_path / "runs"
    for name in ("1", "٣", "9" * 200):
        (runs / name).mkdir(parents=True)
    make(runs / "1" / "events.jsonl")
    (runs / "2").mkdir()
    started = (
        '{"t":"2026-05-23T12:04:08Z","type":"run_started","at_s":0,"command":"up","cluster":"c","host":"h","run":2}'
    )
    plan = '{"t":"2026-05-23T12:04:08Z","type":"plan_made","at_s":0,"changes":1,"keeps":0,"destroys":0,"actions":["a"],"warnings":[]}'
    (runs / "2" / "events.jsonl").write_text(f"{started}\n{plan}\n")
    assert usual_times(tmp_path, command="up") == {}
    assert opened(tmp_path).run == 3


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["resumed", "until"])
def test_a_run_that_did_a_part_says_nothing_of_a_whole_one(part: str, tmp_path: Path) -> None:
    def partly(event: Event) -> Event:
        if not isinstance(event, PlanMade):
            return event
        if part == "until":
            return replace(event, actions=tuple(a for a in event.actions if a["step"] != "access"))
        return replace(event, actions=tuple({**a, "verb": "keep"} if a["step"] == "vm" else a for a in event.actions))

    journal = FileJournal(tmp_path)
    for event in STREAMS["good"]():
        journal.emit(partly(event))
    journal.close()
    assert usual_times(tmp_path, command="up") == {}


def test_a_file_is_written_whole_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "secrets.yaml"
    write_atomically(path, b"one", mode=0o600)
    assert (path.read_bytes(), mode_of(path)) == (b"one", 0o600)
    write_atomically(path, b"two", mode=0o644)
    assert (path.read_bytes(), mode_of(path)) == (b"two", 0o644)
    assert [item.name for item in tmp_path.iterdir()] == ["secrets.yaml"]


def test_a_failed_write_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secrets.yaml"
    write_atomically(path, b"old", mode=0o600)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new", mode=0o600)
    assert path.read_bytes() == b"old"
    assert [item.name for item in tmp_path.iterdir()] == ["secrets.yaml"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """People keep their kubeconfig in a folder of dot files."""
    real = tmp_path / "dotfiles" / "config"
    real.parent.mkdir()
    real.write_bytes(b"old")
    link = tmp_path / "config"
    link.symlink_to(real)
    write_atomically(link, b"new", mode=0o600)
    assert link.is_symlink()
    assert real.read_bytes() == b"new"


def test_readers_see_old_or_new_never_half(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    contents = [letter * 200_000 for letter in (b"a", b"b")]
    write_atomically(path, contents[0], mode=0o600)
    seen: set[bytes] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            content = path.read_bytes()
            seen.add(content[:1] + content[-1:] + str(len(content)).encode())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(50):
        write_atomically(path, contents[number % 2], mode=0o600)
    done.set()
    reader.join()
    assert seen <= {b"aa200000", b"bb200000"}


def test_private_folders_are_private_all_the_way_down(tmp_path: Path) -> None:
    make_private_folder(tmp_path / "a" / "b")
    assert [mode_of(tmp_path / "a"), mode_of(tmp_path / "a" / "b")] == [0o700, 0o700]
    (tmp_path / "a").chmod(0o755)
    make_private_folder(tmp_path / "a" / "b" / "c")
    assert mode_of(tmp_path / "a") == 0o755
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        make_private_folder(tmp_path / "file")


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_colours_of_a_screen_come_out_right() -> None:
    words = {
        0x0000: (0, 0, 0),
        0xFFFF: (255, 255, 255),
        0xF800: (255, 0, 0),
        0x07E0: (0, 255, 0),
        0x001F: (0, 0, 255),
        0x8410: (131, 129, 131),
        0x1234: (16, 68, 164),
        0xFFE0: (255, 255, 0),
    }
    pixels = b"".join(word.to_bytes(2, "little") for word in words)
    picture = Image.open(io.BytesIO(png_of(ConsoleFacts(width=4, height=2, pixels=pixels))))
    assert picture.format == "PNG"
    assert picture.size == (4, 2)
    assert [picture.getpixel((index % 4, index // 4)) for index in range(8)] == list(words.values())


def test_pixels_that_do_not_fill_the_screen_are_refused() -> None:
    with pytest.raises(ValueError, match="takes 16"):
        png_of(ConsoleFacts(width=4, height=2, pixels=b"\0" * 15))
