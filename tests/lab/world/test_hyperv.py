"""Hyper-V's rules, each with the fact it comes from (facts/hyperv.md)."""

from __future__ import annotations

from operator import attrgetter

import pytest

from provisioner.lab.world.build import FOREIGN_VM_ID
from provisioner.lab.world.faults import inject
from provisioner.lab.world.hyperv import Caller, CmdletError
from provisioner.lab.world.storage import FileFault
from provisioner.lab.world.world import World
from tests.engine import hyperv as engine_hyperv
from tests.engine.hyperv import EngineHyperV
from tests.lab.world.helpers import GIB, TalkingGuests, hand_world, settle, with_switch

OPERATOR = Caller("operator", administrator=False, hyperv_administrator=True)
NOBODY = Caller("guest", administrator=False)
ISO = "D:\\iso\\talos.iso"


@pytest.fixture
def world() -> World:
    made = with_switch()
    made.storage.make_folder("D:\\iso")
    made.storage.write(ISO, b"an iso")
    return made


@pytest.fixture
def hyperv(world: World) -> EngineHyperV:
    return engine_hyperv.cmdlets(world)


def machine(hyperv: EngineHyperV, name: str = "cp-1", **options: object) -> str:
    """A Generation 2 VM with a disk."""
    vm = hyperv.vms.new_vm(name, generation=2, path="D:\\VMs", memory_bytes=4 * GIB, **options)  # type: ignore[arg-type]
    path = f"D:\\VMs\\{name}\\{vm.id}.vhdx"
    hyperv.disks.new_vhd(path, 20 * GIB)
    hyperv.disks.add_hard_drive(vm.id, path)
    return vm.id


def refusal(call: object, *arguments: object, **named: object) -> CmdletError:
    assert callable(call)
    with pytest.raises(CmdletError) as caught:
        call(*arguments, **named)
    return caught.value


# --- making a VM: 5.1, 5.2 ------------------------------------------------------------------------------------------


def test_defaults_of_new_vm(hyperv: EngineHyperV) -> None:
    vm = hyperv.vms.new_vm("cp-1", path="D:\\VMs").vm
    assert (vm.generation, vm.cpus, vm.memory_bytes, vm.state) == (1, 1, 512 * 1024**2, "Off")
    assert (vm.start_action, vm.start_delay_s, vm.stop_action) == ("StartIfRunning", 0, "Save")
    assert (vm.checkpoint_type, vm.notes, vm.path) == ("Production", "", "D:\\VMs\\cp-1")
    assert vm.disabled_services == ["Guest Service Interface"]
    assert [(drive.controller_number, drive.controller_location) for drive in vm.dvd_drives] == [(1, 0)]  # IDE 1:0


@pytest.mark.parametrize(("is_server", "automatic"), [(True, False), (False, True)])
def test_client_windows_makes_checkpoints_and_dynamic_memory_by_itself(is_server: bool, automatic: bool) -> None:
    vm = hand_world(is_server=is_server).hyperv.vms.new_vm("cp-1", generation=2).vm
    assert (vm.automatic_checkpoints, vm.dynamic_memory, vm.secure_boot) == (automatic, automatic, True)


@pytest.mark.parametrize(
    ("options", "order"),
    [
        ({}, ["network"]),
        ({"new_vhd_path": "d.vhdx", "new_vhd_bytes": 20 * GIB}, ["network", "disk"]),
        ({"vhd_path": "D:\\iso\\old.vhdx"}, ["disk", "network"]),
        ({"new_vhd_path": "d.vhdx", "new_vhd_bytes": 20 * GIB, "boot_device": "VHD"}, ["disk", "network"]),
        ({"new_vhd_path": "d.vhdx", "new_vhd_bytes": 20 * GIB, "boot_device": "NetworkAdapter"}, ["network", "disk"]),
        ({"boot_device": "CD"}, ["dvd", "network"]),
    ],
)
def test_boot_order_right_after_new_vm(hyperv: EngineHyperV, options: dict[str, object], order: list[str]) -> None:
    hyperv.disks.new_vhd("D:\\iso\\old.vhdx", 20 * GIB)
    vm = hyperv.vms.new_vm("cp-1", generation=2, path="D:\\VMs", **options)  # type: ignore[arg-type]
    assert [entry.kind for entry in hyperv.firmware.get_firmware(vm.id).boot_order] == order


