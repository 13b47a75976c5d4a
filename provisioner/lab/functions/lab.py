"""The table of the lab's own host functions: what the PowerShell module does on a real host, done in Python on the lab's world.

Written from the contract and the facts, not from the module: one suite of cases (tests/contract) holds both to the same behaviour.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from provisioner.lab.functions import (
    console,
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
from provisioner.lab.functions.api import Parameter, Streams, Terminating
from provisioner.lab.functions.call import Arguments, Call, Result, record_of
from provisioner.lab.functions.contract import FunctionRow, contract
from provisioner.lab.world.hyperv import CmdletError
from provisioner.lab.world.storage import FileFault
from provisioner.lab.world.world import World

_WORK: dict[str, Callable[[Call, Arguments], Iterator[Result]]] = {
    "get-taloshost": hosts.get_host,
    "get-talosswitch": switches.get_switch,
    "new-talosswitch": switches.new_switch,
    "confirm-talosswitch": switches.confirm_switch,
    "remove-talosswitch": switches.remove_switch,
    "set-talosswitch": switches.set_switch,
    "get-talosimage": images.get_image,
    "save-talosimage": images.save_image,
    "remove-talosimage": images.remove_image,
    "new-talosvm": vms_new.new_vm,
    "get-talosvm": vms_get.get_vm,
    "set-talosvm": vms_change.set_vm,
    "start-talosvm": vms_change.start_vm,
    "stop-talosvm": vms_change.stop_vm,
    "remove-talosvm": vms_remove.remove_vm,
    "get-talosfolder": folders.get_folder,
    "remove-talosfolder": folders.remove_folder,
    "mount-talosiso": isos.mount_iso,
    "dismount-talosiso": isos.dismount_iso,
    "get-talosneighbor": neighbors.get_neighbor,
    "get-talosconsole": console.get_console,
}


class LabFunctions:
    """`functions.api.Functions` on a world."""

    def __init__(self, world: World) -> None:
        self._world = world

    def names(self) -> tuple[str, ...]:
        return tuple(row.name for row in contract().functions.values())

    def parameters(self, name: str) -> tuple[Parameter, ...]:
        return _row(name).parameters

    def output_type(self, name: str) -> str:
        return _row(name).output

    def fields(self, name: str) -> Mapping[str, str]:
        return _row(name).fields

    def changes(self, name: str) -> bool:
        return _row(name).changes

    def run(self, name: str, arguments: Mapping[str, Any], streams: Streams) -> Iterator[Mapping[str, Any]]:
        row = _row(name)
        call = Call.of(self._world, streams)
        try:
            for result in _WORK[row.name.lower()](call, arguments):
                yield {field: result[field] for field in row.fields}
        except (CmdletError, FileFault) as error:
            raise Terminating(record_of(error, _first_text(row, arguments))) from error


def _row(name: str) -> FunctionRow:
    return contract().functions[name.lower()]


def _first_text(row: FunctionRow, arguments: Arguments) -> str:
    """What the caller named: the first parameter, where it is one text."""
    value = arguments.get(row.parameters[0].name, "") if row.parameters else ""
    return value if isinstance(value, str) else ""
