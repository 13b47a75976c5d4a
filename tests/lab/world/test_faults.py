"""The table of faults: whole, honest, and each that belongs to the host does what it says (those not tried in the other files)."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from provisioner.lab.descriptor import Refused
from provisioner.lab.world import durable
from provisioner.lab.world.faults import FAULTS, Cleared, clear, inject
from provisioner.lab.world.hyperv.errors import CmdletError
from provisioner.lab.world.network import Network
from tests.conftest import ROOT
from tests.lab.world.helpers import GIB, Shell, everything, hand_world, settle


def names_asked_for() -> set[str]:
    """First arguments of every `injected(...)` in the lab, and of the endpoint's own helper for it."""
    found = set()
    for path in (ROOT / "provisioner" / "lab").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                name = node.args[0]
                if (
                    node.func.attr in ("injected", "at", "of_user")
                    and isinstance(name, ast.Constant)
                    and isinstance(name.value, str)
                ):
                    found.add(name.value)
    return found


def test_every_fault_that_a_rule_looks_for_is_in_the_table() -> None:
    assert names_asked_for() - FAULTS.keys() == set()


def test_a_fault_that_is_looked_for_at_a_place_can_be_given_one() -> None:
    at_places = set()
    for path in (ROOT / "provisioner" / "lab").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "injected":
                name, *place = node.args
                if place and isinstance(name, ast.Constant):
                    at_places.add(name.value)
    assert len(at_places) > 20
    assert [name for name in at_places if not FAULTS[str(name)].place] == []


def test_every_fault_of_the_table_is_looked_for_or_happens_at_once() -> None:
    waiting = {name for name, row in FAULTS.items() if not row.at_once}
    assert waiting - names_asked_for() == set()


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"no fault 'vm-burns'; it knows .*vm-never-boots"):
        inject(hand_world(), "vm-burns")


def test_a_fault_waits_for_its_place_and_is_used_up() -> None:
    kernel = (world := hand_world()).kernel
    inject(world, "no-memory", "cp-1", times=2)
    assert kernel.injected("no-memory", "cp-2") is None
    assert [kernel.injected("no-memory", "cp-1") for _ in range(3)] == [0.0, 0.0, None]
    inject(world, "no-memory")
    assert kernel.injected("no-memory", "anywhere") == 0.0


def test_faults_that_wait_can_be_forgotten() -> None:
    world = hand_world()
    for name in ("no-memory", "image-slow"):
        inject(world, name)
    clear(world, "no-memory")
    assert [injection.name for injection in world.state.injections] == ["image-slow"]
    clear(world)
    assert world.state.injections == []


@pytest.mark.parametrize("failure", ["reset", "silence"])
def test_the_link_drops_and_comes_back(failure: str) -> None:
    world = hand_world()
    inject(world, "link-drop", failure, value=20)
    inject(world, "link-drop", failure, value=30)
    link = world.state.lan.link
    assert (link.up, link.failure) == (False, failure)
    settle(world, 25)
    assert not link.up, "the longer one counts"
    settle(world, 6)
    assert link.up


def test_a_foreign_machine_appears_on_the_lan() -> None:
    world = hand_world()
    inject(world, "foreign-machine")
    inject(world, "foreign-machine", "02155D000011")
    first, second = world.state.foreign
    assert first.mac != second.mac == "02155D000011"
    assert {first.address, second.address} == {"192.0.2.60", "192.0.2.61"}
    assert (second.mac, second.address) in world.guests.stations()


def test_a_reboot_in_the_middle_of_an_outage_forgets_it() -> None:
    world = hand_world()
    network: Network = world.network
    network.cut(500)
    inject(world, "host-reboot", value=10)
    settle(world, 11)
    assert world.state.lan.link.up
    settle(world, 500)
    assert world.state.lan.link.up


def test_memory_runs_short() -> None:
    world = hand_world()
    inject(world, "memory-short", value=GIB)
    assert world.hyperv.service.memory_free_bytes() == GIB
    inject(world, "memory-short", value=2 * GIB)
    assert world.hyperv.service.memory_free_bytes() == GIB, "nobody gives memory back"
    settle(world)


