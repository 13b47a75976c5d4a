"""What every area of Hyper-V's management service shares: who asks, whether the service may answer, how long it takes, how things are found.

Methods that change take the time of the real cmdlet in the caller's own thread, so they are never called with the world's lock held.
What they return are copies: as with the cmdlets, an object does not follow the VM it was read from.
"""

from __future__ import annotations

import contextlib
import copy
import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from provisioner.lab.world.hyperv import errors as refused
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.network import Network
from provisioner.lab.world.state import STOPPED, VirtualSwitch, Vm, VmNic, WindowsHost
from provisioner.lab.world.storage import Storage

DEFAULT_SWITCH_ID = "c08cb7b8-9b3c-408e-8e30-5e16a3aeb444"
"""Of the built-in Default Switch (NAT), the same on every client Windows."""

DYNAMIC_MAC = "000000000000"
"""What a dynamic MAC reads as until the first start."""
MAC_POOL = "00155D020A"
"""First five octets of the host's dynamic MAC addresses."""
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


class ManagementService:
    """The management service: the part of it that its areas share."""

    def __init__(self, kernel: Kernel, storage: Storage, network: Network, caller: Caller = SYSTEM) -> None:
        self.kernel = kernel
        self.storage = storage
        self.network = network
        self.caller = caller

    def acting_as(self, caller: Caller) -> ManagementService:
        return ManagementService(self.kernel, self.storage, self.network, caller)

    @property
    def host(self) -> WindowsHost:
        return self.kernel.state.host

    # -- the course of a cmdlet

    @contextlib.contextmanager
    def reading(self, cmdlet: str) -> Iterator[None]:
        """The body runs with the lock held. Refuses whatever is asked while module, rights or service are missing."""
        with self.kernel.lock:
            if not self.host.hyperv_module:
                raise refused.module_missing(cmdlet)
            if not self.caller.may_use_hyperv:
                raise refused.no_permission()
            if self.host.vmms != "Running":
                raise refused.service_stopped(self.host.name)
            yield

    @contextlib.contextmanager
    def changing(
        self, cmdlet: str, vm_id: str, operation: str, check: Callable[[Vm], object] = lambda _vm: None
    ) -> Iterator[Vm]:
        """A change of a VM: `check` refuses at once, and again after the cmdlet's time; what the body then does is told to watchers."""
        with self.reading(cmdlet):
            check(self.vm(vm_id))
        self.take(operation, vm_id)
        with self.reading(cmdlet):
            vm = self.vm(vm_id)
            check(vm)
            yield vm
            self.changed(vm)

    def take(self, operation: str, target: str) -> None:
        """The time of a cmdlet passes, without the lock. The world's log keeps it: no one could do without it."""
        self.kernel.spend(SECONDS[operation])
        self.kernel.note("cmdlet", target, operation=operation, seconds=SECONDS[operation])

    def changed(self, vm: Vm) -> None:
        self.kernel.changed("vm", vm.id)

    # -- finding things; all with the lock held

    def vm(self, vm_id: str) -> Vm:
        vm = self.host.vms.get(vm_id.strip("{}").lower())
        if vm is None:
            raise refused.no_vm_of_id(vm_id)
        return vm

    def switch(self, switch_id: str) -> VirtualSwitch:
        wanted = switch_id.strip("{}").lower()
        found = next((switch for switch in self.host.switches if switch.id == wanted), None)
        if found is None:
            raise refused.no_device("the virtual switch", switch_id)
        return found

    def switch_named(self, name: str) -> VirtualSwitch:
        found = next((switch for switch in self.host.switches if matches(name, switch.name)), None)
        if found is None:
            raise refused.no_switch_of_name(name)
        return found

    def running(self) -> list[Vm]:
        return [vm for vm in self.host.vms.values() if vm.state not in STOPPED]

    def macs_on_air(self) -> set[str]:
        """Hyper-V looks at its own running VMs alone."""
        return {nic.mac for vm in self.running() for nic in vm.nics}

    def put_nic(self, vm: Vm, nic: VmNic) -> None:
        """One more network adapter; its boot entry goes to the end."""
        if vm.state not in STOPPED:
            self.give_mac(nic)
        vm.nics.append(nic)
        if vm.generation != 1:
            vm.boot_order.append(f"network:{len(vm.nics) - 1}")

    def give_mac(self, nic: VmNic) -> None:
        """A dynamic MAC is drawn from the host's pool of 256 when the adapter first gets power; then it stays."""
        known = {other.mac for vm in self.host.vms.values() for other in vm.nics}
        while nic.mac == DYNAMIC_MAC:
            drawn = f"{MAC_POOL}{self.kernel.random.randrange(256):02X}"
            nic.mac = drawn if drawn not in known else DYNAMIC_MAC

    def view(self, vm: Vm) -> VmView:
        running = vm.state not in STOPPED
        return VmView(
            vm=copy.deepcopy(vm),
            heartbeat=self.heartbeat(vm) if running else "",
            uptime_s=max(0.0, self.kernel.now() - vm.state_since) if running else 0.0,
            memory_assigned=vm.memory_bytes if running else 0,
            switch_names={
                switch.id: switch.name
                for switch in self.host.switches
                if any(nic.switch_id == switch.id for nic in vm.nics)
            },
        )

    def heartbeat(self, vm: Vm) -> str:
        if "Heartbeat" in vm.disabled_services:
            return "Disabled"
        if vm.state == "Paused":
            return "Paused"
        return self.kernel.guests.heartbeat(vm) if vm.state == "Running" else "NoContact"

    # -- the host itself

    def memory_free_bytes(self) -> int:
        """Physical memory that is neither the host's own nor a running VM's."""
        with self.kernel.lock:
            return self.host.memory_bytes - self.host.memory_used_bytes - sum(vm.memory_bytes for vm in self.running())

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
    """Names are compared without case; in -Name of a cmdlet `*`, `?` and `[` make a pattern."""
    return fnmatch.fnmatchcase(name.lower(), pattern.lower())


def off(vm: Vm) -> None:
    """Many settings can be changed only while the VM is Off."""
    if vm.state != "Off":
        raise refused.wrong_state(vm.name)
