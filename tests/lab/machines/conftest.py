"""What the tests of the machines share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from provisioner.lab.world.state import Vm
from tests.lab.machines.clusters import Cluster
from tests.lab.machines.helpers import Lan, Served, serving


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def lan() -> Lan:
    return Lan()


@pytest.fixture
def served(lan: Lan) -> Iterator[Served]:
    with serving(lan) as served:
        yield served


@pytest.fixture(scope="module")
def whole() -> Iterator[tuple[Served, Cluster, list[Vm]]]:
    """A running cluster of three control planes and a worker. Tests only read from it."""
    lan, cluster = Lan(), Cluster()
    vms = lan.running_cluster(cluster, control_planes=3, workers=1)
    with serving(lan) as served:
        yield served, cluster, vms
