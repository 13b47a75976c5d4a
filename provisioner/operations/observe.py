"""Reads the whole of a cluster, side by side, and changes nothing. Truth is read each time; notes of earlier runs only say where
to look first. A failed read of a host raises; a machine that does not answer is recorded with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Self, TypeVar

from provisioner.errors import Fault, TransportError
from provisioner.model.cluster import Cluster
from provisioner.model.endpoint import endpoint_of
from provisioner.model.facts import EtcdMemberFacts, HostState, MachineFacts, NodeFacts, Observed, SecretsFacts
from provisioner.model.hints import Hints
from provisioner.model.ownership import OnHost, namesakes, our_vms
from provisioner.operations.machine import NO_ADDRESS, Unread, neighbors, proven, read_machine
from provisioner.ports import Bundle, Ports, TalosAccess
from provisioner.steps.discovery import same_uuid
from provisioner.steps.host_faults import read_host
from provisioner.steps.run_context import read_keys
from provisioner.steps.vm import find_vm

T = TypeVar("T")


async def observe(cluster: Cluster, ports: Ports) -> Observed:
    """Raises a Fault when a host cannot be read or its Hyper-V cannot, or when the secrets on disk are damaged."""
    async with _Looks() as looks:
        reading = looks.at_hosts(cluster, ports)
        await ports.clock.sleep(0)  # the hosts are asked before anything is loaded or computed for the rest
        looks.at_cluster(cluster, ports)
        hosts = dict(zip(ports.hosts, await asyncio.gather(*reading), strict=True))
        return await _whole(cluster, ports, hosts, looks)


async def observe_hosts(cluster: Cluster, ports: Ports) -> Observed:
    """What `down` needs: hosts with their VMs, and what is kept here. No keys are read, no machine is asked. Raises a Fault."""
    async with _Looks() as looks:
        hosts = await asyncio.gather(*looks.at_hosts(cluster, ports))
        return Observed(
            hosts=dict(zip(ports.hosts, hosts, strict=True)),
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
    async with _Looks() as looks:
        reading = looks.at_hosts(cluster, ports)
        await ports.clock.sleep(0)  # the hosts are asked before anything is loaded or computed for the rest
        looks.at_cluster(cluster, ports)
        answers = await asyncio.gather(*reading, return_exceptions=True)
        hosts: dict[str, HostState] = {}
        faults: list[Fault] = []
        for name, answer in zip(ports.hosts, answers, strict=True):
            if isinstance(answer, HostState):
                hosts[name] = answer
            elif isinstance(answer, Fault) and answer.id.startswith("P-HOST-"):
                faults.append(answer)
            else:
                raise answer
        return await _whole(cluster, ports, hosts, looks), tuple(faults)


class _Looks:
    """Reads on their way. Leaving cancels those that have not ended: an address that is not in use any more answers late."""

    def __init__(self) -> None:
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

    def at_hosts(self, cluster: Cluster, ports: Ports) -> list[asyncio.Future[HostState]]:
        """All hosts, in the order of the ports."""
        return [self.begin(read_host(cluster, name, host, ports.clock)) for name, host in ports.hosts.items()]

    def at_cluster(self, cluster: Cluster, ports: Ports) -> None:
        """Machines, etcd and the Kubernetes API, as far as keys and addresses are known. What is read counts only if the machine turns out
        to be ours.
        """
        self.bundle, self.access = bundle, access = read_keys(ports)
        self.hints = ports.store.read_hints()
        addresses = _known_addresses(cluster, self.hints)
        for name, places in addresses.items():
            self.machines[name] = self.begin(read_machine(ports, places, access))
        first, *_ = addresses.get(cluster.control_planes[0].name, ("",))
        if access is not None and first:
            self.at_control_plane(cluster, ports, bundle, access, first)

    def at_control_plane(
        self, cluster: Cluster, ports: Ports, bundle: Bundle | None, access: TalosAccess, first: str
    ) -> None:
        self.asked = first
        self.etcd = self.begin(ports.machines.etcd_members(first, access))
        self.nodes = self.begin(ports.kubernetes.nodes(_kubeconfig(cluster, ports, bundle, first)))


async def _whole(cluster: Cluster, ports: Ports, hosts: dict[str, HostState], looks: _Looks) -> Observed:
    secrets = ports.store.secrets_facts()
    hints = looks.hints
    placed = _placed(cluster, hosts, secrets)
    machines, unread = await _machines(cluster, hosts, placed, looks)
    not_ours = await _look_elsewhere(ports, placed, machines, unread, looks)
    lost_ids = await _lost_ids(cluster, ports, hosts, secrets, looks)
    configs = {machine.name: ports.configs.effective(cluster, machine) for machine in cluster.machines}
    etcd: tuple[EtcdMemberFacts, ...] | None = None
    nodes: tuple[NodeFacts, ...] | None = None
    etcd_unread = nodes_unread = ""
    leader = next((f for m in cluster.control_planes if (f := machines.get(m.name)) and f.mode == "secure"), None)
    if leader is not None:
        if looks.access is not None and leader.address != looks.asked:
            looks.at_control_plane(cluster, ports, looks.bundle, looks.access, leader.address)
        if looks.etcd is not None and looks.nodes is not None:
            (etcd, etcd_unread), (nodes, nodes_unread) = await asyncio.gather(_or_why(looks.etcd), _or_why(looks.nodes))
    elif any(machine.name in unread for machine in cluster.control_planes):
        etcd_unread = nodes_unread = "no control plane answers"
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


async def _lost_ids(
    cluster: Cluster, ports: Ports, hosts: Mapping[str, HostState], secrets: SecretsFacts, looks: _Looks
) -> dict[str, tuple[str, ...]]:
    """`Observed.lost_ids`: VMs with the names of our machines and another's mark are asked whether they know our keys. An API that our
    authority vouches for, with the UUID of that VM, is ours: no other machine can have it.
    """
    names = {machine.name for machine in cluster.machines}
    running = [one for one in namesakes(hosts, secrets, names) if one.vm.state == "Running"]
    found: dict[str, list[str]] = {}
    for one, places in await _places(ports, running) if running and looks.access is not None else ():
        facts = await looks.begin(read_machine(ports, places, looks.access))
        mark = one.vm.mark
        if (
            isinstance(facts, MachineFacts)
            and facts.mode == "secure"
            and same_uuid(facts.uuid, one.vm.bios_uuid)
            and mark
        ):
            found.setdefault(mark.cluster_id, []).append(mark.machine)
    return {cluster_id: tuple(machines) for cluster_id, machines in found.items()}


async def _places(ports: Ports, wanted: Sequence[OnHost]) -> list[tuple[OnHost, list[str]]]:
    """Where VMs are by their MAC addresses, in the hosts' own neighbour tables; of a host that cannot be asked, nowhere."""
    placed: list[tuple[OnHost, list[str]]] = []
    for name in dict.fromkeys(one.host for one in wanted):
        there = [one for one in wanted if one.host == name]
        found = await neighbors(ports, name, {one.vm.mac for one in there})
        placed += [(one, found[one.vm.mac]) for one in there if one.vm.mac in found]
    return placed


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


