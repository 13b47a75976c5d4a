"""The host functions as a whole: shapes of the contract, -WhatIf, second runs, listed errors. Case by case they are held to the
contract, beside the PowerShell module, in tests/contract.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from provisioner.lab.functions.api import contract
from provisioner.lab.functions.lab import LabFunctions
from provisioner.lab.world.build import FOREIGN_VM_ID
from provisioner.lab.world.faults import inject
from provisioner.lab.world.storage import FileFault
from provisioner.lab.world.world import World
from tests.lab.world.checker import check
from tests.lab.world.helpers import (
    CLUSTER,
    GIB,
    ISO_URL,
    SUMS_URL,
    Shell,
    TalkingGuests,
    everything,
    mark,
    new_vm,
    save_iso,
    settle,
    with_switch,
)

ISO = "C:\\ProgramData\\TalosHyperV\\images\\talos.iso"
LEFT = "D:\\VMs\\left"
MAC = "02155D000011"

GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
FITS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: type(value) is str,
    "bool": lambda value: type(value) is bool,
    "int32": lambda value: type(value) is int and -(2**31) <= value < 2**31,
    "int64": lambda value: type(value) is int and -(2**63) <= value < 2**63,
    "string[]": lambda value: type(value) is list and all(type(item) is str for item in value),
    "guid": lambda value: GUID.fullmatch(value) is not None,
    "time": lambda value: TIME.fullmatch(value) is not None,
    "json": lambda value: json.dumps(json.loads(value), separators=(",", ":"), ensure_ascii=False) == value,
    "bytes": lambda value: type(value) is str,
}


@pytest.fixture
def world() -> World:
    made = with_switch()
    guests = TalkingGuests(made)
    guests.answers_to = [(MAC, "192.0.2.101")]
    made.use_guests(guests)
    made.state.host.switches[-1].notes = mark("switch:LAB of before")
    made.storage.make_folder(LEFT)
    made.storage.write(f"{LEFT}\\provision.json", json.dumps({"mark": mark("left"), "vmId": ""}).encode())
    return made


@pytest.fixture
def shell(world: World) -> Shell:
    return Shell(world)


@pytest.fixture
def vm(shell: Shell) -> dict[str, Any]:
    save_iso(shell)
    return new_vm(shell, MacAddress=MAC, Start=True)


def a_call_of_each(vm_id: str) -> dict[str, dict[str, Any]]:
    return {
        "Get-TalosHost": {},
        "Get-TalosSwitch": {},
        "New-TalosSwitch": {"Name": "LAB", "NetAdapterName": "Ethernet"},
        "Remove-TalosSwitch": {"Name": "none", "ClusterId": CLUSTER},
        "Set-TalosSwitch": {"Name": "LAB", "ClusterId": CLUSTER, "Mark": mark("switch:LAB")},
        "Get-TalosImage": {"Path": ["talos.iso", "none.iso"], "Verify": True},
        "Save-TalosImage": {"Uri": ISO_URL, "Sha256Uri": SUMS_URL, "Path": "talos.iso"},
        "Remove-TalosImage": {"Path": "none.iso"},
        "New-TalosVM": {
            "Name": "cp-2",
            "MemoryBytes": 4 * GIB,
            "Cpus": 2,
            "DiskBytes": 20 * GIB,
            "SwitchName": "lab",
            "MacAddress": "02:15:5d:00:00:12",
            "IsoPath": ISO,
            "Mark": mark("cp-2"),
        },
        "Get-TalosVM": {},
        "Get-TalosFolder": {"Path": "D:\\VMs"},
        "Set-TalosVM": {"Id": vm_id, "Mark": mark("cp-1"), "DiskBytes": 30 * GIB, "VlanId": 7, "FixBootOrder": True},
        "Dismount-TalosIso": {"Id": [vm_id]},
        "Mount-TalosIso": {"Id": [vm_id], "Path": ISO},
        "Get-TalosNeighbor": {"MacAddress": [MAC], "Sweep": True},
        "Get-TalosConsole": {"Id": vm_id, "Width": 160, "Height": 120},
        "Stop-TalosVM": {"Id": [vm_id]},
        "Start-TalosVM": {"Id": [vm_id]},
        "Remove-TalosVM": {"Id": [vm_id], "ClusterId": CLUSTER},
        "Remove-TalosFolder": {"Path": LEFT, "ClusterId": CLUSTER},
    }


class Meanwhile(list[tuple[str, str, int]]):
    """Progress records of a download, in the middle of which something happens once."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__()
        self._happens = happens

    def append(self, record: tuple[str, str, int]) -> None:
        super().append(record)
        if len(self) == 3:
            self._happens()


