"""One machine: its VM, its screen, where it answers, and whether it is proven to be ours; found without reading the whole cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provisioner.errors import Fault, NotTrusted, Rejected, TransportError
from provisioner.model.cluster import Cluster, MachineSpec
from provisioner.model.facts import MachineFacts, VmFacts
from provisioner.model.naming import Mark
from provisioner.model.wording import listed
from provisioner.ports import Clock, Host, Machines, Ports, TalosAccess
from provisioner.steps.discovery import same_uuid
from provisioner.steps.host_faults import READ_BOUND_S, fault_of, read_host
from provisioner.steps.run_context import read_keys
from provisioner.steps.vm import find_vm
from provisioner.steps.waiting import bounded

NO_ADDRESS = "its address is not known"
"""Why a machine was not read that was never found."""

SCREEN_SIZE = (1024, 768)
"""Generation 2 firmware's own resolution; more than the native one is refused."""
SCREEN_BOUND_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Located:
    """A machine of the cluster, as it is now."""

    machine: MachineSpec
    vm: VmFacts
    facts: MachineFacts | None = None
    """Its own word, proven to come from that VM."""
    unread: str = ""
    """Why there is none."""

    @property
    def words(self) -> str:
        """In one line."""
        said = f"Talos {self.facts.talos} at {self.facts.address}, {self.facts.stage}" if self.facts else self.unread
        return f"{self.machine.name} on {self.machine.host}: VM {self.vm.state}; {said}"

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        facts = self.facts
        return {
            "machine": self.machine.name,
            "host": self.machine.host,
            "vm": self.vm.state,
            "address": facts.address if facts else None,
            "talos": facts.talos if facts else None,
            "stage": facts.stage if facts else None,
            "unread": self.unread,
        }


def named(cluster: Cluster, name: str) -> MachineSpec:
    """The machine of that name, or of the only name that ends with `-` and it: `cp-1` for `home-cp-1`. Raises P-RUN-UNKNOWN."""
    found = [m for m in cluster.machines if m.name == name] or [
        m for m in cluster.machines if m.name.endswith(f"-{name}")
    ]
    if len(found) == 1:
        return found[0]
    raise Fault(
        "P-RUN-UNKNOWN",
        f"{cluster.name} has {'several machines' if found else 'no machine'} of the name {name}",
        expected="the name of a machine, or the end of it",
        seen=(f"there are {listed([m.name for m in found or cluster.machines], at_most=8)}",),
    )


async def locate(cluster: Cluster, ports: Ports, machine: MachineSpec) -> Located:
    """Reads one VM and, where it runs, the machine in it. Changes nothing.

    The VM that an earlier run knew is asked for by its id and must bear the machine's mark; without that the machine's own host is read. The
    machine is asked at the addresses that are known, then where its host's neighbour table has its MAC. Raises P-VM-ABSENT and the faults
    of a host that cannot be read.
    """
    vm = await _vm(cluster, ports, machine)
    if vm.state != "Running":
        return Located(machine=machine, vm=vm, unread=f"the VM is {vm.state}")
    _, access = read_keys(ports.store, ports.configs)
    hint = ports.store.read_hints().of(machine.name)
    answer: MachineFacts | str = NO_ADDRESS
    known = [address for address in dict.fromkeys((hint.address, machine.address)) if address]
    if known:
        answer = proven(machine.name, await read_machine(ports.machines, known, access), vm)
    if isinstance(answer, str) and (found := await neighbors(ports.hosts[machine.host], ports.clock, [vm.mac])):
        answer = proven(machine.name, await read_machine(ports.machines, found[vm.mac], access), vm)
    if isinstance(answer, str):
        return Located(machine=machine, vm=vm, unread=answer)
    return Located(machine=machine, vm=vm, facts=answer)


