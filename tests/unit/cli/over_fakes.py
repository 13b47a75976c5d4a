"""The command line over fakes, as a program: `python -m tests.unit.cli.over_fakes down home`. The cluster home is up. At the end, whatever
the end is, `after.json` tells what became of the host.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provisioner.__main__ import main
from provisioner.cli import loading
from provisioner.compose import Context
from provisioner.ports import Ports
from tests.fakes.world import FakeWorld
from tests.unit.steps.world import HOST, observed_of

FILE = f"""\
version: 1
hosts: {{{HOST}: {{address: hv01.lan, user: provision}}}}
switch: {{name: LAB, adapter: Ethernet}}
machines: {{control_planes: 1, workers: 1}}
"""

AFTER = "after.json"
READS = frozenset({"observe", "find_switch", "find_image", "find_vms", "find_neighbors", "watch_neighbors", "console"})
"""Calls that change nothing."""


class Home:
    """The world, made when the first command opens it."""

    def __init__(self) -> None:
        self.world: FakeWorld | None = None

    def open_ports(self, context: Context, **_: Callable[..., Any]) -> Ports:
        if self.world is None:
            self.world = FakeWorld(context.cluster, observed_of({"all": "up"}, context.cluster))
        return self.world.ports

    def tell(self) -> None:
        host = self.world.host if self.world is not None else None
        told = {
            "vms": sorted(vm.name for vm in host.vms.values()) if host else [],
            "calls": [call.name for call in host.calls if call.name not in READS] if host else [],
        }
        Path(AFTER).write_text(json.dumps(told))


if __name__ == "__main__":
    home = Home()
    setattr(loading, "open_ports", home.open_ports)
    try:
        main()
    finally:
        home.tell()
