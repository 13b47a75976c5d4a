"""Network adapters of VMs, and the host's own on its switches (-ManagementOS)."""

from __future__ import annotations

import ntpath
import re
from collections.abc import Callable, Mapping
from typing import Any

from provisioner.lab.world.hyperv import errors as refused
from provisioner.lab.world.hyperv.service import VmView
from provisioner.lab.world.state import VirtualSwitch
from tests.engine import hyperv as engine_hyperv
from tests.engine.cmdlets import objects
from tests.engine.cmdlets.behaviours import Environment, behaviour
from tests.engine.cmdlets.behaviours.vms import selected
from tests.engine.cmdlets.call import Call

Act = Callable[[VmView, int], None]


def _each_nic(call: Call, around: Environment, act: Act, name_parameter: str = "Name") -> None:
    """Each adapter that was given as an object, or those of the VMs given, of that name if one was given (exact, no pattern)."""
    hyperv = around.hyperv_of(call)

    def by_object(said: Mapping[str, Any]) -> None:
        view, index = hyperv.vms.get_vm(str(said["VMId"])), int(ntpath.basename(str(said["Id"])))
        if index >= len(view.vm.nics):
            raise refused.no_device(f"the network adapter of '{view.name}'", view.name)
        act(view, index)

    def of_vm(view: VmView) -> None:
        name = call.get(name_parameter)
        names = [str(each).lower() for each in (name if isinstance(name, list) else [name] if name else [])]
        found = [index for index, nic in enumerate(view.vm.nics) if not names or nic.name.lower() in names]
        if names and not found:
            raise refused.no_device(f"a network adapter '{name}' of '{view.name}'", view.name)
        for index in found:
            act(view, index)

    if "VMNetworkAdapter" in call:
        call.each(call.items("VMNetworkAdapter"), by_object)
    else:
        call.each(selected(call, around, "VMName"), of_vm)


def _own_switches(call: Call, around: Environment, name_parameter: str) -> list[VirtualSwitch]:
    """Switches with an adapter of the host on them; that adapter's name is the switch's."""
    name, switch_name = call.text(name_parameter), call.text("SwitchName")
    found = [
        switch
        for switch in around.hyperv_of(call).switches.get_switches()
        if switch.vethernet is not None
        and (not name or switch.name.lower() == name.lower())
        and (not switch_name or switch.name.lower() == switch_name.lower())
    ]
    if not found and (name or switch_name):
        raise refused.no_device(f"a network adapter '{name or switch_name}' of the management operating system", name)
    return found


def _show(call: Call, view: VmView, index: int) -> None:
    call.out("VMNetworkAdapter", objects.nic_object(view, view.vm.nics[index]))


def _show_own(call: Call, around: Environment, switch: VirtualSwitch) -> None:
    if switch.vethernet is not None:
        shown = objects.management_nic_object(switch, switch.vethernet, around.host)
        call.out("VMInternalNetworkAdapter", shown)


@behaviour("Get-VMNetworkAdapter", "VM VMName VMSnapshot Name All ManagementOS SwitchName IsLegacy")
def get_vm_network_adapter(call: Call, around: Environment) -> None:
    if call.switch("ManagementOS") or call.switch("All"):
        for switch in _own_switches(call, around, "Name"):
            _show_own(call, around, switch)
    if call.switch("All"):
        for view in around.hyperv_of(call).vms.get_vms():
            for index in range(len(view.vm.nics)):
                _show(call, view, index)
    elif not call.switch("ManagementOS") and not call.switch("IsLegacy"):
        _each_nic(call, around, lambda view, index: _show(call, view, index))


@behaviour("Add-VMNetworkAdapter", "VM VMName Name SwitchName StaticMacAddress DynamicMacAddress Passthru")
def add_vm_network_adapter(call: Call, around: Environment) -> None:
    def add(view: VmView) -> None:
        if call.should(view.name):
            hyperv = around.hyperv_of(call)
            hyperv.adapters.add_adapter(
                view.id,
                name=call.text("Name", "Network Adapter"),
                switch_name=call.text("SwitchName"),
                static_mac=call.text("StaticMacAddress"),
            )
            if call.switch("Passthru"):
                after = hyperv.vms.get_vm(view.id)
                _show(call, after, len(after.vm.nics) - 1)

    call.each(selected(call, around, "VMName"), add)


