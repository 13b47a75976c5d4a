"""Get-, New-, Set- and Remove-VMSwitch."""

from __future__ import annotations

from typing import Any

from provisioner.lab.world.hyperv import errors as refused
from provisioner.lab.world.state import SwitchKind, VirtualSwitch
from tests.engine.cmdlets import objects
from tests.engine.cmdlets.behaviours import Environment, behaviour
from tests.engine.cmdlets.call import Call
from tests.engine.hyperv import is_pattern


def switch_out(call: Call, around: Environment, switch: VirtualSwitch) -> None:
    adapter = around.world.network.physical(switch.adapter_guid) if switch.adapter_guid else None
    call.out("VMSwitch", objects.switch_object(switch, adapter, around.host))


@behaviour("Get-VMSwitch", "Id Name SwitchType")
def get_vm_switch(call: Call, around: Environment) -> None:
    hyperv, kinds = around.hyperv_of(call), call.items("SwitchType")

    def show(switches: list[VirtualSwitch]) -> None:
        for switch in switches:
            if not kinds or switch.kind in kinds:
                switch_out(call, around, switch)

    if call.get("Id"):
        call.each(call.items("Id"), lambda switch_id: show(hyperv.switches.get_switches(switch_id=switch_id)))
    elif call.get("Name"):
        show(hyperv.switches.get_switches(call.text("Name")))
    else:
        show(hyperv.switches.get_switches())


KINDS: dict[str, SwitchKind] = {"": "External", "Internal": "Internal", "Private": "Private"}
"""By -SwitchType."""


@behaviour("New-VMSwitch", "Name SwitchType AllowManagementOS NetAdapterName NetAdapterInterfaceDescription Notes")
def new_vm_switch(call: Call, around: Environment) -> None:
    """One adapter: several would make a team, and the lab has none."""
    names, descriptions = call.items("NetAdapterName"), call.items("NetAdapterInterfaceDescription")
    if len(names) + len(descriptions) > 1:
        raise refused.not_applicable("The lab makes no switch on several adapters.", call.text("Name"))
    if not call.should(call.text("Name")):
        return
    switch = around.hyperv_of(call).switches.new_switch(
        call.text("Name"),
        adapter_name=str(names[0]) if names else "",
        adapter_description=str(descriptions[0]) if descriptions else "",
        kind=KINDS[call.text("SwitchType")],
        allow_management_os=call.get("AllowManagementOS", True),
        notes=call.text("Notes"),
    )
    switch_out(call, around, switch)


def _selected(call: Call, around: Environment, parameter: str) -> list[VirtualSwitch]:
    hyperv = around.hyperv_of(call)
    found: list[VirtualSwitch] = []

    def by_name(name: str) -> None:
        switches = hyperv.switches.get_switches(name)
        if not switches and is_pattern(name):
            raise refused.no_switch_of_name(name)
        found.extend(switches)

    def by_object(switch: dict[str, Any]) -> None:
        found.extend(hyperv.switches.get_switches(switch_id=str(switch["Id"])))

    if parameter in call:
        call.each(call.items(parameter), by_object)
    else:
        call.each(call.items("Name"), by_name)
    return found


@behaviour("Set-VMSwitch", "VMSwitch Name Notes Passthru")
def set_vm_switch(call: Call, around: Environment) -> None:
    if call.get("Notes") is None:
        raise refused.bad_argument("At least one setting of the switch has to be given.")

    def change(switch: VirtualSwitch) -> None:
        if call.should(switch.name):
            after = around.hyperv_of(call).switches.set_switch(switch.id, notes=call.text("Notes"))
            if call.switch("Passthru"):
                switch_out(call, around, after)

    call.each(_selected(call, around, "VMSwitch"), change)


@behaviour("Remove-VMSwitch", "Name VMSwitch Force")
def remove_vm_switch(call: Call, around: Environment) -> None:
    def remove(switch: VirtualSwitch) -> None:
        if call.should(switch.name):
            around.hyperv_of(call).switches.remove_switch(switch.id)

    call.each(_selected(call, around, "VMSwitch"), remove)
