"""etcd of a cluster, as far as Talos manages it: the port `Etcd`."""

from __future__ import annotations

from provisioner.model.facts import EtcdMemberFacts
from provisioner.ports import TalosAccess
from provisioner.talos.api.connections import CHANGE_S, Area
from provisioner.talos.api.gen.machine_pb2 import BootstrapRequest, EtcdMemberListRequest


class EtcdCalls(Area):
    """Implements `ports.Etcd`."""

    async def bootstrap(self, address: str, access: TalosAccess) -> None:
        """Talos checks in this order: too early FAILED_PRECONDITION, data there ALREADY_EXISTS.

        Source: https://github.com/siderolabs/talos/blob/v1.11.5/internal/app/machined/internal/server/v1alpha1/v1alpha1_server.go
        """
        await self._connections.call(
            address, access, lambda service: service.Bootstrap, BootstrapRequest(), changes=True, within_s=CHANGE_S
        )

    async def etcd_members(self, address: str, access: TalosAccess) -> tuple[EtcdMemberFacts, ...]:
        """All members, learners too."""
        answer = await self._connections.call(
            address, access, lambda service: service.EtcdMemberList, EtcdMemberListRequest(), changes=False
        )
        return tuple(
            EtcdMemberFacts(
                id=member.id, hostname=member.hostname, peer_urls=tuple(member.peer_urls), learner=member.is_learner
            )
            for member in answer.members
        )
