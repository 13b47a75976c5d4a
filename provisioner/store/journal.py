"""One run's record: `runs/<n>/events.jsonl`, one event a line, each handed to the system before the next one happens.

A record for people and for estimates: deleting it loses no cluster.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from provisioner.errors import Fault
from provisioner.model.events import Event, from_json
from provisioner.model.redaction import json_line
from provisioner.store.files import make_private_folder, read_plain

EVENTS = "events.jsonl"
_KEPT_MODE = 0o600
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


class FileJournal:
    """One run's record, `runs/<n>/events.jsonl`. Takes the next free number when made; to be made under the cluster's lock."""

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
                next_steps=["make it writable for you, or set PROVISION_HOME"],
            ) from error

    def emit(self, event: Event) -> None:
        """One line, handed to the system at once: a killed run has told all that it began. After `close`, nothing."""
        if not self._stream.closed:
            self._stream.write(json_line(event.to_json(), compact=True))
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
    try:
        folders = [folder for folder in (cluster_folder / "runs").iterdir() if _NUMBER.fullmatch(folder.name)]
        return sorted(int(folder.name) for folder in folders if folder.is_dir())
    except OSError:
        return []


def read_run(run_folder: Path) -> Iterator[Event]:
    """The events of a run. A line that a kill tore, or that another version wrote, is left out; no file that can be read, no events."""
    try:
        lines = (read_plain(run_folder / EVENTS) or b"").splitlines()
    except OSError:
        return
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            if event := from_json(json.loads(line)):
                yield event
