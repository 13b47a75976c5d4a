"""How Hyper-V refuses: error ids, categories and the HRESULT that stands in the text (facts/hyperv.md, section 7).

The id is what stands before the comma of a FullyQualifiedErrorId; whoever speaks for a cmdlet appends its class after it. Texts are
in English here and in the host's language on a real one: nobody may match on their words.
"""

from __future__ import annotations


class CmdletError(Exception):
    """What a Hyper-V cmdlet writes to its error stream. Most are not terminating: without -ErrorAction Stop a script goes on."""

    def __init__(self, id: str, category: str, message: str, target: str = "", *, terminating: bool = False) -> None:
        super().__init__(message)
        self.id = id
        self.category = category
        self.message = message
        self.target = target
        self.terminating = terminating


def no_vm_of_name(name: str) -> CmdletError:
    """By name it is a bad argument, not a missing object (fact 2)."""
    text = f'Hyper-V was unable to find a virtual machine with name "{name}".'
    return CmdletError("InvalidParameter", "InvalidArgument", text, name)


def no_vm_of_id(vm_id: str) -> CmdletError:
    text = f'Hyper-V was unable to find a virtual machine with id "{vm_id}".'
    return CmdletError("ObjectNotFound", "ObjectNotFound", text, vm_id)


def no_switch_of_name(name: str) -> CmdletError:
    text = f'Hyper-V was unable to find a virtual switch with name "{name}".'
    return CmdletError("InvalidParameter", "InvalidArgument", text, name)


def no_device(what: str, target: str) -> CmdletError:
    return CmdletError("ObjectNotFound", "ObjectNotFound", f"Hyper-V was unable to find {what}.", target)


def wrong_state(vm_name: str) -> CmdletError:
    text = (
        f"'{vm_name}' failed to perform the operation. "
        "The operation cannot be performed while the virtual machine is in its current state."
    )
    return CmdletError("InvalidState", "InvalidOperation", text, vm_name)


def bad_argument(message: str, target: str = "") -> CmdletError:
    return CmdletError("InvalidParameter", "InvalidArgument", message, target)


def not_applicable(message: str, target: str = "") -> CmdletError:
    return CmdletError("InvalidOperation", "InvalidOperation", message, target)


def no_permission() -> CmdletError:
    """Reads and writes alike come back like this for who is no Hyper-V administrator."""
    text = (
        "You do not have the required permission to complete this task. "
        "Contact the administrator of the authorization policy for the computer."
    )
    return CmdletError("Unspecified", "NotSpecified", text)


def service_stopped(computer: str) -> CmdletError:
    text = (
        f"Hyper-V encountered an error trying to access an object on computer '{computer}' because the object was not found. "
        "The object might have been deleted. Verify that the Virtual Machine Management service on the computer is running."
    )
    return CmdletError("ObjectNotFound", "ObjectNotFound", text, computer)


def module_missing(cmdlet: str) -> CmdletError:
    text = f"The term '{cmdlet}' is not recognized as the name of a cmdlet, function, script file, or operable program."
    return CmdletError("CommandNotFoundException", "ObjectNotFound", text, cmdlet, terminating=True)


def path_missing(path: str, what: str) -> CmdletError:
    text = f"Failed to access {what} '{path}': The system cannot find the path specified. (0x80070003)"
    return CmdletError("ObjectNotFound", "ObjectNotFound", text, path)


def attachment_missing(vm_name: str, path: str) -> CmdletError:
    text = (
        f"'{vm_name}': The attachment '{path}' does not exist. The system cannot find the file specified. (0x80070002)"
    )
    return CmdletError("ObjectNotFound", "ObjectNotFound", text, path)


def access_denied(vm_name: str, path: str) -> CmdletError:
    text = (
        f"'{vm_name}': User account does not have permission required to open attachment '{path}'. "
        "General access denied error (0x80070005)."
    )
    return CmdletError("AccessDenied", "PermissionDenied", text, path)


def vhd_exists(path: str) -> CmdletError:
    text = (
        f"Failed to create the virtual hard disk. The system failed to create '{path}': The file exists. (0x80070050)"
    )
    return CmdletError("OperationFailed", "NotSpecified", text, path)


def vhd_folder_missing(path: str) -> CmdletError:
    text = (
        "Failed to create the virtual hard disk. "
        f"The system failed to create '{path}': The system cannot find the path specified. (0x80070003)"
    )
    return CmdletError("OperationFailed", "NotSpecified", text, path)


def vhd_in_use(path: str) -> CmdletError:
    text = f"The process cannot access '{path}' because it is being used by another process. (0x80070020)"
    return CmdletError("OperationFailed", "ResourceBusy", text, path)


def disk_full(path: str) -> CmdletError:
    text = f"The system failed to create '{path}': There is not enough space on the disk. (0x80070070)"
    return CmdletError("OperationFailed", "NotSpecified", text, path)


def no_memory(vm_name: str, megabytes: int) -> CmdletError:
    text = (
        f"'{vm_name}' could not initialize. Not enough memory in the system to start the virtual machine {vm_name} "
        f"with ram size {megabytes} megabytes. (0x8007000E)"
    )
    return CmdletError("OutOfMemory", "FromStdErr", text, vm_name)


def hypervisor_missing(vm_name: str) -> CmdletError:
    text = (
        f"'{vm_name}' could not be started because the hypervisor is not running: "
        "one of the Hyper-V components is not running."
    )
    return CmdletError("OperationFailed", "NotSpecified", text, vm_name)


def worker_failed(vm_name: str) -> CmdletError:
    text = f"'{vm_name}' failed to start worker process: General failure (0x80004005)."
    return CmdletError("OperationFailed", "NotSpecified", text, vm_name)


def mac_collision(vm_name: str, mac: str) -> CmdletError:
    text = f"'{vm_name}': the network adapter has the MAC address {mac}, which another running virtual machine uses."
    return CmdletError("OperationFailed", "NotSpecified", text, vm_name)


def guest_silent(vm_name: str) -> CmdletError:
    """Plain Stop-VM would ask whether to cut the power; without a console it cannot (fact 20)."""
    text = (
        "Windows PowerShell is in NonInteractive mode. Read and Prompt functionality is not available. "
        f"The integration service of '{vm_name}' did not answer."
    )
    return CmdletError("InvalidOperation", "InvalidOperation", text, vm_name)


def adapter_not_found(name: str) -> CmdletError:
    return CmdletError("Unspecified", "NotSpecified", "Sequence contains no matching element", name)


def bind_failed(guid: str) -> CmdletError:
    text = (
        "Failed while adding virtual Ethernet switch connections. "
        f"Ethernet port '{guid}' bind failed: Element not found. (0x80070490)"
    )
    return CmdletError("ObjectNotFound", "ObjectNotFound", text, guid)


def already_bound(description: str) -> CmdletError:
    text = (
        f"Failed while adding virtual Ethernet switch connections. External Ethernet adapter '{description}' "
        "is already bound to the Microsoft Virtual Switch protocol."
    )
    return CmdletError("OperationFailed", "NotSpecified", text, description)


def switch_in_use(name: str) -> CmdletError:
    text = (
        f"Failed while removing virtual Ethernet switch. The virtual switch '{name}' cannot be deleted because it is being "
        "used by running virtual machines or assigned to child pools."
    )
    return CmdletError("OperationFailed", "NotSpecified", text, name)


def default_switch(name: str) -> CmdletError:
    text = f"The automatic Internet Connection Sharing switch '{name}' cannot be modified."
    return CmdletError("InvalidParameter", "InvalidArgument", text, name)
