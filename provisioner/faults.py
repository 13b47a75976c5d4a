"""The table of faults: every id a user can meet, its exit code, and the long text that `provision explain` prints.

Ids are stable for ever. The docs' page of faults is made from this table; a test walks it against the code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    OTHER = 1
    USAGE = 2
    FILE = 3
    NOT_READY = 4
    TIMED_OUT = 5
    REFUSED = 6
    PENDING = 10
    BUG = 70
    INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class FaultKind:
    """One row: what the id stands for, why it happens, and what to do about it."""

    id: str
    exit: Exit
    title: str
    why: str
    remedy: str


def _kind(id: str, exit: Exit, title: str, why: str, remedy: str) -> FaultKind:
    return FaultKind(id=id, exit=exit, title=title, why=why, remedy=remedy)


FAULTS: dict[str, FaultKind] = {
    kind.id: kind
    for kind in (
        _kind(
            "P-FILE-FINDINGS",
            Exit.FILE,
            "the cluster file has findings",
            "Every finding is listed with file, line and column; nothing was read from or sent to any host.",
            "Mend the lines named, then run provision config check CLUSTER.",
        ),
        _kind(
            "P-FILE-NOTFOUND",
            Exit.FILE,
            "no such cluster file",
            "A cluster is a name (home means clusters/home.yaml, then the folder clusters of the provision home) or a path.",
            "Look at the names that the message lists.",
        ),
        _kind(
            "P-LOCAL-HOME",
            Exit.NOT_READY,
            "the provision home cannot be used",
            "Secrets, journals and client files live in $PROVISION_HOME (default ~/.provision), which belongs to one user. What belongs to somebody "
            "else there, or what others may write to, is not trusted; what is no plain file is not replaced.",
            "Do what the message says, or set PROVISION_HOME to a folder of yours.",
        ),
        _kind(
            "P-LOCAL-CONTEXTS",
            Exit.NOT_READY,
            "your own kubeconfig or talosconfig cannot be used",
            "The cluster's contexts are added to the files that kubectl and talosctl use. A file that cannot be read as one, that is read-only, or that "
            "is no plain file is left as it is.",
            "Mend or move the file that the message names, or let KUBECONFIG or TALOSCONFIG name another.",
        ),
        _kind(
            "P-LOCAL-PASSWORD",
            Exit.NOT_READY,
            "no password for the host",
            "The password comes from the keychain, a prompt or PROVISION_PASSWORD, never from a file or the command line.",
            "Run in a terminal to be asked, set PROVISION_PASSWORD, or put the password into the keychain: keyring set provision:HOST USER, on a Mac "
            "security add-generic-password -s provision:HOST -a USER -w.",
        ),
        _kind(
            "P-HOST-UNREACHABLE",
            Exit.NOT_READY,
            "the host does not answer",
            "Nothing listens at the host's WinRM address, or a firewall drops the connection. WinRM over HTTPS is port 5986.",
            "Check name, power and cable; on the host: Get-Service WinRM, and the firewall rule of port 5986.",
        ),
        _kind(
            "P-HOST-NOTWINRM",
            Exit.NOT_READY,
            "something answers at the host's address, but not as WinRM",
            "Another program listens on that port, a proxy or a web server stands before the host, WinRM does not run behind Windows' own web "
            "server (HTTP 503), or the address belongs to another machine. The message shows the beginning of what came.",
            "Check address and port in the cluster file (5986 for HTTPS, 5985 for HTTP); on the host: winrm enumerate winrm/config/listener, "
            "and Enable-PSRemoting -Force where there is no listener.",
        ),
        _kind(
            "P-HOST-NOSIGNIN",
            Exit.NOT_READY,
            "the host offers no way to sign in that works from here",
            "We sign in by Negotiate with NTLM. A host that offers Kerberos alone has Negotiate switched off, or a domain forbids NTLM; "
            "Kerberos needs a ticket, and a library of this computer that is not installed. No password was sent.",
            "On the host: Set-Item WSMan:\\localhost\\Service\\Auth\\Negotiate $true, and ask who rules the domain about "
            "'Restrict NTLM'. Or install the Python package pyspnego[kerberos] beside provision, and get a ticket with kinit.",
        ),
        _kind(
            "P-HOST-ANSWER",
            Exit.NOT_READY,
            "a function of the host's module answers otherwise than it should",
            "Another version of TalosHyperV is installed on the host, or something else has a function of that name. What cannot be read is "
            "never taken for an absence.",
            "On the host: Get-Module TalosHyperV -ListAvailable, and remove what was not installed for this version of provision.",
        ),
        _kind(
            "P-HOST-SIGNIN",
            Exit.NOT_READY,
            "the host refuses the sign-in",
            "User name or password is wrong, or the account may not use WinRM. The sign-in is tried once, since repeated failures lock accounts.",
            "Check user: in the cluster file and the password; the account must be in Administrators or Remote Management Users.",
        ),
        _kind(
            "P-HOST-CERT",
            Exit.NOT_READY,
            "the host's certificate is not the one expected",
            "The certificate is not signed by a trusted authority, or its fingerprint differs from the pinned one. "
            "A host that was set up anew has a new certificate; so has someone in between.",
            "Compare the fingerprint at the host's own console; only then put the new one into pin:.",
        ),
        _kind(
            "P-HOST-RIGHTS",
            Exit.NOT_READY,
            "the account lacks rights on the host",
            "Making an External switch, scheduled tasks and reading the VM's screen need Administrators; VMs and disks need Hyper-V Administrators.",
            "Add the account to the group named, or have an administrator make the switch once.",
        ),
        _kind(
            "P-HOST-NOHYPERV",
            Exit.NOT_READY,
            "Hyper-V is not ready on the host",
            "The role, its PowerShell module, the hypervisor or the service vmms is missing or stopped.",
            "On the host: Enable-WindowsOptionalFeature -Online -FeatureName Microsoft-Hyper-V-All, then restart.",
        ),
        _kind(
            "P-HOST-CONSTRAINED",
            Exit.NOT_READY,
            "PowerShell on the host runs in a constrained language mode",
            "AppLocker or WDAC restricts scripts; the host module cannot run as text.",
            "Install the module on the host, or allow it by policy.",
        ),
        _kind(
            "P-HOST-CLOCK",
            Exit.NOT_READY,
            "the host's clock is wrong",
            "Guests take their first time from the host. With minutes of difference every certificate looks not yet valid or expired.",
            "On the host: w32tm /resync.",
        ),
        _kind(
            "P-HOST-REFUSED",
            Exit.OTHER,
            "the host refused an action",
            "A Hyper-V cmdlet failed in a way that no other id names. The message carries Hyper-V's own id.",
            "Read the id and the message; run the same command again once the cause is gone.",
        ),
        _kind(
            "P-HOST-LOST",
            Exit.TIMED_OUT,
            "the connection to the host was lost and did not come back",
            "The host rebooted, its network went away, or WinRM stopped in the middle of a call.",
            "Look at the host; then run the same command again: it reads what is there and goes on.",
        ),
        _kind(
            "P-SWITCH-NOADAPTER",
            Exit.NOT_READY,
            "the host has no such network adapter",
            "The External switch is bound to the adapter that the cluster file names.",
            "Put one of the adapters that the message lists into switch: adapter:.",
        ),
        _kind(
            "P-SWITCH-MISSING",
            Exit.NOT_READY,
            "the virtual switch does not exist, and the file names no adapter to make it on",
            "Making a switch takes the host's network down for a while. Naming the adapter in the file is the consent to that.",
            "Add adapter: to switch:, or make the switch by hand.",
        ),
        _kind(
            "P-SWITCH-WIFI",
            Exit.NOT_READY,
            "the adapter is Wi-Fi",
            "An External switch on Wi-Fi translates MAC addresses; machines cannot be found by MAC, and many access points drop them.",
            "Use a wired adapter.",
        ),
        _kind(
            "P-SWITCH-BOUND",
            Exit.REFUSED,
            "the switch or the adapter is bound otherwise",
            "A switch of that name is bound to another adapter, or the adapter already belongs to another External switch. We never rebind a switch: other VMs may hang on it.",
            "Name the existing switch in the cluster file, or choose another name or adapter.",
        ),
        _kind(
            "P-SWITCH-KIND",
            Exit.REFUSED,
            "the switch is not External",
            "Machines on an Internal switch or on the Default Switch (NAT) are not reachable from this computer.",
            "Name an External switch, or give a new name and an adapter.",
        ),
        _kind(
            "P-SWITCH-FAILED",
            Exit.OTHER,
            "the switch could not be made",
            "Hyper-V refused to bind the adapter; the job on the host put everything back.",
            "Read the reason in the message. Drivers of virtual networks and security software are the usual causes.",
        ),
        _kind(
            "P-SWITCH-LINKLOST",
            Exit.TIMED_OUT,
            "the host's link did not come back after the switch was made",
            "The host was reachable before the switch and is not any more. Its watchdog removes the switch after 90 s without a default gateway.",
            "Wait two minutes and run provision status; if the host stays away, go to its console: Remove-VMSwitch.",
        ),
        _kind(
            "P-SWITCH-UNDONE",
            Exit.REFUSED,
            "an earlier attempt to make the switch was undone by the host's watchdog",
            "The host had lost its network, so the watchdog removed the switch. Trying again by the clock would repeat the outage every night.",
            "Mend the cause (DHCP, port security, driver), then run provision up CLUSTER --retry-switch.",
        ),
        _kind(
            "P-ISO-CHECKSUM",
            Exit.NOT_READY,
            "the ISO's checksum is wrong",
            "What was downloaded or found is not the release that the file pins. It was not used.",
            "Check image: in the cluster file; delete the file on the host if it was put there by hand.",
        ),
        _kind(
            "P-ISO-DOWNLOAD",
            Exit.NOT_READY,
            "the host cannot download the ISO",
            "The host fetches the ISO itself; a proxy, DNS or a firewall may be in the way.",
            "Test from the host, or put the ISO there and name it in image: path:.",
        ),
        _kind(
            "P-VM-FOREIGN",
            Exit.REFUSED,
            "a VM of our name is not ours",
            "The VM does not bear this cluster's mark, so it is left alone.",
            "Rename it, or give the machine another name in the cluster file.",
        ),
        _kind(
            "P-VM-TWICE",
            Exit.REFUSED,
            "VMs bear a machine's mark and are not proven to be it",
            "Hyper-V copies a VM's Notes along with it, and with them our mark. The file provision.json in the folder that we made names the "
            "machine itself; every other VM with its mark is a copy, which is never used and never removed.",
            "On the host, take the line that begins with provision/1 out of the Notes of the copy, or remove the copy; then run the same "
            "command again. A machine that you restored from a backup counts as one until you delete the provision.json that names another VM.",
        ),
        _kind(
            "P-VM-MACTWICE",
            Exit.REFUSED,
            "a MAC address is used twice on the host",
            "Two machines with one MAC fight for one address; neither can be told from the other.",
            "Change the other VM's address, or set mac: for the machine.",
        ),
        _kind(
            "P-VM-MEMORY",
            Exit.NOT_READY,
            "the host has too little memory",
            "Machines have static memory: all of it is taken when they start.",
            "Lower memory: or the count of machines, or stop other VMs.",
        ),
        _kind(
            "P-VM-SPACE",
            Exit.NOT_READY,
            "the host has too little disk space",
            "A Talos disk needs at least 6 GiB at once and grows with its images.",
            "Free space on the volume named, or set folder: to another.",
        ),
        _kind(
            "P-VM-LEFTOVER",
            Exit.REFUSED,
            "a disk is there that cannot be attached by itself",
            "A virtual hard disk lies where the machine's would go without our mark beside it, or an earlier machine left one that does not fit: in another "
            "folder, of other secrets, with files of a checkpoint. It is neither overwritten nor deleted.",
            "Set right what the message names, move the file away, or give it up with provision down CLUSTER.",
        ),
        _kind(
            "P-VM-DRIFT",
            Exit.REFUSED,
            "a VM differs from the file in what cannot be changed while it exists",
            "A generation cannot be changed, and a disk cannot be made smaller. All else of a VM is set right in place by provision up CLUSTER.",
            "Change the file back; only if that is no way, run provision rebuild CLUSTER: it destroys what is in the cluster.",
        ),
        _kind(
            "P-VM-NODISK",
            Exit.REFUSED,
            "a machine has lost its disk",
            "The VM is there, and the file of its disk is not, or no disk is attached. Talos and all that the machine kept were on it.",
            "Put the file back from a backup, or do what the message says to make this one machine anew.",
        ),
        _kind(
            "P-VM-CRITICAL",
            Exit.NOT_READY,
            "Hyper-V holds a VM because its storage failed",
            "The volume with the VM's disk is full or away. Hyper-V pauses the VM so that nothing is written wrongly, and lets it go on when the volume is back.",
            "Free space or bring the volume back; then run the same command again.",
        ),
        _kind(
            "P-VM-STUCK",
            Exit.TIMED_OUT,
            "a VM did not reach the state asked for",
            "Hyper-V accepted the action, but the VM's state did not follow within the bound.",
            "Look at the VM in Hyper-V Manager; then run the same command again.",
        ),
        _kind(
            "P-BOOT-NOMAINT",
            Exit.TIMED_OUT,
            "a machine never reached the Maintenance stage",
            "The VM runs, but no Talos API answered with this machine's MAC and UUID within the bound.",
            "Look at the picture of its screen: no medium, no address, no network, or another network.",
        ),
        _kind(
            "P-BOOT-FOREIGN",
            Exit.REFUSED,
            "another machine answers where ours should",
            "A Talos API answers at that address, but its MAC and UUID are not both this VM's. A config holds every key of the cluster: none was sent.",
            "Find out which machine it is; give ours another MAC address, or take the other off the network.",
        ),
        _kind(
            "P-BOOT-HALTED",
            Exit.TIMED_OUT,
            "a machine booted from the ISO although Talos is on its disk",
            "The ISO carries talos.halt_if_installed: it stops rather than shadow the installed system.",
            "Run provision up CLUSTER: it ejects the ISO and restarts the machine from its disk.",
        ),
        _kind(
            "P-CONFIG-REFUSED",
            Exit.FILE,
            "Talos refuses a machine config",
            "The dry run was answered with an error, so nothing was applied. Patches in the cluster file are the usual cause.",
            "Mend the patch; provision config machine CLUSTER MACHINE prints what would be sent.",
        ),
        _kind(
            "P-CONFIG-NODISK",
            Exit.FILE,
            "the machine has no such install disk",
            "install_disk: names a disk that the machine does not have; Talos would accept the config and never install.",
            "Use one of the disks that the message lists.",
        ),
        _kind(
            "P-CONFIG-NOSECRETS",
            Exit.REFUSED,
            "machines are alive, but their secrets are not here",
            "The secrets bundle is the only thing that must survive. Nothing is minted anew over living machines.",
            "Restore secrets.yaml into the folder named, or remove the machines with provision down CLUSTER.",
        ),
        _kind(
            "P-CONFIG-IDLOST",
            Exit.REFUSED,
            "the machines are ours, but the id of their marks was lost here",
            "The secrets open the machines' API, so they are this cluster's; but their marks bear an id that stands neither in cluster-id nor in "
            "the secrets. Clusters made by early versions have an id that their secrets do not tell.",
            "Type the line that the message shows: it puts the id back.",
        ),
        _kind(
            "P-CONFIG-BADSECRETS",
            Exit.REFUSED,
            "the secrets bundle is damaged",
            "secrets.yaml is there, but it is no whole secrets bundle of Talos; the message names what is missing or broken.",
            "Restore the file from a backup. Without it the machines can only be removed with provision down CLUSTER.",
        ),
        _kind(
            "P-CONFIG-ENDPOINT",
            Exit.OTHER,
            "the cluster's endpoint is an address that may change",
            "Without endpoint:, vip: or a static address the first control plane's DHCP address becomes the endpoint; if its lease changes later, workers lose it. "
            "With address: in the file, and another one given by the router, there would be no endpoint at all: then no config is sent.",
            "Reserve the address for the MAC that the plan prints, or set endpoint:.",
        ),
        _kind(
            "P-CONFIG-LOSTANSWER",
            Exit.TIMED_OUT,
            "whether a config arrived cannot be told",
            "The connection broke after the config was sent, and the machine was not seen again within the bound.",
            "Look at the machine and at the network between; the next run looks again and goes on.",
        ),
        _kind(
            "P-INSTALL-STUCK",
            Exit.TIMED_OUT,
            "a machine did not come back from its installation",
            "Talos pulls its installer image from the network, writes the disk and reboots. A machine that cannot pull returns to Maintenance.",
            "Look at the picture of its screen; check that machines reach the registry.",
        ),
        _kind(
            "P-INSTALL-NOTOURS",
            Exit.REFUSED,
            "the machine's API is not signed by this cluster's authority",
            "The machine was installed with other secrets: by another cluster file, or by an earlier life of this one.",
            "Restore the right secrets.yaml, or remove the machine with provision down CLUSTER.",
        ),
        _kind(
            "P-ETCD-TWICE",
            Exit.REFUSED,
            "etcd was already started, but not as this cluster",
            "Bootstrap answered that etcd's data directory is not empty, and the member list does not name our machine.",
            "Look with provision status CLUSTER; a rebuild makes a clean cluster.",
        ),
        _kind(
            "P-ETCD-LOST",
            Exit.REFUSED,
            "the disk that held etcd is gone",
            "Etcd was started once, and no control plane has its data any more: what was in the cluster is lost. Bootstrap would begin an empty "
            "one under workers that belong to the old.",
            "Put the disk back from a backup, or begin anew: provision rebuild CLUSTER, or provision down CLUSTER and then provision up CLUSTER.",
        ),
        _kind(
            "P-ETCD-STUCK",
            Exit.TIMED_OUT,
            "etcd did not start",
            "Bootstrap was not accepted or etcd did not become healthy within the bound. Time not in sync is the usual cause.",
            "Check that machines reach an NTP server.",
        ),
        _kind(
            "P-KUBE-NOTREADY",
            Exit.TIMED_OUT,
            "the cluster did not become healthy in time",
            "Every unmet condition is listed with the machine's own words.",
            "Give it more time with --wait-scale 2, or look at the machine named.",
        ),
        _kind(
            "P-KUBE-ACCESS",
            Exit.TIMED_OUT,
            "a file for clients does not work",
            "The talosconfig or kubeconfig was written, but a call through it failed.",
            "Read the reason; the files lie in the cluster's folder of the provision home.",
        ),
        _kind(
            "P-RUN-LOCKED",
            Exit.REFUSED,
            "another run is at work on this cluster",
            "Two runs at the same time would undo each other's work.",
            "Wait for it to end; the message names its process.",
        ),
        _kind(
            "P-RUN-CONFIRM",
            Exit.REFUSED,
            "a confirmation is missing",
            "This destroys machines and their data, and there is no terminal to ask in.",
            "Add --yes.",
        ),
        _kind(
            "P-RUN-PLANCHANGED",
            Exit.REFUSED,
            "the plan has changed since it was shown",
            "Between the question and the work something appeared that would be destroyed too. Nothing was removed.",
            "Look at the new plan and answer again.",
        ),
        _kind(
            "P-RUN-PROTECTED",
            Exit.REFUSED,
            "the cluster file protects this cluster",
            "protect: true refuses every removal.",
            "Remove that line first.",
        ),
        _kind(
            "P-RUN-UNKNOWN",
            Exit.USAGE,
            "no such name",
            "A cluster, machine, step or fault of that name does not exist.",
            "Use one of the names that the message lists.",
        ),
        _kind(
            "P-LAB-START",
            Exit.NOT_READY,
            "the lab did not start",
            "The lab is a process of its own on this computer; it said why it ended.",
            "Read the log that the message names.",
        ),
        _kind(
            "P-LAB-LIBRARIES",
            Exit.NOT_READY,
            "the lab is not installed",
            "The lab needs libraries that nothing else does; they come with the extra lab of this program's distribution.",
            "Install the extra. A cluster on a real host needs none of it.",
        ),
        _kind(
            "P-LAB-FROZEN",
            Exit.NOT_READY,
            "the lab is frozen",
            "Its process is there and holds its place, but does not answer: it was stopped by a signal or a debugger.",
            "Let it go on, or end it: what it keeps is kept, as by a host that loses its power.",
        ),
        _kind(
            "P-LAB-REFUSED",
            Exit.USAGE,
            "the lab cannot do that",
            "The fault that was asked for does not exist there, or its place or value is none.",
            "provision lab fault lists every fault with its place and measure.",
        ),
        _kind(
            "P-RUN-BUG",
            Exit.BUG,
            "a bug of ours",
            "Something happened that the program does not know. The traceback is in a file, secrets masked.",
            "Please report it with that file.",
        ),
    )
}


def exit_code(fault_id: str) -> int:
    """The exit code of a fault; 1 for an id that the table does not know."""
    kind = FAULTS.get(fault_id)
    return int(kind.exit if kind else Exit.OTHER)
