"""What survives a crash of the lab, as it would survive a crash of such a host: files and disks, VM definitions, switches, settings.

What runs in memory is lost: guests, tasks at work, connections. After a restart the host boots, and VMs start by their start
actions, from cold. Accounts are not kept: the start of a lab brings them, with their passwords.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from provisioner.lab.private_files import write_private
from provisioner.lab.world.kernel import SYNCED, Kernel
from provisioner.lab.world.state import STOPPED, Link, State
from provisioner.lab.world.tasks import RUNNING, TERMINATED
from provisioner.lab.world.world import World

VERSION = 1
FILE = "world.json"
_WAY_OUT = "without that file the lab begins anew, its host empty"
DEBOUNCE_S = 0.1
"""Real seconds between two writings at least."""


class NotDurable(RuntimeError):
    """The file is not one of this version's, or is damaged."""


# --- state to JSON and back -----------------------------------------------------------------------------------------

_STATE = TypeAdapter(State)
_LOST: Any = {"accounts": True, "guests": True, "injections": True, "lan": {"link"}, "host": {"neighbors"}}
"""What is not kept, as the serializer takes it."""


def snapshot(kernel: Kernel) -> dict[str, Any]:
    """The durable part of the world, as JSON values. Takes the lock for as long as it takes to look."""
    with kernel.lock:
        return {
            "version": VERSION,
            "at": kernel.now(),
            "state": _STATE.dump_python(kernel.state, mode="json", exclude=_LOST),
        }


@dataclasses.dataclass(frozen=True)
class Kept:
    """A world after a crash, its host still down; `build.new_world(state=...)` boots it."""

    state: State
    at: float
    """The second of the world at which it was kept."""


def restore(data: Mapping[str, Any]) -> Kept:
    """Fields that are missing get their defaults: they are newer than the file, or are not kept. Raises NotDurable."""
    if data.get("version") != VERSION:
        raise NotDurable(f"this lab's file is of version {data.get('version')!r}; expected {VERSION}")
    try:
        state = _STATE.validate_json(json.dumps(data["state"]))
        at = float(data["at"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NotDurable(f"this lab's file cannot be read: {error}") from error
    for vm in state.host.vms.values():
        if vm.state not in STOPPED:
            vm.state, vm.ran_before_host_stopped = "Off", True
    for task in state.host.tasks.values():
        if task.last_result == RUNNING:
            task.last_result = TERMINATED
    state.lan.link = Link(up=False, failure="silence")
    return Kept(state, at)


# --- the file -------------------------------------------------------------------------------------------------------


def save(kernel: Kernel, path: Path) -> None:
    """Writes the snapshot whole or not at all: a file beside it, synced, then renamed. Mode 0600, since disks hold keys."""
    write_private(path, _text(snapshot(kernel)))


def _text(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()


def load(folder: Path) -> Kept | None:
    """What was kept in that folder; None where nothing was. Raises NotDurable."""
    path = folder / FILE
    try:
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise NotDurable(f"{path} is no JSON: {error}; {_WAY_OUT}") from error
    try:
        return restore(data)
    except NotDurable as error:
        raise NotDurable(f"{path}: {error}; {_WAY_OUT}") from error


class Saver:
    """Keeps the file up to date: on a thread of its own, at most every tenth of a second; at once for what is synced to a disk."""

    def __init__(self, world: World, folder: Path) -> None:
        self._kernel = kernel = world.kernel
        self._path = folder / FILE
        self._dirty = threading.Event()
        self._stopping = threading.Event()
        self._writing = threading.Lock()
        self._taken = self._written = 0
        """Numbers of the last snapshot that was taken, under the world's lock, and of the last that was written."""
        self._unwatch = kernel.watch(self._changed)
        self._thread = threading.Thread(target=self._run, name="saver", daemon=True)

    def start(self) -> None:
        self._dirty.set()
        self._thread.start()

    def stop(self) -> None:
        """Writes what is left."""
        self._unwatch()
        self._stopping.set()
        self._dirty.set()
        self._thread.join()

    def _changed(self, topic: str, _key: str) -> None:
        """Under the world's lock, so that no one sees what a power cut would take back."""
        if topic == SYNCED and self._thread.is_alive():
            self._save()
        else:
            self._dirty.set()

    def _run(self) -> None:
        while True:
            self._dirty.wait()
            last = self._stopping.is_set()
            self._dirty.clear()
            self._save()
            if last:
                return
            self._stopping.wait(DEBOUNCE_S)

    def _save(self) -> None:
        with self._kernel.lock:
            data = snapshot(self._kernel)
            self._taken += 1
            number = self._taken
        text = _text(data)
        try:
            with self._writing:
                if number > self._written:
                    write_private(self._path, text)
                    self._written = number
        except OSError as error:  # a full disk: it is tried again at the next change
            self._kernel.note("not_kept", str(self._path), error=str(error))
