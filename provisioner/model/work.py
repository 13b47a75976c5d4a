"""What an action does, as values: one class per kind, with what its step needs to do it. Plain values that screens may show; no secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True)
class Work:
    """Base. `kind` is a part of an action's id: `vm/create/home-cp-1`."""

    kind: ClassVar[str] = ""

    def __init_subclass__(cls, *, kind: str) -> None:
        cls.kind = kind


@dataclass(frozen=True, kw_only=True)
class CreateSwitch(Work, kind="create"):
    """Make the External switch on the adapter that the file names."""


@dataclass(frozen=True, kw_only=True)
class FetchImage(Work, kind="fetch"):
    """Let the host download the ISO."""

    path: str


@dataclass(frozen=True, kw_only=True)
class VerifyImage(Work, kind="attest"):
    """Let the host hash an ISO that is there."""

    path: str


@dataclass(frozen=True, kw_only=True)
class CreateSecrets(Work, kind="create"):
    """Make the secrets bundle."""


@dataclass(frozen=True, kw_only=True)
class CreateVm(Work, kind="create"):
    """Make a VM, or finish one that was half-made."""

    attach: str = ""
    """Folder of the disk of an earlier VM that it gets; empty for a new disk."""


@dataclass(frozen=True, kw_only=True)
class ChangeVm(Work, kind="change"):
    """Bring the settings of a VM to what the file says."""

    vm_id: str
    restart: bool
    """Hyper-V changes it only while the VM is off: the guest is shut down and started again."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `ports.VmChange`."""


@dataclass(frozen=True, kw_only=True)
class StartVm(Work, kind="start"):
    """Start a VM."""

    vm_id: str


@dataclass(frozen=True, kw_only=True)
class FindMachine(Work, kind="find"):
    """Find the machine's address and prove which machine it is."""


@dataclass(frozen=True, kw_only=True)
class ApplyConfig(Work, kind="apply"):
    """Send the machine config."""


@dataclass(frozen=True, kw_only=True)
class AwaitDisk(Work, kind="wait"):
    """Wait until the machine runs from its disk."""

    running: bool = False
    """It must have reached the stage running too: it was only restarted."""


@dataclass(frozen=True, kw_only=True)
class BootstrapEtcd(Work, kind="once"):
    """Start etcd, once in the cluster's life."""


@dataclass(frozen=True, kw_only=True)
class EjectIso(Work, kind="eject"):
    """Empty the DVD drive."""


@dataclass(frozen=True, kw_only=True)
class AwaitHealth(Work, kind="wait"):
    """Wait until the cluster is healthy."""


@dataclass(frozen=True, kw_only=True)
class WriteAccess(Work, kind="write"):
    """Write the files for clients, and their contexts."""


@dataclass(frozen=True, kw_only=True)
class RemoveVm(Work, kind="remove_vm"):
    """Delete a VM with its disks and its folder."""

    vm_id: str
    cluster_id: str
    """The id in its mark."""
    keep_mark: bool = False
    """Its folder keeps the record that tells this VM from its copies."""


@dataclass(frozen=True, kw_only=True)
class RemoveFolder(Work, kind="folder"):
    """Delete the folder of a VM that is gone."""

    path: str
    cluster_id: str
    machine: str
    """Whose it was."""


@dataclass(frozen=True, kw_only=True)
class ForgetEtcd(Work, kind="forget"):
    """Forget that etcd was started: no machine of it is left."""


@dataclass(frozen=True, kw_only=True)
class RemoveSwitch(Work, kind="switch"):
    """Remove the switch that we made."""

    cluster_id: str


@dataclass(frozen=True, kw_only=True)
class HandOverSwitch(Work, kind="hand_over"):
    """Give the switch the mark of the cluster that uses it."""

    cluster_id: str
    mark: str


@dataclass(frozen=True, kw_only=True)
class RemoveImage(Work, kind="image"):
    """Delete the ISO that we downloaded."""

    path: str


@dataclass(frozen=True, kw_only=True)
class RemoveContexts(Work, kind="contexts"):
    """Take our contexts out of the user's files."""


@dataclass(frozen=True, kw_only=True)
class RemoveSecrets(Work, kind="secrets"):
    """Move the secrets aside."""