def test_two_who_download_the_same_image_do_not_meet(world: World) -> None:
    """The second begins while the first is at work, ends before it, and its file may be in drives already: it is kept."""
    brought: list[dict[str, Any]] = []
    given = {"Uri": ISO_URL, "Sha256Uri": SUMS_URL, "Path": ISO}
    first = Shell(world, progress=Meanwhile(lambda: brought.append(Shell(world).one("Save-TalosImage", **given))))
    saved = first.one("Save-TalosImage", **given)
    assert (brought[0]["Changed"], saved["Changed"]) == (True, False)
    assert saved["Sha256"] == brought[0]["Sha256"]
    file = world.storage.find(ISO)
    assert file is not None
    assert file.talos_iso == "v1.11.5", "a machine boots from it"
    assert [
        child for child in world.storage.children("C:\\ProgramData\\TalosHyperV\\images") if "partial" in child
    ] == []


def test_a_download_that_fails_takes_nothing_of_another_one(world: World) -> None:
    inject(world, "image-checksum", ISO_URL)
    given = {"Uri": ISO_URL, "Sha256Uri": SUMS_URL, "Path": ISO}
    first = Shell(world, progress=Meanwhile(lambda: Shell(world).one("Save-TalosImage", **given)))
    assert first.refused("Save-TalosImage", **given).id == "ImageChecksum"
    assert Shell(world).one("Get-TalosImage", Path=[ISO])["Sha256"]


def test_an_image_that_is_being_downloaded_is_not_removed(world: World) -> None:
    refused: list[str] = []
    given = {"Uri": ISO_URL, "Sha256Uri": SUMS_URL, "Path": ISO}

    def remove() -> None:
        refused.append(Shell(world).refused("Remove-TalosImage", Path=ISO).id)

    Shell(world, progress=Meanwhile(remove)).one("Save-TalosImage", **given)
    assert refused == ["ImageInUse"]


def test_a_file_that_is_being_written_is_held(world: World) -> None:
    """As Windows holds it: nobody else writes, deletes or renames it."""
    found: list[str] = []

    def meddle() -> None:
        (partial,) = (
            child for child in world.storage.children("C:\\ProgramData\\TalosHyperV\\images") if "partial" in child
        )
        for act in (
            lambda: world.storage.delete(partial),
            lambda: world.storage.rename(partial, ISO),
            lambda: world.storage.write(partial, b""),
        ):
            with pytest.raises(FileFault, match="0x80070020") as caught:
                act()
            found.append(caught.value.kind)

    Shell(world, progress=Meanwhile(meddle)).one("Save-TalosImage", Uri=ISO_URL, Sha256Uri=SUMS_URL, Path=ISO)
    assert found == ["in-use"] * 3


def test_every_function_of_the_contract_is_there_with_its_parameters(world: World) -> None:
    functions = LabFunctions(world)
    assert {*a_call_of_each(""), "Confirm-TalosSwitch"} == set(functions.table)
    assert [p.name for p in functions.table["Get-TalosNeighbor"].parameters] == ["MacAddress", "Sweep", "WaitSeconds"]
    assert functions.table["New-TalosVM"].changes
    assert not functions.table["Get-TalosVM"].changes


