"""The thread that moves a running world."""

from __future__ import annotations

import threading

import pytest

from provisioner.lab.world.build import new_world
from tests.lab.world.hand import NullGuests


def test_a_defect_in_what_falls_due_is_shown_and_the_world_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[BaseException | None] = []
    monkeypatch.setattr(threading, "excepthook", lambda what: shown.append(what.exc_value))
    world, later = new_world(guests=NullGuests, rate=1000.0), threading.Event()

    def fail() -> None:
        raise KeyError("a defect")

    world.kernel.after(0, "fails", fail)
    world.kernel.after(1, "later", later.set)
    world.start()
    try:
        assert later.wait(60)
    finally:
        world.stop()
    assert [type(error) for error in shown] == [KeyError]
