"""What a Talos machine streams as bytes, given to a sink piece by piece: the port `Downloads`."""

from __future__ import annotations

from provisioner.ports import ByteSink, TalosAccess
from provisioner.talos.api.connections import Area
from provisioner.talos.api.gen.machine_pb2 import ReadRequest


class Downloader(Area):
    """Implements `ports.Downloads`."""

    async def read_file(self, address: str, access: TalosAccess, path: str, sink: ByteSink, *, most: int) -> int:
        """By Talos' call Read, which needs the role os:admin."""
        return await self._connections.download(
            address, access, lambda service: service.Read, ReadRequest(path=path), sink, most=most
        )
