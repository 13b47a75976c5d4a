"""Reads the whole of a cluster, side by side, and changes nothing. Truth is read each time; notes of earlier runs only say where
to look first. A failed read of a host raises; a machine that does not answer is recorded with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Self, TypeVar

from provisioner.errors import Fault, NotTrusted, TransportError, Unreachable
from provisioner.model.facts import EtcdMemberFacts, HostState, MachineFacts, NodeFacts, Observed, SecretsFacts, VmFacts
from provisioner.model.notes import etcd_began
from provisioner.model.spec import Cluster, HostSpec
from provisioner.ports import Bundle, Clock, Host, ObserveQuery, Ports, TalosAccess
from provisioner.steps.finder import same_uuid
from provisioner.steps.image import image_pin
from provisioner.steps.refusals import fault_of, hyperv_fault
from provisioner.steps.run import machine_hint
from provisioner.steps.vm import find_vm
from provisioner.steps.waits import TimedOut, bounded

T = TypeVar("T")

READ_BOUND_S = 180.0
"""For one reading of a host, an outage as long as it is borne included."""
HTTP_PORT = 5985
"""WinRM's own port without TLS, where the messages themselves are encrypted."""


async def observe(cluster: Cluster, ports: Ports) -> Observed:
    """Raises a Fault when a host cannot be read or its Hyper-V cannot, or when the secrets on disk are damaged."""
    async with _Looks() as looks:
        reading = looks.at_hosts(cluster, ports)
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
            etcd_began=etcd_began(ports.store.read_notes()),
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
    """Reads on their way. Whoever leaves before they have ended gives them up: an address that nobody has any more answers late."""

    def __init__(self) -> None:
        self._all: list[asyncio.Future[Any]] = []
        self.machines: dict[str, asyncio.Future[MachineFacts | str]] = {}
        """At the addresses where they are expected; one that is elsewhere is found by the run itself, by its MAC."""
        self.asked = ""
        """Where the first control plane is expected: what is asked about the cluster is asked there."""
        self.etcd: asyncio.Future[tuple[EtcdMemberFacts, ...]] | None = None
        self.nodes: asyncio.Future[tuple[NodeFacts, ...]] | None = None

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
        return [self.begin(_host(cluster, name, host, ports.clock)) for name, host in ports.hosts.items()]

    def at_cluster(self, cluster: Cluster, ports: Ports) -> None:
        """Machines, etcd and the Kubernetes API, as far as keys and addresses are known. What is read counts only if the machine turns out
        to be ours.
        """
        bundle, access = read_keys(ports)
        addresses = _known_addresses(cluster, ports.store.read_notes())
        for name, places in addresses.items():
            self.machines[name] = self.begin(_read_machine(ports, places, access))
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
    machines, unread = await _machines(cluster, hosts, secrets, looks)
    first = machines.get(cluster.control_planes[0].name)
    etcd, nodes = None, None
    if first is not None and first.mode == "secure" and first.address != looks.asked:
        bundle, access = read_keys(ports)
        if access is not None:
            looks.at_control_plane(cluster, ports, bundle, access, first.address)
    if looks.etcd is not None and looks.nodes is not None and first is not None and first.mode == "secure":
        etcd, nodes = await asyncio.gather(_or_none(looks.etcd), _or_none(looks.nodes))
    return Observed(
        hosts=hosts,
        secrets=secrets,
        image_pin=image_pin(ports.store.read_notes(), cluster.image.file_name),
        machines=machines,
        unread=unread,
        etcd=etcd,
        etcd_began=etcd_began(ports.store.read_notes()),
        nodes=nodes,
        access=ports.store.contexts(),
        kubeconfig=str(ports.store.folder / "kubeconfig"),
        read_utc=ports.clock.wall(),
    )


def read_keys(ports: Ports) -> tuple[Bundle | None, TalosAccess | None]:
    """The bundle on the disk and an admin certificate made of it, or nothing."""
    text = ports.store.read_secrets()
    if text is None:
        return None, None
    bundle = ports.configs.read_bundle(text)
    return bundle, ports.configs.access(bundle)


async def _host(cluster: Cluster, name: str, host: Host, clock: Clock) -> HostState:
    spec = cluster.hosts[name]
    query = ObserveQuery(
        switch=cluster.switch.name,
        image_path=cluster.image.path,
        image_name=cluster.image.file_name,
        folder=cluster.folder,
    )
    try:
        state = await bounded(clock, host.observe(query), what=f"facts of {name}", bound_s=READ_BOUND_S)
    except TransportError as error:
        raise host_fault(error, spec) from error
    if not state.whole:
        raise unread_fault(state, spec)
    return state


