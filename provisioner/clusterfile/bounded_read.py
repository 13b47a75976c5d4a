"""Reading a file that a user names, bounded: what it is, is looked up before it is opened, since a name can lead anywhere."""

from __future__ import annotations

import stat
from pathlib import Path

from provisioner.clusterfile.tree import MAX_BYTES


class Unreadable(ValueError):
    """A file that is missing, may not be read, or is not a regular file; the text is the reason."""


class TooLarge(Unreadable):
    """A file that could be read, but is too large."""

    def __init__(self) -> None:
        super().__init__("is larger than 1 MiB")


def read_small(path: Path) -> bytes:
    """The bytes of a plain file of at most 1 MiB. Raises Unreadable; never waits, and never takes in more than that."""
    try:
        facts = path.stat()
        if stat.S_ISREG(facts.st_mode) and facts.st_size <= MAX_BYTES:
            with path.open("rb") as file:
                raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unreadable(error.strerror or str(error)) from None
    except ValueError:  # a zero byte, half of a character
        raise Unreadable("not a valid file name") from None
    if stat.S_ISDIR(facts.st_mode):
        raise Unreadable("Is a directory")
    if not stat.S_ISREG(facts.st_mode):
        raise Unreadable("not a regular file")
    if facts.st_size > MAX_BYTES or len(raw) > MAX_BYTES:
        raise TooLarge
    return raw


def expanded(name: str) -> Path:
    """The path with `~` resolved. Raises Unreadable for a user that does not exist."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise Unreadable(f"there is no home folder for {name.split('/', maxsplit=1)[0]}") from None
