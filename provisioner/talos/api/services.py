"""Talos' own services on a machine: the port `Services`."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from provisioner.model.facts import ServiceFacts
from provisioner.ports import TalosAccess
from provisioner.talos.api.connections import Area
from provisioner.wire import clipped


class ServiceCalls(Area):
    """Implements `ports.Services`."""

    async def services(self, address: str, access: TalosAccess) -> tuple[ServiceFacts, ...]:
        """All services, those that do not run too."""
        answer = await self._connections.call(
            address, access, lambda service: service.ServiceList, Empty(), changes=False
        )
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