def unread_fault(state: HostState, spec: HostSpec) -> Fault:
    """Why only the host's own facts were read: what is on it is not known then, and never taken for nothing."""
    fault = hyperv_fault(spec.name, state.host, user=spec.user)
    assert fault is not None, "the facts say why Hyper-V could not be read"
    return fault


def host_fault(error: TransportError, spec: HostSpec) -> Fault:
    """What a failed read of a host means."""
    if isinstance(error, TimedOut):
        return Fault(
            "P-HOST-LOST",
            f"{spec.name} does not answer what it was asked",
            expected=f"the facts of the host and its VMs within {error.bound}",
            seen=(error.reason,),
            likely="its management service hangs, and Hyper-V Manager on it with it",
            then=("on the host: Restart-Service vmms; running VMs go on",),
        )
    if isinstance(error, Unreachable):
        return Fault(
            "P-HOST-UNREACHABLE",
            f"{spec.name} does not answer at {spec.address}",
            expected=f"WinRM over HTTPS, port {spec.port}" if spec.port != HTTP_PORT else f"WinRM, port {spec.port}",
            seen=(str(error),),
            then=(f"check that the host is on, and that its firewall lets port {spec.port} through",),
        )
    return fault_of(error, host=spec.name, user=spec.user or "no user")


def _known_addresses(cluster: Cluster, notes: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Machine -> where it was in an earlier run, and where the file says; both are hints."""
    found = {m.name: (machine_hint(notes, m.name).get("address"), m.address) for m in cluster.machines}
    return {name: tuple(dict.fromkeys(str(a) for a in both if a)) for name, both in found.items() if any(both)}


async def _machines(
    cluster: Cluster, hosts: dict[str, HostState], secrets: SecretsFacts, looks: _Looks
) -> tuple[dict[str, MachineFacts], dict[str, str]]:
    """Machines that are proven to be the VMs of their names, and of the others why they were not read."""
    found: dict[str, MachineFacts] = {}
    unread: dict[str, str] = {}
    for machine in cluster.machines:
        state, look = hosts.get(machine.host), looks.machines.get(machine.name)
        vm = find_vm(machine, state, secrets) if state else None
        if state is not None and (vm is None or vm.state != "Running"):
            unread[machine.name] = "no VM" if vm is None else f"the VM is {vm.state}"
        elif look is None:
            unread[machine.name] = "its address is not known yet"
        else:
            result = _judged(machine.name, await look, vm)
            if isinstance(result, str):
                unread[machine.name] = result
            else:
                found[machine.name] = result
    return found, unread


async def _read_machine(ports: Ports, addresses: Sequence[str], access: TalosAccess | None) -> MachineFacts | str:
    """Its facts by the first address where it answers, or why there are none."""
    reading = [_secure_or_maintenance(ports, address, access) for address in addresses]
    answers = await asyncio.gather(*reading, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, MachineFacts):
            return answer
        if not isinstance(answer, TransportError):
            raise answer
    return "; ".join(f"{address}: {answer}" for address, answer in zip(addresses, answers, strict=True))


def _judged(machine: str, facts: MachineFacts | str, vm: VmFacts | None) -> MachineFacts | str:
    """The machine's facts when it is that VM, else the reason. Without a VM to compare with, our own authority must vouch for it, and the
    host name that its config gave it.
    """
    if isinstance(facts, str):
        return facts
    named = facts.mode == "secure" and facts.hostname in ("", machine)
    ours = named if vm is None else same_uuid(facts.uuid, vm.bios_uuid)
    return facts if ours else f"another machine answers at {facts.address}"


async def _secure_or_maintenance(ports: Ports, address: str, access: TalosAccess | None) -> MachineFacts:
    if access is not None:
        try:
            return await ports.machines.read(address, access)
        except NotTrusted:
            pass  # not under our authority: perhaps in maintenance
    return await ports.machines.read(address, None)


async def _or_none(reading: Awaitable[T]) -> T | None:
    """A part of the picture that may be missing while a cluster comes up; health says why."""
    try:
        return await reading
    except TransportError:
        return None


def _kubeconfig(cluster: Cluster, ports: Ports, bundle: Bundle | None, first: str) -> bytes:
    assert bundle is not None, "there is no access without a bundle"
    server = cluster.endpoint or f"https://{cluster.vip or first}:6443"
    return ports.configs.kubeconfig(cluster, bundle, server=server)
