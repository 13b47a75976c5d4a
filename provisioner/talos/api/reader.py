"""What a Talos machine says of itself, read as resources: the port `MachineReader`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

from provisioner.errors import TransportError, Unreachable
from provisioner.model.facts import DiskFacts, MachineFacts, UnmetFacts
from provisioner.model.naming import bare_mac
from provisioner.ports import TalosAccess
from provisioner.talos.api import cosi
from provisioner.talos.api.connections import READ_S, Connection, Connections
from provisioner.talos.api.cosi import Resource, ResourceType

MACHINE_STATUSES = ResourceType(namespace="runtime", type="MachineStatuses.runtime.talos.dev")
SYSTEM_INFORMATIONS = ResourceType(namespace="hardware", type="SystemInformations.hardware.talos.dev")
LINK_STATUSES = ResourceType(namespace="network", type="LinkStatuses.net.talos.dev")
HOSTNAME_STATUSES = ResourceType(namespace="network", type="HostnameStatuses.net.talos.dev")
DISKS = ResourceType(namespace="runtime", type="Disks.block.talos.dev")
SYSTEM_DISKS = ResourceType(namespace="runtime", type="SystemDisks.block.talos.dev")
KERNEL_CMDLINES = ResourceType(namespace="runtime", type="KernelCmdlines.runtime.talos.dev")
VERSIONS = ResourceType(namespace="runtime", type="Versions.runtime.talos.dev")
INFOS = ResourceType(namespace="cluster", type="Infos.cluster.talos.dev")
UNMET = 100
"""Conditions of one machine; Talos has a dozen."""
CMDLINE_CHARS = 4_096
"""Of a kernel's command line: the most that Linux takes on amd64."""

_NOTHING = Resource(id="", spec={})


class Reader:
    """Implements `ports.MachineReader`. Resources alone are read: Talos refuses its own Version call in maintenance up to 1.12."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    async def read(self, address: str, access: TalosAccess | None, *, pin: str = "") -> MachineFacts:
        machine = await self._connections.connect(address, access, pin)
        with machine.channel.failures(sent=False, within_s=READ_S):
            return await _read_facts(machine, address, access)

    async def watch(self, address: str, access: TalosAccess | None, *, pin: str = "") -> AsyncIterator[MachineFacts]:
        """Ends by the error of the connection; a change that comes while the machine is read is read with the next one."""
        machine = await self._connections.connect(address, access, pin)
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


async def _read_facts(machine: Connection, address: str, access: TalosAccess | None) -> MachineFacts:
    """All of it over one connection: in maintenance the fingerprint is the key that the identity is bound to, and a channel that dials
    again in the middle may reach another machine. Raises Unreachable then, Malformed, and GRPCError.
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