async def _vm(cluster: Cluster, ports: Ports, machine: MachineSpec) -> VmFacts:
    host, secrets = ports.hosts[machine.host], ports.store.secrets_facts()
    hint, mark = ports.store.read_hints().of(machine.name), Mark(cluster_id=secrets.cluster_id, machine=machine.name)
    if hint.vm:
        asking = host.find_vms([hint.vm])
        try:
            found = await bounded(ports.clock, asking, what=f"VM {machine.name}", bound_s=READ_BOUND_S)
        except TransportError:
            found = ()  # reading the host tells why
        if found and found[0].mark == mark:
            return found[0]
    vm = find_vm(machine, await read_host(cluster, machine.host, host, ports.clock), secrets)
    if vm is None:
        raise Fault(
            "P-VM-ABSENT",
            f"{machine.name} has no VM on {machine.host}",
            expected=f"a VM with the mark of {machine.name}",
            next_steps=(f"provision up {cluster.name}",),
            machine=machine.name,
        )
    return vm


async def neighbors(host: Host, clock: Clock, macs: Collection[str]) -> dict[str, list[str]]:
    """By MAC, the addresses that the host's own neighbour table has for them; of a host that cannot be asked, none. Never raises a
    TransportError: where a machine is not found, the reasons that are known stand.
    """
    asking = host.find_neighbors(sorted(macs), sweep=True)
    found: dict[str, list[str]] = {}
    try:
        rows = await bounded(clock, asking, what="neighbours", bound_s=READ_BOUND_S)
    except TransportError:
        return found
    for row in rows:
        if row.mac in macs:
            found.setdefault(row.mac, []).append(row.address)
    return found


@dataclass(frozen=True, kw_only=True)
class Unread:
    """Why a machine could not be read at any of its addresses."""

    reason: str
    other_authority: bool
    """At all of them a machine answers that has a config, of another authority than ours."""


async def read_machine(
    machines: Machines, addresses: Sequence[str], access: TalosAccess | None
) -> MachineFacts | Unread:
    """Its facts by the first address where it answers, or why there are none."""
    reading = [_secure_or_maintenance(machines, address, access) for address in addresses]
    answers = await asyncio.gather(*reading, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, MachineFacts):
            return answer
        if not isinstance(answer, TransportError):
            raise answer
    return Unread(
        reason="; ".join(f"{address}: {answer}" for address, answer in zip(addresses, answers, strict=True)),
        other_authority=access is not None and all(isinstance(answer, NotTrusted | Rejected) for answer in answers),
    )


def proven(machine: str, facts: MachineFacts | Unread, vm: VmFacts | None) -> MachineFacts | str:
    """The machine's facts when it is that VM, else the reason. Without a VM to compare with, our own authority must vouch for it, and the
    host name that its config gave it.
    """
    if isinstance(facts, Unread):
        return facts.reason
    named = facts.mode == "secure" and facts.hostname in ("", machine)
    ours = named if vm is None else same_uuid(facts.uuid, vm.bios_uuid)
    return facts if ours else f"another machine answers at {facts.address}"


async def _secure_or_maintenance(machines: Machines, address: str, access: TalosAccess | None) -> MachineFacts:
    if access is not None:
        try:
            return await machines.read(address, access)
        except NotTrusted:
            pass  # not under our authority: perhaps in maintenance
    return await machines.read(address, None)


async def picture_of(cluster: Cluster, ports: Ports, machine: MachineSpec) -> tuple[Located, Path]:
    """Locates the machine and saves its screen below the cluster's folder `console`. Raises the faults of `locate`, P-HOST-*, and P-VM-STUCK
    for a VM that does not run.
    """
    found = await locate(cluster, ports, machine)
    try:
        path = await save_screen(ports, machine, found.vm.id, ports.store.folder / "console")
    except TransportError as error:
        raise fault_of(error, host=machine.host, machine=machine.name) from error
    return found, path


async def save_screen(ports: Ports, machine: MachineSpec, vm_id: str, folder: Path) -> Path:
    """Takes the picture and writes it into the folder. Raises TransportError, ValueError for pixels that make no picture, P-LOCAL-HOME."""
    width, height = SCREEN_SIZE
    looking = ports.hosts[machine.host].console(vm_id, width=width, height=height)
    screen = await bounded(ports.clock, looking, what=f"screen of {machine.name}", bound_s=SCREEN_BOUND_S)
    return ports.store.save_picture(folder, machine.name, screen)
