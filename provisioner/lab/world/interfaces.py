"""What the parts of the world ask of each other. The host's rules know guests only by this, and the guests' rules the host."""

from __future__ import annotations

from typing import Protocol

from provisioner.lab.world.state import Guest, Vm


class Guests(Protocol):
    """What runs inside VMs. All methods are called under the world's lock and return at once."""

    def power_on(self, vm: Vm) -> None:
        """The VM got power: firmware, then whatever its boot order finds."""

    def power_off(self, vm: Vm) -> None:
        """The power is cut: whatever ran is gone."""

    def shut_down(self, vm: Vm) -> bool:
        """The host's shutdown service asks the guest. False: nothing in there answers. Else the guest powers off later, by
        `PowerSwitch.powered_off`.
        """

    def of(self, vm_id: str) -> Guest | None: ...

    def heartbeat(self, vm: Vm) -> str:
        """VMHeartbeatStatus as a word."""

    def screen(self, vm: Vm) -> list[str]:
        """What the VM's screen shows, as lines of text."""

    def stations(self) -> list[tuple[str, str]]:
        """(bare MAC, address) of everything on the LAN that would answer to ARP now, foreign machines included."""


class PowerSwitch(Protocol):
    """What guests ask of the host. Called under the world's lock."""

    def powered_off(self, vm_id: str) -> None:
        """The guest switched its VM off: the host takes the power, and tells the guests by `Guests.power_off`."""

    def lan_up(self, vm: Vm) -> bool:
        """Whether the VM's network adapter reaches the LAN: connected to an External switch whose adapter has link."""
