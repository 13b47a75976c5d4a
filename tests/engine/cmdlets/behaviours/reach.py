"""Test-Connection and Test-NetConnection, and what it means to reach somebody on the LAN."""

from __future__ import annotations

from collections.abc import Iterable

from provisioner.lab.world.network import ROUTER_MAC
from tests.engine.cmdlets.behaviours import Environment, behaviour
from tests.engine.cmdlets.behaviours.network_rows import with_ip
from tests.engine.cmdlets.call import Call

PING_S, TCP_FAILS_S = 1.0, 20.0
"""A ping that nobody answers; Test-NetConnection on a closed port."""
TALOS_PORT = 50000


def answers(around: Environment, addresses: Iterable[str]) -> set[str]:
    """Sends a packet to each address; which of them answered. The host's table learns from it."""
    asked = set(addresses)
    around.world.network.touch(asked)
    with around.kernel.lock:
        if not around.world.network.has_gateway():
            return set()
        if around.world.state.lan.gateway in asked:
            around.world.network.heard_from(ROUTER_MAC, around.world.state.lan.gateway)
        stations = {address for dashed_mac, address in around.world.guests.stations()}
        own = {address.split("/")[0] for adapter in with_ip(around) for address in adapter.addresses}
        return asked & (stations | own | {around.world.state.lan.gateway})


@behaviour("Test-Connection", "TargetName Count TimeoutSeconds Quiet TcpPort")
def test_connection(call: Call, around: Environment) -> None:
    for target in (str(name) for name in call.items("TargetName")):
        if "TcpPort" in call:
            call.out_plain(_tcp(around, target, int(call.get("TcpPort"))))
            continue
        reached = False
        for ping in range(1, call.get("Count", 4) + 1):
            reached = bool(answers(around, [target])) or reached
            if not reached:
                call.spend(call.get("TimeoutSeconds", 5))
            if not call.switch("Quiet"):
                status = "Success" if reached else "TimedOut"
                said = {"Ping": ping, "Source": around.host.name, "Destination": target, "Address": target}
                call.out("PingStatus", {**said, "Latency": 1 if reached else 0, "Status": status})
        if call.switch("Quiet"):
            call.out_plain(reached)


@behaviour("Test-NetConnection", "ComputerName Port CommonTCPPort InformationLevel")
def test_net_connection(call: Call, around: Environment) -> None:
    target = call.text("ComputerName", "internetbeacon.msedge.net")
    port = call.get("Port") or {"HTTP": 80, "RDP": 3389, "SMB": 445, "WINRM": 5985}.get(call.text("CommonTCPPort"), 0)
    pinged = bool(answers(around, [target]))
    open_port = bool(port) and _tcp(around, target, port)
    if not pinged:
        call.spend(PING_S)
        call.warning(f"Ping to {target} failed with status: TimedOut")
    if port and not open_port:
        call.spend(TCP_FAILS_S)
        call.warning(f"TCP connect to ({target} : {port}) failed")
    if call.get("InformationLevel") == "Quiet":
        call.out_plain(open_port if port else pinged)
        return
    out = next((adapter for adapter in with_ip(around) if adapter.gateway and adapter.addresses), None)
    call.out(
        "TestNetConnectionResult",
        {
            "ComputerName": target,
            "RemoteAddress": target,
            "RemotePort": port,
            "InterfaceAlias": out.name if out else "",
            "SourceAddress": out.addresses[0].split("/")[0] if out else "",
            "PingSucceeded": pinged,
            "TcpTestSucceeded": open_port,
        },
    )


def _tcp(around: Environment, address: str, port: int) -> bool:
    """Of the LAN the world knows one open port: that of Talos' API."""
    if not answers(around, [address]) or port != TALOS_PORT:
        return False
    with around.kernel.lock:
        state = around.world.state
        guests = {guest.address for guest in state.guests.values() if guest.api != "closed"}
        return address in guests | {machine.address for machine in state.foreign}
