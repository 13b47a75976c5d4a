"""Gives Talos machines their config: the port `MachineConfigurer`."""

from __future__ import annotations

from provisioner.ports import ApplyOutcome, TalosAccess
from provisioner.talos.api.connections import CHANGE_S, Area
from provisioner.talos.api.gen.machine_pb2 import ApplyConfigurationRequest
from provisioner.wire import clipped, few

WARNINGS = 10
"""Warnings about one config that are shown; Talos has a handful."""


class Configurer(Area):
    """Implements `ports.MachineConfigurer`."""

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
