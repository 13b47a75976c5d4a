"""Get-Service, Get-Volume, Get-WindowsOptionalFeature."""

from __future__ import annotations

import ntpath
from dataclasses import dataclass

from provisioner.lab.world.hyperv.service import matches
from tests.engine.cmdlets.behaviours import Environment, behaviour
from tests.engine.cmdlets.call import Call, ShellError
from tests.engine.hyperv import is_pattern, volumes


@dataclass(frozen=True)
class WindowsService:
    name: str
    display_name: str
    status: str
    start_type: str = "Automatic"


def services(around: Environment) -> list[WindowsService]:
    """Those of Windows that matter here; Hyper-V's only where it is installed."""
    found = [
        WindowsService("NlaSvc", "Network Location Awareness", "Running"),
        WindowsService("Schedule", "Task Scheduler", "Running"),
        WindowsService("W32Time", "Windows Time", "Running", "Manual"),
        WindowsService("WinRM", "Windows Remote Management (WS-Management)", "Running"),
    ]
    vmms = around.host.vmms
    if vmms != "NotInstalled":
        found += [
            WindowsService("vmcompute", "Hyper-V Host Compute Service", vmms, "Manual"),
            WindowsService("vmms", "Hyper-V Virtual Machine Management", vmms),
        ]
    return found


@behaviour("Get-Service", "Name DisplayName")
def get_service(call: Call, around: Environment) -> None:
    by_display = "DisplayName" in call
    for wanted in (str(name) for name in call.items("DisplayName" if by_display else "Name") or ["*"]):
        found = [s for s in services(around) if matches(wanted, s.display_name if by_display else s.name)]
        if not found and not is_pattern(wanted):
            text = f"Cannot find any service with service name '{wanted}'."
            call.error(
                ShellError(
                    "NoServiceFoundForGivenName",
                    "ObjectNotFound",
                    text,
                    wanted,
                    exception="Microsoft.PowerShell.Commands.ServiceCommandException",
                )
            )
        for service in found:
            call.out(
                "ServiceController",
                {
                    "Name": service.name,
                    "ServiceName": service.name,
                    "DisplayName": service.display_name,
                    "Status": service.status,
                    "StartType": service.start_type,
                },
            )


@behaviour("Get-Volume", "DriveLetter FilePath FileSystemLabel")
def get_volume(call: Call, around: Environment) -> None:
    letters = [str(letter).upper() for letter in call.items("DriveLetter")]
    if "FilePath" in call:
        letters = [ntpath.splitdrive(around.files.windows_path(call.text("FilePath")))[0][:1].upper()]
    if "FileSystemLabel" in call:
        letters = ["-"]  # none has one
    found = [volume for volume in volumes(around.world) if not letters or volume.root[0] in letters]
    if letters and not found:
        text = f"No MSFT_Volume objects found for {', '.join(letters)}."
        raise ShellError(f"CmdletizationQuery_NotFound_{next(iter(call.arguments))}", "ObjectNotFound", text)
    for volume in found:
        unique = f"\\\\?\\Volume{{6d1f0a3e-0000-0000-0000-{ord(volume.root[0]):012x}}}\\"
        call.out(
            "MSFT_Volume",
            {
                "DriveLetter": volume.root[0],
                "FileSystemLabel": "",
                "FileSystem": "NTFS",
                "FileSystemType": "NTFS",
                "DriveType": "Fixed",
                "HealthStatus": "Healthy",
                "OperationalStatus": "OK",
                "Size": volume.size_bytes,
                "SizeRemaining": volume.free_bytes,
                "Path": unique,
                "UniqueId": unique,
            },
        )


FEATURES = (
    "Microsoft-Hyper-V-All",
    "Microsoft-Hyper-V",
    "Microsoft-Hyper-V-Management-PowerShell",
    "Microsoft-Hyper-V-Hypervisor",
)


@behaviour("Get-WindowsOptionalFeature", "Online FeatureName")
def get_windows_optional_feature(call: Call, around: Environment) -> None:
    """A feature that Windows does not know writes nothing."""
    if not call.caller.administrator:
        raise ShellError(
            "Microsoft.Dism.Commands.GetWindowsOptionalFeatureCommand",
            "NotSpecified",
            "The requested operation requires elevation.",
            exception="System.Runtime.InteropServices.COMException",
            terminating=True,
        )
    installed = around.host.vmms != "NotInstalled"
    for name in FEATURES:
        present = around.host.hyperv_module if name.endswith("PowerShell") else installed
        if matches(call.text("FeatureName", "*"), name):
            state = "Enabled" if present else "Disabled"
            call.out("BasicFeatureObject", {"FeatureName": name, "DisplayName": name, "State": state, "Online": True})
