"""The implementations that the contract suite runs against."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.implementations import Engine, Implementation, Lab, module_text
from tests.lab.world.hand import hand_world


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`long: engine` in a case: its jobs are processes of the engine, which take their time; the lab's row stays short."""
    for item in items:
        given: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
        case = given.get("case")
        if isinstance(case, dict) and case.get("long", "never") == given.get("implementation"):
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session")
def engine(pwsh: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One engine process for all cases of a worker, with the module's text loaded."""
    folder = tmp_path_factory.mktemp("engine")
    with Engine(pwsh, folder, hand_world()) as engine:
        engine.load(module_text())
        yield engine


@pytest.fixture(params=[pytest.param("engine", marks=pytest.mark.engine), "lab"])
def implementation(request: pytest.FixtureRequest) -> Iterator[Implementation]:
    chosen: Implementation = request.getfixturevalue("engine") if request.param == "engine" else Lab()
    yield chosen
    chosen.leave()