def test_devices_that_come_later_boot_last_and_their_entries_go_with_them(hyperv: EngineHyperV) -> None:
    vm_id = machine(hyperv)
    hyperv.disks.add_dvd(vm_id, ISO)
    hyperv.adapters.add_adapter(vm_id, name="second")
    kinds = [entry.kind for entry in hyperv.firmware.get_firmware(vm_id).boot_order]
    assert kinds == ["network", "disk", "dvd", "network"]
    engine_hyperv.remove_adapter(hyperv, vm_id, 0)
    engine_hyperv.remove_dvd(hyperv, vm_id, 0, 1)
    assert hyperv.vms.get_vm(vm_id).vm.boot_order == ["disk:0:0", "network:0"]


def test_a_bare_disk_name_lies_in_the_vms_own_folder(hyperv: EngineHyperV) -> None:
    vm = hyperv.vms.new_vm("cp-1", generation=2, path="D:\\VMs", new_vhd_path="d.vhdx", new_vhd_bytes=20 * GIB).vm
    assert vm.hard_drives[0].path == "D:\\VMs\\cp-1\\Virtual Hard Disks\\d.vhdx"


def test_the_same_name_again_is_a_second_vm(hyperv: EngineHyperV) -> None:
    hyperv.vms.new_vm("cp-1", path="D:\\VMs")
    hyperv.vms.new_vm("CP-1", path="D:\\Others")
    assert [view.name for view in hyperv.vms.get_vms("cp-1")] == ["cp-1", "CP-1"]


def test_a_path_on_no_volume(hyperv: EngineHyperV) -> None:
    error = refusal(hyperv.vms.new_vm, "cp-1", path="E:\\VMs")
    assert (error.id, error.category) == ("ObjectNotFound", "ObjectNotFound")
    assert "0x80070003" in error.message


# --- finding: facts 1 to 3 ------------------------------------------------------------------------------------------


def test_names_are_patterns_and_ids_are_not(hyperv: EngineHyperV) -> None:
    hyperv.vms.new_vm("cp-1", path="D:\\VMs")
    hyperv.vms.new_vm("cp-2", path="D:\\VMs")
    assert [view.name for view in hyperv.vms.get_vms("CP-[12]")] == ["cp-1", "cp-2"]
    assert hyperv.vms.get_vms("x*") == []
    by_name, by_id = refusal(hyperv.vms.get_vms, "x"), refusal(hyperv.vms.get_vms, vm_id="x")
    assert (by_name.id, by_name.category) == ("InvalidParameter", "InvalidArgument")
    assert (by_id.id, by_id.category) == ("ObjectNotFound", "ObjectNotFound")
    assert hyperv.vms.get_vms(vm_id=f"{{{FOREIGN_VM_ID.upper()}}}")[0].name == "fileserver"


def test_what_is_read_does_not_follow_the_vm(hyperv: EngineHyperV) -> None:
    vm_id = machine(hyperv)
    stale = hyperv.vms.get_vm(vm_id)
    hyperv.power.start_vm(vm_id)
    assert (stale.vm.state, hyperv.vms.get_vm(vm_id).vm.state) == ("Off", "Running")


@pytest.mark.parametrize("caller", [Caller("admin"), OPERATOR, NOBODY])
def test_who_may_do_what(hyperv: EngineHyperV, caller: Caller) -> None:
    asked = hyperv.acting_as(caller)
    if caller is NOBODY:
        error = refusal(asked.vms.get_vms)
        assert (error.id, error.category) == ("Unspecified", "NotSpecified")
        return
    vm = asked.vms.new_vm("cp-1", generation=2, path="D:\\VMs")
    asked.switches.new_switch("inside", kind="Internal")
    if caller is OPERATOR:
        assert refusal(asked.switches.new_switch, "LAB2", adapter_name="Ethernet 2").id == "Unspecified"
        asked.power.start_vm(vm.id)
        assert refusal(asked.console.thumbnail, vm.id, 320, 240).id == "Unspecified"


