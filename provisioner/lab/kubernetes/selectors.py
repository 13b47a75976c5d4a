"""Label and field selectors, as they come in a query."""

from __future__ import annotations

import re
from collections.abc import Callable

from provisioner.lab.world.guests.config import dig
from provisioner.lab.world.kube.store import Json, KubeError

Match = Callable[[Json], bool]

_SET = re.compile(r"^(?P<key>\S+)\s+(?P<word>notin|in)\s*\((?P<values>[^)]*)\)$")
_EQUAL = re.compile(r"^(?P<key>[^=!]+?)\s*(?P<sign>==|!=|=)\s*(?P<value>.*)$")
_FIELDS = frozenset(
    [
        "metadata.name",
        "metadata.namespace",
        "spec.nodeName",
        "spec.unschedulable",
        "status.phase",
        "reason",
        "type",
        "involvedObject.name",
        "involvedObject.namespace",
        "involvedObject.kind",
        "involvedObject.uid",
    ]
)


def matcher(labels: str, fields: str) -> Match:
    """Whether an object is asked for. Raises KubeError 400."""
    tests = [*_label_tests(labels), *_field_tests(fields)]
    return lambda body: all(test(body) for test in tests)


def label_matcher(selector: Json) -> Match:
    """By the selector of an object (matchLabels and matchExpressions)."""
    wanted = selector.get("matchLabels") or {}
    rows = selector.get("matchExpressions") or []

    def match(body: Json) -> bool:
        labels = _labels(body)
        return all(labels.get(key) == value for key, value in wanted.items()) and all(
            _expression(labels, row["key"], row["operator"], row.get("values") or []) for row in rows
        )

    return match


def _expression(labels: Json, key: str, operator: str, values: list[str]) -> bool:
    return {
        "In": labels.get(key) in values,
        "NotIn": labels.get(key) not in values,
        "Exists": key in labels,
        "DoesNotExist": key not in labels,
    }[operator]


def _label_tests(text: str) -> list[Match]:
    tests: list[Match] = []
    for part in re.split(r",(?![^(]*\))", text):
        term = part.strip()
        if not term:
            continue
        if found := _SET.match(term):
            values = [value.strip() for value in found["values"].split(",")]
            tests.append(_label_test(found["key"], "NotIn" if found["word"] == "notin" else "In", values))
        elif found := _EQUAL.match(term):
            tests.append(_label_test(found["key"], "NotIn" if found["sign"] == "!=" else "In", [found["value"]]))
        elif term.startswith("!"):
            tests.append(_label_test(term[1:], "DoesNotExist", []))
        elif re.fullmatch(r"[\w./-]+", term):
            tests.append(_label_test(term, "Exists", []))
        else:
            raise KubeError(400, "BadRequest", f"unable to parse requirement: {term!r}")
    return tests


def _label_test(key: str, operator: str, values: list[str]) -> Match:
    return lambda body: _expression(_labels(body), key, operator, values)


def _field_tests(text: str) -> list[Match]:
    tests: list[Match] = []
    for term in filter(None, (part.strip() for part in text.split(","))):
        found = _EQUAL.match(term)
        if found is None or found["key"] not in _FIELDS:
            raise KubeError(400, "BadRequest", f"field label not supported: {found['key'] if found else term}")
        tests.append(_field_test(found["key"], found["sign"] != "!=", found["value"]))
    return tests


def _field_test(field: str, equal: bool, value: str) -> Match:
    def test(body: Json) -> bool:
        found = dig(body, *field.split("."))
        if field == "spec.unschedulable":
            found = bool(found)
        text = str(found).lower() if isinstance(found, bool) else str(found or "")
        return (text == value) == equal

    return test


def _labels(body: Json) -> Json:
    return body["metadata"].get("labels") or {}
