"""Reads the whole of a cluster, side by side, and changes nothing. Truth is read each time; notes of earlier runs only say where
to look first. A failed read of a host raises; a machine that does not answer is recorded with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from provisioner.errors import Fault, NotTrusted, ProvisionError, Rejected, TransportError, Unreachable
from provisioner.model.facts import HostState, MachineFacts, Observed, SecretsFacts, VmFacts
from provisioner.model.spec import Cluster, MachineSpec
from provisioner.ports import Bundle, Host, ObserveQuery, Ports, TalosAccess
from provisioner.steps.finder import same_uuid
from provisioner.steps.vm import find_vm

T = TypeVar("T")


async def observe(cluster: Cluster, ports: Ports) -> Observed:
    """Raises a Fault when a host cannot be read, or when the secrets on disk are damaged."""
    secrets = ports.store.secrets_facts()
    _, access = read_keys(ports)
    states = await asyncio.gather(*(_host(cluster, name, host) for name, host in ports.hosts.items()))
    hosts = dict(zip(ports.hosts, states, strict=True))
    machines, unread = await _machines(cluster, ports, hosts, secrets, access)
    return await _whole(cluster, ports, hosts, machines, unread)


async def observe_machines_only(cluster: Cluster, ports: Ports) -> Observed:
    """What the machines themselves say while their host cannot be read: taken at their word, since no VM can vouch for them."""
    _, access = read_keys(ports)
    machines, unread = await _machines(cluster, ports, {}, ports.store.secrets_facts(), access)
    return await _whole(cluster, ports, {}, machines, unread)


async def _whole(
    cluster: Cluster,
    ports: Ports,
    hosts: dict[str, HostState],
    machines: dict[str, MachineFacts],
    unread: dict[str, str],
) -> Observed:
    bundle, access = read_keys(ports)
    first = cluster.control_planes[0].name
    etcd, nodes = None, None
    if access is not None and first in machines and machines[first].mode == "secure":
        etcd, nodes = await asyncio.gather(
            _or_none(ports.machines.etcd_members(machines[first].address, access)),
            _or_none(ports.kubernetes.nodes(_kubeconfig(cluster, ports, bundle, machines[first]))),
        )
    return Observed(
        hosts=hosts,
        secrets=ports.store.secrets_facts(),
        machines=machines,
        unread=unread,
        etcd=etcd,
        nodes=nodes,
        access=ports.store.contexts(),
        read_utc=ports.clock.wall(),
    )


def read_keys(ports: Ports) -> tuple[Bundle | None, TalosAccess | None]:
    """The bundle on the disk and an admin certificate made of it, or nothing."""
    text = ports.store.read_secrets()
    if text is None:
        return None, None
    bundle = ports.configs.read_bundle(text)
    return bundle, ports.configs.access(bundle)


async def _host(cluster: Cluster, name: str, host: Host) -> HostState:
    spec = cluster.hosts[name]
    try:
        return await host.observe(
            ObserveQuery(switch=cluster.switch.name, image_path=cluster.image.path, image_name=cluster.image.file_name)
        )
    except ProvisionError as error:
        raise host_fault(error, spec.name, spec.address, spec.user) from error


def host_fault(error: ProvisionError, name: str, address: str, user: str) -> Fault:
    """What a failed read of a host means."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, Rejected):
        return Fault(
            "P-HOST-SIGNIN",
            f"{name} refuses the sign-in as {user or 'no user'}",
            expected="a user name and password that the host accepts; tried once, since repeated failures lock accounts",
            seen=(str(error),),
            then=("check user: in the cluster file, and PROVISION_PASSWORD",),
        )
    if isinstance(error, NotTrusted):
        return Fault(
            "P-HOST-CERT",
            f"the certificate of {name} is not the one expected",
            expected="a certificate of a trusted authority, or the one of pin: in the cluster file",
            seen=(str(error),),
            then=("compare the fingerprint at the host's own console before you put it into pin:",),
        )
    if isinstance(error, Unreachable):
        return Fault(
            "P-HOST-UNREACHABLE",
            f"{name} does not answer at {address}",
            expected="WinRM over HTTPS, port 5986",
            seen=(str(error),),
            then=("check that the host is on, and that its firewall lets port 5986 through",),
        )
    return Fault("P-HOST-REFUSED", f"{name} could not be read", expected="the host's facts", seen=(str(error),))


async def _machines(
    cluster: Cluster,
    ports: Ports,
    hosts: dict[str, HostState],
    secrets: SecretsFacts,
    access: TalosAccess | None,
) -> tuple[dict[str, MachineFacts], dict[str, str]]:
    """Machines at the addresses where they are expected. One that is elsewhere is found by the run itself, by its MAC."""
    known = ports.store.read_notes().get("machines", {})
    found: dict[str, MachineFacts] = {}
    unread: dict[str, str] = {}

    async def one(machine: MachineSpec) -> None:
        state = hosts.get(machine.host)
        vm = find_vm(machine, state, secrets) if state else None
        address = machine.address or str(known.get(machine.name, {}).get("address", ""))
        if state is not None and (vm is None or vm.state != "Running"):
            unread[machine.name] = "no VM" if vm is None else f"the VM is {vm.state}"
        elif not address:
            unread[machine.name] = "its address is not known yet"
        else:
            result = await _read_machine(ports, address, access, vm)
            if isinstance(result, str):
                unread[machine.name] = result
            else:
                found[machine.name] = result

    await asyncio.gather(*(one(machine) for machine in cluster.machines))
    return found, unread


async def _read_machine(
    ports: Ports, address: str, access: TalosAccess | None, vm: VmFacts | None
) -> MachineFacts | str:
    """The machine's facts when it is that VM, else the reason. Without a VM to compare with, only our own authority vouches for it."""
    try:
        facts = await _secure_or_maintenance(ports, address, access)
    except TransportError as error:
        return f"{address}: {error}"
    ours = facts.mode == "secure" if vm is None else same_uuid(facts.uuid, vm.bios_uuid)
    return facts if ours else f"another machine answers at {address}"


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


def _kubeconfig(cluster: Cluster, ports: Ports, bundle: Bundle | None, first: MachineFacts) -> bytes:
    assert bundle is not None, "there is no access without a bundle"
    server = cluster.endpoint or f"https://{cluster.vip or first.address}:6443"
    return ports.configs.kubeconfig(cluster, bundle, server=server)
