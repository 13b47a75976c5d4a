"""Patches of machine configs, inline or in files beside the cluster file, as parsed documents with their places.

Whether a patch fits Talos' config is judged where configs are made; here it must be one that can be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from provisioner.clusterfile.reading import Checked
from provisioner.clusterfile.tree import (
    KeyPath,
    TooLarge,
    Tree,
    Unreadable,
    dotted,
    expanded,
    read_small,
    read_trees,
)
from provisioner.clusterfile.version1 import PatchFile
from provisioner.errors import Finding, SourceLocation
from provisioner.model.cluster import PatchSpec

_EXPECTED = "a part of a machine config, as machine: {...}, or a list of JSON patch operations"


def read_patches(
    checked: Checked, path: KeyPath, patches: Sequence[Any], *, folder: Path, found: list[Finding]
) -> tuple[PatchSpec, ...]:
    """The patches of the list at that path; what is wrong with them goes to `found`."""
    specs = []
    for index, patch in zip(checked.indices(path, len(patches)), patches, strict=True):
        here = (*path, index)
        place = checked.tree.place(here)
        if isinstance(patch, PatchFile):
            specs.append(_read_file(checked, (*here, "file"), folder, patch.file, found))
        else:
            specs.append(_spec([(checked.tree, here)], place, found, alone=True))
    return tuple(specs)


def _spec(
    roots: Sequence[tuple[Tree, KeyPath]], place: SourceLocation, found: list[Finding], *, alone: bool
) -> PatchSpec:
    """A patch of the documents that stand there; `alone` when the only one may be a JSON patch."""
    values = [tree.at(at) for tree, at in roots]
    if alone and values and isinstance(values[0], list):
        return _json_patch(*roots[0], values[0], place, found)
    for (tree, at), value in zip(roots, values, strict=True):
        if _is_operation(value):
            meant = f"[{{op: {value['op']}, ...}}]"
            found.append(_finding(tree, at, "a JSON patch operation must be in a list", meant=meant))
        elif isinstance(value, list):
            found.append(_finding(tree, at, "a JSON patch must be the only document of its file"))
        elif not isinstance(value, dict) or not value:
            found.append(_finding(tree, at, "a patch is a mapping" if value else "the patch is empty"))
    return PatchSpec(documents=tuple(values), place=place, places=tuple(tree.places_below(at) for tree, at in roots))


def _json_patch(
    tree: Tree, at: KeyPath, operations: list[Any], place: SourceLocation, found: list[Finding]
) -> PatchSpec:
    if not operations or not all(_is_operation(operation) for operation in operations):
        found.append(_finding(tree, at, "a list here must hold JSON patch operations"))
    places = tuple(tree.places_below((*at, i)) for i in range(len(operations)))
    return PatchSpec(documents=tuple(operations), place=place, json=True, places=places)


def _finding(tree: Tree, at: KeyPath, problem: str, *, meant: str = "") -> Finding:
    return Finding(place=tree.place(at), path=dotted(at), problem=problem, expected=_EXPECTED, did_you_mean=meant)


def _is_operation(document: Any) -> bool:
    return isinstance(document, dict) and isinstance(document.get("op"), str) and "path" in document


def _read_file(checked: Checked, here: KeyPath, folder: Path, name: str, found: list[Finding]) -> PatchSpec:
    place = checked.tree.place(here)
    nothing = PatchSpec(documents=(), place=place)
    try:
        file = folder / expanded(name)
        raw = read_small(file)
    except Unreadable as error:
        shown = str(folder / name)
        shown = shown if shown.isprintable() else ascii(shown)[1:-1]
        found.append(
            Finding(
                place=place,
                path=dotted(here),
                problem=f"{shown} {error}" if isinstance(error, TooLarge) else f"{shown} cannot be read: {error}",
                expected="a regular file, its path relative to the cluster file",
            )
        )
        return nothing
    trees = read_trees(raw, str(file), several=True)
    found += [finding for tree in trees for finding in tree.findings]
    return _spec([(tree, ()) for tree in trees if not tree.findings], place, found, alone=len(trees) == 1)
