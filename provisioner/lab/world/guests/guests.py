"""The table of machines under power: how the host and the API servers reach the guests."""

from __future__ import annotations

from provisioner.lab.world.guests import boot, clusters, sequences
from provisioner.lab.world.guests.hardware import ForeignHardware, Hardware
from provisioner.lab.world.guests.machine import Environment, Machine
from provisioner.lab.world.interfaces import PowerSwitch
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.kube.rules import LabKube
from provisioner.lab.world.state import ForeignMachine, Guest, Vm

FOREIGN_VERSION = "v1.11.5"
SCREEN_LINES = 18


def add_foreign(kernel: Kernel, name: str, mac: str, uuid: str, address: str) -> ForeignMachine:
    """A third-party Talos machine appears in the LAN, in maintenance. What is sent to it is kept in `received`."""
    with kernel.lock:
        machine = ForeignMachine(name=name, mac=mac, uuid=uuid, address=address)
        kernel.state.foreign.append(machine)
        kernel.changed("guest", f"foreign:{name}")
        return machine


class TalosGuests:
    """Implements `interfaces.Guests`. Methods are called under the world's lock and return at once."""

    def __init__(self, kernel: Kernel, power: PowerSwitch, kube: LabKube) -> None:
        self.kernel = kernel
        self._power = power
        self._environment = Environment(kernel, kube)
        self._kube_due = False
        with kernel.lock:
            kernel.watch(self._look)
            self._adopt_foreign()

    # -- interfaces.Guests

    def power_on(self, vm: Vm) -> None:
        self._switch_on(Hardware(self.kernel, self._power, vm))

    def power_off(self, vm: Vm) -> None:
        machine = self._environment.machines.pop(vm.id, None)
        if machine is not None:
            machine.stop_all()
            clusters.changed(self._environment)

    def shut_down(self, vm: Vm) -> bool:
        machine = self._environment.machines.get(vm.id)
        if machine is None or self.kernel.injected("guest-silent", vm.name) is not None:
            return False
        if machine.guest is None and not machine.other_system:
            return False
        if machine.guest is None:
            self.kernel.after(5, f"{vm.name}: shuts down", lambda: self._power.powered_off(vm.id))
        elif machine.guest.stage != "shutting down":
            sequences.shut_down(machine)
        return True

    def of(self, vm_id: str) -> Guest | None:
        machine = self._environment.machines.get(vm_id)
        return machine.guest if machine is not None else None

    def heartbeat(self, vm: Vm) -> str:
        """Talos' kernel has the heartbeat driver, but no agent that would speak for applications."""
        machine = self._environment.machines.get(vm.id)
        if machine is not None and machine.other_system:
            return "OkApplicationsHealthy"
        return "OkApplicationsUnknown" if machine is not None and machine.guest is not None else "NoContact"

    def screen(self, vm: Vm) -> list[str]:
        machine = self._environment.machines.get(vm.id)
        return _screen(machine) if machine is not None else []

    def stations(self) -> list[tuple[str, str]]:
        found = []
        for machine in self._environment.machines.values():
            if machine.reachable:
                found += [(machine.hardware.mac, address) for address in clusters.addresses(machine)]
            elif machine.other_address and machine.hardware.lan_up():
                found.append((machine.hardware.mac, machine.other_address))
        return found

    # -- for those who serve the machines' API

    def machine(self, owner: str) -> Machine | None:
        """The machine of that owner if it is under power."""
        return self._environment.machines.get(owner)

    def machines(self) -> list[Machine]:
        return list(self._environment.machines.values())

    # -- inside

    def _switch_on(self, hardware: Hardware) -> None:
        machine = Machine(self._environment, hardware)
        self._environment.machines[machine.owner] = machine
        machine.note("power_on")
        machine.run("boot", boot.cold(machine))

    def _adopt_foreign(self) -> None:
        for foreign in self.kernel.state.foreign:
            if f"foreign:{foreign.name}" not in self._environment.machines:
                self._switch_on(ForeignHardware(self.kernel, self._power, foreign, FOREIGN_VERSION))

    def _look(self, topic: str, key: str) -> None:
        """Others changed something that machines depend on."""
        if topic == "guest" and key.startswith("foreign:"):
            self._adopt_foreign()
        elif topic == "kube" and not self._kube_due:
            # Changes there come in swarms: one look for all of them.
            self._kube_due = True
            self.kernel.after(0, "machines look at Kubernetes", self._look_at_kube)
        elif topic in ("switch", "link", "vm", "host"):
            self._look_at_links()

    def _look_at_kube(self) -> None:
        self._kube_due = False
        for machine in self.machines():
            if machine.guest is not None and machine.config is not None:
                machine.look_at_kube()

    def _look_at_links(self) -> None:
        moved = False
        for machine in self.machines():
            up = machine.hardware.lan_up()
            if machine.guest is not None and machine.guest.reachable != up:
                machine.guest.reachable = up
                machine.changed()
                moved = True
        if moved:
            clusters.changed(self._environment)


def _screen(machine: Machine) -> list[str]:
    """The firmware's words, then Talos' dashboard on the first console."""
    talos = machine.guest
    if talos is None:
        return list(machine.screen)
    uptime = int(machine.kernel.now() - talos.booted)
    kind = "controlplane" if machine.control_plane else "worker" if machine.config is not None else "unknown"
    size = f"{machine.hardware.cpus} cores, {talos.memory_bytes // 2**20} MiB"
    return [
        f"{talos.hostname or '(no host name)'} ({talos.version}): uptime {uptime // 60}m{uptime % 60}s, {size}",
        f"UUID    {talos.uuid}",
        f"TYPE    {kind}    STAGE {talos.stage}    READY {talos.ready}",
        f"IP      {talos.address or '(none)'}",
        "",
        *(f"{when - talos.booted:9.3f} {line}" for when, _date, line in machine.log[-SCREEN_LINES:]),
    ]