def test_an_adapter_is_pulled_out() -> None:
    world = hand_world()
    inject(world, "adapter-gone", "ethernet 2")
    with pytest.raises(ValueError, match="link-drop"):
        inject(world, "adapter-gone", "Ethernet")
    assert [adapter.name for adapter in world.state.host.adapters] == ["Ethernet", "Wi-Fi"]


def test_an_account_loses_its_rights() -> None:
    world = hand_world()
    inject(world, "rights-lost", "admin")
    assert Shell(world).one("Get-TalosHost")["IsAdministrator"] is False


@pytest.mark.parametrize(
    ("place", "name", "mac"),
    [("cp-1", "cp-1", "000000000000"), ("02155D000011", "nightly-build", "02155D000011")],
)
def test_somebody_elses_vm_appears(place: str, name: str, mac: str) -> None:
    world = hand_world()
    inject(world, "foreign-vm", place)
    (found,) = [vm for vm in Shell(world)("Get-TalosVM") if vm["Name"] == name]
    assert (found["MacAddress"], found["Mark"], found["State"]) == (mac, "", "Off")
    settle(world)


def test_a_vm_is_deleted_by_hand_and_its_disk_stays() -> None:
    world = hand_world()
    shell = Shell(world)
    folder = next(vm for vm in world.state.host.vms.values() if vm.name == "fileserver").path
    disks = [path for path in world.state.host.files if path.endswith(".vhdx")]
    inject(world, "vm-deleted", "FILESERVER")
    assert shell("Get-TalosVM") == []
    assert [path for path in world.state.host.files if path.endswith(".vhdx")] == disks != [], folder
    settle(world)


def test_a_vm_without_files_is_deleted_with_all_its_files() -> None:
    world = hand_world()
    inject(world, "foreign-vm")
    inject(world, "vm-deleted", "nightly-build", value=1)
    assert "nightly-build" not in {vm.name for vm in world.state.host.vms.values()}
    settle(world)


@pytest.mark.parametrize("first", [0, 1])
def test_a_vm_is_copied_with_its_notes_and_a_disk_of_its_own(first: int) -> None:
    world = hand_world()
    inject(world, "vm-copied", "fileserver", value=first)
    listed = Shell(world)("Get-TalosVM")
    (old, new) = listed if not first else reversed(listed)
    assert old["Id"] != new["Id"]
    for field in ("Name", "Notes", "MacAddress", "Switch"):
        assert old[field] == new[field]
    assert (new["State"], new["Folder"]) == ("Off", "D:\\Copies\\fileserver")
    assert world.storage.find("D:\\Copies\\fileserver\\fileserver.vhdx") is not None
    settle(world)


def test_a_held_file_is_let_go() -> None:
    world = hand_world()
    file = world.storage.write("D:\\VMs\\letter.txt", b"dear")
    file.locked_until = 1e9
    assert world.storage.locked(file.path)
    clear(world, "file-locked")
    assert not world.storage.locked(file.path)


def test_a_disk_is_deleted_by_hand_and_its_vm_stays() -> None:
    world = hand_world()
    inject(world, "disk-deleted", "fileserver")
    (vm,) = Shell(world)("Get-TalosVM")
    assert (vm["Name"], vm["State"]) == ("fileserver", "Off")
    assert json.loads(vm["Drives"])[0]["SizeBytes"] == 0


