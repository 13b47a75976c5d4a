"""The table of the lab's own host functions: what the PowerShell module does on a real host, done in Python on the lab's world.

Written from the contract, not from the module: one suite of cases (tests/contract) holds both to the same behaviour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from provisioner.lab.functions import (
    folders,
    hosts,
    images,
    isos,
    neighbors,
    switches,
    vms_change,
    vms_get,
    vms_new,
    vms_remove,
)
from provisioner.lab.functions.api import Function, Streams, Terminating, contract
from provisioner.lab.functions.call import Arguments, Call, Result, record_of
from provisioner.lab.world.hyperv import CmdletError
from provisioner.lab.world.storage import FileFault
from provisioner.lab.world.world import World

_WORK: dict[str, Callable[[Call, Arguments], Iterator[Result]]] = {
    "Get-TalosHost": hosts.get_host,
    "Get-TalosSwitch": switches.get_switch,
    "New-TalosSwitch": switches.new_switch,
    "Confirm-TalosSwitch": switches.confirm_switch,
    "Remove-TalosSwitch": switches.remove_switch,
    "Set-TalosSwitch": switches.set_switch,
    "Get-TalosImage": images.get_image,
    "Save-TalosImage": images.save_image,
    "Remove-TalosImage": images.remove_image,
    "New-TalosVM": vms_new.new_vm,
    "Get-TalosVM": vms_get.get_vm,
    "Set-TalosVM": vms_change.set_vm,
    "Start-TalosVM": vms_change.start_vm,
    "Stop-TalosVM": vms_change.stop_vm,
    "Remove-TalosVM": vms_remove.remove_vm,
    "Get-TalosFolder": folders.get_folder,
    "Remove-TalosFolder": folders.remove_folder,
    "Mount-TalosIso": isos.mount_iso,
    "Dismount-TalosIso": isos.dismount_iso,
    "Get-TalosNeighbor": neighbors.get_neighbor,
    "Get-TalosConsole": vms_get.get_console,
}


class LabFunctions:
    """`functions.api.Functions` on a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.table = contract().functions

    def run(self, name: str, arguments: Mapping[str, Any], streams: Streams) -> Iterator[Mapping[str, Any]]:
        row = self.table[name]
        call = Call.of(self._world, streams)
        try:
            for result in _WORK[name](call, arguments):
                yield {field: result[field] for field in row.fields}
        except (CmdletError, FileFault) as error:
            raise Terminating(record_of(error, _first_text(row, arguments))) from error


def _first_text(row: Function, arguments: Arguments) -> str:
    """What the caller named: the first parameter, where it is one text."""
    value = arguments.get(row.parameters[0].name, "") if row.parameters else ""
    return value if isinstance(value, str) else ""