def test_results_have_the_fields_and_types_of_the_contract(shell: Shell, vm: dict[str, Any]) -> None:
    for name, given in a_call_of_each(vm["Id"]).items():
        fields = contract().functions[name].fields
        results = shell(name, **given)
        assert results, name
        for result in results:
            assert list(result) == list(fields), name
            wrong = {field: result[field] for field, type_ in fields.items() if not FITS[type_](result[field])}
            assert not wrong, f"{name}: {wrong}"
    assert shell.errors == []


def test_what_if_changes_nothing_and_writes_nothing_of_what_it_would_change(
    world: World, shell: Shell, vm: dict[str, Any]
) -> None:
    changing = set()
    for name, given in a_call_of_each(vm["Id"]).items():
        if not contract().functions[name].changes:
            continue
        before = everything(world)
        asked = shell(name, what_if=True, **given)
        assert everything(world) == before, name
        done = shell(name, **given)
        if any(result["Changed"] for result in done):
            changing.add(name)
            assert asked == [], name
        else:
            assert asked in ([], done), name
    assert changing >= {
        "New-TalosVM",
        "Set-TalosVM",
        "Stop-TalosVM",
        "Start-TalosVM",
        "Remove-TalosVM",
        "Set-TalosSwitch",
    }


@pytest.mark.parametrize(
    "name",
    [
        "New-TalosVM",
        "Set-TalosVM",
        "Save-TalosImage",
        "Mount-TalosIso",
        "Dismount-TalosIso",
        "Stop-TalosVM",
        "Start-TalosVM",
    ],
)
def test_the_second_run_changes_nothing(world: World, shell: Shell, vm: dict[str, Any], name: str) -> None:
    given = a_call_of_each(vm["Id"])[name]
    shell(name, **given)
    before = everything(world)
    (again,) = shell(name, **given)
    assert again["Changed"] is False
    assert everything(world) == before


def test_a_new_machine_is_as_the_contract_says(world: World, shell: Shell, vm: dict[str, Any]) -> None:
    folder = "C:\\ProgramData\\Microsoft\\Windows\\Virtual Hard Disks\\cp-1"
    wanted = {
        "Name": "cp-1",
        "State": "Running",
        "Generation": 2,
        "DynamicMemory": False,
        "MacAddress": MAC,
        "StaticMac": True,
        "Switch": "LAB",
        "Connected": True,
        "BootOrder": ["disk", "dvd", "network"],
        "SecureBoot": False,
        "AutomaticCheckpoints": False,
        "CheckpointType": "Disabled",
        "StartAction": "Start",
        "StopAction": "ShutDown",
        "Mark": mark("cp-1"),
        "Notes": mark("cp-1"),
        "Folder": folder,
        "Complete": True,
        "Changed": True,
    }
    assert {field: vm[field] for field in wanted} == wanted
    drives = [(row["Kind"], row["Path"], row["ControllerLocation"]) for row in json.loads(vm["Drives"])]
    assert drives == [("disk", f"{folder}\\cp-1.vhdx", 0), ("dvd", ISO, 1)]
    record = json.loads(world.storage.read(f"{folder}\\provision.json"))
    assert record == {"mark": mark("cp-1"), "vmId": vm["Id"]}


# --- half-made, foreign, in the way ---------------------------------------------------------------------------------


def test_a_vm_that_a_kill_left_half_made_is_ours_and_finished(world: World, shell: Shell) -> None:
    save_iso(shell)
    folder = f"{world.state.host.disk_folder}\\cp-1"
    world.storage.make_folder(folder)
    world.storage.write(f"{folder}\\provision.json", json.dumps({"mark": mark("cp-1"), "vmId": ""}).encode())
    made = world.hyperv.vms.new_vm("cp-1", generation=2, path=world.state.host.disk_folder)
    (half,) = shell("Get-TalosVM", ClusterId=CLUSTER)
    assert (half["Id"], half["Complete"], half["Mark"]) == (made.id, False, mark("cp-1"))
    whole = new_vm(shell)
    assert (whole["Id"], whole["Complete"], whole["Changed"]) == (made.id, True, True)
    assert whole["BootOrder"] == ["disk", "dvd", "network"]