@behaviour("Set-VMNetworkAdapter", "VM VMName VMNetworkAdapter Name StaticMacAddress DynamicMacAddress Passthru")
def set_vm_network_adapter(call: Call, around: Environment) -> None:
    hyperv = around.hyperv_of(call)
    if call.get("StaticMacAddress") and call.switch("DynamicMacAddress"):
        raise refused.bad_argument("-StaticMacAddress and -DynamicMacAddress exclude each other.")

    def change(view: VmView, index: int) -> None:
        if not call.should(view.name):
            return
        if call.get("StaticMacAddress") or call.switch("DynamicMacAddress"):
            hyperv.adapters.set_mac(view.id, call.get("StaticMacAddress"), index=index)
        if call.switch("Passthru"):
            _show(call, hyperv.vms.get_vm(view.id), index)

    _each_nic(call, around, change)


@behaviour("Connect-VMNetworkAdapter", "VMNetworkAdapter VMName Name SwitchName VMSwitch Passthru")
def connect_vm_network_adapter(call: Call, around: Environment) -> None:
    hyperv = around.hyperv_of(call)
    switch_name = call.text("SwitchName")
    if "VMSwitch" in call:
        found = hyperv.switches.get_switches(switch_id=str(call.get("VMSwitch")["Id"]))[0].name
        switch_name = re.sub(r"([*?[])", r"[\1]", found)  # the object is meant, and no pattern

    def connect(view: VmView, index: int) -> None:
        if call.should(view.name):
            hyperv.adapters.connect_adapter(view.id, switch_name, index=index)
            if call.switch("Passthru"):
                _show(call, hyperv.vms.get_vm(view.id), index)

    _each_nic(call, around, connect)


@behaviour("Remove-VMNetworkAdapter", "VM VMName VMNetworkAdapter Name Passthru")
def remove_vm_network_adapter(call: Call, around: Environment) -> None:
    found: list[tuple[VmView, int]] = []
    _each_nic(call, around, lambda view, index: found.append((view, index)))
    for view, index in reversed(found):  # the last one first: the others keep their places
        if call.should(view.name):
            engine_hyperv.remove_adapter(around.hyperv_of(call), view.id, index)
            if call.switch("Passthru"):
                _show(call, view, index)


# -- VLAN


@behaviour("Get-VMNetworkAdapterVlan", "VM VMName VMSnapshot VMNetworkAdapter VMNetworkAdapterName ManagementOS")
def get_vm_network_adapter_vlan(call: Call, around: Environment) -> None:
    def show(vlan_id: int) -> None:
        call.wire.say("out", objects.vlan_object(vlan_id))

    everything = not {"VM", "VMName", "VMNetworkAdapter", "VMSnapshot"} & set(call.arguments)
    if call.switch("ManagementOS") or everything:
        for switch in _own_switches(call, around, "VMNetworkAdapterName"):
            show(switch.vlan_id)
    if call.switch("ManagementOS"):
        return
    if everything:
        for view in around.hyperv_of(call).vms.get_vms():
            for nic in view.vm.nics:
                show(nic.vlan_id)
    else:
        _each_nic(call, around, lambda view, index: show(view.vm.nics[index].vlan_id), "VMNetworkAdapterName")


@behaviour(
    "Set-VMNetworkAdapterVlan",
    "VM VMName VMNetworkAdapter VMNetworkAdapterName ManagementOS Untagged Access VlanId Passthru",
)
def set_vm_network_adapter_vlan(call: Call, around: Environment) -> None:
    hyperv = around.hyperv_of(call)
    vlan_id = call.get("VlanId", 0)
    if call.switch("Access") == call.switch("Untagged"):
        raise refused.bad_argument("Either -Access with -VlanId or -Untagged has to be given.")
    if call.switch("Access") and not 1 <= vlan_id <= 4094:
        raise refused.bad_argument(f"The VLAN ID {vlan_id} is not valid: 1 to 4094.")
    if call.switch("Untagged"):
        vlan_id = 0

    def passthru() -> None:
        if call.switch("Passthru"):
            call.wire.say("out", objects.vlan_object(vlan_id))

    def change(view: VmView, index: int) -> None:
        if call.should(view.name):
            hyperv.adapters.set_vlan(view.id, vlan_id, index=index)
            passthru()

    if not call.switch("ManagementOS"):
        _each_nic(call, around, change, "VMNetworkAdapterName")
        return
    for switch in _own_switches(call, around, "VMNetworkAdapterName"):
        if call.should(switch.name):
            hyperv.switches.set_switch(switch.id, vlan_id=vlan_id)
            passthru()
