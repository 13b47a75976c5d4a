"""Talks with a host: one reading of it, whole or not at all, and what a talk that failed means to the user. Code decides by ids, never by
words, and what could not be read is never taken for nothing.
"""

from __future__ import annotations

from dataclasses import replace

from provisioner.errors import (
    Dropped,
    Fault,
    HostRefused,
    Malformed,
    NoSignIn,
    NotTrusted,
    Rejected,
    TransportError,
    Unreachable,
)
from provisioner.model.cluster import Cluster, HostSpec
from provisioner.model.facts import HostFacts, HostState
from provisioner.model.units import HTTP_PORT
from provisioner.ports import Clock, Host, HyperVUnavailable, ObserveQuery
from provisioner.steps.waiting import Pending, Probe, Ready, T, TimedOut, bounded

_BY_ID: dict[str, tuple[str, str]] = {
    "NotAdministrator": ("P-HOST-RIGHTS", "membership in the host's Administrators"),
    "SwitchAdapterNotFound": ("P-SWITCH-NOADAPTER", "a network adapter of that name"),
    "SwitchAdapterBound": ("P-SWITCH-BOUND", "an adapter that belongs to no other External switch"),
    "SwitchOnOtherAdapter": ("P-SWITCH-BOUND", "a switch on the adapter that the file names"),
    "SwitchOtherKind": ("P-SWITCH-KIND", "an External switch"),
    "SwitchAdapterWifi": ("P-SWITCH-WIFI", "a wired adapter"),
    "SwitchUndone": ("P-SWITCH-UNDONE", "no earlier attempt that was undone"),
    "SwitchJobRunning": ("P-SWITCH-FAILED", "no other job at work on that switch"),
    "SwitchJobNotFound": ("P-SWITCH-FAILED", "the job that makes the switch"),
    "SwitchNotOurs": ("P-SWITCH-BOUND", "a switch that bears our mark"),
    "SwitchInUse": ("P-SWITCH-BOUND", "a switch that no VM uses"),
    "ImageChecksum": ("P-ISO-CHECKSUM", "the checksum of the release"),
    "ImageDownload": ("P-ISO-DOWNLOAD", "the ISO, downloaded by the host"),
    "ImageNoSpace": ("P-VM-SPACE", "space for the ISO"),
    "ImageNotOurs": ("P-VM-FOREIGN", "an image that we downloaded"),
    "ImageInUse": ("P-VM-FOREIGN", "an image that no VM holds"),
    "SwitchNotFound": ("P-SWITCH-MISSING", "the virtual switch"),
    "FolderNotOurs": ("P-VM-FOREIGN", "a folder with this cluster's mark"),
    "FolderInUse": ("P-VM-FOREIGN", "a folder that no VM uses"),
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
    "ModuleNotInstalled": ("P-HOST-CONSTRAINED", "a session configuration with the module installed"),
    "ModuleVersion": ("P-HOST-CONSTRAINED", "a session configuration with this version of the module"),
    "VMNotRunning": ("P-VM-STUCK", "a VM that runs"),
    "VMNotFound": ("P-VM-STUCK", "the VM that was there before"),
    "VMStopTimeout": ("P-VM-STUCK", "the machine to shut down when asked"),
    "VMFilesLocked": ("P-VM-STUCK", "files that nothing holds open"),
}


_TOO_MANY_SHELLS = "WinRM.2150859173"
"""MaxShellsPerUser, 30 by default."""
_CONSTRAINED = "ConstrainedLanguage"
"""Part of the ids with which PowerShell refuses code in that mode, as MethodInvocationNotSupportedInConstrainedLanguage."""

READ_BOUND_S = 180.0
"""For one reading of a host, including an outage as long as it is tolerated."""


def fault_of(error: TransportError, *, host: str, machine: str = "", user: str = "") -> Fault:
    """The fault that ends an action on a host. For an outage that is not tolerated any longer it is P-HOST-LOST."""
    unavailable = isinstance(error, HyperVUnavailable) and hyperv_fault(host, error.host, user=user)
    if not unavailable and isinstance(error, HostRefused):
        return _refused(error, host, machine)
    return replace(unavailable or _unanswered(error, host, user), machine=machine)


