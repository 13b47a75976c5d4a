"""The fields of a cluster file, version 1: types, ranges and what each one means. The JSON Schema is made from this module,
with what stands below a field as its description.

Only what one field says by itself is checked here; what fields say together is `checks.py`'s part, and defaults that depend
on other fields are filled in by `build.py`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from provisioner.clusterfile import values
from provisioner.model.units import HTTPS_PORT

FORM = "\0"
"""Begins the tags of values that may be written in two forms. pydantic puts them into a value's path; no key of a file can
begin with it, since the reader refuses control characters there."""
HOST_FORM, NAME_FORM, FILE_FORM = FORM + "host", FORM + "name", FORM + "file"
INLINE_FORM, OPERATIONS_FORM = FORM + "inline", FORM + "operations"
LIST_FORM, COUNTS_FORM, GROUP_FORM, COUNT_FORM = FORM + "list", FORM + "counts", FORM + "group", FORM + "count"


class Fields(BaseModel):
    """A mapping of the file: unknown fields are findings, values are never converted to another type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


def by_kind(**kinds: str) -> Discriminator:
    """Chooses the form of a value that may be written in two ways."""

    def choose(value: Any) -> str:
        if isinstance(value, dict | BaseModel):
            return kinds.get("mapping") or kinds["other"]
        if isinstance(value, list | tuple):
            return kinds.get("list") or kinds["other"]
        return kinds["other"]

    return Discriminator(choose)


class Lab(Fields):
    """The embedded lab in place of a Windows host."""

    speed: Annotated[float, Field(ge=1, le=1000, strict=False), values.meant] = 10.0
    """How many seconds of the lab's world pass in one real second."""
    seed: Annotated[int, Field(ge=0), values.meant] = 1
    """The same seed gives the same delays."""


class Host(Fields):
    """A Windows machine with Hyper-V, and how to sign in there."""

    address: values.HostName | None = None
    """DNS name or address; default: the host's name in this file."""
    port: values.Port = HTTPS_PORT
    """Port of WinRM over HTTPS."""
    user: values.User | None = None
    r"""Account on the host, as `hv01\provision`. The password never stands in this file."""
    transport: Literal["psrp", "winrs"] = "psrp"
    """`psrp` is PowerShell remoting; `winrs` runs one process per call, for hosts that allow nothing else."""
    endpoint: values.Filled = "Microsoft.PowerShell"
    """Name of the PowerShell session configuration."""
    pin: values.Sha256 | None = None
    """SHA-256 of the host's certificate, in place of a trusted authority."""
    lab: Lab | None = None
    """The embedded lab plays this host; no address is needed."""


HostOrName = Annotated[
    Annotated[Host, Tag(HOST_FORM)] | Annotated[values.HostName, Tag(NAME_FORM)],
    by_kind(mapping=HOST_FORM, other=NAME_FORM),
]


class Switch(Fields):
    """The virtual switch of all machines."""

    name: values.Filled = "LAB"
    """Its name on the host."""
    adapter: values.Filled | None = None
    """The physical network adapter to bind an External switch to, as Windows names it. Naming it is the consent to make the
    switch, which takes the host's network down for some seconds; without it the switch must exist."""
    allow_management_os: values.Bool = True
    """Whether Windows itself keeps using that adapter."""
    vlan: values.Vlan | None = None
    """VLAN of Windows' own traffic over the switch."""


class Image(Fields):
    """Where `metal-amd64.iso` comes from: one of `release`, `schematic`, `url` with `sha256`, `path`."""

    release: values.Version | None = None
    """ISO of this Talos release, checksum from the release; default: the release of `talos:`."""
    schematic: values.Sha256 | None = None
    """Id of an Image Factory schematic; the installer image carries the same one."""
    url: values.IsoUrl | None = None
    """Any other ISO, fetched by the host."""
    path: values.WindowsPath | None = None
    """A file that is on the host already."""
    sha256: values.Sha256 | None = None
    """What the ISO must hash to; needed with `url`."""


class ClusterNetwork(Fields):
    """Networks inside the cluster; they may overlap nothing on the LAN."""

    pod_subnets: Annotated[list[values.Network], Field(min_length=1)] = ["10.244.0.0/16"]
    """Addresses of pods: one IPv4 network, one IPv6 network, or both."""
    service_subnets: Annotated[list[values.Network], Field(min_length=1)] = ["10.96.0.0/12"]
    """Addresses of services, likewise."""
    dns_domain: values.DomainName = "cluster.local"
    """DNS domain of services."""


class PatchFile(Fields):
    """A patch in a file of its own, its path relative to the cluster file."""

    file: values.Filled
    """Path of a YAML file; several documents in it are several patches."""


def _inline(value: Any) -> Any:
    """A patch that is a text is a finding: other tools take paths and whole documents so."""
    if not isinstance(value, str):
        return value
    expected = "a mapping, as machine: {...}, or file: PATH"
    if "\n" in value.strip() or ": " in value:
        raise values.wrong("expected a mapping, got a string: write the patch itself, without | and quotes", expected)
    path = value.strip().removeprefix("@").removeprefix("./")
    meant = f"{{file: {path}}}" if re.fullmatch(r"[^\s{}\[\],#:]+", path) else ""
    raise values.wrong("expected a mapping, got a string", expected, meant)


