"""The host's files as a folder tree that an engine's drives C: and D: are mounted on.

Files of the world must be seen by Test-Path, Get-Item, Move-Item and the like, and what those leave behind must be seen by the world. A
provider written for the purpose would have to be every provider cmdlet anew; functions in front of them would not be the genuine
cmdlets. So the world's file table and a tree of real files are kept in step, before and after each call of a cmdlet:

- a small file of the world is written out; a large one (ISO, disk) becomes a sparse file of its size that begins with a label, by
  which it is known again wherever Move-Item or Copy-Item takes it;
- what the tree shows as made, changed, moved or deleted since the last look is done to the world. What the world refuses (a locked
  file) comes back to the tree; Remove-Item asks first, so that it fails as on Windows.

The tree has the spelling of names in which they were made; Windows compares without case, a Linux file system does not.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import itertools
import logging
import ntpath
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from provisioner.lab.world.state import HostFile
from provisioner.lab.world.storage import FileFault, key
from provisioner.lab.world.world import World

log = logging.getLogger(__name__)

LABEL = b"provision-lab-file:"
LABEL_BYTES = len(LABEL) + 16
SMALL_BYTES = 1024**2
"""Up to that size the world keeps what a file holds."""


Fingerprint = tuple[int, float, str, bytes | None]


@dataclass(frozen=True)
class Entry:
    """What lies at a place of the tree. `mark` is size and time of change, None for a folder; `label` that of a large file of the world."""

    mark: tuple[int, int] | None
    label: str = ""


@dataclass(frozen=True)
class Known:
    """An entry that tree and world have in common, and what the world's file was like."""

    entry: Entry
    file: Fingerprint | None = None


