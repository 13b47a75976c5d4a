"""One run's record: `runs/<n>/events.jsonl`, one event a line, each on its way to the disk before the next thing happens.

A record for people and for estimates: deleting it loses no cluster.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from provisioner.errors import Fault
from provisioner.model.events import Event, from_json
from provisioner.model.redaction import redacted
from provisioner.record.files import make_private_folder

EVENTS = "events.jsonl"
_KEPT_MODE = 0o600


class FileJournal:
    """`ports.Journal`. Takes the next free number when made; to be made under the cluster's lock."""

    def __init__(self, cluster_folder: Path) -> None:
        """Raises a Fault P-LOCAL-HOME when nothing can be written there."""
        runs = cluster_folder / "runs"
        try:
            make_private_folder(runs)
            self.run, self.folder = _next_run(runs)
            path = self.folder / EVENTS
            path.touch(mode=_KEPT_MODE)
            self._stream = path.open("a", encoding="utf-8")
        except OSError as error:
            raise Fault(
                "P-LOCAL-HOME",
                f"no journal can be written in {runs}",
                expected="a folder of yours",
                seen=[str(error)],
                then=["make it writable for you, or set PROVISION_HOME"],
            ) from error

    def emit(self, event: Event) -> None:
        """One line, handed to the system at once: a killed run has told all that it began. After `close`, nothing."""
        if not self._stream.closed:
            line = json.dumps(event.to_json(), ensure_ascii=False, separators=(",", ":"))
            self._stream.write(f"{redacted(line)}\n")
            self._stream.flush()

    def close(self) -> None:
        self._stream.close()


def _next_run(runs: Path) -> tuple[int, Path]:
    """A number that no run has had: one above the highest, whatever was deleted below it."""
    number = max(run_numbers(runs.parent), default=0) + 1
    while True:
        folder = runs / str(number)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            return number, folder
        number += 1


def run_numbers(cluster_folder: Path) -> list[int]:
    """The runs of which there is a record, oldest first."""
    runs = cluster_folder / "runs"
    if not runs.is_dir():
        return []
    return sorted(int(folder.name) for folder in runs.iterdir() if folder.name.isdecimal() and folder.is_dir())


def read_run(run_folder: Path) -> Iterator[Event]:
    """The events of a run. A line that a kill tore, or that another version wrote, is left out; no file, no events."""
    try:
        lines = (run_folder / EVENTS).read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
            if event := from_json(json.loads(line)):
                yield event
