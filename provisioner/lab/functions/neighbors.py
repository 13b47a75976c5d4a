"""Get-TalosNeighbor: at which address the host has seen a MAC."""

from __future__ import annotations

from collections.abc import Iterator

from provisioner.lab.functions.call import Arguments, Call, Result, bare_mac
from provisioner.lab.world.network import Neighbor

SURENESS = {"Reachable": 0, "Permanent": 1, "Delay": 2, "Probe": 3, "Stale": 4}
"""States of a row that maps a MAC to an address; Unreachable and Incomplete tell nothing."""
PAUSE_S = 2.0


def get_neighbor(call: Call, arguments: Arguments) -> Iterator[Result]:
    kernel, network = call.kernel, call.world.network
    macs = list(dict.fromkeys(bare_mac(text) for text in arguments["MacAddress"]))
    until = kernel.now() + arguments["WaitSeconds"]
    known: dict[str, set[str]] = {}
    while True:
        if arguments["Sweep"]:
            network.sweep()
        kernel.spend(0.1)
        rows = _rows(network.neighbors(), macs)
        if arguments["WaitSeconds"] <= 0:
            yield from map(_result, rows)
            return
        for row in rows:
            if row.address not in known.setdefault(row.mac, set()):
                known[row.mac].add(row.address)
                yield _result(row)
        if len(known) == len(macs) or kernel.now() >= until:
            return
        kernel.wait_for(call.streams.stopping.is_set, PAUSE_S)
        if call.streams.stopping.is_set():
            return


def _rows(table: list[Neighbor], macs: list[str]) -> list[Neighbor]:
    """By MAC in the order given, the surest state first."""
    sure = [row for row in table if row.state in SURENESS and row.mac in macs]
    return sorted(sure, key=lambda row: (macs.index(row.mac), SURENESS[row.state], row.address))


def _result(row: Neighbor) -> Result:
    return {
        "MacAddress": row.mac,
        "IPAddress": row.address,
        "State": row.state,
        "InterfaceAlias": row.interface,
    }