def _form_of_patch(value: Any) -> str:
    if isinstance(value, list | tuple):
        return OPERATIONS_FORM
    is_file = isinstance(value, PatchFile) or (isinstance(value, dict) and set(value) == {"file"})
    return FILE_FORM if is_file else INLINE_FORM


Patch = Annotated[
    Annotated[PatchFile, Tag(FILE_FORM)]
    | Annotated[dict[str, Any], BeforeValidator(_inline), Tag(INLINE_FORM)]
    | Annotated[list[dict[str, Any]], Tag(OPERATIONS_FORM)],
    Discriminator(_form_of_patch),
]
Patches = list[Patch]


class PatchGroups(Fields):
    """Patches of Talos' machine configs, applied in this order, a machine's own ones last: strategic-merge patches as mappings, JSON
    patches (RFC 6902) as lists of operations, both inline or in files.
    """

    all: Patches = []
    """For every machine."""
    control_plane: Patches = []
    """For control planes."""
    worker: Patches = []
    """For workers."""


class Hardware(Fields):
    """What a VM gets."""

    cpus: values.Cpus = 2
    """Virtual processors."""
    memory: values.Memory = 4096
    """Static memory, as `4 GiB`."""
    disk: values.Disk = 20
    """Size of the system disk, as `20 GiB`; it grows as it is filled."""
    vlan: values.Vlan | None = None
    """VLAN of the machine's traffic; untagged without."""
    host: values.Text | None = None
    """Which of `hosts:`; default: the first."""
    patches: Patches = []
    """Patches for this machine alone."""


class Machine(Hardware):
    """One machine by name."""

    name: values.Label
    """Name of the VM, the machine and the node."""
    role: Literal["controlplane", "worker"]
    """Talos' machine type."""
    mac: values.Mac | None = None
    """Static MAC address; computed from the names by default."""
    address: values.Address | None = None
    """The address that the router reserves for its MAC address, or that a patch sets; it is not set on the machine by this line alone.

    The first control plane's is the endpoint where neither `endpoint:` nor `vip:` is given.
    """


class Group(Hardware):
    """Several machines of a role that differ in nothing but their names."""

    count: Annotated[int, Field(ge=0, le=1000), values.meant]
    """How many."""


Count = Annotated[
    Annotated[Group, Tag(GROUP_FORM)] | Annotated[int, Field(ge=0, le=1000), values.meant, Tag(COUNT_FORM)],
    by_kind(mapping=GROUP_FORM, other=COUNT_FORM),
]


class Counts(Fields):
    """Machines by role; their names are CLUSTER-cp-1, CLUSTER-worker-1 and so on."""

    control_planes: Count = 1
    """An odd number, since etcd needs a majority."""
    workers: Count = 3
    """Machines for ordinary pods."""


class ClusterFile(Fields):
    """A cluster of Talos Linux machines on Hyper-V, as it shall be."""

    version: Annotated[Literal[1], values.meant]
    """Version of this format."""
    name: values.Label | None = None
    """Name of the cluster; default: the name of the file."""
    host: HostOrName | None = None
    """The only host: its address, or a mapping as in `hosts:`."""
    hosts: dict[values.HostName, HostOrName] | None = None
    """Hosts by name."""
    switch: Switch = Switch()
    """The virtual switch of all machines."""
    talos: values.Version | None = None
    """Talos release of the machines."""
    kubernetes: values.Version | None = None
    """Kubernetes version of the nodes; must be one that the Talos release runs."""
    image: Image = Image()
    """Where the ISO comes from; default: the release of `talos:`."""
    endpoint: values.Endpoint | None = None
    """URL of the Kubernetes API; default: `vip:`, else the first control plane's address."""
    vip: values.Address | None = None
    """Virtual address that the control planes share."""
    cert_sans: list[values.San] = []
    """Further names and addresses for the certificates of both APIs."""
    network: ClusterNetwork = ClusterNetwork()
    """Networks inside the cluster."""
    install_disk: values.Device = "/dev/sda"
    """Where Talos installs itself, as the machine sees it."""
    folder: values.WindowsPath | None = None
    """Folder for VMs on the host; default: the host's own for virtual hard disks."""
    protect: values.Bool = False
    """Refuse every removal."""
    schedule_on_control_planes: values.Bool = False
    """Let ordinary pods run on control planes."""
    machines: Annotated[
        Annotated[list[Machine], Tag(LIST_FORM)] | Annotated[Counts, Tag(COUNTS_FORM)],
        by_kind(list=LIST_FORM, other=COUNTS_FORM),
    ] = Counts()
    """A list of machines, or counts by role."""
    patches: PatchGroups = PatchGroups()
    """Patches of machine configs, for all machines or by role."""