class FileTree:
    """The tree, and how it is kept in step with the world. `sync` may be called from any thread, without the world's lock."""

    def __init__(self, world: World, root: Path) -> None:
        self._world = world
        self.root = root
        self._lock = threading.RLock()
        self._known: dict[str, Known] = {}
        """By the world's key of the path."""
        self._labels: dict[str, HostFile] = {}
        self._numbers = itertools.count(1)
        self._spelling: dict[str, str] = {}
        """Key of a path -> the path as it was first written."""
        self._stale = True
        shutil.rmtree(root, ignore_errors=True)
        for letter in self.drives():
            (root / letter).mkdir(parents=True)
        with world.kernel.lock:
            host = world.state.host
            for path in [host.program_data, host.disk_folder, host.vm_folder, *(vm.path for vm in host.vms.values())]:
                self._learn(path)
        self._unwatch = world.kernel.watch(self._heard)

    def close(self) -> None:
        self._unwatch()

    def drives(self) -> list[str]:
        """Letters of the host's drives."""
        with self._world.kernel.lock:
            return [root[0].upper() for root in self._world.state.host.volumes]

    def _heard(self, topic: str, _key: str) -> None:
        if topic == "file":
            self._stale = True

    # -- paths

    def windows_path(self, path: str) -> str:
        """The Windows path of a path in any spelling an engine has for it: with slashes, of the tree, or with its provider."""
        path = path.rpartition("::")[2]
        if path.startswith(f"{self.root}/"):
            drive, _, rest = path[len(str(self.root)) + 1 :].partition("/")
            path = f"{drive}:\\{rest}"
        if not path or path.startswith("\\\\"):
            return path
        path = ntpath.normpath(path)
        if ntpath.isabs(path):
            self._learn(path)
        return path

    def _learn(self, path: str) -> None:
        """Remembers how a path on a drive and its parents are spelled."""
        while path[1:2] == ":" and len(path) > len("C:\\"):
            self._spelling.setdefault(key(path), path)
            path = ntpath.dirname(path)

    def place(self, path: str) -> Path:
        """Where in the tree a Windows path lies."""
        drive, rest = ntpath.splitdrive(path)
        at, so_far = self.root / drive[0].upper(), drive
        for part in (part for part in rest.split("\\") if part):
            so_far = f"{so_far}\\{part}"
            at /= ntpath.basename(self._spelling.get(key(so_far), so_far))
        return at

    def sha256(self, path: str) -> str | None:
        """Hash of the file as the world has it, in hex: a large one's bytes are not here. None if there is no such file."""
        self.sync()
        file = self._world.storage.find(path)
        if file is None:
            return None
        return file.sha256 or hashlib.sha256(file.content or b"").hexdigest()

    # -- keeping in step

    def sync(self) -> None:
        """Does to the world what was done to the tree, then to the tree what was done to the world."""
        with self._lock:
            self._take_in(self._scan())
            if self._stale:
                self._stale = False
                self._put_out()

    def _scan(self) -> dict[str, Entry]:
        """What lies in the tree, parents before what is in them."""
        found: dict[str, Entry] = {}

        def look(folder: Path, prefix: str) -> None:
            for item in os.scandir(folder):
                path = f"{prefix}\\{item.name}"
                with suppress(FileNotFoundError):  # an engine at work has just taken it away
                    is_folder = item.is_dir(follow_symlinks=False)
                    found[key(path)] = Entry(None) if is_folder else self._look_at(key(path), Path(item.path))
                    self._spelling[key(path)] = path
                    if is_folder:
                        look(Path(item.path), path)

        for letter in self.drives():
            look(self.root / letter, f"{letter}:")
        return found

    def _look_at(self, path: str, place: Path) -> Entry:
        stat = place.stat()
        mark, known = (stat.st_size, stat.st_mtime_ns), self._known.get(path)
        if known is not None and known.entry.mark == mark:
            return known.entry
        label = ""
        if stat.st_size > LABEL_BYTES:
            with place.open("rb") as stream:
                begin = stream.read(LABEL_BYTES)
            said = begin.removeprefix(LABEL).decode("ascii", "replace")
            if said in self._labels and self._labels[said].size_bytes == stat.st_size:
                label = said
        return Entry(mark, label)

    # -- from the tree to the world

    def _take_in(self, now: dict[str, Entry]) -> None:
        storage = self._world.storage
        new = {path: entry for path, entry in now.items() if path not in self._known}
        gone = [path for path in self._known if path not in now]
        for path, entry in new.items():
            if entry.mark is None:
                self._do("make folder", path, partial(storage.make_folder, self._spelling[path]))
                self._settle(path, entry)
        arrived = {entry.label: path for path, entry in new.items() if entry.label}
        for path in gone:
            target = arrived.get(self._known[path].entry.label)
            if target is not None:  # moved: not a copy and a deletion, which would end what is on a disk
                self._do("move", path, partial(storage.rename, path, self._spelling[target]))
                self._settle(target, now[target])
                del self._known[path]
        for path, entry in now.items():
            known = self._known.get(path)
            changed = entry.mark is not None and (known is None or known.entry.mark != entry.mark)
            if changed and self._do("write", path, partial(self._write_in, path, entry)):
                self._settle(path, entry)
        for path in sorted(gone, key=len, reverse=True):
            if self._known.pop(path, None) is not None:
                self._do("delete", path, partial(storage.delete, path))

    def _do(self, what: str, path: str, act: Callable[[], object]) -> bool:
        """What the tree shows done is done to the world. Where the world refuses, the tree is set right afterwards. False: an engine
        at work has undone it meanwhile, and the next look tells.
        """
        try:
            act()
        except FileNotFoundError:
            return False
        except FileFault as fault:
            log.info("the world does not %s %s: %s", what, path, fault)
            self._stale = True
        return True

    def _settle(self, path: str, entry: Entry) -> None:
        """Tree and world have this in common, or else the tree has to give it up."""
        file = self._world.storage.find(path)
        self._known[path] = Known(entry, _fingerprint(file) if file else None)
        if file is not None and entry.label:
            self._labels[entry.label] = file

    def _write_in(self, path: str, entry: Entry) -> None:
        self._world.storage.put(self._file_of(path, entry))

    def _file_of(self, path: str, entry: Entry) -> HostFile:
        """The world's file for one that an engine wrote or copied."""
        spelled, now = self._spelling[path], self._world.kernel.now()
        if entry.label:
            return dataclasses.replace(copy.deepcopy(self._labels[entry.label]), path=spelled, locked_until=0.0)
        with self.place(spelled).open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
            stream.seek(0)
            content = stream.read() if size <= SMALL_BYTES else None
        return HostFile(path=spelled, size_bytes=size, modified=now, sha256=sha256, content=content)

    # -- from the world to the tree

    def _put_out(self) -> None:
        with self._world.kernel.lock:
            host = self._world.state.host
            files, folders = dict(host.files), set(host.folders)
        for path in sorted(self._known, key=len, reverse=True):
            if path not in files and not self._world.storage.is_folder(path):
                self._remove(path)
        for file in files.values():
            self._learn(file.path)
        for path in folders:
            self._make_folder(path)
        for path, file in files.items():
            known = self._known.get(path)
            if known is None or known.file != _fingerprint(file):
                self._make_folder(ntpath.dirname(path))
                self._write(path, file)

    def _make_folder(self, path: str) -> None:
        """A folder of the world, with its parents: those alone, since an engine at work may have made others meanwhile."""
        if path in self._known or len(path) <= len("C:\\") or path[0].upper() not in self.drives():
            return
        self._make_folder(ntpath.dirname(path))
        self._learn(path)  # however it is spelled from now on
        self.place(path).mkdir(exist_ok=True)
        self._known[path] = Known(Entry(None))

    def _remove(self, path: str) -> None:
        place, entry = self.place(path), self._known.pop(path).entry
        if entry.mark is not None:
            place.unlink(missing_ok=True)
        elif place.is_dir() and not any(place.iterdir()):
            place.rmdir()

    def _write(self, path: str, file: HostFile) -> None:
        place = self.place(file.path)
        label = ""
        if file.content is not None:
            place.write_bytes(file.content)
        else:
            with place.open("wb") as stream:
                if file.size_bytes > LABEL_BYTES:
                    label = f"{next(self._numbers):016d}"
                    self._labels[label] = file
                    stream.write(LABEL + label.encode())
                stream.truncate(file.size_bytes)
        when = self._world.kernel.date_of(file.modified).timestamp()  # after a restart of the lab too
        os.utime(place, (when, when))
        stat = place.stat()
        self._known[path] = Known(Entry((stat.st_size, stat.st_mtime_ns), label), _fingerprint(file))


def _fingerprint(file: HostFile) -> Fingerprint:
    return file.size_bytes, file.modified, file.sha256, file.content
