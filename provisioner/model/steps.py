"""What each step is: its title, bound and proof. In which order a workflow does which of them stands in `workflows/tables.py`; how each
plans and applies in `provisioner/steps/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class StepId(StrEnum):
    """The stable name of a step, as users type it after `--until`."""

    REMOVE = "remove"
    HOST = "host"
    SWITCH = "switch"
    IMAGE = "image"
    SECRETS = "secrets"
    VM = "vm"
    MAINTENANCE = "maintenance"
    CONFIG = "config"
    INSTALL = "install"
    BOOTSTRAP = "bootstrap"
    EJECT = "eject"
    HEALTH = "health"
    ACCESS = "access"


class Scope(StrEnum):
    """How often a step is done: once, once per host, once per machine."""

    CLUSTER = "cluster"
    HOST = "host"
    MACHINE = "machine"


@dataclass(frozen=True, kw_only=True)
class Step:
    """What a step is, in whatever workflow it stands.

    `bound_s` is how long it may wait for the outside, in seconds of the clock port; `--wait-scale` stretches it.
    """

    id: StepId
    title: str
    scope: Scope
    bound_s: float
    does: str
    proven_by: str
    done_word: str = ""
    """What machines are after it, as in `3 of 4 in maintenance`."""


_STEPS = (
    Step(
        id=StepId.REMOVE,
        title="Remove VMs",
        scope=Scope.MACHINE,
        bound_s=120,
        does="stop and delete the VMs with our mark, their disks and folders",
        proven_by="the host's answer: VM, disk and folder are gone",
        done_word="removed",
    ),
    Step(
        id=StepId.HOST,
        title="Check host",
        scope=Scope.HOST,
        bound_s=60,
        does="sign-in, rights, Hyper-V, memory, space, adapter, clock, collisions of names and MAC addresses",
        proven_by="facts read from the host",
    ),
    Step(
        id=StepId.SWITCH,
        title="Virtual switch",
        scope=Scope.HOST,
        bound_s=150,
        does="keep, or make the External virtual switch on the named adapter; the host's link drops meanwhile",
        proven_by="read back after the reconnect: type, adapter, address, DNS, profile",
    ),
    Step(
        id=StepId.IMAGE,
        title="Talos ISO",
        scope=Scope.HOST,
        bound_s=1800,
        does="the host downloads the ISO of the pinned release and checks its SHA-256",
        proven_by="hash on the host",
    ),
    Step(
        id=StepId.SECRETS,
        title="Secrets",
        scope=Scope.CLUSTER,
        bound_s=60,
        does="make or read the secrets bundle",
        proven_by="file flushed to disk and read back",
    ),
    Step(
        id=StepId.VM,
        title="VMs",
        scope=Scope.MACHINE,
        bound_s=300,
        does="make the Generation 2 VM with its disk, ISO, MAC address and mark, and start it",
        proven_by="read back from the host",
        done_word="made",
    ),
    Step(
        id=StepId.MAINTENANCE,
        title="Boot",
        scope=Scope.MACHINE,
        bound_s=300,
        does="find the machine's address by its MAC, and prove by MAC and BIOS UUID which machine it is",
        proven_by="facts of that machine in the Maintenance stage",
        done_word="in maintenance",
    ),
    Step(
        id=StepId.CONFIG,
        title="Machine configs",
        scope=Scope.MACHINE,
        bound_s=60,
        does="generate with patches, validate, dry run, apply",
        proven_by="Talos took the dry run, then the config",
        done_word="applied",
    ),
    Step(
        id=StepId.INSTALL,
        title="Install",
        scope=Scope.MACHINE,
        bound_s=1200,  # Talos retries the pull of its installer image for 20 minutes by itself
        does="Talos installs itself to disk and reboots",
        proven_by="certificate of our own CA, a system disk, no talos.halt_if_installed on the kernel command line",
        done_word="run from their disks",
    ),
    Step(
        id=StepId.BOOTSTRAP,
        title="Bootstrap",
        scope=Scope.CLUSTER,
        bound_s=600,
        does="start etcd, exactly once, on the first control plane machine",
        proven_by="etcd's member list names that machine",
    ),
    Step(
        id=StepId.EJECT,
        title="Eject ISO",
        scope=Scope.MACHINE,
        bound_s=60,
        does="empty the DVD drive of a machine that runs from its disk",
        proven_by="drive read back empty, and the machine's own word",
        done_word="ejected",
    ),
    Step(
        id=StepId.HEALTH,
        title="Kubernetes",
        scope=Scope.CLUSTER,
        bound_s=600,
        does="wait until etcd, the machines, their services and the Kubernetes nodes are healthy",
        proven_by="watches",
    ),
    Step(
        id=StepId.ACCESS,
        title="Access",
        scope=Scope.CLUSTER,
        bound_s=600,  # the Kubernetes API comes up after etcd
        does="write talosconfig and kubeconfig, and add their contexts to the user's own files",
        proven_by="one call through each file written",
    ),
)

STEP: Mapping[StepId, Step] = {step.id: step for step in _STEPS}


@dataclass(frozen=True, kw_only=True)
class Order:
    """A step's place in a workflow: what its actions wait for."""

    step: StepId
    after: tuple[StepId, ...] = ()
    """Of the same machine or host, where both are done per machine or host; else of all."""
    after_first: tuple[StepId, ...] = ()
    """Of the first control plane alone."""
    workers_after: tuple[StepId, ...] = ()
    """For workers too."""
    restarts_in_turns: bool = False
    """Machines that it stops and starts do so one after the other, the first control plane first."""
