"""The host's functions as Python calls: one per function of `powershell/TalosHyperV/contract.yaml`, with its parameters.

A parameter that the host would fill with the same default is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from provisioner.hyperv.module import GET_HOST
from provisioner.model.units import GIB, MIB
from provisioner.ports import SwitchRequest, VmChange, VmRequest
from provisioner.winrm.transport import Int64, Statement


def get_host() -> Statement:
    return GET_HOST


def get_switch(name: str, *, marked: bool = False) -> Statement:
    """`marked`: after it all others with a mark of ours."""
    return _statement("Get-TalosSwitch", Name=name, Marked=marked or None)


def new_switch(request: SwitchRequest) -> Statement:
    return _statement(
        "New-TalosSwitch",
        Name=request.name,
        NetAdapterName=request.adapter,
        AllowManagementOS=request.allow_management_os,
        VlanId=request.vlan,
        Mark=request.mark,
        WatchdogSeconds=request.watchdog_s,
        Retry=request.retry or None,
    )


def confirm_switch(*, name: str, job_id: str) -> Statement:
    return _statement("Confirm-TalosSwitch", Name=name, JobId=job_id)


def remove_switch(*, name: str, cluster_id: str) -> Statement:
    return _statement("Remove-TalosSwitch", Name=name, ClusterId=cluster_id)


def set_switch(*, name: str, cluster_id: str, mark: str) -> Statement:
    return _statement("Set-TalosSwitch", Name=name, ClusterId=cluster_id, Mark=mark)


def get_image(paths: Sequence[str], *, verify: bool = False) -> Statement:
    return _statement("Get-TalosImage", Path=list(paths), Verify=verify or None)


def save_image(*, url: str, path: str, sha256: str, sha256_url: str) -> Statement:
    return _statement("Save-TalosImage", Uri=url, Path=path, Sha256=sha256 or None, Sha256Uri=sha256_url or None)


def remove_image(path: str) -> Statement:
    return _statement("Remove-TalosImage", Path=path)


def new_vm(request: VmRequest) -> Statement:
    return _statement(
        "New-TalosVM",
        Name=request.name,
        MemoryBytes=Int64(value=request.memory_mib * MIB),
        Cpus=request.cpus,
        DiskBytes=Int64(value=request.disk_gib * GIB),
        SwitchName=request.switch,
        MacAddress=request.mac,
        IsoPath=request.iso_path,
        Mark=request.mark,
        Path=request.folder or None,
        VlanId=request.vlan,
        StartDelaySeconds=request.start_delay_s,
        Start=True,
    )


def get_vm(ids: Sequence[str] | None = None, *, cluster_id: str | None = None) -> Statement:
    """All VMs, those of the ids, or those of a cluster."""
    return _statement("Get-TalosVM", Id=list(ids) if ids is not None else None, ClusterId=cluster_id)


def set_vm(change: VmChange) -> Statement:
    return _statement(
        "Set-TalosVM",
        Id=change.id,
        Mark=change.mark,
        Cpus=change.cpus,
        MemoryBytes=Int64(value=change.memory_mib * MIB) if change.memory_mib is not None else None,
        DiskBytes=Int64(value=change.disk_gib * GIB) if change.disk_gib is not None else None,
        VlanId=change.vlan,
        SwitchName=change.switch,
        MacAddress=change.mac,
        StartDelaySeconds=change.start_delay_s,
        StaticMemory=change.static_memory or None,
        SecureBootOff=change.secure_boot_off or None,
        FixBootOrder=change.boot_order or None,
        FixActions=change.actions or None,
        FixNotes=change.notes or None,
    )


def start_vm(ids: Sequence[str]) -> Statement:
    return _statement("Start-TalosVM", Id=list(ids))


def stop_vm(ids: Sequence[str], *, turn_off: bool) -> Statement:
    return _statement("Stop-TalosVM", Id=list(ids), TurnOff=turn_off or None)


def remove_vm(ids: Sequence[str], *, cluster_id: str, keep_mark: bool = False) -> Statement:
    return _statement("Remove-TalosVM", Id=list(ids), ClusterId=cluster_id, KeepMark=keep_mark or None)


def get_folder(path: str = "") -> Statement:
    """Marked folders of all clusters; `path`: a parent folder to look into besides."""
    return _statement("Get-TalosFolder", Path=path or None)


def remove_folder(path: str, *, cluster_id: str) -> Statement:
    return _statement("Remove-TalosFolder", Path=path, ClusterId=cluster_id)


def mount_iso(ids: Sequence[str], *, path: str) -> Statement:
    """No step calls it yet: it is the way back for a machine whose disk boots no longer, which needs the ISO again."""
    return _statement("Mount-TalosIso", Id=list(ids), Path=path)


def dismount_iso(ids: Sequence[str]) -> Statement:
    return _statement("Dismount-TalosIso", Id=list(ids))


def get_neighbor(macs: Sequence[str], *, sweep: bool, wait_s: int = 0) -> Statement:
    return _statement("Get-TalosNeighbor", MacAddress=list(macs), Sweep=sweep or None, WaitSeconds=wait_s or None)


def get_console(id: str, *, width: int, height: int) -> Statement:
    return _statement("Get-TalosConsole", Id=id, Width=width, Height=height)


def _statement(function: str, **arguments: Any) -> Statement:
    return Statement(
        function=function, arguments={name: value for name, value in arguments.items() if value is not None}
    )