def test_a_failure_after_new_vm_takes_everything_back(world: World, shell: Shell) -> None:
    save_iso(shell)
    left = world.storage.free_bytes("D:")
    inject(world, "disk-full", "D:", value=3 * 4096)  # room for the record, none for a disk
    refused = shell.refused(
        "New-TalosVM",
        Name="cp-1",
        MemoryBytes=4 * GIB,
        Cpus=2,
        DiskBytes=20 * GIB,
        SwitchName="LAB",
        MacAddress=MAC,
        IsoPath=ISO,
        Mark=mark("cp-1"),
        Path="D:\\machines",
    )
    assert (refused.id, refused.category) == ("VMNoSpace", "ResourceUnavailable")
    assert left > world.storage.free_bytes("D:") == 3 * 4096
    assert not world.storage.exists("D:\\machines\\cp-1")
    assert shell("Get-TalosVM", ClusterId=CLUSTER) == []


def test_no_memory_leaves_the_vm_whole_and_off(world: World, shell: Shell) -> None:
    save_iso(shell)
    inject(world, "no-memory", "cp-1")
    refused = shell.refused(
        "New-TalosVM",
        Name="cp-1",
        MemoryBytes=4 * GIB,
        Cpus=2,
        DiskBytes=20 * GIB,
        SwitchName="LAB",
        MacAddress=MAC,
        IsoPath=ISO,
        Mark=mark("cp-1"),
        Start=True,
    )
    assert (refused.id, refused.category) == ("VMNoMemory", "ResourceUnavailable")
    (left,) = shell("Get-TalosVM", ClusterId=CLUSTER)
    assert (left["State"], left["Complete"]) == ("Off", True)


@pytest.mark.parametrize(
    ("changed", "id", "category", "target"),
    [
        ({"Name": "fileserver"}, "VMNotOurs", "ResourceExists", "fileserver"),
        ({"Name": "twin"}, "VMNameTwice", "ResourceExists", "twin"),
        ({"MacAddress": "00-15-5D-0A-0B-0C"}, "VMMacInUse", "ResourceExists", "00-15-5D-0A-0B-0C"),
        ({"SwitchName": "none"}, "VMSwitchNotFound", "ObjectNotFound", "none"),
        ({"IsoPath": "C:\\none.iso"}, "VMIsoNotFound", "ObjectNotFound", "C:\\none.iso"),
        ({"Path": "E:\\VMs"}, "VMFolderInvalid", "InvalidArgument", "E:\\VMs\\cp-9"),
        ({"Path": "VMs"}, "VMFolderInvalid", "InvalidArgument", "VMs\\cp-9"),
        ({"Path": "D:\\taken"}, "VMDiskExists", "ResourceExists", "D:\\taken\\cp-9\\cp-9.vhdx"),
        ({"Path": "D:\\files"}, "VMFolderInvalid", "InvalidArgument", "D:\\files\\cp-9"),
        ({"Cpus": 100}, "HyperV.InvalidParameter", "InvalidArgument", "cp-9"),
    ],
)
def test_what_stands_in_the_way_of_a_new_machine(  # noqa: PLR0917 - pytest passes them by name
    world: World, shell: Shell, changed: dict[str, Any], id: str, category: str, target: str
) -> None:
    save_iso(shell)
    for folder in ("D:\\a", "D:\\b"):
        world.hyperv.vms.new_vm("twin", path=folder)
    world.storage.make_folder("D:\\taken\\cp-9")
    world.hyperv.disks.new_vhd("D:\\taken\\cp-9\\cp-9.vhdx", 20 * GIB)
    world.storage.make_folder("D:\\files\\cp-9")
    world.storage.write("D:\\files\\cp-9\\thesis.docx", b"somebody's")
    before = everything(world)
    given = {**a_call_of_each("")["New-TalosVM"], "Name": "cp-9", "Mark": mark("cp-9"), **changed}
    refused = shell.refused("New-TalosVM", **given)
    assert (refused.id, refused.category, refused.target) == (id, category, target)
    if id != "HyperV.InvalidParameter":  # that one was made and taken back
        assert everything(world) == before
    assert CLUSTER not in {view.vm.notes for view in world.hyperv.vms.get_vms()}


