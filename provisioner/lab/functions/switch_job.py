"""The detached job of a switch: what goes on at the host while the caller's connection is gone.

It is a scheduled task of the world that runs as events, without a session. Its record is a file, so it outlives the task and the
host's own restart; a record that says Running while no task runs tells of a job that was lost.
"""

from __future__ import annotations

import ntpath
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from provisioner.lab.functions.call import compact, delete_files, iso, json_file, remove_empty
from provisioner.lab.world.hyperv import CmdletError
from provisioner.lab.world.state import NetAdapter, VirtualSwitch
from provisioner.lab.world.storage import FileFault
from provisioner.lab.world.tasks import BY_EVENTS, READY, RUNNING
from provisioner.lab.world.world import World

START_S = 1.5
"""The scheduler starts a process, and that loads the module."""
LOOK_S = 1.0
"""How often the job looks for the gateway and for a confirmation."""
IDENTIFY_S = 3.0
"""Windows takes that long to know the network again; before it a profile cannot be set."""


Record = dict[str, str]
"""The file of the last job for a switch name: the contract's Job fields, without `Job`."""
_FIELDS = ("Id", "Kind", "State", "ErrorId", "Message", "StartedUtc", "EndedUtc")


def read(world: World, name: str) -> Record | None:
    """The record of the last job for that switch name, or None. A job that died with the host is Failed."""
    found = json_file(world.storage, _path(world, name, ".json"))
    if not found:
        return None
    record = {field: str(found.get(field, "")) for field in _FIELDS}
    if record["State"] == "Running" and not runs(world, name):
        record |= {"State": "Failed", "ErrorId": "SwitchJobLost", "Message": "The job ended without a result."}
    return record


def fields_of(record: Record | None) -> Record:
    """The Job fields of a switch as a result; all empty where there was no job."""
    return {f"Job{field}": (record or {}).get(field, "") for field in _FIELDS}


def runs(world: World, name: str) -> bool:
    task = world.tasks.get(_task_name(name))
    return task is not None and task.last_result in (READY, RUNNING)


def confirm(world: World, name: str, job_id: str) -> None:
    world.storage.write(_path(world, name, ".confirm"), job_id.encode())


def start_new(
    world: World,
    name: str,
    *,
    adapter: str,
    allow_management_os: bool,
    vlan_id: int,
    notes: str,
    watchdog_s: float,
) -> None:
    """Registers and starts the job that makes an External switch."""
    job = _Job(world, name, "New")
    found = world.network.by_name(adapter)
    assert found is not None
    before = replace(found)

    def make() -> None:
        world.hyperv.switches.begin_new_switch(
            name,
            made,
            adapter_name=adapter,
            allow_management_os=allow_management_os,
            vlan_id=vlan_id,
            notes=notes,
        )

    def made(error: CmdletError | None) -> None:
        if error is not None:
            job.end("Failed", f"HyperV.{error.id}", error.message)
        else:
            job.later(IDENTIFY_S, lambda: job.repair(before))
            job.watch(world.kernel.now() + watchdog_s)

    job.start(make)


def start_remove(world: World, switch: VirtualSwitch) -> None:
    """Registers and starts the job that removes a switch."""
    job = _Job(world, switch.name, "Remove")
    job.start(lambda: world.hyperv.switches.begin_remove_switch(switch.id, lambda: job.end("Done")))


class _Job:
    """One job at work. Everything it does runs under the world's lock, as events."""

    def __init__(self, world: World, name: str, kind: str) -> None:
        self._world = world
        self._name = name
        self._session = world.session
        self._record = dict.fromkeys(_FIELDS, "") | {
            "Id": world.network.new_guid(),
            "Kind": kind,
            "State": "Running",
            "StartedUtc": _now(world),
        }

    def start(self, work: Callable[[], None]) -> None:
        world = self._world
        with world.kernel.lock:
            world.storage.make_folder(ntpath.dirname(_path(world, self._name, "")))
            self._write()
            world.tasks.register(_task_name(self._name), BY_EVENTS, self._record["Id"])
            world.tasks.start(_task_name(self._name))
            world.kernel.note("switch_job", self._name)
            self.later(START_S, work)

    def later(self, seconds: float, work: Callable[[], None]) -> None:
        """Goes on later, unless the host has restarted in between or the job has ended."""

        def go_on() -> None:
            if self._world.session != self._session or self._record["State"] != "Running":
                return
            try:
                work()
            except CmdletError as error:
                self.end("Failed", f"HyperV.{error.id}", error.message)

        self._world.kernel.after(seconds, f"switch job {self._name}", go_on)

    def repair(self, before: NetAdapter) -> None:
        """Gives the vEthernet back what the move has lost: DNS servers, and a profile that lets WinRM in."""
        network, own = self._world.network, f"vEthernet ({self._name})"
        carrier = network.by_name(own)
        if carrier is None:
            return
        if before.dns_servers and not carrier.dns_servers:
            network.set_dns(own, before.dns_servers)
        if carrier.category == "Public" and before.category != "Public":
            network.set_category(own, before.category)

    def watch(self, until: float) -> None:
        """Looks each second; at the end of the watch a host without a gateway gets its old network back."""

        def look() -> None:
            if self._confirmed():
                self.end("Done")
            elif self._world.kernel.now() < until:
                self.later(LOOK_S, look)
            elif self._world.network.has_gateway():
                self.end("Done")
            else:
                self._undo()

        self.later(LOOK_S, look)

    def _undo(self) -> None:
        hyperv = self._world.hyperv
        switch = next((s for s in hyperv.switches.get_switches() if s.name == self._name), None)
        message = "The host had no default gateway, and no confirmation came that it can be reached."
        if switch is None:
            self.end("Undone", "SwitchUndone", message)
        else:
            hyperv.switches.begin_remove_switch(switch.id, lambda: self.end("Undone", "SwitchUndone", message))

    def _confirmed(self) -> bool:
        try:
            return self._world.storage.read(_path(self._world, self._name, ".confirm")).decode() == self._record["Id"]
        except FileFault:
            return False

    def end(self, state: str, error_id: str = "", message: str = "") -> None:
        if self._world.session != self._session or self._record["State"] != "Running":
            return
        self._record |= {"State": state, "ErrorId": error_id, "Message": message, "EndedUtc": _now(self._world)}
        storage, record = self._world.storage, _path(self._world, self._name, ".json")
        silent = (self._record["Kind"], state, message) == ("Remove", "Done", "")
        confirm = _path(self._world, self._name, ".confirm")
        delete_files(storage, confirm, *([record] if silent else []))  # of a removal without a word nothing is left
        if silent:
            remove_empty(storage, ntpath.dirname(record))
        else:
            self._write()
        self._world.tasks.finish(_task_name(self._name))
        self._world.tasks.unregister(_task_name(self._name))

    def _write(self) -> None:
        self._world.storage.write(_path(self._world, self._name, ".json"), compact(self._record).encode())


def _path(world: World, name: str, ending: str) -> str:
    return f"{world.state.host.program_files}\\TalosHyperV\\jobs\\{_safe(name)}{ending}"


def _safe(name: str) -> str:
    return re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name)


def _task_name(name: str) -> str:
    return f"\\TalosHyperV\\Switch {_safe(name)}"


def _now(world: World) -> str:
    return iso(world.kernel.clock.wall() + timedelta(seconds=world.state.host.clock_skew_s))
