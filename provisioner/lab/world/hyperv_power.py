"""Start-VM, Stop-VM, Save-VM, Restart-VM: the state machine of a VM (facts/hyperv.md, section 2), and what the guest asks of its VM.

A start goes on by itself once it has begun: a caller that vanishes in the middle leaves a VM that runs.
"""

from __future__ import annotations

from functools import partial

from provisioner.lab.world import hyperv_errors as refused
from provisioner.lab.world.hyperv_vms import DYNAMIC_MAC, Machines
from provisioner.lab.world.state import STANDS_STILL, Vm, VmNic
from provisioner.lab.world.storage import drives_of, key
from provisioner.lab.world.vmms import SECONDS

FORCE_GRACE_S = 300.0
"""Stop-VM -Force asks the guest, waits that long, then cuts the power (5.7)."""
MERGE_S = 5.0
"""An automatic checkpoint is merged when its VM stops, and holds the disk for about that long."""
START_BOUND_S = 60.0
MAC_POOL = "00155D020A"
"""First five octets of the host's dynamic MAC addresses."""


class Power(Machines):
    """VMs as they run."""

    def start_vm(self, vm_id: str) -> bool:
        """Start-VM; returns when the worker process runs, not when the guest has booted. False: it ran already, a mere warning."""
        with self.kernel.lock:
            self._guard("Start-VM")
            vm = self._vm(vm_id)
            if vm.state in ("Running", "Starting"):
                return False
            if vm.state not in ("Off", "Saved"):
                raise refused.wrong_state(vm.name)
            self._begin_start(vm)
        self.kernel.wait_for(lambda: vm.state != "Starting", START_BOUND_S)
        return True

    def stop_vm(
        self, vm_id: str, *, turn_off: bool = False, force: bool = False, save: bool = False, bound_s: float = 3600.0
    ) -> bool:
        """Stop-VM. False: it was Off already, a mere warning.

        Plain, it asks the guest and returns when the VM is Off; a guest that cannot be asked is refused at once, since nobody is
        there to answer the prompt (fact 20). `bound_s` ends the wait, never the shutdown; the VM is then still Stopping.
        """
        with self.kernel.lock:
            self._guard("Stop-VM")
            vm = self._vm(vm_id)
            if vm.state == "Off" or (vm.state == "Saved" and not turn_off):
                return False
            if save and turn_off:
                raise refused.bad_argument("Save and TurnOff exclude each other.", vm.name)
            if save and vm.state != "Running":
                raise refused.wrong_state(vm.name)
        if turn_off or vm.state in ("Saved", "Stopping"):
            self._take("turn-off", vm.id)
            with self.kernel.lock:
                self._power_cut(vm)
            return True
        if save:
            self._save(vm)
            return True
        with self.kernel.lock:
            answered = self._ask_shutdown(vm)
        if not answered and not force:
            self._take("refuse", vm.id)
            raise refused.guest_silent(vm.name)
        if self.kernel.wait_for(lambda: vm.state == "Off", FORCE_GRACE_S if force else bound_s) or not force:
            return True
        with self.kernel.lock:
            self._set_state(vm, "ForceShutdown")
        self._take("turn-off", vm.id)
        with self.kernel.lock:
            self._power_cut(vm)
        return True

    def restart_vm(self, vm_id: str) -> None:
        """Restart-VM -Force: a reset, so the firmware walks the boot order again."""
        with self.kernel.lock:
            self._guard("Restart-VM")
            vm = self._vm(vm_id)
            if vm.state != "Running":
                raise refused.wrong_state(vm.name)
            self.registry.guests.power_off(vm)
            self._set_state(vm, "Reset")
            self._run(vm)

    def suspend(self, vm_id: str) -> None:
        """Suspend-VM: the guest stands still, its memory stays taken. The lab's guest goes on unheard, for a pause is short there."""
        with self.kernel.lock:
            self._guard("Suspend-VM")
            vm = self._vm(vm_id)
            if vm.state != "Running":
                raise refused.wrong_state(vm.name)
            self._set_state(vm, "Paused")

    def resume_vm(self, vm_id: str) -> bool:
        """Resume-VM: of a paused VM alone. False: it runs already, a mere warning."""
        with self.kernel.lock:
            self._guard("Resume-VM")
            vm = self._vm(vm_id)
            if vm.state == "Running":
                return False
            if vm.state != "Paused":
                raise refused.wrong_state(vm.name)
        self._take("resume-vm", vm.id)
        with self.kernel.lock:
            self._set_state(self._vm(vm_id), "Running")
        return True

    # -- what happens to a VM without a cmdlet; the caller holds the lock

    def cut_power(self, vm_id: str) -> None:
        self._power_cut(self._vm(vm_id))

    def set_state(self, vm_id: str, state: str) -> None:
        self._set_state(self._vm(vm_id), state)

    def request_shutdown(self, vm_id: str) -> bool:
        """Msvm_ShutdownComponent.InitiateShutdown: asks the guest and returns at once. False: nobody in there answers."""
        with self.kernel.lock:
            self._guard("InitiateShutdown")
            return self._ask_shutdown(self._vm(vm_id))

    def _ask_shutdown(self, vm: Vm) -> bool:
        if vm.state != "Running" or "Shutdown" in vm.disabled_services or not self.registry.guests.shut_down(vm):
            return False
        self._set_state(vm, "Stopping")
        return True

    # -- what guests ask of the host (interfaces.PowerSwitch); called under the lock

    def powered_off(self, vm_id: str) -> None:
        vm = self.host.vms.get(vm_id)
        if vm is not None:
            self._power_cut(vm)

    def lan_up(self, vm: Vm) -> bool:
        return self.network.lan_up(vm)

    # -- the host's own power

    def cut_all(self) -> None:
        """The host loses its power, and every VM with it; which ones ran is remembered for the start actions."""
        with self.kernel.lock:
            for vm in self.host.vms.values():
                if vm.state not in ("Off", "Saved"):
                    self.registry.guests.power_off(vm)
                    self._set_state(vm, "Off")
                    vm.ran_before_host_stopped = True

    def start_automatically(self) -> None:
        """After the host has booted, VMs start by their start action, each after its delay; one that cannot stays Off."""
        with self.kernel.lock:
            for vm in self.host.vms.values():
                ran, vm.ran_before_host_stopped = vm.ran_before_host_stopped, False
                if vm.start_action == "Start" or (vm.start_action == "StartIfRunning" and ran):
                    self.kernel.after(vm.start_delay_s, f"start action of {vm.name}", partial(self._try_start, vm))

    def _try_start(self, vm: Vm) -> None:
        if vm.id in self.host.vms and vm.state in ("Off", "Saved"):
            try:
                self._begin_start(vm)
            except refused.CmdletError as error:
                self.kernel.note("vm_start_refused", vm.id, id=error.id, message=error.message)

    # -- steps; all with the lock held

    def _begin_start(self, vm: Vm) -> None:
        self._admit(vm)
        for nic in vm.nics:
            self._give_mac(nic)
        resumed = vm.state == "Saved"
        self._set_state(vm, "Starting")
        self.kernel.note("vm_starting", vm.id, name=vm.name)
        self.kernel.after(
            SECONDS["resume-vm" if resumed else "start-vm"], f"{vm.name} starts", lambda: self._started(vm)
        )

    def _started(self, vm: Vm) -> None:
        if vm.state == "Starting" and vm.id in self.host.vms:
            self._run(vm)

    def _run(self, vm: Vm) -> None:
        self._set_state(vm, "Running")
        self.kernel.note("vm_running", vm.id, name=vm.name)
        self.registry.guests.power_on(vm)

    def _admit(self, vm: Vm) -> None:
        """What a start needs: a hypervisor, memory, every file that is attached, MAC addresses of its own."""
        if not self.host.hypervisor_present:
            raise refused.hypervisor_missing(vm.name)
        if self.kernel.injected("worker-failed", vm.name) is not None:
            raise refused.worker_failed(vm.name)
        if self.kernel.injected("no-memory", vm.name) is not None or vm.memory_bytes > self.memory_free_bytes():
            raise refused.no_memory(vm.name, vm.memory_bytes // 1024**2)
        for drive in drives_of(vm):
            if drive.path and self.storage.find(drive.path) is None:
                raise refused.attachment_missing(vm.name, drive.path)
        running = self._running()
        for drive in vm.hard_drives:
            if any(key(other.path) == key(drive.path) for o in running for other in o.hard_drives):
                raise refused.vhd_in_use(drive.path)
        for nic in vm.nics:
            if nic.mac in self._macs_on_air():
                raise refused.mac_collision(vm.name, nic.mac)

    def _running(self) -> list[Vm]:
        return [vm for vm in self.host.vms.values() if vm.state not in ("Off", "Saved")]

    def _macs_on_air(self) -> set[str]:
        """Hyper-V looks at its own running VMs alone (5.6)."""
        return {nic.mac for vm in self._running() for nic in vm.nics}

    def _give_mac(self, nic: VmNic) -> None:
        """A dynamic MAC is drawn from the host's pool of 256 when the adapter first gets power; then it stays."""
        known = {other.mac for vm in self.host.vms.values() for other in vm.nics}
        while nic.mac == DYNAMIC_MAC:
            drawn = f"{MAC_POOL}{self.kernel.random.randrange(256):02X}"
            nic.mac = drawn if drawn not in known else DYNAMIC_MAC

    def _save(self, vm: Vm) -> None:
        """Saved VMs resume as by a cold boot here: the lab keeps no picture of a guest's memory."""
        with self.kernel.lock:
            self._set_state(vm, "Saving")
        self._take("save-vm", vm.id)
        with self.kernel.lock:
            self.registry.guests.power_off(vm)
            self._set_state(vm, "Saved")

    def _power_cut(self, vm: Vm) -> None:
        if vm.state != "Off":
            if vm.state != "Saved":
                self.registry.guests.power_off(vm)
            self._now_off(vm)

    def _now_off(self, vm: Vm) -> None:
        self._set_state(vm, "Off")
        self.kernel.note("vm_off", vm.id, name=vm.name)
        if vm.automatic_checkpoints:
            for drive in vm.hard_drives:
                file = self.storage.find(drive.path)
                if file is not None:
                    file.locked_until = max(file.locked_until, self.kernel.now() + MERGE_S)

    def _set_state(self, vm: Vm, state: str) -> None:
        before, vm.state = vm.state, state
        if (
            state in ("Off", "Saved", "Starting", "Running") and before not in STANDS_STILL
        ):  # Uptime goes on while it stops
            vm.state_since = self.kernel.now()
        self._changed(vm)