def _unanswered(error: TransportError, host: str, user: str) -> Fault:
    """Of a host that did not answer what it was asked, and did not refuse it either."""
    if isinstance(error, NoSignIn):
        return _no_sign_in(error, host)
    if isinstance(error, Malformed):
        return _malformed(error, host)
    if isinstance(error, Rejected):
        return Fault(
            "P-HOST-SIGNIN",
            f"{host} refuses the sign-in" + (f" as {user}" if user else ""),
            expected="a user name and password that the host accepts; tried once, since repeated failures lock accounts",
            seen=(str(error),),
            next_steps=("check user: in the cluster file, and PROVISION_PASSWORD",),
        )
    if isinstance(error, NotTrusted):
        return Fault(
            "P-HOST-CERT",
            f"the certificate of {host} is not the one expected",
            expected="a certificate of a trusted authority, or the one of pin: in the cluster file",
            seen=(str(error),),
            next_steps=("compare the fingerprint at the host's own console before you put it into pin:",),
        )
    return Fault(
        "P-HOST-LOST",
        f"{host} went away and did not come back",
        expected="an answer of the host",
        seen=(str(error),),
    )


def _no_sign_in(error: NoSignIn, host: str) -> Fault:
    kerberos = any(scheme.lower() == "kerberos" for scheme in error.offered)
    negotiate = "on the host: Set-Item WSMan:\\localhost\\Service\\Auth\\Negotiate $true"
    return Fault(
        "P-HOST-NOSIGNIN",
        f"{host} takes no sign-in by NTLM" if kerberos else f"{host} offers no way to sign in that we know",
        expected="Negotiate, as WinRM offers it by default",
        seen=(f"it offers {', '.join(error.offered) or 'none'}; no password was sent",),
        probable_cause="Negotiate is switched off there, or its domain forbids NTLM" if kerberos else "",
        next_steps=(negotiate, "or for Kerberos, here: pip install 'pyspnego[kerberos]', and kinit")
        if kerberos
        else (negotiate,),
    )


def _malformed(error: Malformed, host: str) -> Fault:
    if error.expected != "WinRM":
        return Fault(
            "P-HOST-ANSWER",
            f"{host} answers, but not as its functions should",
            expected=f"what {error.expected or 'the contract'} promises",
            seen=(error.came,),
            next_steps=("on the host: Get-Module TalosHyperV -ListAvailable",),
        )
    return Fault(
        "P-HOST-NOTWINRM",
        f"something answers for {host}, but not as WinRM",
        expected="a WinRM listener at the address and port of the cluster file",
        seen=(error.came,),
        next_steps=(
            "check the host's name and port in the cluster file",
            "on the host: winrm enumerate winrm/config/listener; where there is none: Enable-PSRemoting -Force",
        ),
    )


def hyperv_fault(name: str, host: HostFacts, *, user: str = "") -> Fault | None:
    """Why Hyper-V can neither be read nor used on a host, as the one fault: nothing else that is missing there says anything then."""
    if not host.hyperv_module or not host.hypervisor_present or host.vmms_status != "Running":
        return Fault(
            "P-HOST-NOHYPERV",
            f"Hyper-V is not ready on {name}",
            expected="the Hyper-V PowerShell module, a hypervisor, and the service vmms running",
            seen=(
                f"Hyper-V module {'present' if host.hyperv_module else 'missing'}",
                f"hypervisor {'running' if host.hypervisor_present else 'not running'}",
                f"service vmms {host.vmms_status}",
            ),
            next_steps=(_hyperv_remedy(host),),
        )
    if not host.is_administrator and not host.is_hyperv_administrator:
        return Fault(
            "P-HOST-RIGHTS",
            f"the account may not manage Hyper-V on {name}",
            expected="membership in Administrators, or in Hyper-V Administrators with an existing switch",
            seen=("neither",),
            next_steps=(f"on the host: Add-LocalGroupMember Administrators {user or 'ACCOUNT'}",),
        )
    return None


