"""Lives of machines by a hand clock: from power to running, and the ways it goes wrong. Numbers: facts/talos.md 3 and 4."""

from __future__ import annotations

import pytest
import yaml

from provisioner.lab.world.guests.guests import add_foreign
from provisioner.lab.world.state import HardDrive, HostFile, InstalledSystem, Vhd
from tests.lab.machines.clusters import INSTALLER, Cluster
from tests.lab.machines.helpers import GIB, Lan

HOURS = 3600.0


# --- firmware and media ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_an_empty_disk_leads_to_the_iso_and_to_maintenance_within_a_minute(seed: int) -> None:
    lan = Lan(seed)
    vm = lan.start("a")
    assert lan.guests.of(vm.id) is None, "nothing runs while the firmware is at work"
    assert lan.kernel.wait_for(lambda: "maintenance" in {g.stage for g in lan.kernel.state.guests.values()}, 90)
    assert 20 <= lan.kernel.now() <= 60
    guest = lan.guest(vm)
    assert (guest.booted_from, guest.version, guest.api) == ("iso", "v1.11.5", "maintenance")
    assert "talos.halt_if_installed=1" in guest.cmdline
    assert guest.uuid == vm.bios_uuid.lower()


def test_network_first_in_the_boot_order_costs_about_a_minute(lan: Lan) -> None:
    lan.start("a", boot_order=("network:0", "disk:0:0", "dvd:0:1"))
    assert lan.kernel.wait_for(lambda: bool(lan.noted("maintenance")), 300)
    assert 75 <= lan.kernel.now() <= 130


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"secure_boot": True}, "not allowed"),
        ({"dvd_drives": []}, "No operating system was loaded"),
    ],
)
def test_what_cannot_boot_stays_in_the_firmware_and_says_so(lan: Lan, change: dict[str, object], said: str) -> None:
    vm = lan.start("a", **change)
    lan.advance(HOURS)
    assert lan.guests.of(vm.id) is None
    assert said in "\n".join(lan.guests.screen(vm))
    assert lan.guests.heartbeat(vm) == "NoContact"
    assert lan.guests.shut_down(vm) is False, "nobody in there answers the shutdown service"


def test_a_vm_that_never_boots(lan: Lan) -> None:
    lan.inject("vm-never-boots", "a")
    stuck, other = lan.start("a"), lan.start("b")
    lan.advance(HOURS)
    assert lan.guests.of(stuck.id) is None
    assert lan.guest(other).stage == "maintenance"


def test_heartbeat_and_screen_follow_the_guest(lan: Lan) -> None:
    (vm,) = lan.to_maintenance("a")
    assert lan.guests.heartbeat(vm) == "OkApplicationsUnknown", "no agent speaks for applications"
    screen = "\n".join(lan.guests.screen(vm))
    assert "STAGE maintenance" in screen
    assert lan.guest(vm).address in screen


def test_somebody_elses_system_runs_and_answers_but_is_no_talos(lan: Lan) -> None:
    vm = lan.add("fileserver")
    lan.disk(vm).other_system = "Windows Server 2019"
    lan.power_on(vm)
    lan.advance(120)
    assert lan.guests.of(vm.id) is None
    assert lan.guests.heartbeat(vm) == "OkApplicationsHealthy"
    assert [mac for mac, _ in lan.guests.stations()] == [vm.nics[0].mac]
    assert lan.guests.shut_down(vm)
    lan.advance(30)
    assert vm.state == "Off"


# --- addresses ------------------------------------------------------------------------------------------------------


def test_a_returning_mac_keeps_its_address_unless_the_router_moves_it(lan: Lan) -> None:
    (vm,) = lan.to_maintenance("a")
    first = lan.guest(vm).address
    lan.power_off(vm)
    assert lan.guests.stations() == []
    lan.power_on(vm)
    lan.advance(70)
    assert lan.guest(vm).address == first
    lan.inject("lease-moves", "a")
    lan.power_off(vm)
    lan.power_on(vm)
    lan.advance(70)
    assert lan.guest(vm).address not in ("", first)


