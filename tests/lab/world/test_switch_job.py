"""The detached job of the switch: confirmed, watched, undone, lost; and what a second call says."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.lab.world.faults import inject
from provisioner.lab.world.world import World
from tests.lab.world.helpers import Shell, hand_world, new_vm, save_iso, settle

CLUSTER = "6f9d0c52"
MARK = f"provision/1 cluster={CLUSTER} machine=switch:LAB"
NEW: dict[str, Any] = {"Name": "LAB", "NetAdapterName": "Ethernet", "Mark": MARK}


@pytest.fixture
def world() -> World:
    return hand_world()


@pytest.fixture
def shell(world: World) -> Shell:
    return Shell(world)


def link_up(world: World) -> bool:
    return world.state.lan.link.up


def job(shell: Shell, name: str = "LAB") -> tuple[str, str]:
    found = shell.one("Get-TalosSwitch", Name=name)
    return found["JobKind"], found["JobState"]


def test_it_returns_at_once_and_goes_on_without_the_caller(world: World, shell: Shell) -> None:
    begun = world.kernel.now()
    made = shell.one("New-TalosSwitch", **NEW)
    assert world.kernel.now() - begun < 1
    assert (made["Exists"], made["JobKind"], made["JobState"], made["Changed"]) == (False, "New", "Running", True)
    assert world.state.lan.link.up, "the answer still gets through"
    settle(world, 20)
    found = shell.one("Get-TalosSwitch", Name="lab")
    assert (found["Kind"], found["Adapter"], found["AllowManagementOS"]) == ("External", "Ethernet", True)
    assert (found["Addresses"], found["Gateway"], found["Notes"]) == (["192.0.2.10/24"], "192.0.2.1", MARK)
    assert found["JobState"] == "Running"
    confirmed = shell.one("Confirm-TalosSwitch", Name="LAB", JobId=made["JobId"])
    assert (confirmed["JobState"], confirmed["Changed"]) == ("Done", True)
    again = shell.one("Confirm-TalosSwitch", Name="LAB", JobId=made["JobId"])
    assert (again["JobState"], again["Changed"]) == ("Done", False)
    kept = shell.one("New-TalosSwitch", **NEW)
    assert (kept["Changed"], kept["JobId"]) == (False, made["JobId"])
    assert world.tasks.get("\\TalosHyperV\\Switch LAB") is None


def test_without_a_confirmation_it_is_done_when_the_host_has_its_gateway(world: World, shell: Shell) -> None:
    shell("New-TalosSwitch", **NEW)
    settle(world, 60)
    assert job(shell) == ("New", "Running")
    settle(world, 60)
    assert job(shell) == ("New", "Done")


def test_a_switch_that_is_not_shared_takes_the_host_off_and_is_undone(world: World, shell: Shell) -> None:
    made = shell.one("New-TalosSwitch", **NEW, AllowManagementOS=False)
    settle(world, 60)
    assert shell.one("Get-TalosSwitch", Name="LAB")["Addresses"] == []
    assert not link_up(world)
    settle(world, 100)
    assert job(shell) == ("New", "Undone")
    assert link_up(world)
    assert shell.one("Get-TalosSwitch", Name="LAB")["JobId"] == made["JobId"]


def test_a_host_without_gateway_gets_its_old_network_back(world: World, shell: Shell) -> None:
    before = world.state.host.adapters[0].__dict__.copy()
    inject(world, "switch-offline", "LAB")
    shell("New-TalosSwitch", **NEW, WatchdogSeconds=90)
    settle(world, 95)
    assert not link_up(world)
    settle(world, 60)
    assert job(shell) == ("New", "Undone")
    assert link_up(world)
    assert world.state.host.adapters[0].__dict__ == before
    refused = shell.refused("New-TalosSwitch", **NEW)
    assert (refused.id, refused.category, refused.target) == ("SwitchUndone", "OperationStopped", "LAB")
    assert shell.one("New-TalosSwitch", **NEW, Retry=True)["JobState"] == "Running"


def test_what_the_move_has_lost_is_repaired(world: World, shell: Shell) -> None:
    inject(world, "switch-public", "LAB")
    inject(world, "switch-dns", "LAB")
    shell("New-TalosSwitch", **NEW)
    settle(world, 30)
    found = shell.one("Get-TalosSwitch", Name="LAB")
    assert (found["NetworkCategory"], found["DnsServers"]) == ("Private", ["192.0.2.1"])
    assert link_up(world)


def test_a_failed_bind_is_the_jobs_result(world: World, shell: Shell) -> None:
    inject(world, "switch-bind", "LAB")
    shell("New-TalosSwitch", **NEW)
    settle(world, 30)
    found = shell.one("Get-TalosSwitch", Name="LAB")
    assert (found["Exists"], found["JobState"], found["JobErrorId"]) == (False, "Failed", "HyperV.ObjectNotFound")
    assert "0x80070490" in found["JobMessage"]


def test_a_job_dies_with_the_host(world: World, shell: Shell) -> None:
    shell("New-TalosSwitch", **NEW)
    settle(world, 1)
    inject(world, "host-reboot", value=30)
    settle(world, 300)
    found = shell.one("Get-TalosSwitch", Name="LAB")
    assert (found["Exists"], found["JobState"], found["JobErrorId"]) == (False, "Failed", "SwitchJobLost")
    assert shell.one("New-TalosSwitch", **NEW)["JobState"] == "Running"


def test_one_job_at_a_time(shell: Shell) -> None:
    shell("New-TalosSwitch", **NEW)
    refused = shell.refused("New-TalosSwitch", **NEW)
    assert (refused.id, refused.category) == ("SwitchJobRunning", "ResourceBusy")


@pytest.mark.parametrize(
    ("given", "id", "category", "target"),
    [
        ({"NetAdapterName": "eth0"}, "SwitchAdapterNotFound", "ObjectNotFound", "eth0"),
        ({"NetAdapterName": "Wi-Fi"}, "SwitchAdapterWifi", "InvalidType", "Wi-Fi"),
        ({"Name": "office"}, "SwitchOtherKind", "InvalidType", "office"),
        ({"Name": "Default Switch"}, "SwitchOtherKind", "InvalidType", "Default Switch"),
    ],
)
def test_refusals(shell: Shell, given: dict[str, Any], id: str, category: str, target: str) -> None:
    refused = shell.refused("New-TalosSwitch", **{**NEW, **given})
    assert (refused.id, refused.category, refused.target) == (id, category, target)


def test_refusals_about_another_external_switch() -> None:
    shell = Shell(hand_world(with_external_switch="theirs"))
    assert shell.refused("New-TalosSwitch", **NEW).id == "SwitchAdapterBound"
    for other in ("Ethernet 2", "eth0"):
        assert shell.refused("New-TalosSwitch", Name="theirs", NetAdapterName=other).id == "SwitchOnOtherAdapter"


def test_it_takes_an_administrator(world: World) -> None:
    refused = Shell(world, user="operator").refused("New-TalosSwitch", **NEW)
    assert (refused.id, refused.category) == ("NotAdministrator", "PermissionDenied")


def test_a_confirmation_of_another_job(shell: Shell) -> None:
    shell("New-TalosSwitch", **NEW)
    refused = shell.refused("Confirm-TalosSwitch", Name="LAB", JobId="another")
    assert (refused.id, refused.category, refused.target) == ("SwitchJobNotFound", "ObjectNotFound", "another")


def test_removal_is_a_job_too_and_only_of_what_is_ours_and_unused(world: World, shell: Shell) -> None:
    assert shell.one("Remove-TalosSwitch", Name="LAB", ClusterId=CLUSTER)["Changed"] is False, "not there is success"
    made = shell.one("New-TalosSwitch", **NEW)
    settle(world, 30)
    shell("Confirm-TalosSwitch", Name="LAB", JobId=made["JobId"])
    refused = shell.refused("Remove-TalosSwitch", Name="LAB", ClusterId="another")
    assert (refused.id, refused.category) == ("SwitchNotOurs", "PermissionDenied")
    save_iso(shell)
    vm = new_vm(shell)
    refused = shell.refused("Remove-TalosSwitch", Name="LAB", ClusterId=CLUSTER)
    assert (refused.id, refused.category) == ("SwitchInUse", "ResourceBusy")
    shell("Remove-TalosVM", Id=[vm["Id"]], ClusterId="6f9d0c52")
    assert shell.one("Remove-TalosSwitch", Name="LAB", ClusterId=CLUSTER)["JobState"] == "Running"
    settle(world, 30)
    found = shell.one("Get-TalosSwitch", Name="LAB")
    assert (found["Exists"], found["JobId"]) == (False, "")
    assert not world.storage.exists("C:\\Program Files\\TalosHyperV"), "nothing of a removal without a word is left"
    assert world.state.host.adapters[0].addresses == ["192.0.2.10/24"]
