from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from provisioner.lab.kubernetes.servers import KubeServers
from provisioner.lab.world.clock import RunningClock
from provisioner.lab.world.routes import LoopbackRoutes
from tests.lab.kubernetes.helpers import Client, Machines, Served


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A healthy cluster of four at a thousand times real speed, served on loopback."""
    machines = Machines(clock=RunningClock(1000.0))
    routes = LoopbackRoutes(machines.kernel)
    servers = KubeServers(machines.kernel, machines.kube, routes)
    machines.kernel.start()
    servers.start()
    machines.start_all()
    machines.wait(machines.healthy)
    servers.settle()
    yield Served(machines, routes, servers, tmp_path_factory.mktemp("kube"))
    servers.stop()
    machines.kernel.stop()
    routes.close()


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    session = requests.Session()
    session.trust_env = False
    with session:
        yield Client(session, served, served.admin)


@pytest.fixture
def anonymous(served: Served) -> Iterator[Client]:
    session = requests.Session()
    session.trust_env = False
    with session:
        yield Client(session, served, None)
