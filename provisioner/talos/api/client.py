"""Talos machines over their API: the port `Machines`. What a machine says of itself is read in `reader.py`."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from provisioner.model.facts import EtcdMemberFacts, ServiceFacts
from provisioner.ports import ApplyOutcome, ByteSink, Dialer, TalosAccess
from provisioner.talos.api.connections import CHANGE_S, Connections
from provisioner.talos.api.gen.machine_pb2 import (
    ApplyConfigurationRequest,
    BootstrapRequest,
    EtcdMemberListRequest,
    ReadRequest,
)
from provisioner.talos.api.reader import Reader
from provisioner.wire import clipped, few

WARNINGS = 10
"""Warnings about one config that are shown; Talos has a handful."""


class TalosMachines(Reader):
    """All machines of a run. Connections are kept until `close`."""

    def __init__(self, dialer: Dialer) -> None:
        super().__init__(Connections(dialer))

    async def apply(
        self, address: str, access: TalosAccess | None, config: bytes, *, dry_run: bool, pin: str = ""
    ) -> ApplyOutcome:
        """In mode `auto`. In maintenance the server stops as soon as it has taken a config, so the answer may be lost.

        Source: https://github.com/siderolabs/talos/blob/v1.11.5/internal/app/maintenance/server.go
        """
        answer = await self._connections.call(
            address,
            access,
            lambda service: service.ApplyConfiguration,
            ApplyConfigurationRequest(data=config, mode=ApplyConfigurationRequest.AUTO, dry_run=dry_run),
            changes=not dry_run,
            within_s=CHANGE_S,
            pin=pin,
        )
        modes = ApplyConfigurationRequest.Mode
        return ApplyOutcome(
            warnings=few(answer.warnings, most=WARNINGS),
            mode=modes.Name(answer.mode) if answer.mode in modes.values() else str(answer.mode),
            details=clipped(answer.mode_details),
        )

    async def bootstrap(self, address: str, access: TalosAccess) -> None:
        """Talos checks in this order: too early FAILED_PRECONDITION, data there ALREADY_EXISTS.

        Source: https://github.com/siderolabs/talos/blob/v1.11.5/internal/app/machined/internal/server/v1alpha1/v1alpha1_server.go
        """
        await self._connections.call(
            address, access, lambda service: service.Bootstrap, BootstrapRequest(), changes=True, within_s=CHANGE_S
        )

    async def etcd_members(self, address: str, access: TalosAccess) -> tuple[EtcdMemberFacts, ...]:
        answer = await self._connections.call(
            address, access, lambda service: service.EtcdMemberList, EtcdMemberListRequest(), changes=False
        )
        return tuple(EtcdMemberFacts(hostname=member.hostname, learner=member.is_learner) for member in answer.members)

    async def services(self, address: str, access: TalosAccess) -> tuple[ServiceFacts, ...]:
        answer = await self._connections.call(
            address, access, lambda service: service.ServiceList, Empty(), changes=False
        )
        return tuple(
            ServiceFacts(id=service.id, state=service.state, healthy=service.health.healthy)
            for service in answer.services
        )

    async def read_file(self, address: str, access: TalosAccess, path: str, sink: ByteSink, *, most: int) -> int:
        """By Talos' call Read, which needs the role os:admin."""
        return await self._connections.download(
            address, access, lambda service: service.Read, ReadRequest(path=path), sink, most=most
        )

    async def close(self) -> None:
        await self._connections.close()
