"""Where in the user's files a problem of a config stands: the key of the patch that brought it, as far as it can be followed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from provisioner.errors import SourceLocation
from provisioner.model.cluster import PatchSpec
from provisioner.talos.schema import Document, Problem, document_id, steps_of


def location_of(problem: Problem, patch: PatchSpec, *, merged: Sequence[Document] | None = None) -> SourceLocation:
    """The place of a problem that the patch brought.

    Without `merged` the problem's path is one in the patch itself; with it, one in these documents, into which the patch was merged:
    what a patch adds to a list stands at the list's end.
    """
    steps = steps_of(problem.path)
    if patch.json:
        return _of_operation(steps, patch)
    for document, places in zip(patch.documents, patch.places, strict=False):
        if isinstance(document, Mapping) and document_id(document) == problem.document:
            whole = next((one for one in merged or () if document_id(one) == problem.document), None)
            return _follow(steps, document, places, whole) or patch.place
    return patch.place


def _follow(
    steps: Sequence[str | int], value: Any, places: Mapping[tuple[str | int, ...], SourceLocation], whole: Any
) -> SourceLocation | None:
    """The place of the deepest step that the value has."""
    path: tuple[str | int, ...] = ()
    place = places.get(path)
    for step in steps:
        inner = whole[step] if _has(whole, step) else None
        if isinstance(step, int) and isinstance(value, (list, tuple)) and isinstance(whole, list):
            step -= len(whole) - len(value)  # noqa: PLW2901 - counted in the patch's own list from here on
        if not _has(value, step):
            break
        path, value, whole = (*path, step), value[step], inner
        place = places.get(path, place)
    return place


def _has(value: Any, step: str | int) -> bool:
    if isinstance(step, int):
        return isinstance(value, (list, tuple)) and 0 <= step < len(value)
    return isinstance(value, Mapping) and step in value


def _of_operation(steps: Sequence[str | int], patch: PatchSpec) -> SourceLocation:
    """Of the operation that a path names by its index, else of the last one that touches what the path names."""
    if not steps:
        return patch.place
    found = steps[0] if isinstance(steps[0], int) else None
    if found is None:
        words = [str(step) for step in steps]
        for i, operation in enumerate(patch.documents):
            touched = [part.replace("~1", "/").replace("~0", "~") for part in str(operation.get("path")).split("/")[1:]]
            if words[: len(touched)] == touched or touched[: len(words)] == words:
                found = i
    if found is None or found >= len(patch.places):
        return patch.place
    return patch.places[found].get((), patch.place)