def test_service_and_module(world: World, hyperv: EngineHyperV) -> None:
    vm_id = machine(hyperv)
    hyperv.power.start_vm(vm_id)
    inject(world, "vmms-stopped", value=30)
    assert refusal(hyperv.vms.get_vms).id == "ObjectNotFound"
    assert refusal(hyperv.power.start_vm, vm_id).id == "ObjectNotFound"
    settle(world, 31)
    assert hyperv.vms.get_vm(vm_id).vm.state == "Running"  # VMs run on without the service
    inject(world, "module-missing")
    error = refusal(hyperv.vms.get_vms)
    assert (error.id, error.terminating) == ("CommandNotFoundException", True)


# --- power: section 2, 5.7 ------------------------------------------------------------------------------------------


def test_start_and_turn_off_take_their_time(world: World, hyperv: EngineHyperV) -> None:
    vm_id, seen = machine(hyperv), []
    world.kernel.watch(lambda topic, key: seen.append(world.state.host.vms[key].state) if topic == "vm" else None)
    begun = world.kernel.now()
    assert hyperv.power.start_vm(vm_id)
    assert world.kernel.now() - begun == pytest.approx(0.24)
    assert not hyperv.power.start_vm(vm_id), "a mere warning"
    settle(world, 100)
    assert hyperv.vms.get_vm(vm_id).uptime_s == pytest.approx(100)
    assert hyperv.power.stop_vm(vm_id, turn_off=True)
    assert not hyperv.power.stop_vm(vm_id, turn_off=True), "a mere warning"
    assert seen == ["Starting", "Running", "Off"]
    view = hyperv.vms.get_vm(vm_id)
    assert (view.heartbeat, view.uptime_s, view.memory_assigned) == ("", 0.0, 0)


def test_a_guest_that_answers_shuts_down(world: World, hyperv: EngineHyperV) -> None:
    world.use_guests(TalkingGuests(world, shutdown_s=20))
    vm_id = machine(hyperv)
    hyperv.power.start_vm(vm_id)
    begun = world.kernel.now()
    hyperv.power.stop_vm(vm_id)
    assert world.kernel.now() - begun == pytest.approx(20, abs=0.5)
    assert hyperv.vms.get_vm(vm_id).vm.state == "Off"


def test_a_silent_guest_would_need_an_answer_to_a_prompt(world: World, hyperv: EngineHyperV) -> None:
    vm_id = machine(hyperv)
    hyperv.power.start_vm(vm_id)
    error = refusal(hyperv.power.stop_vm, vm_id)
    assert (error.id, error.category) == ("InvalidOperation", "InvalidOperation")
    assert hyperv.vms.get_vm(vm_id).vm.state == "Running"
    hyperv.power.stop_vm(vm_id, force=True)  # asks, waits its five minutes, cuts
    assert hyperv.vms.get_vm(vm_id).vm.state == "Off"


def test_a_guest_whose_shutdown_service_is_off_is_silent_too(world: World, hyperv: EngineHyperV) -> None:
    world.use_guests(TalkingGuests(world))
    vm_id = machine(hyperv)
    engine_hyperv.set_integration_service(hyperv, vm_id, "Shut*", enabled=False)
    hyperv.power.start_vm(vm_id)
    assert refusal(hyperv.power.stop_vm, vm_id).id == "InvalidOperation"
    assert not hyperv.power.request_shutdown(vm_id)


def test_saved_and_started_again(world: World, hyperv: EngineHyperV) -> None:
    vm_id = machine(hyperv)
    hyperv.power.start_vm(vm_id)
    hyperv.power.stop_vm(vm_id, save=True)
    assert hyperv.vms.get_vm(vm_id).vm.state == "Saved"
    assert refusal(hyperv.vms.set_vm, vm_id, cpus=2).id == "InvalidState"
    hyperv.power.start_vm(vm_id)
    assert hyperv.vms.get_vm(vm_id).vm.state == "Running"
    settle(world)


def test_memory_is_admitted_per_vm_so_the_last_one_fails() -> None:
    world = with_switch(memory_gib=24)  # 6 are the host's own, 4 the foreign VM's
    hyperv = engine_hyperv.cmdlets(world)
    ids = [machine(hyperv, f"m-{number}") for number in range(4)]
    for vm_id in ids[:3]:
        hyperv.power.start_vm(vm_id)
    error = refusal(hyperv.power.start_vm, ids[3])
    assert (error.id, error.category) == ("OutOfMemory", "FromStdErr")
    assert "0x8007000E" in error.message
    assert hyperv.vms.get_vm(ids[3]).vm.state == "Off"
    hyperv.power.stop_vm(ids[0], turn_off=True)
    assert hyperv.power.start_vm(ids[3])
    settle(world)


