"""The host loses its power at any moment of a switch's making and removal: after it the host answers, and the same call again works."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from provisioner.lab.world import durable
from provisioner.lab.world.faults import inject
from provisioner.lab.world.world import World
from tests.lab.world.checker import check
from tests.lab.world.helpers import CLUSTER, Shell, hand_world, settle

MARK = f"provision/1 cluster={CLUSTER} machine=switch:LAB"
NEW: dict[str, Any] = {"Name": "LAB", "NetAdapterName": "Ethernet", "Mark": MARK}
DAMAGE = ("switch-offline", "switch-public", "switch-dns", "switch-bind", "switch-outage")


def snapshots(world: World, seconds: int) -> list[dict[str, Any]]:
    """Everything different that a kill would leave in that time: at each change of the world, and after each half second."""
    kept: list[dict[str, Any]] = []

    def keep(_topic: str = "", _key: str = "") -> None:
        found = json.loads(json.dumps(durable.snapshot(world.kernel)))
        if not kept or found["state"]["host"] != kept[-1]["state"]["host"]:
            kept.append(found)

    with world.kernel.lock:
        stop = world.kernel.watch(keep)
    for _ in range(2 * seconds):
        world.kernel.spend(0.5)
        keep()
    with world.kernel.lock:
        stop()
    return kept


def booted(kept: dict[str, Any]) -> Shell:
    """The host after the cut: reachable, with its network whole."""
    again = hand_world(state=durable.restore(copy.deepcopy(kept)))
    assert check(again.state) == []
    assert again.state.lan.link.up
    assert again.network.has_gateway()
    assert all(a.dns_servers and a.category == "Private" for a in again.network.adapters() if a.gateway)
    return Shell(again)


def made(shell: Shell) -> None:
    job = shell.one("New-TalosSwitch", **NEW, Retry=True)
    settle(shell.world, 30)
    if job["JobState"] == "Running":
        shell("Confirm-TalosSwitch", Name="LAB", JobId=job["JobId"])
    found = shell.one("Get-TalosSwitch", Name="LAB")
    assert (found["Addresses"], found["Gateway"]) == (["192.0.2.10/24"], "192.0.2.1")


def removed(shell: Shell) -> None:
    shell("Remove-TalosSwitch", Name="LAB", ClusterId=CLUSTER)
    settle(shell.world, 30)
    assert not shell.one("Get-TalosSwitch", Name="LAB")["Exists"]
    adapter = shell.world.state.host.adapters[0]
    assert (adapter.addresses, adapter.gateway, adapter.dns_servers) == (
        ["192.0.2.10/24"],
        "192.0.2.1",
        ["192.0.2.1"],
    )


@pytest.mark.parametrize("damage", ["", *DAMAGE])
def test_while_a_switch_is_made(damage: str) -> None:
    world = hand_world()
    if damage:
        inject(world, damage, "LAB")
    Shell(world)("New-TalosSwitch", **NEW)
    moments = snapshots(world, 100)
    assert len(moments) >= 3
    for kept in moments:
        made(booted(kept))
        removed(booted(kept))


def test_while_a_switch_is_removed() -> None:
    world = hand_world()
    made(Shell(world))
    Shell(world)("Remove-TalosSwitch", Name="LAB", ClusterId=CLUSTER)
    moments = snapshots(world, 100)
    assert len(moments) >= 3
    for kept in moments:
        removed(booted(kept))
        made(booted(kept))


@pytest.mark.parametrize("work", ["made", "removed"])
@pytest.mark.parametrize("after_s", [2.0, 6.0, 9.0])
def test_a_restart_in_the_middle_ends_what_was_begun(work: str, after_s: float) -> None:
    """What the boot before had begun does not go on in the next: no adapter gets settings that are another's by now."""
    world = hand_world()
    shell = Shell(world)
    if work == "removed":
        made(shell)
        inject(world, "switch-outage", "LAB", value=120)
        shell("Remove-TalosSwitch", Name="LAB", ClusterId=CLUSTER)
    else:
        inject(world, "switch-outage", "LAB", value=120)
        shell("New-TalosSwitch", **NEW)
    world.kernel.spend(after_s)
    world.reboot_host(10)
    settle(world, 11)
    assert world.network.has_gateway()
    made(shell)
    settle(world, 200)
    assert shell.one("Get-TalosSwitch", Name="LAB")["Gateway"] == "192.0.2.1"
