"""Get-TalosHost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from provisioner.lab.functions.api import contract
from provisioner.lab.functions.call import Arguments, Call, Result, bare_id, compact, iso
from provisioner.lab.world.state import NetAdapter

WINDOWS_POWERSHELL = "5.1.26100.4202"


def get_host(call: Call, _arguments: Arguments) -> Iterator[Result]:
    kernel, host = call.kernel, call.world.state.host
    kernel.spend(0.5)
    with kernel.lock:
        knows_hyperv = host.hyperv_module and host.vmms == "Running" and call.caller.may_use_hyperv
        yield {
            "ComputerName": host.name.split(".")[0].upper(),
            "OSCaption": host.os_caption,
            "OSBuild": host.os_build,
            "IsServer": host.is_server,
            "PSVersion": WINDOWS_POWERSHELL,
            "PSEdition": "Desktop",
            "ModuleVersion": contract().module_version,
            "LanguageMode": "FullLanguage",
            "HyperVModule": host.hyperv_module,
            "HypervisorPresent": host.hypervisor_present,
            "VmmsStatus": host.vmms,
            "IsAdministrator": call.caller.administrator,
            "IsHyperVAdministrator": call.caller.hyperv_administrator,
            "Processors": host.processors,
            "MemoryTotalBytes": host.memory_bytes,
            "MemoryFreeBytes": call.hyperv.service.memory_free_bytes(),
            "TimeUtc": call.now_utc(),
            "BootedUtc": iso(datetime.fromtimestamp(host.booted_utc, UTC)),
            "DiskFolder": host.disk_folder if knows_hyperv else "",
            "ImageFolder": image_folder(call),
            "Volumes": compact(
                [
                    {"Root": f"{root}\\", "SizeBytes": size, "FreeBytes": call.storage.free_bytes(root)}
                    for root, (size, _used) in sorted(host.volumes.items())
                ]
            ),
            "Adapters": compact([_adapter(call, adapter) for adapter in host.adapters]),
        }


def image_folder(call: Call) -> str:
    return f"{call.world.state.host.program_data}\\TalosHyperV\\images"


def _adapter(call: Call, adapter: NetAdapter) -> Result:
    carrier = call.world.network.carrier(adapter) or adapter
    return {
        "Name": adapter.name,
        "Description": adapter.description,
        "MacAddress": adapter.mac,
        "Status": adapter.status,
        "Media": adapter.media,
        "InterfaceGuid": bare_id(adapter.guid),
        "Addresses": carrier.addresses,
        "HasDefaultRoute": bool(carrier.gateway),
        "LinkSpeed": adapter.link_speed,
    }
