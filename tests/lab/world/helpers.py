"""A world on a hand clock, its functions called as a runspace would call them, and the checker after everything."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from provisioner.lab.functions.api import ErrorRecord, Streams, Terminating
from provisioner.lab.functions.lab import LabFunctions
from provisioner.lab.winrm.binding import bind
from provisioner.lab.world.state import Account, Guest, Vm
from provisioner.lab.world.world import World
from tests.lab.world import hand
from tests.lab.world.checker import check

GIB = 1024**3
RELEASE = "https://github.com/siderolabs/talos/releases/download/v1.11.5"
ISO_URL, SUMS_URL = f"{RELEASE}/metal-amd64.iso", f"{RELEASE}/sha256sum.txt"
CLUSTER = "6f9d0c52"
ACCOUNTS = (
    Account("admin", "not kept"),
    Account("operator", "not kept", ["Hyper-V Administrators", "Remote Management Users"]),
    Account("guest", "not kept", ["Users"]),
)


def hand_world(**options: Any) -> World:
    return hand.hand_world(accounts=ACCOUNTS, **options)


def settle(world: World, seconds: float = 0.0) -> None:
    """Time goes on, and what is there after it must be possible."""
    world.kernel.spend(seconds)
    assert check(world.state) == []


def mark(machine: str) -> str:
    return f"provision/1 cluster={CLUSTER} machine={machine}"


@dataclass
class Shell:
    """Calls host functions: arguments by name, errors collected, a terminating one raised."""

    world: World
    user: str = "admin"
    errors: list[ErrorRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    progress: list[tuple[str, str, int]] = field(default_factory=list)

    def __call__(self, name: str, *, what_if: bool = False, **given: Any) -> list[dict[str, Any]]:
        functions = LabFunctions(self.world)
        row = functions.table[name]
        arguments = bind(row.parameters, given.items(), should_process=row.changes).arguments
        caller = self.world.caller(self.user)
        streams = Streams(
            error=self.errors.append,
            warning=self.warnings.append,
            progress=lambda *record: self.progress.append(record),
            what_if=what_if,
            user=self.user,
            administrator=caller.administrator,
        )
        results = [dict(result) for result in functions.run(name, arguments, streams)]
        assert check(self.world.state) == []
        return results

    def one(self, name: str, **given: Any) -> dict[str, Any]:
        (result,) = self(name, **given)
        return result

    def refused(self, name: str, **given: Any) -> ErrorRecord:
        """The terminating error, or the one error of an item."""
        before = len(self.errors)
        try:
            results = self(name, **given)
        except Terminating as error:
            return error.record
        assert results == []
        (record,) = self.errors[before:]
        return record


def with_switch(**options: Any) -> World:
    return hand_world(with_external_switch="LAB", **options)


def save_iso(shell: Shell) -> str:
    path: str = shell.one("Save-TalosImage", Uri=ISO_URL, Sha256Uri=SUMS_URL, Path="talos.iso")["Path"]
    return path


def new_vm(shell: Shell, name: str = "cp-1", **changed: Any) -> dict[str, Any]:
    """A machine as a cluster would have it."""
    given = {
        "Name": name,
        "MemoryBytes": 4 * GIB,
        "Cpus": 2,
        "DiskBytes": 20 * GIB,
        "SwitchName": "LAB",
        "MacAddress": f"02155D0000{sum(name.encode()) % 256:02X}",
        "IsoPath": "C:\\ProgramData\\TalosHyperV\\images\\talos.iso",
        "Mark": mark(name),
        **changed,
    }
    return shell.one("New-TalosVM", **given)


class TalkingGuests:
    """Guests that answer: the least that the host's rules can see of one."""

    def __init__(self, world: World, shutdown_s: float = 10.0) -> None:
        self.world = world
        self.shutdown_s = shutdown_s
        self.on: dict[str, Vm] = {}
        self.answers_to: list[tuple[str, str]] = []

    def power_on(self, vm: Vm) -> None:
        self.on[vm.id] = vm

    def power_off(self, vm: Vm) -> None:
        self.on.pop(vm.id, None)

    def shut_down(self, vm: Vm) -> bool:
        self.world.kernel.after(self.shutdown_s, "guest shuts down", lambda: self.world.hyperv.power.powered_off(vm.id))
        return True

    def of(self, vm_id: str) -> Guest | None:
        return None

    def heartbeat(self, vm: Vm) -> str:
        return "OkApplicationsUnknown" if vm.id in self.on else "NoContact"

    def screen(self, vm: Vm) -> list[str]:
        return [f"{vm.name} [maintenance]"]

    def stations(self) -> list[tuple[str, str]]:
        return self.answers_to


def everything(world: World) -> str:
    """What -WhatIf must leave alone: everything but the clock and the neighbour table."""
    state = dataclasses.asdict(world.state)
    del state["host"]["neighbors"]
    return json.dumps(state, default=str, sort_keys=True)
