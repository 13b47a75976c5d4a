"""Files of this computer, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700


def make_private_folder(path: Path) -> None:
    """Makes the folder and what is missing above it, for this user alone. One that exists keeps its mode. Raises OSError."""
    missing = []
    folder = path
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):
            each.mkdir(mode=PRIVATE_FOLDER)
    if not path.is_dir():
        raise NotADirectoryError(f"{path} is no folder")


def write_atomically(path: Path, content: bytes, *, mode: int) -> None:
    """A reader sees the old content or the new, whenever this process or the machine stops. Raises OSError.

    The temporary file lies beside the target, has its mode from the start, and is gone after a failure. Where the target is
    a symbolic link, what it points to is replaced.
    """
    target = Path(os.path.realpath(path))
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent)  # mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Makes a rename in the folder last over a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems cannot sync a folder; the rename stands all the same
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