def test_an_earlier_machines_disk_in_our_own_folder_is_attached_again(world: World, shell: Shell) -> None:
    save_iso(shell)
    made = new_vm(shell)
    disk = json.loads(made["Drives"])[0]["Path"]
    world.hyperv.vms.remove_vm(made["Id"])
    world.storage.grow(disk, 5 * GIB)
    again = new_vm(shell)
    assert again["Id"] != made["Id"]
    assert json.loads(again["Drives"])[0]["Path"] == disk
    file = world.storage.find(disk)
    assert file is not None
    assert file.size_bytes == 5 * GIB


# --- changing, stopping, removing -----------------------------------------------------------------------------------


def test_set_says_what_needs_the_vm_off(shell: Shell, vm: dict[str, Any]) -> None:
    for given in ({"Cpus": 4}, {"MemoryBytes": 8 * GIB}):
        refused = shell.refused("Set-TalosVM", Id=vm["Id"], Mark=mark("cp-1"), VlanId=5, **given)
        assert (refused.id, refused.category, refused.target) == ("VMMustBeOff", "InvalidOperation", next(iter(given)))
    assert shell("Get-TalosVM", Id=[vm["Id"]])[0]["VlanId"] == 0, "nothing was changed"
    shell("Stop-TalosVM", Id=[vm["Id"]], TurnOff=True)
    changed = shell.one("Set-TalosVM", Id=vm["Id"], Mark=mark("cp-1"), Cpus=4, MemoryBytes=8 * GIB)
    assert (changed["Cpus"], changed["MemoryBytes"], changed["Changed"]) == (4, 8 * GIB, True)


@pytest.mark.parametrize(
    ("given", "id", "category"),
    [
        ({"Id": "none"}, "VMNotFound", "ObjectNotFound"),
        ({"Mark": mark("cp-2")}, "VMNotOurs", "ResourceExists"),
        ({"DiskBytes": GIB}, "VMDiskShrink", "InvalidArgument"),
    ],
)
def test_set_refuses(shell: Shell, vm: dict[str, Any], given: dict[str, Any], id: str, category: str) -> None:
    refused = shell.refused("Set-TalosVM", **{"Id": vm["Id"], "Mark": mark("cp-1"), **given})
    assert (refused.id, refused.category) == (id, category)


def test_machines_shut_down_side_by_side(world: World, shell: Shell, vm: dict[str, Any]) -> None:
    other = new_vm(shell, "worker-1", Start=True)
    begun = world.kernel.now()
    stopped = shell("Stop-TalosVM", Id=[vm["Id"], "none", other["Id"]])
    assert [result["State"] for result in stopped] == ["Off", "Off"]
    assert [record.id for record in shell.errors] == ["VMNotFound"]
    assert world.kernel.now() - begun < 12, "10 s for both"


def test_a_guest_that_takes_too_long_is_left_alone(world: World, shell: Shell, vm: dict[str, Any]) -> None:
    guests = world.guests
    assert isinstance(guests, TalkingGuests)
    guests.shutdown_s = 500
    refused = shell.refused("Stop-TalosVM", Id=[vm["Id"]])
    assert (refused.id, refused.category, refused.target) == ("VMStopTimeout", "OperationTimeout", vm["Id"])
    assert shell("Get-TalosVM", Id=[vm["Id"]])[0]["State"] == "Stopping"