def test_a_vm_is_paused_and_resumed() -> None:
    world = hand_world()
    vm = next(vm for vm in world.state.host.vms.values() if vm.name == "fileserver")
    vm.state = "Running"
    inject(world, "vm-paused", "fileserver")
    assert (vm.state, world.hyperv.vms.get_vm(vm.id).heartbeat) == ("Paused", "Paused")
    with pytest.raises(Refused):
        inject(world, "vm-paused", "fileserver")
    with pytest.raises(CmdletError):
        world.hyperv.power.start_vm(vm.id)
    assert world.hyperv.power.resume_vm(vm.id)
    assert vm.state == "Running"
    assert not world.hyperv.power.resume_vm(vm.id)
    inject(world, "storage-lost", "fileserver")
    assert str(vm.state) == "PausedCritical"
    with pytest.raises(CmdletError):
        world.hyperv.power.resume_vm(vm.id)
    with pytest.raises(Refused, match="only a VM that runs"):
        inject(world, "storage-lost", "fileserver")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"name": "rights-lost"}, "needs --place: user"),
        ({"name": "rights-lost", "place": "kim"}, "no account 'kim'; it has admin"),
        ({"name": "adapter-gone"}, "needs --place: adapter name"),
        ({"name": "disk-full", "place": "Q:"}, "no volume Q:; it has C:, D:"),
        ({"name": "link-drop", "place": "hv01"}, "by reset or silence"),
        ({"name": "foreign-machine", "place": "lab-cp-1"}, "a bare MAC address"),
        ({"name": "foreign-machine", "value": 999.0}, "1 to 254"),
        ({"name": "vm-deleted", "place": "cp-1"}, "no VM 'cp-1'; it has fileserver"),
        ({"name": "module-missing", "value": 1.0}, "no measure"),
        ({"name": "module-missing", "place": "x"}, "no place"),
        ({"name": "no-memory", "value": 1.0}, "no measure"),
        ({"name": "disk-full", "value": -1.0}, "bytes left, from 0 up"),
        ({"name": "switch-outage", "value": float("nan")}, "seconds, from 0 up"),
        ({"name": "vmms-stopped", "times": 3}, "--times 3 cannot be"),
    ],
)
def test_what_cannot_happen_is_refused_in_words(asked: dict[str, Any], words: str) -> None:
    world = hand_world()
    before = everything(world)
    with pytest.raises(Refused, match=words):
        inject(world, **asked)
    assert everything(world) == before


def test_what_happened_to_the_host_is_undone() -> None:
    world = hand_world()
    before = everything(world)
    for name, place in [
        ("vmms-stopped", ""),
        ("module-missing", ""),
        ("clock-skew", ""),
        ("disk-full", "c:"),
        ("disk-full", "D:"),
        ("memory-short", ""),
        ("memory-short", ""),
        ("adapter-gone", "Ethernet 2"),
        ("rights-lost", "admin"),
        ("rights-lost", "admin"),
    ]:
        inject(world, name, place, value=0.0 if name == "disk-full" else None)
    inject(world, "no-memory", "cp-1")
    cleared = clear(world)
    assert everything(world) == before
    assert cleared.forgotten == ("no-memory cp-1",)
    assert len(cleared.undone) == 8
    assert cleared.stays == ()
    assert clear(world) == Cleared()
    settle(world)


def test_what_cannot_be_undone_is_told_with_the_reason() -> None:
    world = hand_world()
    inject(world, "foreign-vm", "cp-1")
    inject(world, "foreign-machine")
    stays = clear(world).stays
    assert [word.partition(":")[0] for word in stays] == ["foreign-vm", "foreign-machine"]
    assert "the VM cp-1 has another owner" in stays[0]
    assert "as evidence" in stays[1]


def test_a_fault_undone_over_a_restart_of_the_lab() -> None:
    """Damage that a kill leaves on disk is undone by the next lab, too."""
    world = hand_world()
    before = everything(world)
    for name, place in (("module-missing", ""), ("disk-full", "C:"), ("memory-short", ""), ("adapter-gone", "Wi-Fi")):
        inject(world, name, place)
    kept = durable.restore(json.loads(json.dumps(durable.snapshot(world.kernel))))
    again = hand_world(state=kept)
    clear(again)
    for field in ("hyperv_module", "volumes", "memory_used_bytes"):
        assert json.loads(everything(again))["host"][field] == json.loads(before)["host"][field]
    assert {a.name for a in again.state.host.adapters} == {"Ethernet", "Wi-Fi", "Ethernet 2"}
