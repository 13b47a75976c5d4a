"""Get-, New-, Confirm-, Remove- and Set-TalosSwitch. What takes the host's network down is done by a job apart from the caller: `switch_job`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from provisioner.lab.functions import switch_job
from provisioner.lab.functions.api import empty_result
from provisioner.lab.functions.call import Arguments, Call, Result, bare_id, cluster_of, find_mark, refuse
from provisioner.lab.world.hyperv.service import DEFAULT_SWITCH_ID, SECONDS
from provisioner.lab.world.state import NetAdapter, VirtualSwitch

CONFIRM_BOUND_S = 10.0


def get_switch(call: Call, arguments: Arguments) -> Iterator[Result]:
    call.kernel.spend(SECONDS["get"])
    name = arguments.get("Name")
    if name:
        yield _result(call, name, changed=False)
    for switch in call.hyperv.switches.get_switches() if not name or arguments["Marked"] else ():
        if not name or (switch.name.lower() != name.lower() and find_mark(switch.notes)):
            yield _result(call, switch.name, changed=False)


def new_switch(call: Call, arguments: Arguments) -> Iterator[Result]:
    name, adapter_name = arguments["Name"], arguments["NetAdapterName"]
    adapter = _physical(call, adapter_name)
    there = _find(call, name)
    if there is not None:
        _check_same(call, there, adapter, name)
        yield _result(call, name, changed=False)
        return
    if adapter is None:
        text = f"The host has no network adapter '{adapter_name}'."
        raise refuse("SwitchAdapterNotFound", "ObjectNotFound", text, adapter_name)
    if "802.11" in adapter.media:
        text = f"'{adapter_name}' is a wireless adapter: machines behind it would share its MAC address."
        raise refuse("SwitchAdapterWifi", "InvalidType", text, adapter_name)
    other = call.world.network.switch_on(adapter)
    if other is not None:
        text = f"'{adapter_name}' belongs to the External switch '{other.name}'."
        raise refuse("SwitchAdapterBound", "ResourceExists", text, adapter_name)
    _check_administrator(call, name)
    _check_job(call, name, retry=arguments["Retry"])
    if call.what_if:
        return
    switch_job.start_new(
        call.world,
        name,
        adapter=adapter.name,
        allow_management_os=arguments["AllowManagementOS"],
        vlan_id=arguments["VlanId"],
        notes=arguments["Mark"],
        watchdog_s=float(arguments["WatchdogSeconds"]),
    )
    yield _result(call, name, changed=True)


def confirm_switch(call: Call, arguments: Arguments) -> Iterator[Result]:
    name, job_id = arguments["Name"], arguments["JobId"]
    record = switch_job.read(call.world, name)
    if record is None or record["Id"] != job_id:
        text = f"There is no job '{job_id}' for the switch '{name}'."
        raise refuse("SwitchJobNotFound", "ObjectNotFound", text, job_id)
    running = record["State"] == "Running"
    if running and call.what_if:
        return
    if running:
        switch_job.confirm(call.world, name, job_id)
        call.kernel.wait_for(lambda: not switch_job.runs(call.world, name), CONFIRM_BOUND_S)
    yield _result(call, name, changed=running)


def remove_switch(call: Call, arguments: Arguments) -> Iterator[Result]:
    name, switch = arguments["Name"], _find(call, arguments["Name"])
    if switch is None:
        yield _result(call, name, changed=False)
        return
    _check_ours(switch, arguments["ClusterId"], name)
    users = _vm_names(call, switch)
    if users:
        raise refuse("SwitchInUse", "ResourceBusy", f"The switch '{name}' is used by {', '.join(users)}.", name)
    _check_administrator(call, name)
    _check_job(call, name, retry=True)
    if call.what_if:
        return
    switch_job.start_remove(call.world, switch)
    yield _result(call, name, changed=True)


def set_switch(call: Call, arguments: Arguments) -> Iterator[Result]:
    name, mark = arguments["Name"], arguments["Mark"]
    switch = _find(call, name)
    if switch is None:
        raise refuse("SwitchNotFound", "ObjectNotFound", f"There is no virtual switch '{name}'.", name)
    before = find_mark(switch.notes)
    if before == mark:
        yield _result(call, name, changed=False)
        return
    _check_ours(switch, arguments["ClusterId"], name)
    lines = [mark if line == before else line for line in re.split("\r?\n", switch.notes)]
    if call.what_if:
        return
    call.hyperv.switches.set_switch(switch.id, notes="\n".join(lines))
    yield _result(call, name, changed=True)


# --- what is checked ------------------------------------------------------------------------------------------------


def _check_ours(switch: VirtualSwitch, cluster: str, target: str) -> None:
    if cluster_of(find_mark(switch.notes)) != cluster:
        text = f"The switch '{switch.name}' does not bear a mark of the cluster '{cluster}'."
        raise refuse("SwitchNotOurs", "PermissionDenied", text, target)


def _check_same(call: Call, switch: VirtualSwitch, adapter: NetAdapter | None, name: str) -> None:
    kind = _kind(switch)
    if kind != "External":
        text = f"The switch '{name}' is of kind {kind}."
        raise refuse("SwitchOtherKind", "InvalidType", text, name)
    if adapter is None or bare_id(switch.adapter_guid) != bare_id(adapter.guid):
        bound = call.world.network.physical(switch.adapter_guid)
        text = f"The switch '{name}' is bound to '{bound.name if bound else switch.adapter_guid}'."
        raise refuse("SwitchOnOtherAdapter", "ResourceExists", text, name)


def _check_job(call: Call, name: str, *, retry: bool) -> None:
    record = switch_job.read(call.world, name)
    if record is not None and record["State"] == "Running":
        raise refuse("SwitchJobRunning", "ResourceBusy", f"A job for the switch '{name}' runs.", name)
    if record is not None and record["State"] == "Undone" and not retry:
        text = f"An earlier job took the switch '{name}' away again: {record['Message']}"
        raise refuse("SwitchUndone", "OperationStopped", text, name)


def _check_administrator(call: Call, name: str) -> None:
    if not call.caller.administrator:
        text = "To make or remove an External switch takes an administrator of this host."
        raise refuse("NotAdministrator", "PermissionDenied", text, name)


def _find(call: Call, name: str) -> VirtualSwitch | None:
    return next((switch for switch in call.hyperv.switches.get_switches() if switch.name.lower() == name.lower()), None)


def _physical(call: Call, name: str) -> NetAdapter | None:
    adapters = call.world.state.host.adapters
    return next((adapter for adapter in adapters if adapter.name.lower() == name.lower()), None)


# --- what is told ---------------------------------------------------------------------------------------------------


def _result(call: Call, name: str, *, changed: bool) -> Result:
    switch = _find(call, name)
    job = switch_job.fields_of(switch_job.read(call.world, name))
    if switch is None:
        return {**empty_result("Get-TalosSwitch"), "Name": name, **job, "Changed": changed}
    adapter = call.world.network.physical(switch.adapter_guid) if switch.adapter_guid else None
    own = switch.vethernet
    return {
        "Name": switch.name,
        "Exists": True,
        "Id": switch.id,
        "Kind": _kind(switch),
        "Adapter": adapter.name if adapter else "",
        "AdapterDescription": adapter.description if adapter else "",
        "AllowManagementOS": switch.allow_management_os,
        "Notes": switch.notes,
        "Addresses": list(own.addresses) if own else [],
        "Gateway": own.gateway if own else "",
        "DnsServers": list(own.dns_servers) if own else [],
        "NetworkCategory": own.category if own else "",
        "VMNames": _vm_names(call, switch),
        **job,
        "Changed": changed,
    }


def _kind(switch: VirtualSwitch) -> str:
    return "NAT" if switch.id == DEFAULT_SWITCH_ID else switch.kind


def _vm_names(call: Call, switch: VirtualSwitch) -> list[str]:
    return [view.name for view in call.hyperv.vms.get_vms() if any(nic.switch_id == switch.id for nic in view.vm.nics)]