def test_a_reserved_address_wins_over_a_moving_lease(lan: Lan) -> None:
    vm = lan.add("a")
    lan.kernel.state.lan.reserved[vm.nics[0].mac] = "192.0.2.50"
    lan.inject("lease-moves", "a")
    lan.power_on(vm)
    lan.advance(70)
    assert lan.guest(vm).address == "192.0.2.50"


def test_the_maintenance_key_changes_when_the_clock_is_set(lan: Lan) -> None:
    lan.inject("time-not-synced", "a", value=20)
    (vm,) = lan.to_maintenance("a")
    assert lan.guest(vm).time_synced
    assert lan.guest(vm).key_generation == 2


def test_without_link_there_is_no_address_until_it_comes(lan: Lan) -> None:
    vm = lan.add("a")
    lan.unplugged.add(vm.id)
    lan.power_on(vm)
    lan.advance(600)
    assert (lan.guest(vm).stage, lan.guest(vm).address) == ("maintenance", "")
    assert lan.guests.stations() == []
    lan.unplugged.clear()
    lan.kernel.changed("switch")
    lan.advance(10)
    assert lan.guests.stations() == [(vm.nics[0].mac, lan.guest(vm).address)]


# --- install --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_install_writes_the_disk_and_goes_on_by_kexec_past_the_iso(seed: int, cluster: Cluster) -> None:
    lan = Lan(seed)
    (vm,) = lan.to_maintenance("a")
    before, config = lan.guest(vm).boot_id, cluster.config("controlplane", "cp")
    vm.boot_order[:] = ["dvd:0:1", "disk:0:0"]
    began = lan.kernel.now()
    lan.apply(vm, config)
    lan.advance(2)
    assert (lan.guest(vm).stage, lan.guest(vm).api) == ("installing", "closed")
    assert lan.kernel.wait_for(lambda: bool(lan.noted("install_done")), 200)
    assert 27 <= lan.kernel.now() - began <= 121
    assert lan.guest(vm).stage == "rebooting"
    lan.advance(45)
    guest = lan.guest(vm)
    assert (guest.booted_from, guest.halted, guest.hostname) == ("disk", False, "cp")
    assert "halt_if_installed" not in guest.cmdline
    assert guest.boot_id != before
    system = lan.disk(vm).system
    assert system is not None
    assert (system.version, system.config) == ("v1.11.5", config)
    assert vm.boot_order[0] == "file", "the installer's own boot entry comes first"


@pytest.mark.parametrize(
    ("install", "within"),
    [
        ({"disk": "/dev/nvme0n1", "image": "ghcr.io/siderolabs/installer:v1.11.5"}, 180),
        ({"disk": "/dev/sda", "image": "registry.invalid/installer:v1.11.5"}, 1400),
    ],
    ids=["no such disk", "image that cannot be pulled"],
)
def test_an_install_that_fails_ends_in_maintenance_again(
    lan: Lan, cluster: Cluster, install: dict[str, str], within: float
) -> None:
    (vm,) = lan.to_maintenance("a")
    before = lan.guest(vm).boot_id
    document = cluster.document("controlplane")
    document["machine"]["install"] = install
    lan.apply(vm, yaml.safe_dump(document).encode())
    assert lan.kernel.wait_for(lambda: lan.noted("maintenance") == [vm.id, vm.id], within)
    assert lan.guest(vm).boot_id != before
    assert lan.disk(vm).system is None
    if ".invalid" in install["image"]:
        assert lan.kernel.now() > 20 * 60, "Talos retries its own pull for 20 minutes"


def test_the_installer_cannot_write_then_the_second_try_succeeds(lan: Lan, cluster: Cluster) -> None:
    (vm,) = lan.to_maintenance("a")
    lan.inject("install-fails", "a")
    lan.apply(vm, cluster.config("controlplane"))
    assert lan.kernel.wait_for(lambda: len(lan.noted("maintenance")) == 2, 300)
    lan.installed(vm, cluster.config("controlplane"))


def test_power_lost_while_the_disk_is_written_leaves_no_system(lan: Lan, cluster: Cluster) -> None:
    (vm,) = lan.to_maintenance("a")
    lan.disk(vm).other_system = "something"
    lan.apply(vm, cluster.config("controlplane"))
    assert lan.kernel.wait_for(lambda: lan.disk(vm).other_system == "", 100), "the disk is wiped"
    lan.power_off(vm)
    lan.power_on(vm)
    lan.advance(70)
    assert lan.guest(vm).stage == "maintenance"


