"""Reads the whole of a cluster, side by side, and changes nothing. Truth is read each time; notes of earlier runs only say where
to look first. A failed read of a host raises; a machine that does not answer is recorded with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping, Sequence
from typing import Any, Self, TypeVar

from provisioner.errors import Fault, TransportError
from provisioner.model.cluster import Cluster
from provisioner.model.endpoint import endpoint_of
from provisioner.model.facts import EtcdMemberFacts, HostState, MachineFacts, NodeFacts, Observed, SecretsFacts
from provisioner.model.hints import Hints
from provisioner.model.ownership import OnHost, namesakes, our_vms
from provisioner.operations.machine import NO_ADDRESS, Unread, neighbors, proven, read_machine
from provisioner.ports import Bundle, Ports, TalosAccess
from provisioner.steps.host_faults import read_host
from provisioner.steps.run_context import read_keys
from provisioner.steps.vm import find_vm

T = TypeVar("T")


async def observe(cluster: Cluster, ports: Ports) -> Observed:
    """Raises a Fault when a host cannot be read or its Hyper-V cannot, or when the secrets on disk are damaged."""
    async with _Looks(cluster, ports) as looks:
        states = await asyncio.gather(*await looks.begun())
        return await looks.whole(dict(zip(ports.hosts, states, strict=True)))


async def observe_hosts(cluster: Cluster, ports: Ports) -> Observed:
    """What `down` needs: hosts with their VMs, and what is kept here. No keys are read, no machine is asked. Raises a Fault."""
    async with _Looks(cluster, ports) as looks:
        states = await asyncio.gather(*looks.at_hosts())
        return Observed(
            hosts=dict(zip(ports.hosts, states, strict=True)),
            secrets=ports.store.secrets_facts(),
            etcd_began=ports.store.read_hints().etcd_began,
            access=ports.store.contexts(),
            kubeconfig=str(ports.store.folder / "kubeconfig"),
            read_utc=ports.clock.wall(),
        )


async def observe_what_answers(cluster: Cluster, ports: Ports) -> tuple[Observed, tuple[Fault, ...]]:
    """As `observe`, but hosts that cannot be read are left out, and the faults say why. Their machines are taken at their own word, since
    no VM can vouch for them.
    """
    async with _Looks(cluster, ports) as looks:
        answers = await asyncio.gather(*await looks.begun(), return_exceptions=True)
        hosts: dict[str, HostState] = {}
        faults: list[Fault] = []
        for name, answer in zip(ports.hosts, answers, strict=True):
            if isinstance(answer, HostState):
                hosts[name] = answer
            elif isinstance(answer, Fault) and answer.id.startswith("P-HOST-"):
                faults.append(answer)
            else:
                raise answer
        return await looks.whole(hosts), tuple(faults)


class _Looks:
    """Reads on their way. Leaving cancels those that have not ended: an address that is not in use any more answers late."""

    def __init__(self, cluster: Cluster, ports: Ports) -> None:
        self.cluster = cluster
        self.ports = ports
        self._all: list[asyncio.Future[Any]] = []
        self.machines: dict[str, asyncio.Future[MachineFacts | Unread]] = {}
        """At the addresses where they are expected; one that is elsewhere is found by the run itself, by its MAC."""
        self.asked = ""
        """Where the first control plane is expected: what is asked about the cluster is asked there, or at the first that answers."""
        self.etcd: asyncio.Future[tuple[EtcdMemberFacts, ...]] | None = None
        self.nodes: asyncio.Future[tuple[NodeFacts, ...]] | None = None
        self.bundle: Bundle | None = None
        self.access: TalosAccess | None = None
        self.hints = Hints()
        """As they were when the reading began."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for future in self._all:
            future.cancel()
        await asyncio.gather(*self._all, return_exceptions=True)

    def begin(self, reading: Awaitable[T]) -> asyncio.Future[T]:
        future = asyncio.ensure_future(reading)
        self._all.append(future)
        return future

    async def begun(self) -> list[asyncio.Future[HostState]]:
        """All reads of what is known beforehand; those of the hosts, in the order of the ports."""
        reading = self.at_hosts()
        await self.ports.clock.sleep(0)  # the hosts are asked before anything is loaded or computed for the rest
        self.at_cluster()
        return reading

    def at_hosts(self) -> list[asyncio.Future[HostState]]:
        ports = self.ports
        return [self.begin(read_host(self.cluster, name, host, ports.clock)) for name, host in ports.hosts.items()]

    def at_cluster(self) -> None:
        """Machines, etcd and the Kubernetes API, as far as keys and addresses are known. What is read counts only if the machine turns out
        to be ours.
        """
        self.bundle, self.access = read_keys(self.ports.store, self.ports.configs)
        self.hints = self.ports.store.read_hints()
        addresses = _known_addresses(self.cluster, self.hints)
        for name, places in addresses.items():
            self.machines[name] = self.at_machine(places)
        first, *_ = addresses.get(self.cluster.control_planes[0].name, ("",))
        if first:
            self.at_control_plane(first)

    def at_machine(self, addresses: Sequence[str]) -> asyncio.Future[MachineFacts | Unread]:
        return self.begin(read_machine(self.ports.machines, addresses, self.access))

    def at_control_plane(self, first: str) -> None:
        if self.access is None or self.bundle is None or first == self.asked:
            return
        ports, cluster = self.ports, self.cluster
        config = ports.configs.effective(cluster, cluster.control_planes[0])
        server = endpoint_of(cluster, config, first) or ""
        self.asked = first
        self.etcd = self.begin(ports.machines.etcd_members(first, self.access))
        self.nodes = self.begin(ports.kubernetes.nodes(ports.configs.kubeconfig(cluster, self.bundle, server=server)))

    async def whole(self, hosts: Mapping[str, HostState]) -> Observed:
        """All that was read, once the hosts are there."""
        cluster, ports, hints = self.cluster, self.ports, self.hints
        secrets = ports.store.secrets_facts()
        placed = _placed(cluster, hosts, secrets)
        machines, unread = await self._machines(hosts, placed)
        not_ours = await self._elsewhere(placed, machines, unread)
        lost_ids = await self._lost_ids(hosts, secrets)
        configs = {machine.name: ports.configs.effective(cluster, machine) for machine in cluster.machines}
        (etcd, etcd_unread), (nodes, nodes_unread) = await self._control_plane(machines, unread)
        return Observed(
            hosts=hosts,
            secrets=secrets,
            image_pin=hints.images.get(cluster.image.file_name, ""),
            machines=machines,
            unread=unread,
            etcd=etcd,
            etcd_began=hints.etcd_began,
            endpoint_sent=hints.endpoint,
            client_endpoint=hints.client_endpoint,
            not_ours=not_ours,
            etcd_unread=etcd_unread,
            nodes=nodes,
            nodes_unread=nodes_unread,
            configs=configs,
            installed=frozenset(name for name, own in placed.items() if hints.of(name).installed_on(own.vm.id)),
            lost_ids=lost_ids,
            access=ports.store.contexts(),
            kubeconfig=str(ports.store.folder / "kubeconfig"),
            read_utc=ports.clock.wall(),
        )

    async def _machines(
        self, hosts: Mapping[str, HostState], placed: Mapping[str, OnHost]
    ) -> tuple[dict[str, MachineFacts], dict[str, str]]:
        """Machines that are proven to be the VMs of their names, and why others that may run were not read."""
        found: dict[str, MachineFacts] = {}
        unread: dict[str, str] = {}
        in_file = [machine.name for machine in self.cluster.machines]
        known = {m.name for m in self.cluster.machines if m.host in hosts and hosts[m.host].whole}
        for name in dict.fromkeys((*in_file, *placed)):
            own, look = placed.get(name), self.machines.get(name)
            if (own.vm.state != "Running") if own else (name in known):
                continue  # there is nothing that could answer
            result = proven(name, await look, own.vm if own else None) if look is not None else NO_ADDRESS
            if isinstance(result, str):
                unread[name] = result
            else:
                found[name] = result
        return found, unread

    async def _elsewhere(
        self, placed: Mapping[str, OnHost], machines: dict[str, MachineFacts], unread: dict[str, str]
    ) -> dict[str, str]:
        """Machines that did not answer where they were expected are looked for once more by their MAC addresses, in the hosts' own neighbour
        tables: a lease moves, and the notes of earlier runs may be lost. Nothing is asked without keys: nothing could be proven then.

        Returns those that answer under another authority, at all addresses that the host maps to them.
        """
        not_ours: dict[str, str] = {}
        lost = {name: own for name, own in placed.items() if name in unread}
        places = await self._places(lost.values())
        reads = {name: self.at_machine(places[own.vm.id]) for name, own in lost.items() if own.vm.id in places}
        for name, read in reads.items():
            answer, vm = await read, lost[name].vm
            result = proven(name, answer, vm)
            if isinstance(result, MachineFacts):
                machines[name] = result
                del unread[name]
                continue
            if unread[name] == NO_ADDRESS:
                unread[name] = result
            if isinstance(answer, Unread) and answer.other_authority:
                not_ours[name] = places[vm.id][0]
        return not_ours

    async def _lost_ids(self, hosts: Mapping[str, HostState], secrets: SecretsFacts) -> dict[str, tuple[str, ...]]:
        """`Observed.lost_ids`: VMs with the names of our machines and another's mark are asked whether they know our keys. An API that our
        authority vouches for, with the UUID of that VM, is ours: no other machine can have it.
        """
        names = {machine.name for machine in self.cluster.machines}
        running = [one for one in namesakes(hosts, secrets, names) if one.vm.state == "Running"]
        places = await self._places(running)
        found: dict[str, tuple[str, ...]] = {}
        for vm in (one.vm for one in running if one.vm.id in places):
            assert vm.mark is not None, "a namesake bears a mark"
            facts = proven(vm.mark.machine, await self.at_machine(places[vm.id]), vm)
            if isinstance(facts, MachineFacts) and facts.mode == "secure":
                found[vm.mark.cluster_id] = (*found.get(vm.mark.cluster_id, ()), vm.mark.machine)
        return found

    async def _places(self, wanted: Collection[OnHost]) -> dict[str, list[str]]:
        """By id, where VMs are by their MAC addresses, in the hosts' own neighbour tables; of a host that cannot be asked, nowhere. Without
        keys no host is asked.
        """
        places: dict[str, list[str]] = {}
        for name in dict.fromkeys(one.host for one in wanted) if self.access is not None else ():
            there = [one.vm for one in wanted if one.host == name]
            found = await neighbors(self.ports.hosts[name], self.ports.clock, {vm.mac for vm in there})
            places |= {vm.id: found[vm.mac] for vm in there if vm.mac in found}
        return places

    async def _control_plane(
        self, machines: Mapping[str, MachineFacts], unread: Mapping[str, str]
    ) -> tuple[_Part[EtcdMemberFacts], _Part[NodeFacts]]:
        """Etcd's members and the nodes, by the first control plane that answers."""
        answers = [facts for m in self.cluster.control_planes if (facts := machines.get(m.name))]
        leader = next((facts for facts in answers if facts.mode == "secure"), None)
        if leader is not None:
            self.at_control_plane(leader.address)
            if self.etcd is not None and self.nodes is not None:
                return await asyncio.gather(_or_why(self.etcd), _or_why(self.nodes))
        elif any(machine.name in unread for machine in self.cluster.control_planes):
            return (None, "no control plane answers"), (None, "no control plane answers")
        return (None, ""), (None, "")


