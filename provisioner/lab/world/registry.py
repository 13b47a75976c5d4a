"""What the host's rules ask of the rest of the world: what runs in the VMs, what keeps the Kubernetes clusters."""

from __future__ import annotations

from dataclasses import dataclass, field

from provisioner.lab.world.interfaces import Guests, KubeRules
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import Guest, Vm


class NullGuests:
    """Guests that do nothing: a VM runs, answers to nothing, and shows an empty screen. Foreign machines still answer to ARP."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def power_on(self, vm: Vm) -> None: ...

    def power_off(self, vm: Vm) -> None: ...

    def shut_down(self, vm: Vm) -> bool:  # noqa: ARG002 - nothing answers
        return False

    def of(self, vm_id: str) -> Guest | None:
        return self._kernel.state.guests.get(vm_id)

    def heartbeat(self, vm: Vm) -> str:  # noqa: ARG002 - nothing answers
        return "NoContact"

    def screen(self, vm: Vm) -> list[str]:
        return [vm.name]

    def stations(self) -> list[tuple[str, str]]:
        return [(machine.mac, machine.address) for machine in self._kernel.state.foreign]


@dataclass
class Registry:
    """What is plugged into the host's rules."""

    kernel: Kernel
    guests: Guests = field(init=False)
    kube: KubeRules | None = None

    def __post_init__(self) -> None:
        self.guests = NullGuests(self.kernel)
