"""Time that passes between events."""

from __future__ import annotations

import asyncio

from provisioner.views.ticking import Ticker


def test_ticks_while_armed_and_not_after_stop() -> None:
    ticks: list[int] = []

    async def go() -> tuple[int, int]:
        ticker = Ticker(0.0, lambda: ticks.append(1))
        ticker.arm()
        ticker.arm()
        while len(ticks) < 3:
            await asyncio.sleep(0)
        ticker.stop()
        before = len(ticks)
        ticker.arm()
        for _ in range(5):
            await asyncio.sleep(0)
        return before, len(ticks)

    before, after = asyncio.run(go())
    assert before == after


def test_does_nothing_without_a_loop() -> None:
    ticks: list[int] = []
    Ticker(0.0, lambda: ticks.append(1)).arm()
    assert ticks == []