_Part = tuple[tuple[T, ...] | None, str]
"""A part of the picture that may be missing while a cluster comes up, or why it could not be read."""


async def _or_why(reading: Awaitable[tuple[T, ...]]) -> _Part[T]:
    try:
        return await reading, ""
    except TransportError as error:
        return None, str(error)


def _placed(cluster: Cluster, hosts: Mapping[str, HostState], secrets: SecretsFacts) -> dict[str, OnHost]:
    """The VM of each machine by the machine's name, also of those that the file does not name any more."""
    found = {own.vm.mark.machine: own for own in our_vms(hosts, secrets) if own.vm.mark is not None}
    for machine in cluster.machines:  # where the file puts it comes first: a plan refuses the others
        state = hosts.get(machine.host)
        vm = find_vm(machine, state, secrets) if state else None
        if vm is not None:
            found[machine.name] = OnHost(host=machine.host, vm=vm)
    return found


def _known_addresses(cluster: Cluster, hints: Hints) -> dict[str, tuple[str, ...]]:
    """Machine -> where it was in an earlier run, and where the file says; both are hints. Machines that the file named once come too."""
    in_file = {machine.name: machine.address for machine in cluster.machines}
    found = {name: (hints.of(name).address, in_file.get(name, "")) for name in (*in_file, *hints.machines)}
    return {name: tuple(dict.fromkeys(filter(None, both))) for name, both in found.items() if any(both)}
