from __future__ import annotations

from collections.abc import Iterator

import pytest

from provisioner.lab.world.world import World
from tests.lab.cmdlets.helpers import Engine
from tests.lab.world.hand import hand_world


@pytest.fixture(scope="session")
def one_engine(pwsh: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with Engine(pwsh, tmp_path_factory.mktemp("engine"), hand_world()) as engine:
        yield engine


@pytest.fixture
def world() -> World:
    return hand_world()


@pytest.fixture
def engine(one_engine: Engine, world: World) -> Engine:
    """The engine on a fresh world, for an administrator."""
    one_engine.stand_on(world)
    return one_engine
