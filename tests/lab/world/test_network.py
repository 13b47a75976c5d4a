"""The host's network: what an External switch does to it, and what the neighbour table knows (facts/hyperv.md, 5.8, 9.1, 10)."""

from __future__ import annotations

import pytest

from provisioner.lab.world.faults import inject
from provisioner.lab.world.hyperv import CmdletError
from provisioner.lab.world.hyperv.service import VmView
from provisioner.lab.world.state import NetAdapter
from provisioner.lab.world.world import World
from tests.engine.hyperv import cmdlets
from tests.lab.world.helpers import TalkingGuests, hand_world, settle, with_switch


def link_log(world: World) -> list[tuple[float, bool]]:
    return [(line.at, line.details["up"]) for line in world.kernel.log if line.kind == "link"]


def ethernet(world: World) -> NetAdapter:
    return world.state.host.adapters[0]


def link_up(world: World) -> bool:
    return world.state.lan.link.up


def test_the_host_is_away_while_its_adapter_is_bound() -> None:
    world = hand_world()
    begun = world.kernel.now()
    switch = cmdlets(world).switches.new_switch("LAB", adapter_name="ethernet")
    (down, _), (back, up) = link_log(world)[-2:]
    assert down == begun
    assert up
    assert 5 <= back - down <= 15
    assert ethernet(world).addresses == []
    assert switch.vethernet is not None
    assert (switch.vethernet.name, switch.vethernet.addresses) == ("vEthernet (LAB)", ["192.0.2.10/24"])
    assert switch.vethernet.mac == ethernet(world).mac
    assert world.network.carrier(ethernet(world)) == switch.vethernet
    settle(world)


def test_removing_it_gives_the_adapter_its_settings_back() -> None:
    world = hand_world()
    before = world.state.host.adapters[0].__dict__.copy()
    cmdlets(world).switches.remove_switch(cmdlets(world).switches.new_switch("LAB", adapter_name="Ethernet").id)
    assert world.state.host.adapters[0].__dict__ == before
    assert [up for _, up in link_log(world)][-4:] == [False, True, False, True]
    settle(world)


@pytest.mark.parametrize(("faults", "failure"), [([], "reset"), (["switch-silence"], "silence")])
def test_how_connections_fail_meanwhile(faults: list[str], failure: str) -> None:
    world = hand_world()
    for fault in faults:
        inject(world, fault, "LAB")
    seen = []
    world.kernel.watch(lambda topic, _key: seen.append(world.state.lan.link.failure) if topic == "link" else None)
    cmdlets(world).switches.new_switch("LAB", adapter_name="Ethernet")
    assert seen[0] == failure


def test_the_outage_lasts_as_long_as_said() -> None:
    world = hand_world()
    inject(world, "switch-outage", "LAB", value=45)
    begun = world.kernel.now()
    cmdlets(world).switches.new_switch("LAB", adapter_name="Ethernet")
    assert world.kernel.now() - begun == pytest.approx(45)


def test_the_host_comes_back_with_another_address() -> None:
    world = hand_world()
    inject(world, "switch-address", "LAB", value=77)
    cmdlets(world).switches.new_switch("LAB", adapter_name="Ethernet")
    assert (world.state.host.address, world.state.lan.link.up) == ("192.0.2.77", True)
    settle(world)


def test_a_public_profile_closes_winrm_until_somebody_sets_it_private() -> None:
    world = hand_world()
    inject(world, "switch-public", "LAB")
    cmdlets(world).switches.new_switch("LAB", adapter_name="Ethernet")
    assert (world.state.lan.link.up, world.state.lan.link.failure) == (False, "silence")
    assert world.network.has_gateway(), "the host itself has its network"
    world.network.set_category("vEthernet (LAB)", "Private")
    assert world.state.lan.link.up
    settle(world)


def test_dns_is_lost_and_set_again() -> None:
    world = hand_world()
    inject(world, "switch-dns", "LAB")
    switch = cmdlets(world).switches.new_switch("LAB", adapter_name="Ethernet")
    assert switch.vethernet is not None
    assert switch.vethernet.dns_servers == []
    world.network.set_dns("vEthernet (LAB)", ["192.0.2.1"])
    (again,) = cmdlets(world).switches.get_switches("LAB")
    assert again.vethernet is not None
    assert again.vethernet.dns_servers == ["192.0.2.1"]


def test_a_failed_bind_leaves_everything_as_it_was() -> None:
    world = hand_world()
    inject(world, "switch-bind", "LAB")
    with pytest.raises(CmdletError, match="0x80070490") as caught:
        cmdlets(world).switches.new_switch("LAB", adapter_name="Ethernet")
    assert (caught.value.id, caught.value.category) == ("ObjectNotFound", "ObjectNotFound")
    assert ethernet(world).addresses == ["192.0.2.10/24"]
    assert world.state.lan.link.up
    settle(world)