def test_one_mac_on_two_running_vms_is_refused_at_start(hyperv: EngineHyperV) -> None:
    first, second = machine(hyperv, "a"), machine(hyperv, "b")
    for vm_id in (first, second):
        hyperv.adapters.set_mac(vm_id, "02-15-5D-00-00-11")
    hyperv.power.start_vm(first)
    assert "02155D000011" in refusal(hyperv.power.start_vm, second).message
    assert refusal(hyperv.adapters.add_adapter, first, static_mac="02155D000011").id == "OperationFailed"


def test_a_dynamic_mac_is_zeros_until_the_first_start(hyperv: EngineHyperV) -> None:
    vm_id = machine(hyperv)
    assert hyperv.vms.get_vm(vm_id).vm.nics[0].mac == "000000000000"
    hyperv.power.start_vm(vm_id)
    mac = hyperv.vms.get_vm(vm_id).vm.nics[0].mac
    assert mac.startswith("00155D")
    hyperv.power.stop_vm(vm_id, turn_off=True)
    hyperv.power.start_vm(vm_id)
    assert hyperv.vms.get_vm(vm_id).vm.nics[0].mac == mac


def test_the_same_disk_under_two_vms(hyperv: EngineHyperV) -> None:
    first, second = machine(hyperv, "a"), machine(hyperv, "b")
    hyperv.disks.add_hard_drive(second, hyperv.vms.get_vm(first).vm.hard_drives[0].path)
    hyperv.power.start_vm(first)
    error = refusal(hyperv.power.start_vm, second)
    assert (error.id, error.category) == ("OperationFailed", "ResourceBusy")
    assert "0x80070020" in error.message


@pytest.mark.parametrize(("fault", "id"), [("no-memory", "OutOfMemory"), ("worker-failed", "OperationFailed")])
def test_start_fails_once_by_fault(world: World, hyperv: EngineHyperV, fault: str, id: str) -> None:
    vm_id = machine(hyperv)
    inject(world, fault, "cp-1")
    assert refusal(hyperv.power.start_vm, vm_id).id == id
    assert hyperv.power.start_vm(vm_id)


# --- what needs the VM Off: fact 8, 5.3, 5.6 ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("vms.set_vm", {"cpus": 4}),
        ("vms.set_vm", {"memory_bytes": 8 * GIB}),
        ("firmware.set_firmware", {"boot_order": ["disk:0:0", "network:0"]}),
        ("firmware.set_firmware", {"secure_boot": False}),
        ("adapters.set_mac", {"mac": "02155D000011"}),
        ("vms.remove_vm", {}),
    ],
)
def test_off_only(hyperv: EngineHyperV, call: str, arguments: dict[str, object]) -> None:
    vm_id = machine(hyperv)
    hyperv.power.start_vm(vm_id)
    error = refusal(attrgetter(call)(hyperv), vm_id, **arguments)
    assert (error.id, error.category) == ("InvalidState", "InvalidOperation")
    hyperv.power.stop_vm(vm_id, turn_off=True)
    attrgetter(call)(hyperv)(vm_id, **arguments)


def test_what_may_be_changed_while_it_runs(hyperv: EngineHyperV) -> None:
    vm_id = machine(hyperv)
    hyperv.power.start_vm(vm_id)
    hyperv.vms.set_vm(vm_id, notes="mine", start_action="Start")
    hyperv.adapters.connect_adapter(vm_id, "LAB")
    hyperv.adapters.set_vlan(vm_id, 20)
    hyperv.disks.add_dvd(vm_id, ISO)
    hyperv.disks.set_dvd(vm_id, "")
    hyperv.disks.resize_vhd(hyperv.vms.get_vm(vm_id).vm.hard_drives[0].path, 40 * GIB)
    vm = hyperv.vms.get_vm(vm_id).vm
    assert (vm.notes, vm.nics[0].vlan_id, vm.dvd_drives[0].path) == ("mine", 20, "")