def _hyperv_remedy(host: HostFacts) -> str:
    """What the first missing part of Hyper-V needs."""
    if not host.hyperv_module:
        return "on the host: Enable-WindowsOptionalFeature -Online -FeatureName Microsoft-Hyper-V-All, then restart it"
    if not host.hypervisor_present:
        return "on the host: bcdedit /set hypervisorlaunchtype auto, then restart it; virtualization must be on in the firmware"
    return "on the host: Start-Service vmms"


def _way_out(refusal: HostRefused, *, too_many: bool) -> tuple[str, ...]:
    if too_many:
        return ("wait that long, or on the host: Restart-Service WinRM",)
    if refusal.id == "VMStopTimeout":
        return (
            "shut it down by talosctl, or, if nothing in it is at work, on the host: Stop-VM -TurnOff",
            "then run the same command again",
        )
    if refusal.id == "VMDiskExists":
        return (
            f"to keep what is on it: merge the checkpoint in Hyper-V Manager, or move {refusal.target} away",
            "to give up a disk of this cluster: provision down CLUSTER",
        )
    return ()


def _refused(refusal: HostRefused, host: str, machine: str) -> Fault:
    """P-HOST-REFUSED for Hyper-V's own ids."""
    fault_id, expected = _BY_ID.get(refusal.id, ("P-HOST-REFUSED", f"{refusal.function} to succeed"))
    if _CONSTRAINED in refusal.id:
        fault_id, expected = "P-HOST-CONSTRAINED", "FullLanguage, or a session configuration with the module installed"
    too_many = refusal.id == _TOO_MANY_SHELLS
    about = f"{machine} on {host}" if machine else host
    return Fault(
        fault_id,
        f"{about}: {refusal.message}",
        expected=expected,
        seen=(f"{refusal.function} answered {refusal.id}" + (f" for {refusal.target}" if refusal.target else ""),),
        probable_cause="sessions of runs that were killed; the host ends each after 15 minutes" if too_many else "",
        next_steps=_way_out(refusal, too_many=too_many),
        machine=machine,
    )


def on_host(probe: Probe[T], *, host: str, machine: str = "") -> Probe[T]:
    """A probe that talks with a host: one that is away is waited for, whatever else the talk ends in is a Fault."""

    async def guarded() -> Ready[T] | Pending:
        try:
            return await probe()
        except (Dropped, Unreachable) as gone:
            return Pending(f"{host} is away ({gone})")
        except TransportError as error:
            raise fault_of(error, host=host, machine=machine) from error

    return guarded


async def read_host(cluster: Cluster, name: str, host: Host, clock: Clock) -> HostState:
    """Everything that the cluster has to do with on that host. Raises a Fault."""
    spec = cluster.hosts[name]
    query = ObserveQuery(
        switch=cluster.switch.name,
        image_path=cluster.image.path,
        image_name=cluster.image.file_name,
        folder=cluster.folder,
    )
    try:
        state = await bounded(clock, host.observe(query), what=f"facts of {name}", bound_s=READ_BOUND_S)
    except TransportError as error:
        raise host_fault(error, spec) from error
    if not state.whole:
        raise unread_fault(state, spec)
    return state


def unread_fault(state: HostState, spec: HostSpec) -> Fault:
    """Why only the host's own facts were read: what is on it is not known then, and never taken for nothing."""
    fault = hyperv_fault(spec.name, state.host, user=spec.user)
    assert fault is not None, "the facts say why Hyper-V could not be read"
    return fault


def host_fault(error: TransportError, spec: HostSpec) -> Fault:
    """What a failed read of a host means."""
    if isinstance(error, TimedOut):
        return error.fault(
            "P-HOST-LOST",
            f"{spec.name} does not answer what it was asked",
            expected="the facts of the host and its VMs",
            probable_cause="its management service hangs, and Hyper-V Manager on it with it",
            next_steps=("on the host: Restart-Service vmms; running VMs go on",),
        )
    if isinstance(error, Unreachable):
        return Fault(
            "P-HOST-UNREACHABLE",
            f"{spec.name} does not answer",
            expected=f"WinRM over HTTPS, port {spec.port}" if spec.port != HTTP_PORT else f"WinRM, port {spec.port}",
            seen=(str(error),),
            next_steps=(f"check that the host is on, and that its firewall lets port {spec.port} through",),
        )
    return fault_of(error, host=spec.name, user=spec.user or "no user")
