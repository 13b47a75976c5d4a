"""Talos machines over their API: the port `Machines`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from google.protobuf.empty_pb2 import Empty

from provisioner.errors import NotTrusted, TalosRefused, TransportError, Unreachable
from provisioner.model.facts import DiskFacts, EtcdMemberFacts, MachineFacts, ServiceFacts, UnmetFacts
from provisioner.model.naming import bare_mac
from provisioner.ports import TALOS_PORT, ApplyOutcome, Clock, Dialer, TalosAccess
from provisioner.talos.api import cosi
from provisioner.talos.api.channel import CLUSTER_BYTES, UNVERIFIED_BYTES, TalosChannel, malformed
from provisioner.talos.api.cosi import Resource, ResourceType
from provisioner.talos.api.gen import cosi_grpc, machine_grpc
from provisioner.talos.api.gen.machine_pb2 import (
    ApplyConfigurationRequest,
    BootstrapRequest,
    EtcdMemberListRequest,
)
from provisioner.talos.api.tls import maintenance_context, secure_context
from provisioner.wire import clipped, few

READ_S = 10.0
"""Real seconds for a call that reads."""
CHANGE_S = 30.0
"""Real seconds for a call that changes; Talos answers before the work is done."""

MACHINE_STATUSES = ResourceType(namespace="runtime", type="MachineStatuses.runtime.talos.dev")
SYSTEM_INFORMATIONS = ResourceType(namespace="hardware", type="SystemInformations.hardware.talos.dev")
LINK_STATUSES = ResourceType(namespace="network", type="LinkStatuses.net.talos.dev")
HOSTNAME_STATUSES = ResourceType(namespace="network", type="HostnameStatuses.net.talos.dev")
DISKS = ResourceType(namespace="runtime", type="Disks.block.talos.dev")
SYSTEM_DISKS = ResourceType(namespace="runtime", type="SystemDisks.block.talos.dev")
KERNEL_CMDLINES = ResourceType(namespace="runtime", type="KernelCmdlines.runtime.talos.dev")
VERSIONS = ResourceType(namespace="runtime", type="Versions.runtime.talos.dev")
INFOS = ResourceType(namespace="cluster", type="Infos.cluster.talos.dev")
WARNINGS = 10
"""Warnings about one config that are told; Talos has a handful."""
UNMET = 100
"""Conditions of one machine; Talos has a dozen."""
CMDLINE_CHARS = 4_096
"""Of a kernel's command line: the most that Linux takes on amd64."""

_NOTHING = Resource(id="", spec={})


class _Machine:
    """One connection, with the two services spoken over it."""

    def __init__(self, channel: TalosChannel) -> None:
        self.channel = channel
        self.calls = machine_grpc.MachineServiceStub(channel)
        self.state = cosi_grpc.StateStub(channel)


class TalosMachines:
    """All machines of a run: one connection per address and credentials, kept until `close`."""

    def __init__(self, dialer: Dialer, clock: Clock) -> None:
        self._dialer = dialer
        self._clock = clock
        self._machines: dict[tuple[str, TalosAccess | None, str], _Machine] = {}

    async def read(self, address: str, access: TalosAccess | None, *, pin: str = "") -> MachineFacts:
        """Works in maintenance, on every version, and on a configured machine: resources alone are read, for Talos' own
        Version call is refused in maintenance up to 1.12.
        """
        machine = await self._connected(address, access, pin)
        with machine.channel.failures(sent=False, within_s=READ_S):
            return await _read_facts(machine, address, access)

    async def watch(self, address: str, access: TalosAccess | None, *, pin: str = "") -> AsyncIterator[MachineFacts]:
        """Ends by the error of the connection; a change that comes while the machine is read is read with the next one."""
        machine = await self._connected(address, access, pin)
        changed = asyncio.Event()

        async def listen() -> None:
            with machine.channel.failures(sent=False, within_s=READ_S):
                async for _ in cosi.watch(machine.state, MACHINE_STATUSES, "machine"):
                    changed.set()

        listening = asyncio.create_task(listen(), name=f"watch {address}")
        listening.add_done_callback(lambda _task: changed.set())
        try:
            while True:
                await changed.wait()
                changed.clear()
                if listening.done():
                    await listening
                    return
                with machine.channel.failures(sent=False, within_s=READ_S):
                    facts = await _read_facts(machine, address, access)
                yield facts
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError, TransportError):
                await listening

    async def apply(
        self, address: str, access: TalosAccess | None, config: bytes, *, dry_run: bool, pin: str = ""
    ) -> ApplyOutcome:
        """Mode `auto`: the machine decides whether it must reboot. After a config is taken in maintenance the server stops
        at once, so a lost answer is no sign of failure (talos 3.5).
        """
        machine = await self._connected(address, access, pin)
        request = ApplyConfigurationRequest(data=config, mode=ApplyConfigurationRequest.AUTO, dry_run=dry_run)
        with machine.channel.failures(sent=not dry_run, within_s=CHANGE_S):
            answer = _only((await machine.calls.ApplyConfiguration(request, timeout=CHANGE_S)).messages)
        modes = ApplyConfigurationRequest.Mode
        return ApplyOutcome(
            warnings=few(answer.warnings, most=WARNINGS),
            mode=modes.Name(answer.mode) if answer.mode in modes.values() else str(answer.mode),
            details=clipped(answer.mode_details),
        )

    async def bootstrap(self, address: str, access: TalosAccess) -> None:
        """Raises TalosRefused FAILED_PRECONDITION while it is too early, ALREADY_EXISTS when etcd has data (talos 4.3)."""
        machine = await self._connected(address, access)
        with machine.channel.failures(sent=True, within_s=CHANGE_S):
            _only((await machine.calls.Bootstrap(BootstrapRequest(), timeout=CHANGE_S)).messages)

    async def etcd_members(self, address: str, access: TalosAccess) -> tuple[EtcdMemberFacts, ...]:
        machine = await self._connected(address, access)
        with machine.channel.failures(sent=False, within_s=READ_S):
            answer = _only((await machine.calls.EtcdMemberList(EtcdMemberListRequest(), timeout=READ_S)).messages)
        return tuple(
            EtcdMemberFacts(
                id=member.id, hostname=member.hostname, peer_urls=tuple(member.peer_urls), learner=member.is_learner
            )
            for member in answer.members
        )

    async def services(self, address: str, access: TalosAccess) -> tuple[ServiceFacts, ...]:
        machine = await self._connected(address, access)
        with machine.channel.failures(sent=False, within_s=READ_S):
            answer = _only((await machine.calls.ServiceList(Empty(), timeout=READ_S)).messages)
        return tuple(
            ServiceFacts(
                id=service.id,
                state=service.state,
                healthy=service.health.healthy,
                unknown=service.health.unknown,
                message=clipped(service.health.last_message),
            )
            for service in answer.services
        )

    async def close(self) -> None:
        machines, self._machines = self._machines, {}
        await asyncio.gather(*(machine.channel.end() for machine in machines.values()))

    async def _connected(self, address: str, access: TalosAccess | None, pin: str = "") -> _Machine:
        key = (address, access, pin)
        machine = self._machines.get(key)
        if machine is None:
            context = maintenance_context(pin) if access is None else secure_context(access)
            allowance = UNVERIFIED_BYTES if access is None else CLUSTER_BYTES
            channel = TalosChannel(lambda: self._dialer.resolve(address, TALOS_PORT), context, allowance=allowance)
            machine = self._machines[key] = _Machine(channel)
        try:
            await machine.channel.connect()
        except NotTrusted:
            if pin:
                await self._forget(address)
            raise
        return machine

    async def _forget(self, address: str) -> None:
        """A machine in maintenance made a new key. A kept connection still shows the old one, and whoever reads over it would be
        given the old pin for ever: end it, so that the next read dials anew.
        """
        old = [key for key in self._machines if key[0] == address and key[1] is None]
        await asyncio.gather(*(self._machines.pop(key).channel.end() for key in old))


