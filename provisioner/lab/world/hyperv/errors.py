"""How Hyper-V refuses: error ids, categories and the HRESULT that stands in the text.

The id is what stands before the comma of a FullyQualifiedErrorId; who speaks for a cmdlet appends its class after it. Texts are in
English here and in the host's language on a real one: no one may match on their words.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial


class CmdletError(Exception):
    """What a Hyper-V cmdlet writes to its error stream. Most are not terminating: without -ErrorAction Stop a script goes on."""

    def __init__(self, id: str, category: str, message: str, target: str = "", *, terminating: bool = False) -> None:
        super().__init__(message)
        self.id = id
        self.category = category
        self.message = message
        self.target = target
        self.terminating = terminating


@dataclass(frozen=True)
class Refusal:
    """One kind of refusal; called with its target, and with what else its text names, it gives the error."""

    id: str
    category: str
    text: str
    terminating: bool = False

    def __call__(self, target: str = "", **named: object) -> CmdletError:
        message = self.text.format(target=target, **named)
        return CmdletError(self.id, self.category, message, target, terminating=self.terminating)


_failed = partial(Refusal, "OperationFailed", "NotSpecified")
_invalid = partial(Refusal, "InvalidParameter", "InvalidArgument")
_not_found = partial(Refusal, "ObjectNotFound", "ObjectNotFound")


def bad_argument(message: str, target: str = "") -> CmdletError:
    return CmdletError("InvalidParameter", "InvalidArgument", message, target)


def not_applicable(message: str, target: str = "") -> CmdletError:
    return CmdletError("InvalidOperation", "InvalidOperation", message, target)


def no_device(what: str, target: str) -> CmdletError:
    return CmdletError("ObjectNotFound", "ObjectNotFound", f"Hyper-V was unable to find {what}.", target)


no_vm_of_id = _not_found('Hyper-V was unable to find a virtual machine with id "{target}".')
no_switch_of_name = _invalid('Hyper-V was unable to find a virtual switch with name "{target}".')
wrong_state = Refusal(
    "InvalidState",
    "InvalidOperation",
    "'{target}' failed to perform the operation. "
    "The operation cannot be performed while the virtual machine is in its current state.",
)
no_permission = Refusal(  # reads and writes alike come back like this for who is no Hyper-V administrator
    "Unspecified",
    "NotSpecified",
    "You do not have the required permission to complete this task. "
    "Contact the administrator of the authorization policy for the computer.",
)
service_stopped = _not_found(
    "Hyper-V encountered an error trying to access an object on computer '{target}' because the object was not found. "
    "The object might have been deleted. Verify that the Virtual Machine Management service on the computer is running."
)
module_missing = Refusal(
    "CommandNotFoundException",
    "ObjectNotFound",
    "The term '{target}' is not recognized as the name of a cmdlet, function, script file, or operable program.",
    terminating=True,
)
path_missing = _not_found("Failed to access {what} '{target}': The system cannot find the path specified. (0x80070003)")
attachment_missing = _not_found(
    "'{vm}': The attachment '{target}' does not exist. The system cannot find the file specified. (0x80070002)"
)
access_denied = Refusal(
    "AccessDenied",
    "PermissionDenied",
    "'{vm}': User account does not have permission required to open attachment '{target}'. "
    "General access denied error (0x80070005).",
)
vhd_exists = _failed(
    "Failed to create the virtual hard disk. The system failed to create '{target}': The file exists. (0x80070050)"
)
vhd_folder_missing = _failed(
    "Failed to create the virtual hard disk. "
    "The system failed to create '{target}': The system cannot find the path specified. (0x80070003)"
)
vhd_in_use = Refusal(
    "OperationFailed",
    "ResourceBusy",
    "The process cannot access '{target}' because it is being used by another process. (0x80070020)",
)
disk_full = _failed("The system failed to create '{target}': There is not enough space on the disk. (0x80070070)")
no_memory = Refusal(
    "OutOfMemory",
    "FromStdErr",
    "'{target}' could not initialize. Not enough memory in the system to start the virtual machine {target} "
    "with ram size {megabytes} megabytes. (0x8007000E)",
)
hypervisor_missing = _failed(
    "'{target}' could not be started because the hypervisor is not running: "
    "one of the Hyper-V components is not running."
)
worker_failed = _failed("'{target}' failed to start worker process: General failure (0x80004005).")
mac_collision = _failed(
    "'{target}': the network adapter has the MAC address {mac}, which another running virtual machine uses."
)
adapter_not_found = Refusal("Unspecified", "NotSpecified", "Sequence contains no matching element")
bind_failed = _not_found(
    "Failed while adding virtual Ethernet switch connections. "
    "Ethernet port '{target}' bind failed: Element not found. (0x80070490)"
)
already_bound = _failed(
    "Failed while adding virtual Ethernet switch connections. External Ethernet adapter '{target}' "
    "is already bound to the Microsoft Virtual Switch protocol."
)
switch_in_use = _failed(
    "Failed while removing virtual Ethernet switch. The virtual switch '{target}' cannot be deleted because it is being "
    "used by running virtual machines or assigned to child pools."
)
default_switch = _invalid("The automatic Internet Connection Sharing switch '{target}' cannot be modified.")
