"""Files of a lab's folder: written whole or not at all, for their owner alone, and nothing half-written stays for ever."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

_TEMPORARY = ".tmp"
_BEFORE = ("world.json", ".world.json", ".lab.json", ".password")
"""How temporary files of earlier versions begin: a random end follows."""


def write_private(path: Path, data: bytes) -> None:
    """Mode 0600. A reader sees the old content or the new, whenever this process is killed. One writer at a time per path.

    Raises OSError, also where something is that is no file: a device, a FIFO, a folder. A link is replaced, never what it leads to.
    """
    refuse_other_things(path)
    fresh = path.with_name(path.name + _TEMPORARY)
    fresh.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def refuse_other_things(path: Path) -> None:
    """Raises OSError where something is that is neither a file nor a link to one or to nothing."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError(errno.EINVAL, "no file", str(path))


def remove_leftovers(folder: Path) -> None:
    """Deletes what a killed lab had begun to write: such files may hold keys. Only while the folder's lock is held."""
    known = {name.removeprefix(".") for name in _BEFORE}
    for path in folder.iterdir():
        half = path.name.endswith(_TEMPORARY) or (path.name.startswith(_BEFORE) and path.name not in known)
        if half and path.is_file() and not path.is_symlink():
            path.unlink()
