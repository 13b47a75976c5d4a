"""What the cluster file asks for, with all defaults filled in: frozen values, units in names.

Made by `clusterfile/` alone. Nothing here knows YAML, hosts or Talos' API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from provisioner.errors import SourceLocation
from provisioner.model.units import HTTPS_PORT
from provisioner.model.versions import INSTALLER


class Role(StrEnum):
    """The two machine types, as Talos' configs spell them."""

    CONTROL_PLANE = "controlplane"
    WORKER = "worker"

    @property
    def words(self) -> str:
        """As people read it."""
        return "control plane" if self is Role.CONTROL_PLANE else "worker"


@dataclass(frozen=True, kw_only=True)
class LabSpec:
    """The embedded lab in place of a real host."""

    speed: float = 10.0
    """How many seconds of the lab's world pass in one real second; 1 to 1000."""
    seed: int = 1


@dataclass(frozen=True, kw_only=True)
class HostSpec:
    """A Windows machine with Hyper-V and how to sign in there."""

    name: str
    address: str
    port: int = HTTPS_PORT
    user: str = ""
    transport: str = "psrp"
    """`psrp` or `winrs`."""
    endpoint: str = "Microsoft.PowerShell"
    """Name of the PowerShell session configuration."""
    pin: str = ""
    """SHA-256 of the host's certificate (hex), in place of a trusted authority. Empty: verified as usual."""
    lab: LabSpec | None = None


@dataclass(frozen=True, kw_only=True)
class SwitchSpec:
    """The virtual switch. Naming the adapter is the consent to make it."""

    name: str
    adapter: str = ""
    allow_management_os: bool = True
    vlan: int | None = None


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """Where `metal-amd64.iso` comes from."""

    url: str
    sha256: str = ""
    """Lower-case hex. Empty: taken from `sha256_url`, or else pinned at first use."""
    sha256_url: str = ""
    """The release's own checksum file (`<hash>  <file name>` per line); the host reads it."""
    file_name: str
    """Name in the host's cache; carries version and schematic, so that releases lie side by side."""
    path: str = ""
    """A file that is already on the host; then nothing is downloaded."""
    installer: str = ""
    """Reference of the installer image that belongs to the ISO (same schematic). Empty: Talos' own default."""


@dataclass(frozen=True, kw_only=True)
class PatchSpec:
    """A patch of machine configs as parsed documents, and where it stands. Scalars are told as `model.scalars` has them."""

    documents: tuple[Mapping[str, Any], ...]
    """The documents of a strategic-merge patch, or the operations of a JSON patch."""
    place: SourceLocation
    json: bool = False
    """Whether this is a JSON patch (RFC 6902)."""
    places: tuple[Mapping[tuple[str | int, ...], SourceLocation], ...] = ()
    """For each document where everything in it stands, as far as known; of a mapping's value its key."""


@dataclass(frozen=True, kw_only=True)
class MachineSpec:
    """One machine: its VM and its part in the cluster."""

    name: str
    role: Role
    host: str
    """Key of `Cluster.hosts`."""
    cpus: int
    memory_mib: int
    disk_gib: int
    mac: str
    """12 upper-case hex digits."""
    address: str = ""
    """Reserved or static address, when the file gives one."""
    vlan: int | None = None
    patches: tuple[PatchSpec, ...] = ()
    place: SourceLocation


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """Networks inside the cluster."""

    pod_subnets: tuple[str, ...] = ("10.244.0.0/16",)
    service_subnets: tuple[str, ...] = ("10.96.0.0/12",)
    dns_domain: str = "cluster.local"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an effective value came from, for `config show`."""

    path: str
    value: Any
    source: str
    """`file`, `default`, `computed`, `environment` or `option`."""
    place: SourceLocation | None = None


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A whole cluster file, checked and complete."""

    name: str
    file: Path
    hosts: Mapping[str, HostSpec]
    switch: SwitchSpec
    image: ImageSpec
    talos: str
    kubernetes: str
    machines: tuple[MachineSpec, ...]
    endpoint: str = ""
    """`https://host:port` of the Kubernetes API when the file gives it."""
    vip: str = ""
    cert_sans: tuple[str, ...] = ()
    network: NetworkSpec = field(default_factory=NetworkSpec)
    install_disk: str = "/dev/sda"
    folder: str = ""
    """Folder for VMs on the host; empty means the host's own VirtualHardDiskPath."""
    protect: SourceLocation | None = None
    """Where `protect: true` stands, or None."""
    schedule_on_control_planes: bool = False
    patches: tuple[PatchSpec, ...] = ()
    control_plane_patches: tuple[PatchSpec, ...] = ()
    worker_patches: tuple[PatchSpec, ...] = ()
    origins: tuple[Origin, ...] = ()
    """Every value and where it came from, in the order of the file's fields."""

    @property
    def control_planes(self) -> tuple[MachineSpec, ...]:
        """In the file's order; the first one is bootstrapped."""
        return tuple(m for m in self.machines if m.role is Role.CONTROL_PLANE)

    @property
    def workers(self) -> tuple[MachineSpec, ...]:
        """Machines that are not control planes, in the order of the file."""
        return tuple(m for m in self.machines if m.role is Role.WORKER)

    @property
    def has_patches(self) -> bool:
        """Whether any machine's config is more than what is generated."""
        groups = (self.patches, self.control_plane_patches, self.worker_patches, *(m.patches for m in self.machines))
        return any(groups)

    @property
    def installer(self) -> str:
        """Reference of the installer image: the ISO's own one, else that of the release."""
        return self.image.installer or f"{INSTALLER}:{self.talos}"

    @property
    def lab(self) -> LabSpec | None:
        """The lab's settings when the first host is the lab."""
        return next((h.lab for h in self.hosts.values() if h.lab), None)

    def machine(self, name: str) -> MachineSpec:
        """The machine of that name. Raises KeyError."""
        for machine in self.machines:
            if machine.name == name:
                return machine
        raise KeyError(name)
