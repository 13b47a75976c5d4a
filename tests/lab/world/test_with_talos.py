"""The host's rules with Talos machines in the VMs: what the one part tells the other, and the checker over both."""

from __future__ import annotations

import pytest

from provisioner.lab.world.faults import inject
from provisioner.lab.world.guests.guests import TalosGuests
from provisioner.lab.world.kube.rules import LabKube
from provisioner.lab.world.world import World
from tests.lab.world.helpers import CLUSTER, Shell, hand_world, new_vm, save_iso, settle

NAMES = ("cp-1", "worker-1", "worker-2", "worker-3")


def talos(world: World) -> TalosGuests:
    kube = LabKube(world.kernel)
    world.kube = kube
    return TalosGuests(world.kernel, world.hyperv.power, kube)


@pytest.fixture
def shell() -> Shell:
    shell = Shell(hand_world(guests=talos, with_external_switch="LAB"))
    save_iso(shell)
    for name in NAMES:
        new_vm(shell, name, Start=True)
    return shell


def ids(shell: Shell) -> list[str]:
    return [vm["Id"] for vm in shell("Get-TalosVM", ClusterId=CLUSTER)]


def test_machines_come_into_maintenance_and_are_found_by_their_mac(shell: Shell) -> None:
    vms = shell("Get-TalosVM", ClusterId=CLUSTER)
    rows = shell("Get-TalosNeighbor", MacAddress=[vm["MacAddress"] for vm in vms], Sweep=True, WaitSeconds=120)
    settle(shell.world, 60)
    guests = shell.world.state.guests
    assert {row["MacAddress"]: row["IPAddress"] for row in rows} == {
        vm["MacAddress"]: guests[vm["Id"]].address for vm in vms
    }
    assert {guest.stage for guest in guests.values()} == {"maintenance"}
    seen = shell("Get-TalosVM")
    assert {vm["Name"]: vm["Heartbeat"] for vm in seen} == {
        **dict.fromkeys(NAMES, "OkApplicationsUnknown"),
        "fileserver": "OkApplicationsHealthy",
    }
    assert all(vm["Addresses"] == [] for vm in seen), "stock Talos reports none"


def test_they_shut_down_when_asked(shell: Shell) -> None:
    settle(shell.world, 120)
    stopped = shell("Stop-TalosVM", Id=ids(shell))
    assert [(vm["State"], vm["Changed"]) for vm in stopped] == [("Off", True)] * 4
    assert shell.world.state.guests == {}
    assert shell.errors == []


def test_a_silent_guest_is_not_cut(shell: Shell) -> None:
    settle(shell.world, 120)
    inject(shell.world, "guest-silent", "worker-2")
    stopped = shell("Stop-TalosVM", Id=ids(shell))
    assert len(stopped) == 3
    assert [record.id for record in shell.errors] == ["VMStopTimeout"]


def test_the_host_restarts_under_them(shell: Shell) -> None:
    settle(shell.world, 120)
    inject(shell.world, "host-reboot", value=60)
    assert shell.world.state.guests == {}
    settle(shell.world, 200)
    assert {guest.stage for guest in shell.world.state.guests.values()} == {"maintenance"}


def test_removed_machines_leave_nothing(shell: Shell) -> None:
    settle(shell.world, 50)
    shell("Remove-TalosVM", Id=ids(shell), ClusterId=CLUSTER)
    settle(shell.world, 5)
    assert shell.errors == []
    assert shell.world.state.guests == {}
    assert [vm["Name"] for vm in shell("Get-TalosVM")] == ["fileserver"]
