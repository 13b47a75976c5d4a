"""Talos machines over their API: the port `Machines`, put together from its areas."""

from __future__ import annotations

from provisioner.ports import Dialer
from provisioner.talos.api.configurer import Configurer
from provisioner.talos.api.connections import Connections
from provisioner.talos.api.downloads import Downloader
from provisioner.talos.api.etcd import EtcdCalls
from provisioner.talos.api.reader import Reader
from provisioner.talos.api.services import ServiceCalls


class TalosMachines(Reader, Configurer, EtcdCalls, ServiceCalls, Downloader):
    """All machines of a run. Connections are kept until `close`."""

    def __init__(self, dialer: Dialer) -> None:
        super().__init__(Connections(dialer))

    async def close(self) -> None:
        """Ends all connections; idempotent."""
        await self._connections.close()
