"""Files of this computer, written whole or not at all, and only where a regular file is or can be.

One rule for everything that is written: after links are followed, the target is a regular file or nothing yet. A device, FIFO, socket or
folder is never replaced; the null device means that nothing is to be kept there, so nothing is written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import stat
import tempfile
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from provisioner.model.units import MIB

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
READ_LIMIT = 16 * MIB
"""Bytes of a file of ours that are read at most; the largest that we write are journals of some hundred kilobytes."""


class NotPlain(OSError):
    """What is there is no regular file, or the link that is there leads nowhere. `strerror` says which."""

    def __init__(self, problem: str, path: Path) -> None:
        super().__init__(errno.EINVAL, problem, str(path))


class Target(Enum):
    """What a write meets at a path, links followed."""

    ABSENT = "absent"
    FILE = "file"
    NOWHERE = "nowhere"
    """The null device: whatever is written there is gone."""


_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
)


def target_of(path: Path) -> Target:
    """What a write to the path would replace or make. Raises OSError, `NotPlain` for what may not be replaced."""
    try:
        found = path.stat()
    except FileNotFoundError:
        if path.is_symlink() and not Path(os.path.realpath(path)).parent.is_dir():
            raise NotPlain(f"a link to {path.readlink()}, whose folder does not exist", path) from None
        return Target.ABSENT
    if stat.S_ISREG(found.st_mode):
        return Target.FILE
    if _is_null(found):
        return Target.NOWHERE
    kind = next((words for is_kind, words in _KINDS if is_kind(found.st_mode)), "something else")
    raise NotPlain(f"{kind}, not a file", path)


def refuse_links(path: Path) -> None:
    """For a file that another library opens: raises `NotPlain` for a link, and for what is no file."""
    if path.is_symlink():
        raise NotPlain("a link, not a file", path)
    target_of(path)


class NotOurs(OSError):
    """Another user could have written, or can change, a file that must be trusted. `remedy` is what to type."""

    def __init__(self, problem: str, path: Path, remedy: str) -> None:
        super().__init__(errno.EPERM, problem, str(path))
        self.remedy = remedy


def check_ours(path: Path) -> None:
    """Like ssh with its own files: raises `NotOurs` for what belongs to another user, and for a folder that others can write to.

    Root is trusted: it can do everything anyway. Nothing there is fine. Raises OSError.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    name = shlex.quote(str(path))
    if found.st_uid not in (os.geteuid(), 0):
        raise NotOurs(f"it belongs to user {found.st_uid}", path, f"if it is yours: sudo chown -R $(id -u) {name}")
    if stat.S_ISDIR(found.st_mode) and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(found.st_mode)
        raise NotOurs(f"others may write to it (mode {mode:04o})", path, f"check its content, then: chmod go-w {name}")


def close_to_others(path: Path) -> int:
    """Takes all rights of others away from a file or folder of ours; the mode it had, or 0 where it was closed or is not there."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if not mode & 0o077 or not (path.is_dir() or path.is_file()):
            return 0
        path.chmod(mode & 0o700)
    except OSError:
        return 0
    return mode


def _is_null(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == Path(os.devnull).stat().st_rdev


def make_private_folder(path: Path) -> None:
    """Makes the folder and what is missing above it, for this user alone. One that exists keeps its mode. Raises OSError."""
    missing = []
    folder = path
    while not folder.exists():
        if folder.is_symlink():
            raise NotPlain(f"a link to {folder.readlink()}, which does not exist", folder)
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):
            each.mkdir(mode=PRIVATE_FOLDER)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(path))


def read_plain(path: Path, limit: int = READ_LIMIT) -> bytes | None:
    """The content of a regular file; None where there is none, or the null device. Raises OSError, also for a file above the limit.

    Never blocks: a FIFO without a writer is refused like everything else that is not a file.
    """
    if target_of(path) is not Target.FILE:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotPlain("not a file", path)
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit / MIB:g} MiB", str(path))
    return content


def write_atomically(path: Path, content: bytes, *, mode: int) -> None:
    """`writing_atomically` for content that is at hand. Raises OSError."""
    with writing_atomically(path, mode=mode) as stream:
        stream.write(content)


@contextlib.contextmanager
def writing_atomically(path: Path, *, mode: int = PRIVATE_FILE) -> Iterator[BinaryIO]:
    """A stream whose content becomes the file's when the block ends without an error, and else is thrown away. Raises OSError.

    A reader sees the old content or the new, whenever this process or the machine stops. The temporary file is beside the target and
    has its mode from the start. Where the target is a symbolic link, what it points to is replaced. Nothing is written where the target
    is the null device; `NotPlain` is raised for everything else that is not a regular file.
    """
    if target_of(path) is Target.NOWHERE:
        with open(os.devnull, "wb") as stream:  # noqa: PTH123
            yield stream
        return
    target = Path(os.path.realpath(path))
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", suffix=".tmp", dir=target.parent)  # mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def write_in_place(path: Path, content: bytes) -> None:
    """For a note that need not be whole: a private file, made new; a link in its place is replaced, never followed. Raises OSError."""
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)


def words_of(error: Exception) -> str:
    """What the system says, without number and path."""
    return str(getattr(error, "strerror", "") or error)


def sync_folder(folder: Path) -> None:
    """Makes a rename in the folder last over a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot sync a folder; the rename stands all the same
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
