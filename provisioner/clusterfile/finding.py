"""Which file a cluster's name means."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from provisioner.data import data_folder
from provisioner.errors import Fault

_SUFFIXES = (".yaml", ".yml")
LAB = "lab"
"""The one cluster that comes with the package, so that `provision up lab` works anywhere."""


@dataclass(frozen=True, kw_only=True)
class ClusterFileName:
    """A cluster file by the name that commands take."""

    name: str
    path: Path


def list_clusters(folders: Sequence[Path]) -> tuple[ClusterFileName, ...]:
    """All cluster files of the folders, by name; of two with one name the first folder's. Opens none of them."""
    found: dict[str, Path] = {}
    for folder in folders:
        for path in _files(folder):
            found.setdefault(path.stem, path)
    return tuple(ClusterFileName(name=name, path=path) for name, path in sorted(found.items()))


def find_cluster_file(ref: str, *, folders: Sequence[Path]) -> Path:
    """The file that a name or a path means; with an empty `ref`, the only file there is.

    Raises a Fault P-FILE-NOTFOUND that lists what there is.
    """
    known = list_clusters(folders)
    if not ref:
        if len(known) == 1:
            return known[0].path
        which = f"which of {', '.join(item.name for item in known)}?" if known else "no cluster files here"
        raise _not_found(f"no cluster was named: {which}", known, folders, "")
    if "/" in ref or "\\" in ref or ref.endswith(_SUFFIXES):
        path = Path(ref).expanduser()
        if path.is_file():
            return path
        problem = f"{ref} is no plain file" if path.exists() else f"there is no file {ref}"
        raise _not_found(problem, known, folders, Path(ref).stem)
    for item in known:
        if item.name == ref:
            return item.path
    own = data_folder("clusters") / f"{LAB}.yaml"
    if ref == LAB and own.is_file():
        return own
    raise _not_found(f"no cluster file for {ref}", known, folders, ref)


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file())


def _not_found(message: str, known: Sequence[ClusterFileName], folders: Sequence[Path], word: str) -> Fault:
    names = sorted({LAB, *(item.name for item in known)})
    near = difflib.get_close_matches(word, names, n=1)
    return Fault(
        id="P-FILE-NOTFOUND",
        message=message,
        expected="a name or a path of a cluster file",
        seen=[f"looked in {', '.join(str(folder) for folder in folders)}", f"there are {', '.join(names)}"],
        likely=f"{near[0]} was meant" if near else "",
        then=[] if word == LAB else ["provision up lab    needs no file of yours"],
    )
