"""The host, and VMs: Get-/Set-VMHost, New-, Get-, Set-, Start-, Stop-, Remove-VM, processor, memory, services, checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from provisioner.lab.world.hyperv import errors as refused
from provisioner.lab.world.hyperv.errors import CmdletError
from provisioner.lab.world.hyperv.service import VmView, matches
from provisioner.lab.world.hyperv.vms import VmSettings
from tests.engine import hyperv as engine_hyperv
from tests.engine.cmdlets import objects
from tests.engine.cmdlets.behaviours import Environment, behaviour
from tests.engine.cmdlets.call import Call
from tests.engine.cmdlets.dates import iso


def selected(call: Call, around: Environment, name: str = "Name") -> list[VmView]:
    """The VMs that -VM or a list of names means. A name that fits nothing is an error of its own; the others go on."""
    hyperv = around.hyperv_of(call)
    found: list[VmView] = []

    def by_id(vm: Mapping[str, Any]) -> None:
        found.extend(hyperv.vms.get_vms(vm_id=str(vm.get("VMId") or vm["Id"])))

    def by_name(pattern: str) -> None:
        views = hyperv.vms.get_vms(pattern)
        if not views and engine_hyperv.is_pattern(pattern):
            raise engine_hyperv.no_vm_of_name(pattern)
        found.extend(views)

    if "VM" in call:
        call.each(call.items("VM"), by_id)
    elif "VMSnapshot" in call:
        call.each(call.items("VMSnapshot"), by_id)
    else:
        call.each(call.items(name), by_name)
    return found


def vm_out(call: Call, around: Environment, view: VmView) -> None:
    services = engine_hyperv.integration_services(around.hyperv_of(call), view.id) if view.id in around.host.vms else []
    call.out("VirtualMachine", objects.vm_object(view, services, around.host, iso(around, view.vm.created)))


@behaviour("Get-VMHost")
def get_vm_host(call: Call, around: Environment) -> None:
    hyperv = around.hyperv_of(call)
    hyperv.vms.get_vms()  # whoever may not see VMs may not see this either
    host = around.host
    call.out("VMHost", objects.host_object(host, host.memory_bytes))


@behaviour("Set-VMHost", "VirtualHardDiskPath VirtualMachinePath Passthru")
def set_vm_host(call: Call, around: Environment) -> None:
    around.hyperv_of(call).vms.get_vms()
    host = around.host
    if not call.should(host.name):
        return
    with around.kernel.lock:
        host.disk_folder = call.text("VirtualHardDiskPath", host.disk_folder)
        host.vm_folder = call.text("VirtualMachinePath", host.vm_folder)
        around.kernel.changed("host")
    if call.switch("Passthru"):
        get_vm_host(call, around)


@behaviour("Get-VM", "Name Id")
def get_vm(call: Call, around: Environment) -> None:
    hyperv = around.hyperv_of(call)

    def show(views: list[VmView]) -> None:
        for view in views:
            vm_out(call, around, view)

    if call.get("Id"):
        show(hyperv.vms.get_vms(vm_id=call.text("Id")))
    elif call.get("Name"):
        call.each(call.items("Name"), lambda name: show(hyperv.vms.get_vms(name)))
    else:
        show(hyperv.vms.get_vms())


@behaviour(
    "New-VM",
    "Name MemoryStartupBytes BootDevice NoVHD SwitchName NewVHDPath NewVHDSizeBytes VHDPath Path Generation Force",
)
def new_vm(call: Call, around: Environment) -> None:
    name = call.text("Name") or "New Virtual Machine"
    if not call.should(name):
        return
    view = around.hyperv_of(call).vms.new_vm(
        name,
        generation=call.get("Generation", 1),
        memory_bytes=call.get("MemoryStartupBytes", 512 * objects.MIB),
        path=around.files.windows_path(call.text("Path")),
        switch_name=call.text("SwitchName"),
        boot_device=call.text("BootDevice"),
        new_vhd_path=around.files.windows_path(call.text("NewVHDPath")),
        new_vhd_bytes=call.get("NewVHDSizeBytes", 0),
        vhd_path=around.files.windows_path(call.text("VHDPath")),
    )
    vm_out(call, around, view)


_SET_VM: dict[str, str] = {
    "ProcessorCount": "cpus",
    "MemoryStartupBytes": "memory_bytes",
    "AutomaticStartAction": "start_action",
    "AutomaticStartDelay": "start_delay_s",
    "AutomaticStopAction": "stop_action",
    "CheckpointType": "checkpoint_type",
    "AutomaticCheckpointsEnabled": "automatic_checkpoints",
    "Notes": "notes",
    "NewVMName": "name",
}


@behaviour("Set-VM", "VM Name DynamicMemory StaticMemory Passthru " + " ".join(_SET_VM))
def set_vm(call: Call, around: Environment) -> None:
    settings: dict[str, Any] = {field: call.get(name) for name, field in _SET_VM.items() if call.get(name) is not None}
    if call.switch("DynamicMemory") and call.switch("StaticMemory"):
        raise refused.bad_argument("-DynamicMemory and -StaticMemory exclude each other.")
    if call.switch("DynamicMemory") or call.switch("StaticMemory"):
        settings["dynamic_memory"] = call.switch("DynamicMemory")
    if not settings:
        raise refused.bad_argument("At least one setting has to be given.")

    def change(view: VmView) -> None:
        if call.should(view.name):
            after = _set(around, call, view, settings)
            if call.switch("Passthru"):
                vm_out(call, around, after)

    call.each(selected(call, around), change)


def _set(around: Environment, call: Call, view: VmView, settings: dict[str, Any]) -> VmView:
    """Only what differs: a setting that stays may be given while the VM runs."""
    changed = {field: value for field, value in settings.items() if getattr(view.vm, field) != value}
    return around.hyperv_of(call).vms.set_vm(view.id, **VmSettings(**changed)) if changed else view  # type: ignore[typeddict-item]


def already(call: Call, view: VmView) -> None:
    call.warning(f"The virtual machine {view.name} is already in the specified state.")


@behaviour("Start-VM", "VM Name Passthru")
def start_vm(call: Call, around: Environment) -> None:
    _bring_up(call, around, around.hyperv_of(call).power.start_vm)


@behaviour("Resume-VM", "VM Name Passthru")
def resume_vm(call: Call, around: Environment) -> None:
    _bring_up(call, around, around.hyperv_of(call).power.resume_vm)


def _bring_up(call: Call, around: Environment, how: Callable[[str], bool]) -> None:
    def bring_up(view: VmView) -> None:
        if not call.should(view.name):
            return
        if not how(view.id):
            already(call, view)
        if call.switch("Passthru"):
            vm_out(call, around, around.hyperv_of(call).vms.get_vm(view.id))

    call.each(selected(call, around), bring_up)


@behaviour("Stop-VM", "VM Name Save TurnOff Force Passthru")
def stop_vm(call: Call, around: Environment) -> None:
    hyperv = around.hyperv_of(call)

    def stop(view: VmView) -> None:
        if not call.should(view.name):
            return
        stopped = hyperv.power.stop_vm(
            view.id, turn_off=call.switch("TurnOff"), force=call.switch("Force"), save=call.switch("Save")
        )
        if not stopped:
            already(call, view)
        if call.switch("Passthru"):
            vm_out(call, around, hyperv.vms.get_vm(view.id))

    call.each(selected(call, around), stop)


@behaviour("Remove-VM", "VM Name Force Passthru")
def remove_vm(call: Call, around: Environment) -> None:
    hyperv = around.hyperv_of(call)

    def remove(view: VmView) -> None:
        if call.should(view.name):
            after = hyperv.vms.remove_vm(view.id)
            if call.switch("Passthru"):
                vm_out(call, around, after)

    def by_name(name: str) -> None:
        try:
            views = hyperv.vms.get_vms(name)
        except CmdletError as refusal:
            if refusal.id == "InvalidParameter":  # unlike its sisters (facts/hyperv.md, 7)
                raise CmdletError("ObjectNotFound", "ObjectNotFound", refusal.message, name) from refusal
            raise
        call.each(views, remove)

    if "VM" in call:
        call.each(selected(call, around), remove)
    else:
        call.each(call.items("Name"), by_name)


# -- processor, memory


@behaviour("Get-VMProcessor", "VM VMName VMSnapshot")
def get_vm_processor(call: Call, around: Environment) -> None:
    for view in selected(call, around, "VMName"):
        call.out("VMProcessor", objects.processor_object(view))


@behaviour("Set-VMProcessor", "VM VMName VMProcessor Count Passthru")
def set_vm_processor(call: Call, around: Environment) -> None:
    _set_part(call, around, "VMProcessor", {"cpus": call.get("Count")})


@behaviour("Get-VMMemory", "VM VMName VMSnapshot")
def get_vm_memory(call: Call, around: Environment) -> None:
    for view in selected(call, around, "VMName"):
        call.out("VMMemory", objects.memory_object(view))


@behaviour("Set-VMMemory", "VM VMName VMMemory StartupBytes DynamicMemoryEnabled Passthru")
def set_vm_memory(call: Call, around: Environment) -> None:
    wanted = {"memory_bytes": call.get("StartupBytes"), "dynamic_memory": call.get("DynamicMemoryEnabled")}
    _set_part(call, around, "VMMemory", wanted)


def _set_part(call: Call, around: Environment, part: str, wanted: dict[str, Any]) -> None:
    settings = {field: value for field, value in wanted.items() if value is not None}
    show = objects.processor_object if part == "VMProcessor" else objects.memory_object

    def change(view: VmView) -> None:
        if call.should(view.name):
            after = _set(around, call, view, settings)
            if call.switch("Passthru"):
                call.out(part, show(after))

    call.each(owners(call, around, part) if part in call else selected(call, around, "VMName"), change)


def owners(call: Call, around: Environment, parameter: str) -> list[VmView]:
    """The VMs of objects that belong to one."""
    hyperv = around.hyperv_of(call)
    found: list[VmView] = []
    call.each(call.items(parameter), lambda part: found.append(hyperv.vms.get_vm(str(part["VMId"]))))
    return found


# -- integration services, checkpoints


@behaviour("Get-VMIntegrationService", "VM VMName VMSnapshot Name")
def get_vm_integration_service(call: Call, around: Environment) -> None:
    def show(view: VmView) -> None:
        for name in call.items("Name") or ["*"]:
            _show_services(call, around, view, name)

    call.each(selected(call, around, "VMName"), show)


def _show_services(call: Call, around: Environment, view: VmView, name: str) -> None:
    found = [s for s in engine_hyperv.integration_services(around.hyperv_of(call), view.id) if matches(name, s.name)]
    if not found:
        raise refused.no_device(f"an integration service with name '{name}'", name)
    for service in found:
        call.out("VMIntegrationComponent", objects.service_object(view, service))


@behaviour("Enable-VMIntegrationService", "VM VMName VMIntegrationService Name Passthru")
def enable_vm_integration_service(call: Call, around: Environment) -> None:
    _switch_service(call, around, enabled=True)


@behaviour("Disable-VMIntegrationService", "VM VMName VMIntegrationService Name Passthru")
def disable_vm_integration_service(call: Call, around: Environment) -> None:
    _switch_service(call, around, enabled=False)


def _switch_service(call: Call, around: Environment, *, enabled: bool) -> None:
    hyperv = around.hyperv_of(call)

    def change(view: VmView, name: str) -> None:
        if call.should(f"{view.name}: {name}"):
            engine_hyperv.set_integration_service(hyperv, view.id, name, enabled=enabled)
            if call.switch("Passthru"):
                _show_services(call, around, view, name)

    if "VMIntegrationService" in call:
        services = call.items("VMIntegrationService")
        call.each(services, lambda its: change(hyperv.vms.get_vm(str(its["VMId"])), str(its["Name"])))
        return
    for view in selected(call, around, "VMName"):
        call.each(call.items("Name"), lambda name, of=view: change(of, name))  # type: ignore[misc]


@behaviour("Get-VMSnapshot", "VM VMName Id Name ChildOf ParentOf SnapshotType")
def get_vm_snapshot(call: Call, around: Environment) -> None:
    """The world's VMs have no checkpoints: the product turns them off, and nobody else makes one here."""
    if call.get("Id"):
        raise refused.no_device("the checkpoint", call.text("Id"))
    if "VM" in call or "VMName" in call:
        selected(call, around, "VMName")
