"""Dates of the world, as cmdlets show them."""

from __future__ import annotations

from datetime import datetime, timedelta

from tests.engine.cmdlets.behaviours import Environment


def host_now(around: Environment) -> datetime:
    """What the host's clock shows, UTC: it may be ahead of the true time."""
    return around.kernel.clock.wall() + timedelta(seconds=around.kernel.state.host.clock_skew_s)


def iso(around: Environment, moment: float) -> str:
    """The host's date at a moment of the world, ISO 8601."""
    return (host_now(around) - timedelta(seconds=around.kernel.now() - moment)).isoformat()