async def _machines(
    cluster: Cluster, hosts: dict[str, HostState], placed: Mapping[str, OnHost], looks: _Looks
) -> tuple[dict[str, MachineFacts], dict[str, str]]:
    """Machines that are proven to be the VMs of their names, and why others that may run were not read."""
    found: dict[str, MachineFacts] = {}
    unread: dict[str, str] = {}
    known = {m.name for m in cluster.machines if m.host in hosts and hosts[m.host].whole}
    for name in dict.fromkeys((*(m.name for m in cluster.machines), *placed)):
        own, look = placed.get(name), looks.machines.get(name)
        if (own is None and name in known) or (own is not None and own.vm.state != "Running"):
            continue  # there is nothing that could answer
        result = proven(name, await look, own.vm if own else None) if look is not None else NO_ADDRESS
        if isinstance(result, str):
            unread[name] = result
        else:
            found[name] = result
    return found, unread


async def _look_elsewhere(
    ports: Ports,
    placed: Mapping[str, OnHost],
    machines: dict[str, MachineFacts],
    unread: dict[str, str],
    looks: _Looks,
) -> dict[str, str]:
    """Machines that did not answer where they were expected are looked for once more by their MAC addresses, in the hosts' own neighbour
    tables: a lease moves, and the notes of earlier runs may be lost. Nothing is asked without keys: nothing could be proven then.

    Returns those that answer under another authority, at all addresses that the host maps to them.
    """
    not_ours: dict[str, str] = {}
    for name in ports.hosts if looks.access is not None else ():
        lost = {own.vm.mac: who for who, own in placed.items() if who in unread and own.host == name}
        if not lost:
            continue
        places = {lost[mac]: addresses for mac, addresses in (await neighbors(ports, name, lost)).items()}
        reads = {who: looks.begin(read_machine(ports, found, looks.access)) for who, found in places.items()}
        for who, read in reads.items():
            answer = await read
            result = proven(who, answer, placed[who].vm)
            if isinstance(result, MachineFacts):
                machines[who] = result
                del unread[who]
                continue
            if unread[who] == NO_ADDRESS:
                unread[who] = result
            if isinstance(answer, Unread) and answer.other_authority:
                not_ours[who] = places[who][0]
    return not_ours


async def _or_why(reading: Awaitable[T]) -> tuple[T | None, str]:
    """A part of the picture that may be missing while a cluster comes up, or why it could not be read."""
    try:
        return await reading, ""
    except TransportError as error:
        return None, str(error)


def _kubeconfig(cluster: Cluster, ports: Ports, bundle: Bundle | None, first: str) -> bytes:
    assert bundle is not None, "there is no access without a bundle"
    config = ports.configs.effective(cluster, cluster.control_planes[0])
    return ports.configs.kubeconfig(cluster, bundle, server=endpoint_of(cluster, config, first) or "")
