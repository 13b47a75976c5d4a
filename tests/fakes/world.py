"""The outside as a whole: the fakes of all ports, holding what was seen of a cluster, and runs and sessions over them.

cluster = cluster_of({"workers": 1})
world = FakeWorld(cluster, observed_of({"all": "up"}, cluster))
world.host.fail("start_vm", HostRefused(...))
run = world.run()
with pytest.raises(Fault): await vm.apply(action, run)
world.events                                   what the run told
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from provisioner.flow.session import Session
from provisioner.model.events import Event
from provisioner.model.facts import Observed
from provisioner.model.plan import Action
from provisioner.model.spec import Cluster
from provisioner.model.wishes import Options
from provisioner.ports import Configs, Dialer, Host, Kubernetes, Machines, Ports, Store
from provisioner.steps.begin import new_run
from provisioner.steps.run import Run
from provisioner.steps.waits import Waiter
from tests.fakes.clock import FakeClock
from tests.fakes.configs import OURS, FakeConfigs, access_of
from tests.fakes.dialer import FakeDialer
from tests.fakes.host import FakeHost
from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.machines import Box, FakeMachines
from tests.fakes.store import FakeStore
from tests.unit.steps.world import pods_of

E = TypeVar("E", bound=Event)


class FakeWorld:
    """Hosts, machines, the Kubernetes API and this computer, in the state that `seen` tells.

    The secrets of a world whose cluster is up are there, and its machines hang on them. Machines known by `seen.machines` answer, and the
    host's neighbour table knows them. A test that needs a port to do what no fake does gives its own by `run(host=...)`.
    """

    def __init__(self, cluster: Cluster, seen: Observed, *, notes: Mapping[str, Any] | None = None) -> None:
        self.cluster = cluster
        self.seen = seen
        self.events: list[Event] = []
        self.stop = asyncio.Event()
        self.pictures: list[str] = []
        """Machines whose screen was asked for."""
        self.clock = FakeClock()
        self.dialer = FakeDialer()
        self.hosts = {name: FakeHost(state, name=name) for name, state in seen.hosts.items()}
        self.configs = FakeConfigs()
        self.machines = FakeMachines()
        self.kubernetes = FakeKubernetes(seen.nodes or (), pods_of(cluster) if seen.nodes else ())
        self.store = FakeStore(
            secrets=self.configs.write_bundle(OURS) if seen.secrets.exists else None,
            cluster_id=seen.secrets.cluster_id,
            access=seen.access,
            notes=notes,
        )
        for machine in cluster.machines:
            facts = seen.machines.get(machine.name)
            if facts is None:
                continue
            box = Box(facts=facts, etcd="")
            if machine in cluster.control_planes:
                members = seen.etcd if facts.mode == "secure" else None
                box.etcd, box.members = "Running" if members is not None else "Preparing", members
            self.machines.boxes[facts.address] = box
            self.hosts[machine.host].knows(machine.mac, facts.address)

    @property
    def host(self) -> FakeHost:
        """The one host."""
        (host,) = self.hosts.values()
        return host

    @property
    def ports(self) -> Ports:
        return self.ports_with()

    def ports_with(
        self,
        *,
        host: Host | None = None,
        machines: Machines | None = None,
        kubernetes: Kubernetes | None = None,
        configs: Configs | None = None,
        store: Store | None = None,
        dialer: Dialer | None = None,
    ) -> Ports:
        """All ports, with the given ones in place of the fakes; `host` in place of all hosts."""
        return Ports(
            hosts={name: host or fake for name, fake in self.hosts.items()},
            machines=machines or self.machines,
            kubernetes=kubernetes or self.kubernetes,
            configs=configs or self.configs,
            store=store or self.store,
            clock=self.clock,
            dialer=dialer or self.dialer,
        )

    def run(
        self,
        *,
        options: Options | None = None,
        actions: Sequence[Action] = (),
        keys: bool = True,
        ports: Ports | None = None,
    ) -> Run:
        """A run as a session begins it. `keys=False`: the secrets were not read yet."""
        run = new_run(
            self.cluster,
            ports or self.ports,
            self.seen,
            waiter=Waiter(clock=self.clock, started_s=0.0, emit=self.events.append, stop=self.stop),
            options=options or Options(),
            picture=self._picture,
            actions=actions,
        )
        if keys:
            run.bundle, run.access = OURS, access_of(OURS)
        for name, host in self.hosts.items():  # an earlier step has asked
            for row in host.neighbors:
                run.finders[name].rows.setdefault(row.mac, {})[row.address] = None
        return run

    def session(self, *, options: Options | None = None, ports: Ports | None = None) -> Session:
        return Session(
            cluster=self.cluster,
            ports=ports or self.ports,
            emit=self.events.append,
            stop=self.stop,
            options=options or Options(),
        )

    def told(self, kind: type[E]) -> list[E]:
        """The events of that kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def _picture(self, machine: str) -> str:
        self.pictures.append(machine)
        return f"{machine}.png"
