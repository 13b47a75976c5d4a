"""The host's volumes and files: what exists, who holds it open, how much room is left. Paths are Windows paths, compared without case.

Thin disks take the room of what was written to them, so a volume can run full long after a disk was made.
"""

from __future__ import annotations

import contextlib
import ntpath
from collections.abc import Callable, Iterator

from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import STOPPED, DvdDrive, HardDrive, HostFile, Vm

RECORD_BYTES = 4096
"""What a small file takes on the volume at least: one cluster."""


class FileFault(Exception):
    """A file operation that the host refuses. `kind`: not-found, exists, in-use, no-space, no-volume, no-folder, not-empty."""

    def __init__(self, kind: str, path: str) -> None:
        super().__init__(f"{_TEXTS[kind]}: {path}")
        self.kind = kind
        self.path = path


_TEXTS = {
    "not-found": "The system cannot find the file specified (0x80070002)",
    "exists": "The file exists (0x80070050)",
    "in-use": "The process cannot access the file because it is being used by another process (0x80070020)",
    "no-space": "There is not enough space on the disk (0x80070070)",
    "no-volume": "The system cannot find the drive specified (0x8007000F)",
    "no-folder": "The system cannot find the path specified (0x80070003)",
    "not-empty": "The directory is not empty (0x80070091)",
}


def key(path: str) -> str:
    """The spelling by which paths are compared."""
    return ntpath.normpath(path).lower()


def drives_of(vm: Vm) -> list[HardDrive | DvdDrive]:
    """Hard disks, then DVD drives."""
    return [*vm.hard_drives, *vm.dvd_drives]


def _taken(size_bytes: int) -> int:
    """Room that a file takes on its volume."""
    return max(RECORD_BYTES, size_bytes)


