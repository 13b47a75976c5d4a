"""Hyper-V as its cmdlets see it: what the management service knows, does and refuses.

`HyperV` is made of one collaborator for each area, each with one method for each cmdlet that matters here, at its granularity. Stub
cmdlets for a genuine PowerShell and the lab's own host functions both stand on them. A refusal is a `CmdletError` with the ids of the
real ones. Ask on behalf of a user with `hyperv.acting_as(Caller(...))`; without it, it is the system itself that asks.
"""

from __future__ import annotations

from typing import Self

from provisioner.lab.world.hyperv.devices import Adapters, Console, FirmwareSettings
from provisioner.lab.world.hyperv.disks import Disks
from provisioner.lab.world.hyperv.errors import CmdletError
from provisioner.lab.world.hyperv.power import Power
from provisioner.lab.world.hyperv.service import DEFAULT_SWITCH_ID, SYSTEM, Caller, ManagementService, VmView
from provisioner.lab.world.hyperv.switches import Switches
from provisioner.lab.world.hyperv.vms import Vms

__all__ = ["DEFAULT_SWITCH_ID", "SYSTEM", "Caller", "CmdletError", "HyperV", "VmView"]


class HyperV:
    """All areas, on one service that a caller asks."""

    def __init__(self, service: ManagementService) -> None:
        self.service = service
        self.disks = Disks(service)
        self.vms = Vms(service)
        self.power = Power(service)
        self.firmware = FirmwareSettings(service)
        self.adapters = Adapters(service)
        self.console = Console(service)
        self.switches = Switches(service)

    def acting_as(self, caller: Caller) -> Self:
        """The same service, asked by another caller."""
        return type(self)(self.service.acting_as(caller))
