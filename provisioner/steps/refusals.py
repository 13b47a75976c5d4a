"""What a refusal of a host function means to the user: ids of the contract -> faults. Code decides by ids, never by words."""

from __future__ import annotations

from provisioner.errors import Fault, HostRefused

_BY_ID: dict[str, tuple[str, str]] = {
    "NotAdministrator": ("P-HOST-RIGHTS", "membership in the host's Administrators"),
    "SwitchAdapterNotFound": ("P-SWITCH-NOADAPTER", "a network adapter of that name"),
    "SwitchAdapterBound": ("P-SWITCH-BOUND", "an adapter that belongs to no other External switch"),
    "SwitchOnOtherAdapter": ("P-SWITCH-BOUND", "a switch on the adapter that the file names"),
    "SwitchOtherKind": ("P-SWITCH-KIND", "an External switch"),
    "SwitchAdapterWifi": ("P-SWITCH-WIFI", "a wired adapter"),
    "SwitchUndone": ("P-SWITCH-UNDONE", "no earlier attempt that was undone"),
    "SwitchNotOurs": ("P-SWITCH-BOUND", "a switch that bears our mark"),
    "SwitchInUse": ("P-SWITCH-BOUND", "a switch that no VM uses"),
    "ImageChecksum": ("P-ISO-CHECKSUM", "the checksum of the release"),
    "ImageDownload": ("P-ISO-DOWNLOAD", "the ISO, downloaded by the host"),
    "ImageNoSpace": ("P-VM-SPACE", "space for the ISO"),
    "ImageNotOurs": ("P-VM-FOREIGN", "an image that we downloaded"),
    "ImageInUse": ("P-VM-FOREIGN", "an image that no VM holds"),
    "VMNotOurs": ("P-VM-FOREIGN", "a VM with this cluster's mark"),
    "VMNameTwice": ("P-VM-FOREIGN", "one VM of that name"),
    "VMMacInUse": ("P-VM-MACTWICE", "a MAC address that no other VM has"),
    "VMSwitchNotFound": ("P-SWITCH-MISSING", "the virtual switch"),
    "VMIsoNotFound": ("P-ISO-DOWNLOAD", "the ISO on the host"),
    "VMDiskExists": ("P-VM-LEFTOVER", "no disk file in the way"),
    "VMNoSpace": ("P-VM-SPACE", "space for the machine's disk"),
    "VMFolderInvalid": ("P-VM-SPACE", "a folder that can be made"),
    "VMNoMemory": ("P-VM-MEMORY", "memory for the machine"),
    "VMMustBeOff": ("P-VM-DRIFT", "a VM that is Off"),
    "VMDiskShrink": ("P-VM-DRIFT", "a disk at least as large as the present one"),
    "VMNotFound": ("P-VM-STUCK", "the VM that was there before"),
    "VMStopTimeout": ("P-VM-STUCK", "the machine to shut down when asked"),
    "VMFilesLocked": ("P-VM-STUCK", "files that nothing holds open"),
}


def fault_of(refusal: HostRefused, *, host: str, machine: str = "") -> Fault:
    """The fault that a refusal of the host becomes; P-HOST-REFUSED for Hyper-V's own ids."""
    fault_id, expected = _BY_ID.get(refusal.id, ("P-HOST-REFUSED", f"{refusal.function} to succeed"))
    about = f"{machine} on {host}" if machine else host
    return Fault(
        fault_id,
        f"{about}: {refusal.message}",
        expected=expected,
        seen=(f"{refusal.function} answered {refusal.id}" + (f" for {refusal.target}" if refusal.target else ""),),
        machine=machine,
    )
