"""All behaviours: importing an area adds its cmdlets to the table."""

from tests.engine.cmdlets.behaviours import (
    BEHAVIOURS,
    adapters,
    cim,
    drives,
    network,
    reach,
    scheduler,
    shell,
    switches,
    system,
    vms,
    web,
)

__all__ = [
    "BEHAVIOURS",
    "adapters",
    "cim",
    "drives",
    "network",
    "reach",
    "scheduler",
    "shell",
    "switches",
    "system",
    "vms",
    "web",
]
