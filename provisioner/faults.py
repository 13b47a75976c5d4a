"""The table of faults: every id that a user can see, its exit code, and the long text that `provision explain` prints.

Ids never change. The docs' page of faults is made from this table; a test walks it against the code. It is long because it is one table:
who looks for an id, or compares the words of two, finds all of them here.
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


@dataclass(frozen=True)
class FaultKind:
    """A row of the table: what the id means, why it happens, and what to do about it."""

    id: str
    exit: Exit
    title: str
    why: str
    remedy: str


FAULTS: dict[str, FaultKind] = {
    kind.id: kind
    for kind in (
        FaultKind(
            "P-FILE-FINDINGS",
            Exit.FILE,
            "the cluster file has findings",
            "Every finding is listed with file, line and column. No host was contacted.",
            "Fix the lines listed, then run provision config check CLUSTER.",
        ),
        FaultKind(
            "P-FILE-NOTFOUND",
            Exit.FILE,
            "no such cluster file",
            "A cluster is a name (home means clusters/home.yaml, then the folder clusters of the provision home) or a path.",
            "Use one of the names that the message lists, or give a path.",
        ),
        FaultKind(
            "P-LOCAL-HOME",
            Exit.NOT_READY,
            "the provision home cannot be used",
            "Secrets, journals and client files are kept in $PROVISION_HOME (default ~/.provision), a folder of one user. Files there that belong to "
            "another user, or that others can write to, are not trusted; anything that is not a regular file is not replaced.",
            "Follow the message, or set PROVISION_HOME to a folder that you own.",
        ),
        FaultKind(
            "P-LOCAL-CONTEXTS",
            Exit.NOT_READY,
            "your own kubeconfig or talosconfig cannot be used",
            "The cluster's contexts are added to the files that kubectl and talosctl use. A file that cannot be parsed, that is read-only, or that "
            "is not a regular file is left unchanged.",
            "Fix or move the file that the message names, or set KUBECONFIG or TALOSCONFIG to another one.",
        ),
        FaultKind(
            "P-LOCAL-PASSWORD",
            Exit.NOT_READY,
            "no password for the host",
            "The password comes from PROVISION_PASSWORD, the keychain or a prompt; never from a file or the command line.",
            "Run in a terminal to be asked, set PROVISION_PASSWORD, or store the password in the keychain: keyring set provision:HOST USER, on a Mac "
            "security add-generic-password -s provision:HOST -a USER -w.",
        ),
        FaultKind(
            "P-HOST-UNREACHABLE",
            Exit.NOT_READY,
            "the host does not answer",
            "Nothing listens at the host's WinRM address, or a firewall drops the connection. WinRM over HTTPS uses port 5986.",
            "Check the name, the power and the cable. On the host, run Get-Service WinRM and check the firewall rule for port 5986.",
        ),
        FaultKind(
            "P-HOST-NOTWINRM",
            Exit.NOT_READY,
            "the host's address does not answer as WinRM",
            "Another program listens on that port, a proxy or a web server is in front of the host, WinRM is stopped behind Windows' own web "
            "server (HTTP 503), or the address belongs to another machine. The message shows the beginning of the answer.",
            "Check address and port in the cluster file (5986 for HTTPS, 5985 for HTTP). On the host, run winrm enumerate winrm/config/listener, "
            "and Enable-PSRemoting -Force if there is no listener.",
        ),
        FaultKind(
            "P-HOST-NOSIGNIN",
            Exit.NOT_READY,
            "the host offers no supported way to sign in",
            "The sign-in uses Negotiate with NTLM. On a host that offers only Kerberos, Negotiate is turned off, or a domain policy blocks NTLM. "
            "Kerberos needs a ticket and a library that is not installed on this computer. No password was sent.",
            "On the host, run Set-Item WSMan:\\localhost\\Service\\Auth\\Negotiate $true, and ask the administrator of the domain about the policy "
            "'Restrict NTLM'. Or install the Python package pyspnego[kerberos] beside provision, and get a ticket with kinit.",
        ),
        FaultKind(
            "P-HOST-ANSWER",
            Exit.NOT_READY,
            "a function of the host's module gave an unexpected answer",
            "Another version of TalosHyperV is installed on the host, or another module has a function of that name. An answer that cannot be "
            'parsed is never read as "nothing is there".',
            "On the host, run Get-Module TalosHyperV -ListAvailable, and remove every version that is not for this version of provision.",
        ),
        FaultKind(
            "P-HOST-SIGNIN",
            Exit.NOT_READY,
            "the host refuses the sign-in",
            "The user name or the password is wrong, or the account may not use WinRM. The sign-in is tried once, because repeated failures lock accounts.",
            "Check user: in the cluster file, and the password. The account must be a member of Administrators or Remote Management Users.",
        ),
        FaultKind(
            "P-HOST-CERT",
            Exit.NOT_READY,
            "the host's certificate is not the one expected",
            "The certificate is not signed by a trusted authority, or its fingerprint is not the pinned one. "
            "A host that was reinstalled has a new certificate; so has an attacker in between.",
            "Compare the fingerprint at the host's own console. Only if they match, set pin: to the new one.",
        ),
        FaultKind(
            "P-HOST-RIGHTS",
            Exit.NOT_READY,
            "the account lacks rights on the host",
            "External switches, scheduled tasks and pictures of a VM's screen need membership of Administrators; VMs and disks need Hyper-V Administrators.",
            "Add the account to the group that the message names, or have an administrator make the switch once.",
        ),
        FaultKind(
            "P-HOST-NOHYPERV",
            Exit.NOT_READY,
            "Hyper-V is not ready on the host",
            "The role, its PowerShell module, the hypervisor or the service vmms is missing or stopped.",
            "On the host, run Enable-WindowsOptionalFeature -Online -FeatureName Microsoft-Hyper-V-All, then restart it.",
        ),
        FaultKind(
            "P-HOST-CONSTRAINED",
            Exit.NOT_READY,
            "PowerShell on the host runs in a constrained language mode",
            "AppLocker or WDAC restricts scripts, so the module cannot be loaded as text.",
            "Install the module on the host, or allow it in the policy.",
        ),
        FaultKind(
            "P-HOST-CLOCK",
            Exit.NOT_READY,
            "the host's clock is wrong",
            "VMs take their first time from the host. With a clock minutes off, every certificate looks expired or not yet valid.",
            "On the host, run w32tm /resync.",
        ),
        FaultKind(
            "P-HOST-REFUSED",
            Exit.OTHER,
            "the host refused an action",
            "A Hyper-V cmdlet failed for a reason that has no fault id of its own. The message has Hyper-V's error id.",
            "Fix the cause that the message names, then run the same command again.",
        ),
        FaultKind(
            "P-HOST-LOST",
            Exit.TIMED_OUT,
            "the connection to the host was lost and did not come back",
            "The host rebooted, lost its network, or WinRM stopped during a call.",
            "Check the host, then run the same command again: it reads the current state and continues.",
        ),
        FaultKind(
            "P-SWITCH-NOADAPTER",
            Exit.NOT_READY,
            "the host has no such network adapter",
            "The External switch is bound to the adapter that the cluster file names, and the host has no adapter of that name.",
            "Set adapter: in switch: to one of the adapters that the message lists.",
        ),
        FaultKind(
            "P-SWITCH-MISSING",
            Exit.NOT_READY,
            "the virtual switch does not exist, and the file names no adapter for it",
            "Making a switch interrupts the host's network. It is done only if the file names the adapter.",
            "Add adapter: to switch:, or make the switch yourself.",
        ),
        FaultKind(
            "P-SWITCH-WIFI",
            Exit.NOT_READY,
            "the adapter is Wi-Fi",
            "An External switch on Wi-Fi rewrites MAC addresses: machines cannot be found by their MAC, and many access points drop their traffic.",
            "Use a wired adapter.",
        ),
        FaultKind(
            "P-SWITCH-BOUND",
            Exit.REFUSED,
            "the switch or the adapter is already bound to another one",
            "A switch of that name is bound to another adapter, or the adapter belongs to another External switch. A switch is never rebound, because other VMs may use it.",
            "Name the existing switch in the cluster file, or choose another name or adapter.",
        ),
        FaultKind(
            "P-SWITCH-KIND",
            Exit.REFUSED,
            "the switch is not External",
            "Machines on an Internal switch or on the Default Switch (NAT) are not reachable from this computer.",
            "Name an External switch, or set a new name and an adapter.",
        ),
        FaultKind(
            "P-SWITCH-FAILED",
            Exit.OTHER,
            "the switch could not be made",
            "Hyper-V refused to bind the adapter. The job on the host restored the network.",
            "Check the reason in the message. Usual causes are drivers of virtual networks and security software.",
        ),
        FaultKind(
            "P-SWITCH-LINKLOST",
            Exit.TIMED_OUT,
            "the host's link did not come back after the switch was made",
            "The host was reachable before the switch was made, and is not now. Its watchdog removes the switch after 90 s without a default gateway.",
            "Wait two minutes, then run provision status CLUSTER. If the host stays unreachable, run Remove-VMSwitch at its console.",
        ),
        FaultKind(
            "P-SWITCH-UNDONE",
            Exit.REFUSED,
            "an earlier attempt to make the switch was undone by the host's watchdog",
            "The host lost its network, so its watchdog removed the switch. There is no automatic retry: a scheduled run would repeat the outage every time.",
            "Fix the cause (DHCP, port security, driver), then run provision up CLUSTER --retry-switch.",
        ),
        FaultKind(
            "P-ISO-CHECKSUM",
            Exit.NOT_READY,
            "the ISO's checksum is wrong",
            "The image that was downloaded or found is not the release that the cluster file pins. It was not used.",
            "Check image: in the cluster file. If someone copied the file to the host by hand, delete it there.",
        ),
        FaultKind(
            "P-ISO-DOWNLOAD",
            Exit.NOT_READY,
            "the host cannot download the ISO",
            "The host downloads the ISO itself. A proxy, DNS or a firewall may prevent it.",
            "Test the download on the host, or copy the ISO there and set path: in image:.",
        ),
        FaultKind(
            "P-VM-FOREIGN",
            Exit.REFUSED,
            "a VM with the name of a machine is not ours",
            "The VM does not have this cluster's mark, so it is not touched.",
            "Rename the VM, or give the machine another name in the cluster file.",
        ),
        FaultKind(
            "P-VM-TWICE",
            Exit.REFUSED,
            "several VMs have the mark of one machine",
            "When a VM is copied, Hyper-V copies its Notes, and our mark is in them. The file provision.json in the folder that we made names "
            "the machine itself. Every other VM with its mark is a copy: it is neither used nor removed.",
            "On the host, delete the line that begins with provision/1 from the Notes of the copy, or remove the copy. Then run the same command "
            "again. A machine restored from a backup counts as a copy until you delete the provision.json that names another VM.",
        ),
        FaultKind(
            "P-VM-MACTWICE",
            Exit.REFUSED,
            "a MAC address is used twice on the host",
            "Two machines with the same MAC address get the same IP address, and cannot be told apart.",
            "Change the MAC address of the other VM, or set mac: for the machine.",
        ),
        FaultKind(
            "P-VM-MEMORY",
            Exit.NOT_READY,
            "the host has too little memory",
            "Machines have static memory: all of it is allocated when they start.",
            "Lower memory:, use fewer machines, or stop other VMs.",
        ),
        FaultKind(
            "P-VM-SPACE",
            Exit.NOT_READY,
            "the host has too little disk space",
            "A Talos disk needs at least 6 GiB at first, and grows with its images.",
            "Free space on the volume that the message names, or set folder: to another volume.",
        ),
        FaultKind(
            "P-VM-LEFTOVER",
            Exit.REFUSED,
            "a disk is in the way and cannot be attached",
            "A virtual hard disk is at the machine's path without our mark beside it, or an earlier machine left a disk that does not fit: in another "
            "folder, of other secrets, or with files of a checkpoint. It is neither overwritten nor deleted.",
            "Fix what the message names, move the file away, or delete it with provision down CLUSTER.",
        ),
        FaultKind(
            "P-VM-DRIFT",
            Exit.REFUSED,
            "a VM differs from the file in a way that cannot be changed in place",
            "The generation of a VM cannot be changed, and its disk cannot shrink. provision up CLUSTER changes everything else in place.",
            "Change the file back. Only if you cannot, run provision rebuild CLUSTER, which destroys everything in the cluster.",
        ),
        FaultKind(
            "P-VM-NODISK",
            Exit.REFUSED,
            "a machine has lost its disk",
            "The VM exists, but the file of its disk does not, or no disk is attached. Talos and all data of the machine were on it.",
            "Restore the file from a backup, or follow the message to recreate this one machine.",
        ),
        FaultKind(
            "P-VM-CRITICAL",
            Exit.NOT_READY,
            "Hyper-V paused a VM because its storage failed",
            "The volume with the VM's disk is full or missing. Hyper-V pauses the VM to protect its data, and resumes it when the volume is back.",
            "Free space or bring the volume back, then run the same command again.",
        ),
        FaultKind(
            "P-VM-STUCK",
            Exit.TIMED_OUT,
            "a VM did not reach the state asked for",
            "Hyper-V accepted the action, but the VM did not reach the state in time.",
            "Check the VM in Hyper-V Manager, then run the same command again.",
        ),
        FaultKind(
            "P-BOOT-NOMAINT",
            Exit.TIMED_OUT,
            "a machine did not reach maintenance mode",
            "The VM runs, but no Talos API with this machine's MAC and UUID answered in time.",
            "Look at the picture of its screen. Usual causes: no boot medium, no IP address, no network, or the wrong network.",
        ),
        FaultKind(
            "P-BOOT-FOREIGN",
            Exit.REFUSED,
            "another machine answers at the machine's address",
            "A Talos API answers there, but its MAC and UUID are not those of the VM. No config was sent, because a config has all keys of the cluster.",
            "Find out which machine it is, then set mac: for ours, or take the other machine off the network.",
        ),
        FaultKind(
            "P-BOOT-HALTED",
            Exit.TIMED_OUT,
            "a machine booted from the ISO although Talos is on its disk",
            "The ISO has the kernel argument talos.halt_if_installed: it stops if Talos is already installed.",
            "Run provision up CLUSTER: it ejects the ISO and restarts the machine from its disk.",
        ),
        FaultKind(
            "P-CONFIG-REFUSED",
            Exit.FILE,
            "Talos refuses a machine config",
            "Talos rejected the config in a dry run, so nothing was applied. Patches in the cluster file are the usual cause.",
            "Fix the patch. provision config machine CLUSTER MACHINE prints the config that would be sent.",
        ),
        FaultKind(
            "P-CONFIG-NODISK",
            Exit.FILE,
            "the machine has no such install disk",
            "install_disk: names a disk that the machine does not have. Talos would accept the config and never install.",
            "Use one of the disks that the message lists.",
        ),
        FaultKind(
            "P-CONFIG-NOSECRETS",
            Exit.REFUSED,
            "machines exist, but their secrets are missing",
            "The secrets bundle is the one thing that cannot be recreated. No new secrets are made while machines exist that need the old ones.",
            "Restore secrets.yaml to the folder that the message names, or remove the machines with provision down CLUSTER.",
        ),
        FaultKind(
            "P-CONFIG-IDLOST",
            Exit.REFUSED,
            "the cluster id in the machines' marks is missing on this computer",
            "The machines accept this cluster's secrets, so they are ours. But the id in their marks is neither in the file cluster-id nor in the "
            "secrets. Clusters of early versions have an id that cannot be derived from their secrets.",
            "Run the command that the message shows: it restores the id.",
        ),
        FaultKind(
            "P-CONFIG-BADSECRETS",
            Exit.REFUSED,
            "the secrets bundle is damaged",
            "secrets.yaml is not a complete Talos secrets bundle. The message names what is missing or broken.",
            "Restore the file from a backup. Without it, the machines can only be removed with provision down CLUSTER.",
        ),
        FaultKind(
            "P-CONFIG-ENDPOINT",
            Exit.OTHER,
            "the cluster's endpoint is an address that can change",
            "Without endpoint:, vip: or a static address, the DHCP address of the first control plane becomes the endpoint. If the lease changes, workers "
            "lose it. If the router assigns another address than address: in the file, the endpoint would not work at all: no config is sent.",
            "Reserve the address for the MAC that the plan shows, or set endpoint:.",
        ),
        FaultKind(
            "P-CONFIG-LOSTANSWER",
            Exit.TIMED_OUT,
            "it is unknown whether a config arrived",
            "The connection was lost after the config was sent, and the machine did not answer again in time.",
            "Check the machine and the network, then run the same command again: it reads the current state and continues.",
        ),
        FaultKind(
            "P-INSTALL-STUCK",
            Exit.TIMED_OUT,
            "a machine did not come back after its installation",
            "Talos pulls its installer image, writes the disk and reboots. A machine that cannot pull the image returns to maintenance mode.",
            "Look at the picture of its screen, and check that machines can reach the image registry.",
        ),
        FaultKind(
            "P-INSTALL-NOTOURS",
            Exit.REFUSED,
            "the machine's certificate is not signed by this cluster's CA",
            "The machine was installed with other secrets: by another cluster file, or by an earlier cluster of this one.",
            "Restore the right secrets.yaml, or remove the machine with provision down CLUSTER.",
        ),
        FaultKind(
            "P-ETCD-TWICE",
            Exit.REFUSED,
            "etcd was already bootstrapped for another cluster",
            "Talos refused to bootstrap because etcd has data, and the member list does not contain our machine.",
            "Check with provision status CLUSTER. provision rebuild CLUSTER makes a clean cluster.",
        ),
        FaultKind(
            "P-ETCD-LOST",
            Exit.REFUSED,
            "the disk with etcd's data is gone",
            "etcd was bootstrapped before, and no control plane has its data now, so the content of the cluster is lost. Another bootstrap would start "
            "an empty cluster under workers of the old one.",
            "Restore the disk from a backup, or start over with provision rebuild CLUSTER.",
        ),
        FaultKind(
            "P-ETCD-STUCK",
            Exit.TIMED_OUT,
            "etcd did not start",
            "The bootstrap was not accepted, or etcd did not become healthy in time. The usual cause is time that is not in sync.",
            "Check that machines can reach an NTP server.",
        ),
        FaultKind(
            "P-KUBE-NOTREADY",
            Exit.TIMED_OUT,
            "the cluster did not become healthy in time",
            "Every unmet condition is listed, with the machine's own message.",
            "Allow more time with --wait-scale 2, or check the machine that the message names.",
        ),
        FaultKind(
            "P-KUBE-ACCESS",
            Exit.TIMED_OUT,
            "the talosconfig or kubeconfig does not work",
            "The file was written, but a call with it failed.",
            "Check the reason in the message. The files are in the cluster's folder in the provision home.",
        ),
        FaultKind(
            "P-RUN-LOCKED",
            Exit.REFUSED,
            "another run works on this cluster",
            "Two runs at the same time would interfere with each other.",
            "Wait for it to end. The message names its process.",
        ),
        FaultKind(
            "P-RUN-CONFIRM",
            Exit.REFUSED,
            "confirmation required",
            "The command destroys machines and their data, and there is no terminal to ask in.",
            "Add --yes.",
        ),
        FaultKind(
            "P-RUN-PLANCHANGED",
            Exit.REFUSED,
            "the plan changed after it was shown",
            "After you confirmed, the command found more that it would destroy. Nothing was removed.",
            "Run the command again and check the new plan.",
        ),
        FaultKind(
            "P-RUN-PROTECTED",
            Exit.REFUSED,
            "the cluster file protects this cluster",
            "The cluster file has protect: true, which refuses every removal.",
            "Remove that line, then run the command again.",
        ),
        FaultKind(
            "P-VM-ABSENT",
            Exit.NOT_READY,
            "the machine has no VM",
            "The machine is in the cluster file, and no VM on its host bears its mark.",
            "Run provision up CLUSTER to create it.",
        ),
        FaultKind(
            "P-RUN-UNKNOWN",
            Exit.USAGE,
            "no such name",
            "There is no cluster, machine, step or fault of that name.",
            "Use one of the names that the message lists.",
        ),
        FaultKind(
            "P-LAB-START",
            Exit.NOT_READY,
            "the lab did not start",
            "The lab is a process on this computer. The message says why it ended.",
            "Check the log that the message names.",
        ),
        FaultKind(
            "P-LAB-LIBRARIES",
            Exit.NOT_READY,
            "the lab is not installed",
            "The lab needs libraries that nothing else does; they come with the extra lab of this program's distribution.",
            "Install the extra. A cluster on a real host needs none of it.",
        ),
        FaultKind(
            "P-LAB-FROZEN",
            Exit.NOT_READY,
            "the lab does not respond",
            "Its process runs but does not answer: it was stopped by a signal or a debugger.",
            "Continue the process, or end it: its disks and VMs are kept.",
        ),
        FaultKind(
            "P-LAB-REFUSED",
            Exit.USAGE,
            "the lab cannot do that",
            "The fault does not exist, or its place or value is not valid.",
            "Run provision lab fault to list every fault with its place and unit.",
        ),
        FaultKind(
            "P-RUN-BUG",
            Exit.BUG,
            "internal error",
            "This is a bug in the program. The traceback was written to a file, with secrets masked.",
            "Please report it with that file.",
        ),
    )
}


def exit_code(fault_id: str) -> int:
    """The exit code of a fault; 1 for an id that the table does not know."""
    kind = FAULTS.get(fault_id)
    return int(kind.exit if kind else Exit.OTHER)
