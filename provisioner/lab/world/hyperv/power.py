"""Start-VM, Stop-VM, Suspend-VM, Resume-VM: the state machine of a VM, and what the guest asks of its VM.

A start goes on by itself once it has begun: a caller that vanishes in the middle leaves a VM that runs.
"""

from __future__ import annotations

from functools import partial

from provisioner.lab.world.hyperv import errors as refused
from provisioner.lab.world.hyperv.service import SECONDS, ManagementService
from provisioner.lab.world.state import STANDS_STILL, STOPPED, Vm, VmState
from provisioner.lab.world.storage import drives_of, key

MERGE_S = 5.0
"""An automatic checkpoint is merged when its VM stops, and holds the disk for about that long."""
START_BOUND_S = 60.0


class Power:
    """VMs as they run."""

    def __init__(self, service: ManagementService) -> None:
        self._service = service
        self._kernel = service.kernel

    def start_vm(self, vm_id: str) -> bool:
        """Start-VM; returns when the worker process runs, not when the guest has booted. False: it ran already, a mere warning."""
        with self._service.reading("Start-VM"):
            vm = self._service.vm(vm_id)
            if vm.state in ("Running", "Starting"):
                return False
            if vm.state not in STOPPED:
                raise refused.wrong_state(vm.name)
            self._begin_start(vm)
        self._kernel.wait_for(lambda: vm.state != "Starting", START_BOUND_S)
        return True

    def turn_off(self, vm_id: str) -> bool:
        """Stop-VM -TurnOff. False: it was Off already, a mere warning."""
        with self._service.reading("Stop-VM"):
            vm = self._service.vm(vm_id)
            if vm.state == "Off":
                return False
        self._service.take("turn-off", vm.id)
        with self._kernel.lock:
            self._power_cut(vm)
        return True

    def suspend(self, vm_id: str) -> None:
        """Suspend-VM: the guest stands still, its memory stays taken. The lab's guest goes on unheard, for a pause is short there."""
        with self._service.reading("Suspend-VM"):
            vm = self._service.vm(vm_id)
            if vm.state != "Running":
                raise refused.wrong_state(vm.name)
            self._set_state(vm, "Paused")

    def resume_vm(self, vm_id: str) -> bool:
        """Resume-VM: of a paused VM alone. False: it runs already, a mere warning."""
        with self._service.reading("Resume-VM"):
            vm = self._service.vm(vm_id)
            if vm.state == "Running":
                return False
            if vm.state != "Paused":
                raise refused.wrong_state(vm.name)
        self._service.take("resume-vm", vm.id)
        with self._kernel.lock:
            self._set_state(self._service.vm(vm_id), "Running")
        return True

    # -- what happens to a VM without a cmdlet; the caller holds the lock

    def cut_power(self, vm_id: str) -> None:
        self._power_cut(self._service.vm(vm_id))

    def set_state(self, vm_id: str, state: VmState) -> None:
        self._set_state(self._service.vm(vm_id), state)

    def request_shutdown(self, vm_id: str) -> bool:
        """Msvm_ShutdownComponent.InitiateShutdown: asks the guest and returns at once. False: nothing in there answers."""
        with self._service.reading("InitiateShutdown"):
            return self._ask_shutdown(self._service.vm(vm_id))

    def _ask_shutdown(self, vm: Vm) -> bool:
        if vm.state != "Running" or "Shutdown" in vm.disabled_services or not self._kernel.guests.shut_down(vm):
            return False
        self._set_state(vm, "Stopping")
        return True

    # -- what guests ask of the host (interfaces.PowerSwitch); called under the lock

    def powered_off(self, vm_id: str) -> None:
        vm = self._service.host.vms.get(vm_id)
        if vm is not None:
            self._power_cut(vm)

    def lan_up(self, vm: Vm) -> bool:
        return self._service.network.lan_up(vm)

    # -- the host's own power

    def cut_all(self) -> None:
        """The host loses its power, and every VM with it; which ones ran is remembered for the start actions."""
        with self._kernel.lock:
            for vm in self._service.host.vms.values():
                if vm.state not in STOPPED:
                    self._kernel.guests.power_off(vm)
                    self._set_state(vm, "Off")
                    vm.ran_before_host_stopped = True

    def start_automatically(self) -> None:
        """After the host has booted, VMs start by their start action, each after its delay; one that cannot stays Off."""
        with self._kernel.lock:
            for vm in self._service.host.vms.values():
                ran, vm.ran_before_host_stopped = vm.ran_before_host_stopped, False
                if vm.start_action == "Start" or (vm.start_action == "StartIfRunning" and ran):
                    self._kernel.after(vm.start_delay_s, f"start action of {vm.name}", partial(self._try_start, vm))

    def _try_start(self, vm: Vm) -> None:
        if vm.id in self._service.host.vms and vm.state in STOPPED:
            try:
                self._begin_start(vm)
            except refused.CmdletError as error:
                self._kernel.note("vm_start_refused", vm.id, id=error.id, message=error.message)

    # -- steps; all with the lock held

    def _begin_start(self, vm: Vm) -> None:
        self._admit(vm)
        for nic in vm.nics:
            self._service.give_mac(nic)
        resumed = vm.state == "Saved"
        self._set_state(vm, "Starting")
        self._kernel.note("vm_starting", vm.id, name=vm.name)
        self._kernel.after(
            SECONDS["resume-vm" if resumed else "start-vm"], f"{vm.name} starts", lambda: self._started(vm)
        )

    def _started(self, vm: Vm) -> None:
        if vm.state == "Starting" and vm.id in self._service.host.vms:
            self._set_state(vm, "Running")
            self._kernel.note("vm_running", vm.id, name=vm.name)
            self._kernel.guests.power_on(vm)

    def _admit(self, vm: Vm) -> None:
        """What a start needs: a hypervisor, memory, every file that is attached, MAC addresses of its own."""
        if not self._service.host.hypervisor_present:
            raise refused.hypervisor_missing(vm.name)
        if self._kernel.injected("worker-failed", vm.name) is not None:
            raise refused.worker_failed(vm.name)
        if (
            self._kernel.injected("no-memory", vm.name) is not None
            or vm.memory_bytes > self._service.memory_free_bytes()
        ):
            raise refused.no_memory(vm.name, megabytes=vm.memory_bytes // 1024**2)
        self._admit_devices(vm)

    def _admit_devices(self, vm: Vm) -> None:
        for drive in drives_of(vm):
            if drive.path and self._service.storage.find(drive.path) is None:
                raise refused.attachment_missing(drive.path, vm=vm.name)
        held = {key(drive.path) for other in self._service.running() for drive in other.hard_drives}
        for drive in vm.hard_drives:
            if key(drive.path) in held:
                raise refused.vhd_in_use(drive.path)
        on_air = self._service.macs_on_air()
        for nic in vm.nics:
            if nic.mac in on_air:
                raise refused.mac_collision(vm.name, mac=nic.mac)

    def _power_cut(self, vm: Vm) -> None:
        if vm.state == "Off":
            return
        if vm.state != "Saved":
            self._kernel.guests.power_off(vm)
        self._set_state(vm, "Off")
        self._kernel.note("vm_off", vm.id, name=vm.name)
        if vm.automatic_checkpoints:
            self._service.storage.lock_disks(vm, MERGE_S)

    def _set_state(self, vm: Vm, state: VmState) -> None:
        before, vm.state = vm.state, state
        if (
            state in ("Off", "Saved", "Starting", "Running") and before not in STANDS_STILL
        ):  # Uptime goes on while it stops
            vm.state_since = self._kernel.now()
        self._service.changed(vm)
