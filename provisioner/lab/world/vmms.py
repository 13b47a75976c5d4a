"""What every area of Hyper-V's management service shares: who asks, whether the service may answer, how long it takes, how things are found.

Methods that change take the time of the real cmdlet (facts/hyperv.md, section 13) in the caller's own thread, so they are never
called with the world's lock held. What they return are copies: as with the cmdlets, an object does not follow the VM it was read from.
"""

from __future__ import annotations

import copy
import fnmatch
from dataclasses import dataclass, field
from typing import Self

from provisioner.lab.world import hyperv_errors as refused
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.network import Network
from provisioner.lab.world.registry import Registry
from provisioner.lab.world.state import VirtualSwitch, Vm, WindowsHost
from provisioner.lab.world.storage import Storage

DEFAULT_SWITCH_ID = "c08cb7b8-9b3c-408e-8e30-5e16a3aeb444"
"""Of the built-in Default Switch (NAT), the same on every client Windows."""

SECONDS = {
    "get": 0.03,
    "new-vm": 1.2,
    "set-vm": 0.1,
    "remove-vm": 0.15,
    "start-vm": 0.24,
    "turn-off": 0.10,
    "refuse": 0.08,
    "save-vm": 0.19,
    "resume-vm": 0.43,
    "dvd": 0.25,
    "disk": 0.2,
    "vhd": 0.3,
    "firmware": 0.2,
    "adapter": 0.1,
    "switch": 0.5,
    "thumbnail": 0.12,
}
"""How long a cmdlet takes, in a process that has used it before."""


@dataclass(frozen=True)
class Caller:
    """On whose behalf a cmdlet runs."""

    user: str = "SYSTEM"
    administrator: bool = True
    hyperv_administrator: bool = False

    @property
    def may_use_hyperv(self) -> bool:
        return self.administrator or self.hyperv_administrator


SYSTEM = Caller()


@dataclass(frozen=True)
class VmView:
    """A VM as Get-VM shows it: what is stored, and what is worked out at the moment of reading."""

    vm: Vm
    """A copy."""
    heartbeat: str
    """VMHeartbeatStatus; empty while Off."""
    uptime_s: float
    memory_assigned: int
    addresses: list[str] = field(default_factory=list)
    """By key-value pairs: stock Talos reports none."""
    switch_names: dict[str, str] = field(default_factory=dict)
    """Switch id -> name, of the switches its adapters are on."""

    @property
    def id(self) -> str:
        return self.vm.id

    @property
    def name(self) -> str:
        return self.vm.name


class Vmms:
    """The management service: the part of it that its areas share."""

    def __init__(self, kernel: Kernel, storage: Storage, network: Network, registry: Registry) -> None:
        self.kernel = kernel
        self.storage = storage
        self.network = network
        self.registry = registry
        self.caller = SYSTEM

    def acting_as(self, caller: Caller) -> Self:
        """The same service, asked by somebody else."""
        other = copy.copy(self)
        other.caller = caller
        return other

    @property
    def host(self) -> WindowsHost:
        return self.kernel.state.host

    def _take(self, operation: str, target: str) -> None:
        """The time of a cmdlet passes, in the caller's thread and without the lock. The world's log keeps it: nobody could do without it."""
        self.kernel.spend(SECONDS[operation])
        self.kernel.note("cmdlet", target, operation=operation, seconds=SECONDS[operation])

    # -- guards; all with the lock held

    def _guard(self, cmdlet: str) -> None:
        """Refuses whatever is asked while module, rights or service are missing."""
        if not self.host.hyperv_module:
            raise refused.module_missing(cmdlet)
        if not self.caller.may_use_hyperv:
            raise refused.no_permission()
        if self.host.vmms != "Running":
            raise refused.service_stopped(self.host.name)

    def _vm(self, vm_id: str) -> Vm:
        vm = self.host.vms.get(vm_id.strip("{}").lower())
        if vm is None:
            raise refused.no_vm_of_id(vm_id)
        return vm

    def _off(self, vm: Vm) -> None:
        """Many settings can be changed only while the VM is Off (facts 8; 5.3, 5.6)."""
        if vm.state != "Off":
            raise refused.wrong_state(vm.name)

    def _switch(self, switch_id: str) -> VirtualSwitch | None:
        return next((switch for switch in self.host.switches if switch.id == switch_id), None)

    def _switch_named(self, name: str) -> VirtualSwitch:
        found = next((switch for switch in self.host.switches if matches(name, switch.name)), None)
        if found is None:
            raise refused.no_switch_of_name(name)
        return found

    def _changed(self, vm: Vm) -> None:
        self.kernel.changed("vm", vm.id)

    def _view(self, vm: Vm) -> VmView:
        running = vm.state not in ("Off", "Saved")
        return VmView(
            vm=copy.deepcopy(vm),
            heartbeat=self._heartbeat(vm) if running else "",
            uptime_s=max(0.0, self.kernel.now() - vm.state_since) if running else 0.0,
            memory_assigned=vm.memory_bytes if running else 0,
            switch_names={
                switch.id: switch.name
                for switch in self.host.switches
                if any(nic.switch_id == switch.id for nic in vm.nics)
            },
        )

    def _heartbeat(self, vm: Vm) -> str:
        if "Heartbeat" in vm.disabled_services:
            return "Disabled"
        if vm.state == "Paused":
            return "Paused"
        return self.registry.guests.heartbeat(vm) if vm.state == "Running" else "NoContact"

    # -- the host itself

    def memory_free_bytes(self) -> int:
        """Physical memory that is neither the host's own nor a running VM's."""
        with self.kernel.lock:
            taken = sum(vm.memory_bytes for vm in self.host.vms.values() if vm.state not in ("Off", "Saved"))
            return self.host.memory_bytes - self.host.memory_used_bytes - taken

    def stop_service(self, seconds: float = 0.0) -> None:
        """The service stops: its cmdlets fail, VMs run on. After that many seconds it is back; 0 means never by itself."""
        with self.kernel.lock:
            self.host.vmms = "Stopped"
            self.kernel.changed("host")
            if seconds:
                self.kernel.after(seconds, "vmms starts again", self.start_service)

    def start_service(self) -> None:
        with self.kernel.lock:
            self.host.vmms = "Running"
            self.kernel.changed("host")


def matches(pattern: str, name: str) -> bool:
    """Names are compared without case; in -Name of a cmdlet `*`, `?` and `[` make a pattern (fact 1)."""
    return fnmatch.fnmatchcase(name.lower(), pattern.lower())


def is_pattern(name: str) -> bool:
    return any(sign in name for sign in "*?[")