# --- halt -----------------------------------------------------------------------------------------------------------


def test_the_iso_halts_where_talos_is_installed_and_lands_there_again(lan: Lan) -> None:
    vm = lan.add("a", boot_order=("dvd:0:1", "disk:0:0"))
    lan.disk(vm).system = InstalledSystem("v1.11.5", b"version: v1alpha1\nmachine: {type: worker}\n")
    lan.power_on(vm)
    lan.advance(120)
    guest = lan.guest(vm)
    assert (guest.halted, guest.stage, guest.api) == (True, "booting", "closed")
    assert lan.guests.stations() == [(vm.nics[0].mac, guest.address)], "it answers ARP"
    assert "already installed" in "\n".join(lan.guests.screen(vm))
    lan.advance(68 * 60)
    assert lan.guest(vm).boot_id == guest.boot_id
    lan.advance(5 * 60)
    again = lan.guest(vm)
    assert again.boot_id != guest.boot_id
    assert again.halted
    vm.dvd_drives[0].path = ""
    lan.power_off(vm)
    lan.power_on(vm)
    lan.advance(60)
    assert (lan.guest(vm).booted_from, lan.guest(vm).halted) == ("disk", False)


def test_a_reset_that_boots_the_iso_again(lan: Lan, cluster: Cluster) -> None:
    (vm,) = lan.to_maintenance("a")
    lan.installed(vm, cluster.config("controlplane"))
    lan.inject("boots-iso-again", "a")
    lan.power_off(vm)
    lan.power_on(vm)
    lan.advance(60)
    assert lan.guest(vm).halted


# --- the world's log, and others on the LAN -------------------------------------------------------------------------


def test_every_cause_in_the_log_names_an_earlier_line(lan: Lan) -> None:
    vms = lan.running_cluster(Cluster(), control_planes=3, workers=2)
    earlier: set[str] = set()
    for line in lan.kernel.log:
        assert set(line.details.get("cause", ())) <= earlier, line
        earlier.add(f"{line.kind}/{line.key}")
    for vm in vms:
        wanted = {"power_on", "maintenance", "config_applied", "install_done", "apid_open", "running"}
        assert wanted <= {line.kind for line in lan.kernel.log if line.key == vm.id}


def test_foreign_machines_wait_in_maintenance_beside_ours(lan: Lan) -> None:
    vm = lan.add("a")
    foreign = add_foreign(lan.kernel, "neighbour", vm.nics[0].mac, "ffffffff-0000-4000-8000-000000000001", "192.0.2.60")
    lan.power_on(vm)
    lan.advance(70)
    stations = lan.guests.stations()
    assert {address for mac, address in stations if mac == vm.nics[0].mac} == {"192.0.2.60", lan.guest(vm).address}
    other = lan.kernel.state.guests["foreign:neighbour"]
    assert (other.stage, other.uuid, other.mac) == ("maintenance", foreign.uuid, lan.guest(vm).mac)
    assert foreign.received == []


def test_two_runs_of_one_seed_are_the_same() -> None:
    def run() -> list[tuple[float, str, str]]:
        lan = Lan(seed=7)
        lan.running_cluster(Cluster(id="i", secret="s", token="a.b"), workers=2)
        return [(line.at, line.kind, line.key) for line in lan.kernel.log]

    assert run() == run()


def test_a_disk_selector_leads_past_the_first_disk(lan: Lan, cluster: Cluster) -> None:
    (vm,) = lan.to_maintenance("a")
    files = lan.kernel.state.host.files
    files["big.vhdx"] = HostFile("big.vhdx", 4, 0.0, vhd=Vhd(50 * GIB))
    vm.hard_drives.append(HardDrive(0, 2, "big.vhdx"))
    document = cluster.document("controlplane")
    document["machine"]["install"] = {"diskSelector": {"size": ">= 40GiB"}, "image": INSTALLER}
    lan.installed(vm, yaml.safe_dump(document).encode())
    big = files["big.vhdx"].vhd
    assert big is not None
    assert big.system is not None
    assert lan.disk(vm).system is None