def test_a_boot_order_replaces_the_whole_list(hyperv: EngineHyperV) -> None:
    vm_id = machine(hyperv)
    hyperv.firmware.set_firmware(vm_id, boot_order=["disk:0:0"])
    assert hyperv.vms.get_vm(vm_id).vm.boot_order == ["disk:0:0"]
    assert refusal(hyperv.firmware.set_firmware, vm_id, boot_order=["dvd:0:5"]).id == "ObjectNotFound"


def test_generation_1_has_no_firmware(hyperv: EngineHyperV) -> None:
    vm = hyperv.vms.new_vm("old", path="D:\\VMs")
    assert refusal(hyperv.firmware.get_firmware, vm.id).id == "InvalidOperation"


@pytest.mark.parametrize("mac", ["", "02155D", "0115 5D000011", "FF155D000011", "000000000000"])
def test_macs_that_are_none(hyperv: EngineHyperV, mac: str) -> None:
    assert refusal(hyperv.adapters.set_mac, machine(hyperv), mac).id == "InvalidParameter"


def test_vlan_zero_is_untagged_and_4095_is_none(hyperv: EngineHyperV) -> None:
    vm_id = machine(hyperv)
    assert refusal(hyperv.adapters.set_vlan, vm_id, 4095).id == "InvalidParameter"


# --- drives and files: 5.4, 5.5, 5.7 --------------------------------------------------------------------------------


def test_a_shared_iso_is_locked_while_anybody_runs_with_it(world: World, hyperv: EngineHyperV) -> None:
    ids = [machine(hyperv, name) for name in ("a", "b")]
    for vm_id in ids:
        hyperv.disks.add_dvd(vm_id, ISO)
        hyperv.power.start_vm(vm_id)
    hyperv.disks.set_dvd(ids[0], "")
    with pytest.raises(FileFault, match="0x80070020"):
        world.storage.delete(ISO)
    hyperv.disks.set_dvd(ids[1], "")
    world.storage.delete(ISO)
    settle(world)


def test_a_vm_whose_iso_vanished_does_not_start_until_the_drive_is_emptied(world: World, hyperv: EngineHyperV) -> None:
    vm_id = machine(hyperv)
    hyperv.disks.add_dvd(vm_id, ISO)
    world.storage.delete(ISO)
    error = refusal(hyperv.power.start_vm, vm_id)
    assert error.id == "ObjectNotFound"
    assert "0x80070002" in error.message
    hyperv.disks.set_dvd(vm_id, "")
    assert hyperv.power.start_vm(vm_id)


@pytest.mark.parametrize(
    ("path", "id", "category"),
    [
        ("D:\\iso\\none.iso", "ObjectNotFound", "ObjectNotFound"),
        ("D:\\iso\\talos.txt", "InvalidParameter", "InvalidArgument"),
        ("\\\\nas\\iso\\talos.iso", "AccessDenied", "PermissionDenied"),
    ],
)
def test_what_cannot_be_mounted(hyperv: EngineHyperV, path: str, id: str, category: str) -> None:
    vm_id = machine(hyperv)
    hyperv.disks.add_dvd(vm_id)
    error = refusal(hyperv.disks.set_dvd, vm_id, path)
    assert (error.id, error.category) == (id, category)


def test_without_numbers_every_drive_gets_the_medium(hyperv: EngineHyperV) -> None:
    vm_id = machine(hyperv)
    hyperv.disks.add_dvd(vm_id)
    hyperv.disks.add_dvd(vm_id)
    hyperv.disks.set_dvd(vm_id, ISO, number=0, location=2)
    assert [drive.path for drive in hyperv.vms.get_vm(vm_id).vm.dvd_drives] == ["", ISO]
    hyperv.disks.set_dvd(vm_id, ISO)
    assert [drive.path for drive in hyperv.vms.get_vm(vm_id).vm.dvd_drives] == [ISO, ISO]


def test_new_vhd_on_a_file_that_is_there(hyperv: EngineHyperV) -> None:
    hyperv.disks.new_vhd("D:\\iso\\d.vhdx", 20 * GIB)
    error = refusal(hyperv.disks.new_vhd, "d:\\ISO\\D.VHDX", 20 * GIB)
    assert (error.id, error.category) == ("OperationFailed", "NotSpecified")
    assert "0x80070050" in error.message


