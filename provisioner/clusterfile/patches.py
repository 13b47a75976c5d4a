"""Patches of machine configs, inline or in files beside the cluster file, as parsed documents with their places.

Whether a patch fits Talos' config is judged where configs are made; here it must be a mapping that can be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from provisioner.clusterfile.reading import Checked
from provisioner.clusterfile.tree import Path as At
from provisioner.clusterfile.tree import dotted, plain, read_trees
from provisioner.clusterfile.version1 import PatchFile
from provisioner.errors import Finding
from provisioner.model.spec import PatchSpec

_NOT_MERGED = "a JSON patch: only strategic-merge patches are taken"
_NOT_MERGED_EXPECTED = "a part of a machine config, as machine: {...}"


def read_patches(
    checked: Checked, path: At, patches: Sequence[PatchFile | dict[str, Any]], *, folder: Path, found: list[Finding]
) -> tuple[PatchSpec, ...]:
    """The patches of the list at that path; what is wrong with them goes to `found`."""
    specs = []
    for index, patch in zip(checked.indices(path, len(patches)), patches, strict=True):
        here = (*path, index)
        place = checked.tree.place(here)
        if isinstance(patch, PatchFile):
            documents = tuple(_read_file(checked, (*here, "file"), folder, patch.file, found))
        else:
            documents = (plain(patch),)
            if not patch or _is_json_patch(patch):
                problem = _NOT_MERGED if patch else "an empty patch"
                found.append(Finding(place=place, path=dotted(here), problem=problem, expected=_NOT_MERGED_EXPECTED))
        specs.append(PatchSpec(documents=documents, place=place))
    return tuple(specs)


def _is_json_patch(document: dict[str, Any]) -> bool:
    return "op" in document and "path" in document


def _read_file(checked: Checked, here: At, folder: Path, name: str, found: list[Finding]) -> Iterator[dict[str, Any]]:
    file = folder / Path(name).expanduser()
    shown = checked.tree.place(here)
    try:
        raw = file.read_bytes()
    except OSError as error:
        problem = f"{file} cannot be read: {error.strerror or error}"
        found.append(
            Finding(place=shown, path=dotted(here), problem=problem, expected="a file, relative to the cluster file")
        )
        return
    for tree in read_trees(raw, str(file), several=True):
        found += tree.findings
        if tree.findings:
            continue
        if isinstance(tree.value, dict) and not _is_json_patch(tree.value):
            yield plain(tree.value)
        else:
            problem = "no mapping" if not isinstance(tree.value, list | dict) else _NOT_MERGED
            found.append(Finding(place=tree.place(()), path="", problem=problem, expected=_NOT_MERGED_EXPECTED))