def test_removal_takes_our_folder_and_keeps_what_came_from_elsewhere(
    world: World, shell: Shell, vm: dict[str, Any]
) -> None:
    world.storage.make_folder("D:\\data")
    world.hyperv.disks.new_vhd("D:\\data\\extra.vhdx", GIB)
    world.hyperv.disks.add_hard_drive(vm["Id"], "D:\\data\\extra.vhdx")
    removed = shell.one("Remove-TalosVM", Id=[vm["Id"]], ClusterId=CLUSTER)
    assert (removed["State"], removed["Changed"], removed["Name"]) == ("Off", True, "cp-1")
    assert not world.storage.exists(vm["Folder"])
    assert world.storage.find("D:\\data\\extra.vhdx") is not None
    assert shell("Remove-TalosVM", Id=[vm["Id"]], ClusterId=CLUSTER) == [], "not there is success"
    assert FOREIGN_VM_ID in world.state.host.vms


def test_removal_refuses_what_is_not_ours(shell: Shell, vm: dict[str, Any]) -> None:
    for vm_id, cluster in ((FOREIGN_VM_ID, CLUSTER), (vm["Id"], "another")):
        assert shell.refused("Remove-TalosVM", Id=[vm_id], ClusterId=cluster).id == "VMNotOurs"


@pytest.mark.parametrize(("held_s", "gone"), [(20, True), (200, False)])
def test_removal_waits_for_a_virus_scanner(
    world: World, shell: Shell, vm: dict[str, Any], held_s: float, gone: bool
) -> None:
    inject(world, "file-locked", "cp-1", value=held_s)
    if gone:
        shell.one("Remove-TalosVM", Id=[vm["Id"]], ClusterId=CLUSTER)
    else:
        refused = shell.refused("Remove-TalosVM", Id=[vm["Id"]], ClusterId=CLUSTER)
        assert (refused.id, refused.category, refused.target) == ("VMFilesLocked", "ResourceBusy", vm["Folder"])
        settle(world, 300)
        assert shell("Remove-TalosVM", Id=[vm["Id"]], ClusterId=CLUSTER) == [], "the folder that was left is tidied up"
    assert not world.storage.exists(vm["Folder"])


# --- images ---------------------------------------------------------------------------------------------------------


def test_an_image_is_downloaded_checked_recorded_and_kept(world: World, shell: Shell) -> None:
    saved = shell.one("Save-TalosImage", Uri=ISO_URL, Sha256Uri=SUMS_URL, Path="talos.iso")
    assert (saved["Path"], saved["Ours"], saved["Uri"], saved["Changed"]) == (ISO, True, ISO_URL, True)
    assert [percent for _, _, percent in shell.progress] == sorted(percent for _, _, percent in shell.progress)
    assert shell.progress[-1][2] == 100
    assert shell.one("Get-TalosImage", Path=["talos.iso"])["Sha256"] == saved["Sha256"]
    settle(world, 1000)
    assert shell.one("Get-TalosImage", Path=["talos.iso"])["Sha256"] == saved["Sha256"], "its date stays"
    shell("Stop-TalosVM", Id=[new_vm(shell)["Id"]])
    assert shell.one("Get-TalosImage", Path=["talos.iso"])["VMNames"] == ["cp-1"]
    assert shell.refused("Remove-TalosImage", Path="talos.iso").id == "ImageInUse"


@pytest.mark.parametrize(
    ("fault", "id", "category"),
    [
        ("image-checksum", "ImageChecksum", "InvalidData"),
        ("image-status", "ImageDownload", "ConnectionError"),
        ("image-unreachable", "ImageDownload", "ConnectionError"),
    ],
)
def test_a_download_that_fails_leaves_nothing(world: World, shell: Shell, fault: str, id: str, category: str) -> None:
    inject(world, fault, ISO_URL)
    refused = shell.refused("Save-TalosImage", Uri=ISO_URL, Sha256Uri=SUMS_URL, Path="talos.iso")
    assert (refused.id, refused.category) == (id, category)
    assert ("HTTP status 503" in refused.message) is (fault == "image-status")
    assert not [path for path in world.state.host.files if "talos.iso" in path]
    assert shell.one("Save-TalosImage", Uri=ISO_URL, Sha256Uri=SUMS_URL, Path="talos.iso")["Changed"]