def test_new_vhd_makes_no_folder_and_takes_no_odd_size(hyperv: EngineHyperV) -> None:
    assert "0x80070003" in refusal(hyperv.disks.new_vhd, "D:\\none\\d.vhdx", 20 * GIB).message
    assert refusal(hyperv.disks.new_vhd, "D:\\iso\\d.vhdx", 2_000_000_001).id == "InvalidParameter"


def test_a_dynamic_disk_takes_room_only_as_it_is_written(world: World, hyperv: EngineHyperV) -> None:
    before = world.storage.free_bytes("D:")
    hyperv.disks.new_vhd("D:\\iso\\big.vhdx", 10_000 * GIB)
    assert before - world.storage.free_bytes("D:") < GIB
    inject(world, "disk-full", "D:", value=GIB)
    with pytest.raises(FileFault, match="0x80070070"):
        world.storage.grow("D:\\iso\\big.vhdx", 3 * GIB)
    assert "0x80070070" in refusal(hyperv.disks.new_vhd, "D:\\iso\\fixed.vhdx", 2 * GIB, fixed=True).message
    settle(world)


def test_a_disk_grows_under_a_running_vm_and_never_shrinks(hyperv: EngineHyperV) -> None:
    vm_id = machine(hyperv)
    path = hyperv.vms.get_vm(vm_id).vm.hard_drives[0].path
    hyperv.power.start_vm(vm_id)
    assert hyperv.disks.resize_vhd(path, 30 * GIB).size_bytes == 30 * GIB
    assert refusal(hyperv.disks.resize_vhd, path, 20 * GIB).id == "InvalidParameter"
    assert hyperv.disks.get_vhd(path).attached


def test_remove_vm_leaves_disk_and_folder_which_may_be_locked_for_a_while(world: World, hyperv: EngineHyperV) -> None:
    vm_id = machine(hyperv)
    disk = hyperv.vms.get_vm(vm_id).vm.hard_drives[0].path
    inject(world, "file-locked", "cp-1", value=20)
    hyperv.vms.remove_vm(vm_id)
    with pytest.raises(FileFault, match="0x80070020"):
        world.storage.delete("D:\\VMs\\cp-1", recurse=True)
    settle(world, 21)
    world.storage.delete("D:\\VMs\\cp-1", recurse=True)
    assert world.storage.find(disk) is None


def test_an_automatic_checkpoint_holds_the_disk_after_the_stop(world: World, hyperv: EngineHyperV) -> None:
    vm_id = machine(hyperv)
    hyperv.power.start_vm(vm_id)
    hyperv.power.stop_vm(vm_id, turn_off=True)
    disk = hyperv.vms.get_vm(vm_id).vm.hard_drives[0].path
    assert world.storage.locked(disk)
    settle(world, 6)
    assert not world.storage.locked(disk)


# --- the screen: 11.1 -----------------------------------------------------------------------------------------------


def test_thumbnail(world: World, hyperv: EngineHyperV) -> None:
    world.use_guests(TalkingGuests(world))
    vm_id = machine(hyperv)
    assert hyperv.console.thumbnail(vm_id, 320, 240) == (32775, b"")
    hyperv.power.start_vm(vm_id)
    value, image = hyperv.console.thumbnail(vm_id, 320, 240)
    assert (value, len(image), int.from_bytes(image[:4], "big")) == (0, 153604, 153604)
    assert hyperv.console.thumbnail(vm_id, 320, 240, prefix=False)[1] == image[4:]
    assert hyperv.console.thumbnail(vm_id, 0, 0)[0] == hyperv.console.thumbnail(vm_id, 2000, 1000)[0] == 32775
    pixels = hyperv.console.thumbnail(vm_id, 1024, 768, prefix=False)[1]
    assert b"\xff\xff" in pixels[: 1024 * 2 * 30], "text in white in the first lines"
    assert set(pixels[1024 * 2 * 100 :]) == {0}, "black below it"


def test_integration_services_without_anybody_inside(hyperv: EngineHyperV) -> None:
    vm_id = machine(hyperv)
    hyperv.power.start_vm(vm_id)
    status = {service.name: service.status for service in engine_hyperv.integration_services(hyperv, vm_id)}
    assert status.pop("Guest Service Interface") == "Ok"  # the one that is disabled
    assert set(status.values()) == {"NoContact"}