class Storage:
    """Files and volumes of the host. All methods take the world's lock and return at once."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._written: set[str] = set()
        """Files that are open for writing. Handles do not outlive the process."""
        self.disk_deleted: Callable[[HostFile], None] = lambda _file: None
        """Called under the lock with each virtual disk that is gone for good."""

    # -- looking

    def find(self, path: str) -> HostFile | None:
        with self._kernel.lock:
            return self._kernel.state.host.files.get(key(path))

    def _existing(self, path: str) -> HostFile:
        file = self.find(path)
        if file is None:
            raise FileFault("not-found", path)
        return file

    def is_folder(self, path: str) -> bool:
        with self._kernel.lock:
            host, wanted = self._kernel.state.host, key(path)
            if wanted.rstrip("\\") in (volume.lower() for volume in host.volumes):
                return True
            inside = wanted.rstrip("\\") + "\\"
            return wanted in host.folders or any(
                other.startswith(inside) for others in (host.folders, host.files) for other in others
            )

    def exists(self, path: str) -> bool:
        return self.find(path) is not None or self.is_folder(path)

    def children(self, folder: str) -> list[str]:
        """Full paths of the files and folders right inside a folder."""
        with self._kernel.lock:
            host, inside = self._kernel.state.host, key(folder).rstrip("\\") + "\\"
            found = {
                inside + other.removeprefix(inside).split("\\")[0]
                for others in (host.folders, host.files)
                for other in others
                if other.startswith(inside)
            }
            return sorted(host.files[path].path if path in host.files else path for path in found)

    def files_below(self, folder: str) -> list[HostFile]:
        """All files in a folder and in those below it."""
        with self._kernel.lock:
            inside = key(folder).rstrip("\\") + "\\"
            return [file for where, file in sorted(self._kernel.state.host.files.items()) if where.startswith(inside)]

    def free_bytes(self, path: str) -> int:
        """Room left on the volume of a path; 0 for a volume that is not there."""
        with self._kernel.lock:
            host, root = self._kernel.state.host, ntpath.splitdrive(path)[0].upper()
            if root not in host.volumes:
                return 0
            size, used = host.volumes[root]
            files = (file for where, file in host.files.items() if where.startswith(root.lower()))
            return max(0, size - used - sum(_taken(file.size_bytes) for file in files))

    def has_volume(self, path: str) -> bool:
        with self._kernel.lock:
            return ntpath.splitdrive(path)[0].upper() in self._kernel.state.host.volumes

    def holders(self, path: str) -> list[Vm]:
        """VMs that hold the file open: those that run with it in a drive."""
        with self._kernel.lock:
            wanted = key(path)
            return [
                vm
                for vm in self._kernel.state.host.vms.values()
                if vm.state not in STOPPED and any(drive.path and key(drive.path) == wanted for drive in drives_of(vm))
            ]

    def locked(self, path: str) -> bool:
        """Whether the file can be neither deleted nor overwritten now."""
        with self._kernel.lock:
            file = self.find(path)
            return file is not None and (
                file.locked_until > self._kernel.now() or key(path) in self._written or bool(self.holders(path))
            )

    # -- changing

    def lock_disks(self, vm: Vm, seconds: float) -> None:
        """Something (a merge, a virus scanner) holds the disks of a VM for at least that long."""
        with self._kernel.lock:
            for drive in vm.hard_drives:
                if (file := self.find(drive.path)) is not None:
                    file.locked_until = max(file.locked_until, self._kernel.now() + seconds)

    def require_room(self, path: str, size_bytes: int) -> None:
        """Refuses a path whose volume is not there or has no room for a file of that size in place of what is at the path."""
        with self._kernel.lock:
            if not self.has_volume(path):
                raise FileFault("no-volume", path)
            before = self.find(path)
            freed = _taken(before.size_bytes) if before else 0
            if self.free_bytes(path) + freed < _taken(size_bytes):
                raise FileFault("no-space", path)

    def put(self, file: HostFile) -> HostFile:
        """A new file, or one in place of another; its folder must be there."""
        with self._kernel.lock:
            before = self.find(file.path)
            self.require_room(file.path, file.size_bytes)
            if not self.is_folder(ntpath.dirname(file.path)):
                raise FileFault("no-folder", file.path)
            if before is not None and self.locked(file.path):
                raise FileFault("in-use", file.path)
            self._kernel.state.host.files[key(file.path)] = file
            self._kernel.changed("file", file.path)
            return file

    def write(self, path: str, content: bytes) -> HostFile:
        """A small file with its content."""
        now = self._kernel.now()
        return self.put(HostFile(path=ntpath.normpath(path), size_bytes=len(content), modified=now, content=content))

    @contextlib.contextmanager
    def writing(self, file: HostFile) -> Iterator[HostFile]:
        """A new file, held open: meanwhile no one else writes, deletes or renames it (0x80070020)."""
        with self._kernel.lock:
            self.put(file)
            self._written.add(key(file.path))
        try:
            yield file
        finally:
            with self._kernel.lock:
                self._written.discard(key(file.path))

    def read(self, path: str) -> bytes:
        """The content of a small file; FileFault when it is not there."""
        with self._kernel.lock:
            file = self._existing(path)
            return file.content or b""

    def grow(self, path: str, size_bytes: int) -> None:
        """A thin disk was written to and is now as large as said; FileFault `no-space` when the volume is full."""
        with self._kernel.lock:
            file = self._existing(path)
            if size_bytes > file.size_bytes:
                if self.free_bytes(path) < size_bytes - file.size_bytes:
                    raise FileFault("no-space", path)
                file.size_bytes = size_bytes
                self._kernel.changed("file", file.path)

    def make_folder(self, path: str) -> None:
        """A folder, with its parents; one that is there is kept."""
        with self._kernel.lock:
            if self.find(path) is not None:
                raise FileFault("exists", path)
            if self.is_folder(path):
                return
            self.require_room(path, 0)
            self._kernel.state.host.folders.add(key(path))
            self._kernel.changed("file", path)

    def rename(self, path: str, new_path: str) -> HostFile:
        """Moves a file within its volume; an unlocked file in the way is replaced."""
        with self._kernel.lock:
            file = self._existing(path)
            if self.locked(path) or self.locked(new_path):
                raise FileFault("in-use", new_path if self.locked(new_path) else path)
            if not self.is_folder(ntpath.dirname(new_path)):
                raise FileFault("no-folder", new_path)
            del self._kernel.state.host.files[key(path)]
            file.path = ntpath.normpath(new_path)
            return self.put(file)

    def delete(self, path: str, *, recurse: bool = False) -> None:
        """Deletes a file, or a folder with `recurse` and what is in it; FileFault at the first locked file, the rest then stays."""
        with self._kernel.lock:
            host = self._kernel.state.host
            file = self.find(path)
            if file is not None:
                if self.locked(path):
                    raise FileFault("in-use", path)
                self._keep_parent(path)
                del host.files[key(path)]
                if file.vhd is not None:
                    self.disk_deleted(file)
                self._kernel.changed("file", file.path)
                return
            if not self.is_folder(path):
                raise FileFault("not-found", path)
            children = self.children(path)
            if children and not recurse:
                raise FileFault("not-empty", path)
            for child in children:
                self.delete(child, recurse=True)
            host.folders.discard(key(path))
            self._keep_parent(path)
            self._kernel.changed("file", path)

    def _keep_parent(self, path: str) -> None:
        """An emptied folder stays, as on a real volume."""
        parent = key(ntpath.dirname(path))
        if ntpath.splitdrive(parent)[1] != "\\":
            self._kernel.state.host.folders.add(parent)

    def fill(self, volume: str, left_bytes: int) -> None:
        """Others fill a volume up to that many bytes."""
        with self._kernel.lock:
            host = self._kernel.state.host
            size, used = host.volumes[volume.upper()]
            more = max(0, self.free_bytes(volume) - left_bytes)
            host.volumes[volume.upper()] = (size, used + more)
            host.filled[volume.upper()] = host.filled.get(volume.upper(), 0) + more
            self._kernel.changed("host")
