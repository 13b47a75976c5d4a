"""What an action does, as values: one class per kind, with what its step needs to do it. Plain values that screens may show; no secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Work:
    """Base. `kind` is a part of an action's id: `vm/create/home-cp-1`."""

    kind: ClassVar[str] = ""


@dataclass(frozen=True, kw_only=True)
class CreateSwitch(Work):
    """Make the External switch on the adapter that the file names."""

    kind: ClassVar[str] = "create"


@dataclass(frozen=True, kw_only=True)
class FetchImage(Work):
    """Let the host download the ISO."""

    kind: ClassVar[str] = "fetch"
    path: str


@dataclass(frozen=True, kw_only=True)
class VerifyImage(Work):
    """Let the host hash an ISO that is there."""

    kind: ClassVar[str] = "attest"
    path: str


@dataclass(frozen=True, kw_only=True)
class CreateSecrets(Work):
    """Make the secrets bundle."""

    kind: ClassVar[str] = "create"


@dataclass(frozen=True, kw_only=True)
class CreateVm(Work):
    """Make a VM, or finish one that was half-made."""

    kind: ClassVar[str] = "create"
    attach: str = ""
    """Folder of the disk of an earlier VM that it gets; empty for a new disk."""


@dataclass(frozen=True, kw_only=True)
class ChangeVm(Work):
    """Bring the settings of a VM to what the file says."""

    kind: ClassVar[str] = "change"
    vm_id: str
    restart: bool
    """Hyper-V changes it only while the VM is off: the guest is shut down and started again."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `ports.VmChange`."""


@dataclass(frozen=True, kw_only=True)
class StartVm(Work):
    """Start a VM."""

    kind: ClassVar[str] = "start"
    vm_id: str


@dataclass(frozen=True, kw_only=True)
class FindMachine(Work):
    """Find the machine's address and prove which machine it is."""

    kind: ClassVar[str] = "find"


@dataclass(frozen=True, kw_only=True)
class ApplyConfig(Work):
    """Send the machine config."""

    kind: ClassVar[str] = "apply"


@dataclass(frozen=True, kw_only=True)
class AwaitDisk(Work):
    """Wait until the machine runs from its disk."""

    kind: ClassVar[str] = "wait"
    running: bool = False
    """It must have reached the stage running too: it was only restarted."""


@dataclass(frozen=True, kw_only=True)
class BootstrapEtcd(Work):
    """Start etcd, once in the cluster's life."""

    kind: ClassVar[str] = "once"


@dataclass(frozen=True, kw_only=True)
class EjectIso(Work):
    """Empty the DVD drive."""

    kind: ClassVar[str] = "eject"


@dataclass(frozen=True, kw_only=True)
class AwaitHealth(Work):
    """Wait until the cluster is healthy."""

    kind: ClassVar[str] = "wait"


@dataclass(frozen=True, kw_only=True)
class WriteAccess(Work):
    """Write the files for clients, and their contexts."""

    kind: ClassVar[str] = "write"


@dataclass(frozen=True, kw_only=True)
class RemoveVm(Work):
    """Delete a VM with its disks and its folder."""

    kind: ClassVar[str] = "remove_vm"
    vm_id: str
    cluster_id: str
    """The id in its mark."""
    keep_mark: bool = False
    """Its folder keeps the record that tells this VM from its copies."""


@dataclass(frozen=True, kw_only=True)
class RemoveFolder(Work):
    """Delete the folder of a VM that is gone."""

    kind: ClassVar[str] = "folder"
    path: str
    cluster_id: str
    machine: str
    """Whose it was."""


@dataclass(frozen=True, kw_only=True)
class ForgetEtcd(Work):
    """Forget that etcd was started: no machine of it is left."""

    kind: ClassVar[str] = "forget"


@dataclass(frozen=True, kw_only=True)
class RemoveSwitch(Work):
    """Remove the switch that we made."""

    kind: ClassVar[str] = "switch"
    cluster_id: str


@dataclass(frozen=True, kw_only=True)
class HandOverSwitch(Work):
    """Give the switch the mark of the cluster that uses it."""

    kind: ClassVar[str] = "hand_over"
    cluster_id: str
    mark: str


@dataclass(frozen=True, kw_only=True)
class RemoveImage(Work):
    """Delete the ISO that we downloaded."""

    kind: ClassVar[str] = "image"
    path: str


@dataclass(frozen=True, kw_only=True)
class RemoveContexts(Work):
    """Take our contexts out of the user's files."""

    kind: ClassVar[str] = "contexts"


@dataclass(frozen=True, kw_only=True)
class RemoveSecrets(Work):
    """Move the secrets aside."""

    kind: ClassVar[str] = "secrets"
