"""The three kinds of patches that the API takes (RFC 6902, RFC 7386, and Kubernetes' own strategic merge)."""

from __future__ import annotations

import copy
from typing import Any

import jsonpatch

from provisioner.lab.world.kube.store import Json, KubeError

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"

_MERGE_KEYS = {
    "addresses": "type",
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""Lists whose items merge by a key; all others are replaced (taints and tolerations among them)."""

_SETS = ("finalizers", "podCIDRs")
"""Lists of plain values that are united."""


def apply(content_type: str, body: Json, patch: Any) -> Json:
    """The patched body, a new one. Raises KubeError 400, 415, 422."""
    if content_type == JSON_PATCH:
        if not isinstance(patch, list):
            raise KubeError(400, "BadRequest", "a JSON patch is a list of operations")
        try:
            patched = jsonpatch.apply_patch(body, patch)
        except jsonpatch.JsonPatchConflict as error:
            raise KubeError(
                422, "Invalid", f"the server rejected our request due to an error in our request: {error}"
            ) from None
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
            raise KubeError(400, "BadRequest", str(error)) from None
        return _as_object(patched)
    if content_type not in (MERGE_PATCH, STRATEGIC_PATCH):
        supported = f"{JSON_PATCH}, {MERGE_PATCH}, {STRATEGIC_PATCH}"
        raise KubeError(
            415,
            "UnsupportedMediaType",
            f"the body of the request was in an unknown format - accepted media types include: {supported}",
        )
    merge = _merge if content_type == MERGE_PATCH else _merge_strategic
    return _as_object(merge(copy.deepcopy(body), _as_object(patch)))


def _as_object(value: Any) -> Json:
    if not isinstance(value, dict):
        raise KubeError(400, "BadRequest", "a patch of an object must be an object")
    return value


def _merge(left: Any, right: Any) -> Any:
    if not isinstance(right, dict):
        return copy.deepcopy(right)
    result = dict(left) if isinstance(left, dict) else {}
    for key, value in right.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge(result.get(key), value)
    return result


def _merge_strategic(left: Any, right: Any) -> Any:
    if not isinstance(right, dict):
        return copy.deepcopy(right)
    if (directive := right.get("$patch")) in ("replace", "delete"):
        kept = {key: value for key, value in right.items() if key != "$patch"}
        return copy.deepcopy(kept) if directive == "replace" else {}
    result = dict(left) if isinstance(left, dict) else {}
    for key, value in right.items():
        _merge_field(result, key, value)
    return result


def _merge_field(result: Json, key: str, value: Any) -> None:
    if key.startswith("$deleteFromPrimitiveList/"):
        name = key.partition("/")[2]
        result[name] = [item for item in result.get(name) or [] if item not in value]
    elif value is None:
        result.pop(key, None)
    elif isinstance(value, list) and not key.startswith("$"):
        result[key] = _merge_list(key, result.get(key) or [], value)
    elif not key.startswith("$"):  # the order of lists and what is retained: means nothing to the objects of this lab
        result[key] = _merge_strategic(result.get(key), value)


def _merge_list(list_name: str, left: list[Any], right: list[Any]) -> list[Any]:
    if list_name in _SETS:
        return left + [item for item in right if item not in left]
    key = _MERGE_KEYS.get(list_name)
    if key is None or not all(isinstance(item, dict) for item in right):
        return copy.deepcopy(right)
    result = list(left)
    for item in right:
        result = _merge_item(result, key, item)
    return result


def _merge_item(items: list[Any], key: str, item: Json) -> list[Any]:
    directive = item.get("$patch")
    if key not in item:
        if directive is None:
            raise KubeError(400, "BadRequest", f"map: {item} does not contain declared merge key: {key}")
        return [] if directive == "replace" else items
    there = next((known for known in items if known.get(key) == item[key]), None)
    if directive == "delete":
        return [known for known in items if known.get(key) != item[key]]
    if there is None:
        return [*items, _merge_strategic({}, item)]
    return [_merge_strategic(known, item) if known is there else known for known in items]
