"""Time that stands still until a test moves it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from provisioner.lab.world.build import new_world
from provisioner.lab.world.interfaces import Guests
from provisioner.lab.world.state import Guest, Vm
from provisioner.lab.world.world import World


class HandClock:
    """A clock that a test moves by hand, with `Kernel.spend`."""

    def __init__(self, start: float = 0.0) -> None:
        self.rate = 1000.0
        self._now = start
        self._wall = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> float:
        return self._now

    def wall(self) -> datetime:
        return self._wall + timedelta(seconds=self._now)

    def move_to(self, when: float) -> None:
        self._now = max(self._now, when)

    def wait(self, condition: threading.Condition, seconds: float) -> None:
        condition.wait(0.01)

    def let_pass(self, condition: threading.Condition, until: float, step: Callable[[float], bool]) -> bool:
        happened = step(until)
        if not happened:
            self.move_to(until)
        condition.notify_all()
        return happened


class NullGuests:
    """Guests that do nothing: a VM runs, answers to nothing, and shows an empty screen. Third-party machines still answer to ARP."""

    def __init__(self, world: World) -> None:
        self._kernel = world.kernel

    def power_on(self, vm: Vm) -> None: ...

    def power_off(self, vm: Vm) -> None: ...

    def shut_down(self, vm: Vm) -> bool:
        return False

    def of(self, vm_id: str) -> Guest | None:
        return self._kernel.state.guests.get(vm_id)

    def heartbeat(self, vm: Vm) -> str:
        return "NoContact"

    def screen(self, vm: Vm) -> list[str]:
        return [vm.name]

    def stations(self) -> list[tuple[str, str]]:
        return [(machine.mac, machine.address) for machine in self._kernel.state.foreign]


def hand_world(*, guests: Callable[[World], Guests] = NullGuests, **options: Any) -> World:
    """A world by such a clock, a second after its host has booted: the foreign VM runs."""
    world = new_world(clock=HandClock(), guests=guests, **options)
    world.kernel.spend(1.0)
    return world
