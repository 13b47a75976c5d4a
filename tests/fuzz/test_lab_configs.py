"""Any value at any place of a machine config: the lab decodes it as Talos does, or refuses it as Talos does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from provisioner.lab.world.guests import decode
from tests.fuzz.budget import FACTOR, dice
from tests.interop.talos.judge import Judge, build_judge
from tests.interop.talos.test_lab_configs import CLUSTER, asked, merged, said

pytestmark = [pytest.mark.go, pytest.mark.timeout(600 * max(1, FACTOR))]

VALUES = (
    "", "~", "x", "5", "-1", "1.5", "true", "off", "'5'", "''", "[]", "[x]", "[null]", "[{}]", "{}", "{x: 1}", "{x: null}", "0x1F", "1e3",
    "70000", "99999999999", "2001-01-01", "10m", "10 GiB", "YQ==", "https://a:1/b", "10.0.0.0/8", "10.0.0.1:80", "80-90", ".inf", "010",
    "1_000", "!!str 5", "accept", "tcp", "luks2", "xfs", "0o644",
)  # fmt: skip


@pytest.fixture(scope="session")
def judge() -> Judge:
    return build_judge()


def places(structure: str, depth: int = 0) -> Iterator[tuple[str, ...]]:
    """Ways to each field, as parts of flow YAML to put around a value."""
    _, structures = decode._table()
    for key, kind in structures[structure].items():
        yield (key,)
        bare, around = kind.lstrip("?!*"), key
        while bare[:2] in ("[]", "{}"):
            around += bare[:2]
            bare = bare[2:].lstrip("?!*")
            yield (around,)
        if bare in structures and depth < 6:
            yield from ((around, *rest) for rest in places(bare, depth + 1))


def text_of(kind: str, place: tuple[str, ...], value: str) -> str:
    """A document with that value at that place: sound else, or, of the other kinds, nothing else than what makes it one."""
    inner: Any = PLACEHOLDER
    for part in reversed(place):
        key = part.rstrip("[]{}")
        for at in range(len(part) - 2, len(key) - 1, -2):
            inner = {"k": inner} if part[at] == "{" else [inner]
        inner = {key: inner}
    whole = (
        {"apiVersion": "v1alpha1", "kind": kind, **inner} if kind else merged(CLUSTER.document("controlplane"), inner)
    )
    return yaml.safe_dump(whole, sort_keys=False).replace(PLACEHOLDER, value)


PLACEHOLDER = "place_of_the_value"
PLACES = [(kind, place) for kind, structure in decode._table()[0].items() for place in places(structure)]


def documents(count: int) -> Iterator[tuple[str, str]]:
    for name, chance in dice("lab-config", count):
        yield name, a_document(chance)


def a_document(chance: Random) -> str:
    kind, place = chance.choice(PLACES)
    return text_of(kind, place, chance.choice(VALUES))


def test_any_value_at_any_place(judge: Judge, tmp_path: Path) -> None:
    cases = dict(documents(300))
    differing: dict[str, Any] = {}
    for name, their in zip(cases, asked(judge, tmp_path, list(cases.values())), strict=True):
        our = said(cases[name])
        if bool(their) != bool(our):
            differing[name] = (cases[name], their, our)
    assert differing == {}
