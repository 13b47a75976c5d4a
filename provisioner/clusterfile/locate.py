"""Which file a cluster's name means."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from provisioner.data import data_folder
from provisioner.errors import Fault

_SUFFIXES = (".yaml", ".yml")
LAB = "lab"
"""The one cluster that comes with the package, so that `provision up lab` works anywhere."""


def list_clusters(folders: Sequence[Path]) -> Mapping[str, Path]:
    """All cluster files of the folders by the name that commands take, sorted; of two with one name the first folder's. Opens none of them.

    A folder that cannot be read has none to list; `find_cluster_file` refuses to go past it.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        with contextlib.suppress(OSError):
            for path in _files(folder):
                found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def find_cluster_file(ref: str, *, folders: Sequence[Path]) -> Path:
    """The file that a name or a path means. Raises a Fault P-FILE-NOTFOUND that lists what there is."""
    known = list_clusters(folders)
    if "/" in ref or "\\" in ref or ref.endswith(_SUFFIXES):
        path = os.path.expanduser(ref)  # noqa: PTH111 - as a shell does: `~x/y` without a user x stays as it is
        if os.path.isfile(path):  # noqa: PTH113 - False for a name that cannot be one, too
            return Path(path)
        there = os.path.exists(path)  # noqa: PTH110 - as above
        problem = f"{ref} is not a regular file" if there else f"there is no file {ref}"
        raise _not_found(problem, known, folders, Path(ref).stem)
    if found := _by_name(ref, known, folders):
        return found
    raise _not_found(f"no cluster file for {ref}", known, folders, ref)


def _by_name(ref: str, known: Mapping[str, Path], folders: Sequence[Path]) -> Path | None:
    for folder in folders:
        try:
            found = {path.stem: path for path in reversed(list(_files(folder)))}
        except OSError as error:  # what is in it is not known, and it comes before the others
            raise _unreadable(folder, error, known, folders) from error
        if ref in found:
            return found[ref]
    own = data_folder("clusters") / f"{LAB}.yaml"
    return own if ref == LAB and own.is_file() else None


def _files(folder: Path) -> Iterator[Path]:
    """Raises OSError for a folder that is there and cannot be read."""
    try:
        paths = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for path in paths:
        if path.suffix in _SUFFIXES and not path.name.startswith(".") and os.path.isfile(path):  # noqa: PTH113 - as above
            yield path


def _unreadable(folder: Path, error: OSError, known: Mapping[str, Path], folders: Sequence[Path]) -> Fault:
    others = ", ".join(str(other) for other in folders if other != folder)
    return Fault(
        id="P-FILE-NOTFOUND",
        message=f"{folder} cannot be read",
        expected="a folder of cluster files that you may read, or none",
        seen=[
            error.strerror or str(error),
            f"there are {', '.join(known) or 'none'} in {others}",
        ],
        next_steps=["name the file by its path", "or go to another folder"],
    )


def _not_found(message: str, known: Mapping[str, Path], folders: Sequence[Path], word: str) -> Fault:
    names = sorted({LAB, *known})
    near = difflib.get_close_matches(word, names, n=1)
    return Fault(
        id="P-FILE-NOTFOUND",
        message=message,
        expected="a name or a path of a cluster file",
        seen=[f"looked in {', '.join(str(folder) for folder in folders)}", f"there are {', '.join(names)}"],
        probable_cause=f"{near[0]} was meant" if near else "",
        next_steps=[] if word == LAB else [f"name one of them; {LAB} needs no file of yours"],
    )
