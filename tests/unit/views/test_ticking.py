"""Time that passes between events."""

from __future__ import annotations

import asyncio

from provisioner.views.run_view import Ticker


def test_ticks_while_armed_and_not_after_stop() -> None:
    async def go() -> tuple[int, int]:
        ticks, thrice = [], asyncio.Event()

        def tick() -> None:
            ticks.append(1)
            if len(ticks) == 3:
                thrice.set()

        ticker = Ticker(0.0, tick)
        ticker.arm()
        ticker.arm()
        await thrice.wait()
        ticker.stop()
        before = len(ticks)
        ticker.arm()
        for _ in range(5):
            await asyncio.sleep(0)
        return before, len(ticks)

    assert asyncio.run(go()) == (3, 3)


def test_does_nothing_without_a_loop() -> None:
    ticks: list[int] = []
    Ticker(0.0, lambda: ticks.append(1)).arm()
    assert ticks == []
