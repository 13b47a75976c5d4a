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

from provisioner.model.cluster import Cluster
from provisioner.model.events import Event
from provisioner.model.facts import EtcdMemberFacts, NodeFacts, Observed, VmFacts
from provisioner.model.options import RemovalScope, RunOptions
from provisioner.model.plan import Action, Plan
from provisioner.ports import Configs, Dialer, Host, Kubernetes, Machines, Ports, Store
from provisioner.steps.run_context import Run
from provisioner.steps.waiting import Waiter
from provisioner.workflows.down import DOWN
from provisioner.workflows.rebuild import REBUILD
from provisioner.workflows.recorder import Recorder
from provisioner.workflows.session import Session, new_run
from provisioner.workflows.up import UP
from provisioner.workflows.workflow import Result
from tests.fakes.clock import FakeClock
from tests.fakes.configs import OURS, FakeConfigs, access_of
from tests.fakes.dialer import FakeDialer
from tests.fakes.host import FakeHost
from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.machines import HALT, Box, FakeMachines
from tests.fakes.store import FakeStore
from tests.unit.steps.world import machine_of, pods_of

E = TypeVar("E", bound=Event)


class FakeWorld:
    """Hosts, machines, the Kubernetes API and this computer, in the state that `seen` tells.

    The secrets of a world whose cluster is up are there, and its machines hang on them. Machines known by `seen.machines` answer, and the
    host's neighbour table knows them. VMs that a run makes boot, take configs, and become a cluster, at once. A test that needs a port to do what no fake does gives its own by `run(host=...)`.
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
        self._off: dict[str, Box] = {}
        """By VM id: machines that do not run."""
        for host in self.hosts.values():
            host.power = self._power
        self.machines.settle = self._settle

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
        options: RunOptions | None = None,
        actions: Sequence[Action] = (),
        keys: bool = True,
        ports: Ports | None = None,
    ) -> Run:
        """A run as a session begins it. `keys=False`: the secrets were not read yet."""
        run = new_run(
            self.cluster,
            ports or self.ports,
            self.seen,
            waiter=Waiter(clock=self.clock, emit=self.events.append, stop=self.stop),
            options=options or RunOptions(),
            picture=self._picture,
            actions=actions,
        )
        if keys:
            run.keys = OURS, access_of(OURS)
        for name, host in self.hosts.items():  # an earlier step has asked
            for row in host.neighbors:
                run.finders[name].rows.setdefault(row.mac, {})[row.address] = None
        return run

    def session(self, *, options: RunOptions | None = None, ports: Ports | None = None) -> Session:
        return Session(
            cluster=self.cluster,
            ports=ports or self.ports,
            recorder=Recorder(self.clock, self.events.append),
            stop=self.stop,
            options=options or RunOptions(),
        )

    async def up(self, options: RunOptions | None = None) -> Result:
        """A whole run."""
        return await self.session(options=options).run(UP)

    async def down(self, scope: RemovalScope | None = None, *, shown: Plan | None = None) -> Result:
        """A whole run. `shown` is the plan that was confirmed."""
        options = RunOptions(remove=scope or RemovalScope())
        return await self.session(options=options).run(DOWN, shown=shown)

    async def rebuild(self, *, shown: Plan | None = None) -> Result:
        """A whole run."""
        return await self.session().run(REBUILD, shown=shown)

    def told(self, kind: type[E]) -> list[E]:
        """The events of that kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def _power(self, vm: VmFacts) -> None:
        """A VM that runs boots: its disk if Talos is on it, else the ISO, which gets an address and waits in maintenance."""
        machine = next((m for m in self.cluster.machines if m.mac == vm.mac), None)
        if machine is None or vm.mark is None:
            return
        there = next((box for box in self.machines.boxes.values() if machine.mac in box.facts.macs), None)
        if vm.state != "Running":
            if there is not None:
                self._off[vm.id] = self.machines.boxes.pop(there.facts.address)
            if not any(vm.id in host.vms for host in self.hosts.values()):
                self._off.pop(vm.id, None)  # removed, with its disk
        elif there is None:
            box = self._off.pop(vm.id, None) or self._booted(machine.name, vm)
            self.machines.boxes[box.facts.address] = box
            self.hosts[machine.host].knows(machine.mac, box.facts.address)
        self._settle()

    def _booted(self, name: str, vm: VmFacts) -> Box:
        fresh = {
            "mode": "maintenance",
            "stage": "maintenance",
            "uuid": vm.bios_uuid,
            "system_disk": "",
            "cmdline": HALT,
        }
        control_plane = name in {machine.name for machine in self.cluster.control_planes}
        return Box(facts=machine_of(fresh, name, self.cluster), etcd="Preparing" if control_plane else "")

    def _settle(self) -> None:
        """Once etcd was begun on one control plane the others join it, and every configured machine becomes a node."""
        configured = [box for box in self.machines.boxes.values() if box.facts.mode == "secure"]
        begun = [box for box in configured if box.members]
        joined = [box for box in configured if box.etcd] if begun else []
        members = tuple(EtcdMemberFacts(hostname=box.facts.hostname) for box in joined)
        for box in joined:
            box.etcd, box.members = "Running", members
        if begun:
            self.kubernetes.all_pods = pods_of(self.cluster)
            self.kubernetes.show(tuple(NodeFacts(name=box.facts.hostname, ready=True) for box in configured))
        elif not configured:
            self.kubernetes.all_pods = ()
            self.kubernetes.show(())

    async def _picture(self, machine: str) -> str:
        self.pictures.append(machine)
        return f"{machine}.png"