def test_a_host_that_stays_offline_is_back_once_the_switch_is_gone() -> None:
    world = hand_world()
    inject(world, "switch-offline", "LAB")
    switch = cmdlets(world).switches.new_switch("LAB", adapter_name="Ethernet")
    settle(world, 3600)
    assert not link_up(world)
    assert not world.network.has_gateway()
    cmdlets(world).switches.remove_switch(switch.id)
    assert link_up(world)
    settle(world)


@pytest.mark.parametrize(
    ("adapter", "text"),
    [
        ("Ethernet", "already bound"),
        ("Wi-Fi", "0x80070490"),
        ("Ethernet 2", "0x80070490"),
        ("none", "Sequence contains no matching element"),
    ],
)
def test_adapters_that_cannot_be_bound(adapter: str, text: str) -> None:
    with pytest.raises(CmdletError, match=text):
        cmdlets(with_switch()).switches.new_switch("LAB2", adapter_name=adapter)


def test_a_switch_in_use_stays() -> None:
    world = with_switch()
    vm = world.hyperv.vms.new_vm("cp-1", generation=2, path="D:\\VMs", switch_name="LAB")
    world.hyperv.power.start_vm(vm.id)
    (switch,) = cmdlets(world).switches.get_switches("LAB")
    with pytest.raises(CmdletError, match="used by running"):
        cmdlets(world).switches.remove_switch(switch.id)
    world.hyperv.power.turn_off(vm.id)
    cmdlets(world).switches.remove_switch(switch.id)  # stopped VMs just lose their connection
    assert world.hyperv.vms.get_vm(vm.id).vm.nics[0].switch_id == ""
    settle(world)


def test_the_default_switch_cannot_be_removed() -> None:
    world = hand_world()
    (switch,) = cmdlets(world).switches.get_switches("Default Switch")
    with pytest.raises(CmdletError) as caught:
        cmdlets(world).switches.remove_switch(switch.id)
    assert (caught.value.id, caught.value.category) == ("InvalidParameter", "InvalidArgument")


def test_the_neighbour_table_learns_by_traffic_alone_and_forgets_surely_later() -> None:
    world = with_switch()
    guests = TalkingGuests(world)
    world.use_guests(guests)
    guests.answers_to = [("02155D000011", "192.0.2.101"), ("02155D000012", "198.51.100.7")]

    def mine() -> list[tuple[str, str]]:
        return [(row.address, row.state) for row in world.network.neighbors() if row.mac.startswith("02155D")]

    settle(world, 60)
    assert mine() == []
    world.network.sweep()
    assert mine() == [("192.0.2.101", "Reachable")], "another subnet is not swept"
    settle(world, 40)
    assert mine() == [("192.0.2.101", "Stale")]
    guests.answers_to = [("02155D000011", "192.0.2.102")]
    assert mine() == [("192.0.2.101", "Stale")], "a stale row outlives the lease"
    world.network.sweep()
    assert mine() == [("192.0.2.101", "Unreachable"), ("192.0.2.102", "Reachable")]


def test_without_an_external_switch_there_is_nobody_to_sweep() -> None:
    world = hand_world()
    guests = TalkingGuests(world)
    world.use_guests(guests)
    guests.answers_to = [("02155D000011", "192.0.2.101")]
    begun = world.kernel.now()
    world.network.sweep()
    assert world.kernel.now() == begun
    assert all(row.mac != "02155D000011" for row in world.network.neighbors())


@pytest.mark.parametrize(
    ("switch", "vlan", "reached"),
    [("LAB", 0, True), ("LAB", 10, False), ("office", 0, False), ("Default Switch", 0, False)],
)
def test_which_vms_reach_the_lan(switch: str, vlan: int, reached: bool) -> None:
    world = with_switch()
    vm = world.hyperv.vms.new_vm("cp-1", generation=2, path="D:\\VMs", switch_name=switch)
    world.hyperv.adapters.set_vlan(vm.id, vlan)
    assert world.hyperv.power.lan_up(world.state.host.vms[vm.id]) is reached


def test_a_reboot_takes_power_link_and_neighbours_and_starts_what_should_start() -> None:
    world = with_switch()
    always = world.hyperv.vms.new_vm("always", generation=2, path="D:\\VMs")
    world.hyperv.vms.set_vm(always.id, start_action="Start", start_delay_s=30)
    ran = world.hyperv.vms.new_vm("ran", generation=2, path="D:\\VMs")
    idle = world.hyperv.vms.new_vm("idle", generation=2, path="D:\\VMs")
    never = world.hyperv.vms.new_vm("never", generation=2, path="D:\\VMs")
    world.hyperv.vms.set_vm(never.id, start_action="Nothing")
    for vm in (ran, never):
        world.hyperv.power.start_vm(vm.id)

    def state(vm: VmView) -> str:
        return world.state.host.vms[vm.id].state

    inject(world, "host-reboot", value=60)
    assert state(ran) == state(never) == "Off"
    assert (world.state.lan.link.up, world.state.lan.link.failure) == (False, "silence")
    settle(world, 61)
    assert (state(always), state(ran), state(idle), state(never)) == ("Off", "Running", "Off", "Off")
    assert world.state.lan.link.up
    settle(world, 30)
    assert state(always) == "Running"
