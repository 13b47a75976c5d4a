"""Looking into decoded documents by the places of their fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def legacy_of(documents: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The document with `machine` and `cluster`."""
    return next((document for document in documents if not document.get("kind")), None)


def at(value: Any, *path: str) -> Any:
    """What stands below the keys; None where the way ends."""
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def each(value: Any, place: str, path: str = "") -> Iterator[tuple[str, Any]]:
    """All values at a place as `machine.network.interfaces[].addresses[]`, each with its path; the value itself for no place."""
    if not place:
        yield path, value
        return
    key, _, rest = place.partition(".")
    found = at(value, key.removesuffix("[]"))
    inner = join(path, key.removesuffix("[]"))
    items = ((f"{inner}[{i}]", item) for i, item in enumerate(found or ())) if key.endswith("[]") else ((inner, found),)
    for at_item, item in items:
        if item is not None:
            yield from each(item, rest, at_item)


def words(text: str) -> frozenset[str]:
    """The words of a table that is written as one text."""
    return frozenset(text.split())


def join(path: str, key: str) -> str:
    """The path of a key below a path."""
    return f"{path}.{key}" if path and key else path or key


def devices_of(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Interfaces and their VLANs, each with its path."""
    for path, device in each(config, "machine.network.interfaces[]"):
        yield path, device
        yield from each(device, "vlans[]", path)