async def _read_facts(machine: _Machine, address: str, access: TalosAccess | None) -> MachineFacts:
    """All of it over one connection: in maintenance the fingerprint is the key that the identity is bound to, and a channel that dials
    anew in the middle may reach another machine. Raises Unreachable then, Malformed, and GRPCError.
    """
    state, connection = machine.state, machine.channel.latest
    status, system, hostname, system_disk, cmdline, version, info, links, disks = await _together(
        cosi.get(state, MACHINE_STATUSES, "machine"),
        cosi.get(state, SYSTEM_INFORMATIONS, "systeminformation"),
        cosi.get(state, HOSTNAME_STATUSES, "hostname"),
        cosi.get(state, SYSTEM_DISKS, "system-disk"),
        cosi.get(state, KERNEL_CMDLINES, "cmdline"),
        cosi.get(state, VERSIONS, "version"),
        cosi.get(state, INFOS, "current"),
        cosi.find(state, LINK_STATUSES),
        cosi.find(state, DISKS),
    )
    if machine.channel.latest is not connection:
        raise Unreachable("the connection was lost while the machine was read")
    status, system, hostname, system_disk, cmdline, version, info = (
        each or _NOTHING for each in (status, system, hostname, system_disk, cmdline, version, info)
    )
    return MachineFacts(
        address=address,
        mode="maintenance" if access is None else "secure",
        stage=status.text("stage") or "unknown",
        ready=status.flag("status", "ready"),
        unmet=tuple(
            UnmetFacts(name=each.text("name"), reason=each.words("reason"))
            for each in status.each("status", "unmetConditions", most=UNMET)
        ),
        uuid=system.text("uuid"),
        macs=tuple(_physical_macs(links)),
        hostname=hostname.text("hostname"),
        talos=version.text("version"),
        disks=tuple(
            DiskFacts(
                path=disk.text("dev_path"),
                size_bytes=disk.number("size"),
                readonly=disk.flag("readonly"),
                cdrom=disk.flag("cdrom"),
            )
            for disk in disks
        ),
        system_disk=system_disk.text("devPath"),
        cmdline=cmdline.text("cmdline", most=CMDLINE_CHARS),
        fingerprint=machine.channel.fingerprint,
        cluster_id=info.text("clusterId"),
    )


async def _together(*reads: Any) -> list[Any]:
    """All at once over the one connection; the first error of any."""
    answers = await asyncio.gather(*reads, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


def _physical_macs(links: Iterable[Resource]) -> Iterable[str]:
    """Bare MACs of what Talos counts as physical: Ethernet without a kind. The permanent address where there is one: a bond
    gives its own to its links.
    """
    for link in links:
        mac = link.text("permanentAddr") or link.text("hardwareAddr")
        if link.text("type") == "ether" and not link.text("kind") and mac:
            with contextlib.suppress(ValueError):  # other hardware has addresses of other lengths
                yield bare_mac(mac)


def _only(messages: Any) -> Any:
    """The one message of a direct call. A proxied one may carry an error in its metadata."""
    if len(messages) != 1:
        raise malformed(f"{len(messages)} messages where one is due")
    message = messages[0]
    if message.metadata.error:
        raise TalosRefused(status="UNKNOWN", message=clipped(message.metadata.error))
    return message