def test_a_download_breaks_when_the_host_goes_off_the_network(world: World, shell: Shell) -> None:
    world.kernel.after(3, "cable", lambda: world.network.cut(5))
    refused = shell.refused("Save-TalosImage", Uri=ISO_URL, Sha256Uri=SUMS_URL, Path="talos.iso")
    assert (refused.id, "HTTP status" in refused.message) == ("ImageDownload", False)


def test_a_full_disk_stops_a_download(world: World, shell: Shell) -> None:
    inject(world, "disk-full", "C:", value=100 * 1024**2)
    refused = shell.refused("Save-TalosImage", Uri=ISO_URL, Sha256Uri=SUMS_URL, Path="talos.iso")
    assert (refused.id, refused.category) == ("ImageNoSpace", "ResourceUnavailable")
    assert check(world.state) == []


def test_a_file_of_somebody_else_is_no_image_of_ours(world: World, shell: Shell) -> None:
    world.storage.make_folder("D:\\iso")
    world.storage.write("D:\\iso\\own.iso", b"theirs")
    assert shell.refused("Remove-TalosImage", Path="D:\\iso\\own.iso").id == "ImageNotOurs"
    seen = shell.one("Get-TalosImage", Path=["D:\\iso\\own.iso"])
    assert (seen["Ours"], seen["Sha256"]) == (False, "")
    assert len(shell.one("Get-TalosImage", Path=["D:\\iso\\own.iso"], Verify=True)["Sha256"]) == 64


# --- the rest -------------------------------------------------------------------------------------------------------


def test_waiting_for_neighbours_is_one_call(world: World, shell: Shell) -> None:
    guests = world.guests
    assert isinstance(guests, TalkingGuests)
    guests.answers_to = []
    world.kernel.after(20, "a machine boots", lambda: guests.answers_to.append((MAC, "192.0.2.101")))
    begun = world.kernel.now()
    row = shell.one("Get-TalosNeighbor", MacAddress=["02:15:5d:00:00:11"], Sweep=True, WaitSeconds=60)
    assert (row["MacAddress"], row["IPAddress"], row["State"]) == (MAC, "192.0.2.101", "Reachable")
    assert 20 <= world.kernel.now() - begun < 25
    assert shell("Get-TalosNeighbor", MacAddress=["02155D0000FF"], Sweep=True, WaitSeconds=10) == []


def test_the_console_needs_an_administrator_and_a_running_vm(world: World, shell: Shell, vm: dict[str, Any]) -> None:
    refused = Shell(world, user="operator").refused("Get-TalosConsole", Id=vm["Id"])
    assert (refused.id, refused.category) == ("NotAdministrator", "PermissionDenied")
    shell("Stop-TalosVM", Id=[vm["Id"]], TurnOff=True)
    assert shell.refused("Get-TalosConsole", Id=vm["Id"]).id == "VMNotRunning"


def test_hyperv_that_does_not_answer_is_an_error_and_never_an_empty_list(world: World, shell: Shell) -> None:
    inject(world, "vmms-stopped")
    assert shell.refused("Get-TalosVM").id == "HyperV.ObjectNotFound"
    facts = shell.one("Get-TalosHost")
    assert (facts["VmmsStatus"], facts["DiskFolder"]) == ("Stopped", "")
    assert Shell(world, user="guest").refused("Get-TalosVM").id == "HyperV.Unspecified"


def test_host_facts_follow_the_world(world: World, shell: Shell) -> None:
    inject(world, "clock-skew", value=7200)
    facts = shell.one("Get-TalosHost")
    (ethernet, wifi, second) = json.loads(facts["Adapters"])
    assert (ethernet["Addresses"], ethernet["HasDefaultRoute"]) == (["192.0.2.10/24"], True)
    assert (wifi["Media"], second["Status"]) == ("Native 802.11", "Disconnected")
    assert facts["TimeUtc"].startswith("2026-01-01T02:")
    assert facts["MemoryFreeBytes"] == facts["MemoryTotalBytes"] - 10 * GIB
    assert (facts["IsAdministrator"], Shell(world, user="operator").one("Get-TalosHost")["IsAdministrator"]) == (
        True,
        False,
    )
