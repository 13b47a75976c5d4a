"""From checked fields to the `Cluster` that the rest of the package uses: defaults filled in, the origin of every value kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from provisioner import images
from provisioner.clusterfile.patches import read_patches
from provisioner.clusterfile.reading import Checked
from provisioner.clusterfile.settings import Setting
from provisioner.clusterfile.tree import KeyPath
from provisioner.clusterfile.version1 import (
    Counts,
    Fields,
    Hardware,
    Host,
    PatchGroups,
)
from provisioner.errors import Finding
from provisioner.model import versions
from provisioner.model.cluster import (
    Cluster,
    HostSpec,
    ImageSpec,
    LabSpec,
    MachineSpec,
    NetworkSpec,
    Origin,
    PatchSpec,
    Role,
    SwitchSpec,
)
from provisioner.model.naming import computed_mac, spaced_mac


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A cluster that has yet to pass the checks of `checks.py`."""

    cluster: Cluster
    machine_paths: tuple[KeyPath, ...]
    """Where each machine stands in the file; those of one count share a place."""
    host_paths: Mapping[str, KeyPath]
    address_override: Setting | None
    """An address from outside, which one host can have but not several."""
    findings: tuple[Finding, ...]
    """What was wrong with the patches' files."""


def build_cluster(checked: Checked, *, file: Path, overrides: Mapping[str, Setting]) -> Draft:
    """The whole cluster. Never fails: what is missing gets a harmless value, and a finding by `checks.py`."""
    return _Builder(checked, file, overrides).build()


class _Builder:
    """Walks the fields in the file's order, so that the origins are in that order too."""

    def __init__(self, checked: Checked, file: Path, overrides: Mapping[str, Setting]) -> None:
        self._checked = checked
        self._fields = checked.fields
        self._file = file
        self._overrides = overrides
        self._name = checked.fields.name or file.stem
        self._host_paths: dict[str, KeyPath] = {}
        self._found: list[Finding] = []
        self._origins: list[Origin] = []

    def build(self) -> Draft:
        fields = self._fields
        talos = fields.talos or versions.TALOS
        kubernetes = fields.kubernetes or versions.KUBERNETES
        self._note("name", self._name, ("name",), computed=True)
        hosts = self._hosts()
        self._note_fields("switch", fields.switch, ("switch",))
        self._note("talos", talos, ("talos",))
        self._note("kubernetes", kubernetes, ("kubernetes",))
        image = self._image(talos)
        for key in ("endpoint", "vip", "cert_sans"):
            self._note(key, getattr(fields, key) or None, (key,))
        self._note_fields("network", fields.network, ("network",))
        self._note_fields("", fields, (), "install_disk", "folder", "protect", "schedule_on_control_planes")
        placed = list(self._machines(next(iter(hosts), "")))
        patches = {
            key: self._patches(("patches", key), getattr(fields.patches, key)) for key in PatchGroups.model_fields
        }
        cluster = Cluster(
            name=self._name,
            file=self._file,
            hosts=hosts,
            switch=SwitchSpec(**_given(fields.switch)),
            image=image,
            talos=talos,
            kubernetes=kubernetes,
            machines=tuple(machine for _, machine in placed),
            network=NetworkSpec(**_given(fields.network)),
            protect=self._checked.tree.place(("protect",)) if fields.protect else None,
            **_given(fields, "endpoint", "vip", "cert_sans", "install_disk", "folder", "schedule_on_control_planes"),
            patches=patches["all"],
            control_plane_patches=patches["control_plane"],
            worker_patches=patches["worker"],
            origins=tuple(self._origins),
        )
        return Draft(
            cluster=cluster,
            machine_paths=tuple(at for at, _ in placed),
            host_paths=self._host_paths,
            address_override=None if cluster.lab else self._overrides.get("host"),
            findings=tuple(self._found),
        )

    def _note(
        self, path: str, value: Any, at: KeyPath, *, computed: bool = False, override: Setting | None = None
    ) -> None:
        """Keeps where a value came from; `computed` says that its default depends on other fields."""
        if override:
            self._origins.append(Origin(path=path, value=value, source=override.source))
        elif self._checked.given(at) and at not in self._checked.dropped:
            self._origins.append(Origin(path=path, value=value, source="file", place=self._checked.tree.place(at)))
        else:
            self._origins.append(Origin(path=path, value=value, source="computed" if computed else "default"))

    def _note_fields(self, row: str, fields: Fields, at: KeyPath, *keys: str) -> None:
        """Those fields, or all, that stand below `at`."""
        for key in keys or type(fields).model_fields:
            self._note(f"{row}.{key}".removeprefix("."), getattr(fields, key), (*at, key))

    def _hosts(self) -> dict[str, HostSpec]:
        given: list[tuple[str, Host | str, KeyPath]] = []
        if (only := self._fields.host) is not None:
            address = only if isinstance(only, str) else only.address or ("lab" if only.lab else "")
            given.append((address, only, ("host",)))
        given += [(name, host, ("hosts", name)) for name, host in (self._fields.hosts or {}).items()]
        self._host_paths = {name: at for name, _, at in given}
        return {name: self._host(name, host, at) for name, host, at in given}

    def _host(self, name: str, given: Host | str, at: KeyPath) -> HostSpec:
        host = Host(address=given) if isinstance(given, str) else given
        # The lab has its own address and account: what the environment says is about a real host.
        meant = {} if host.lab else self._overrides
        of_address, of_user = meant.get("host"), meant.get("user")
        address = of_address.value if of_address else host.address or name
        user = of_user.value if of_user else host.user or ""
        row = f"hosts.{name}"
        address_at = at if isinstance(given, str) else (*at, "address")
        self._note(f"{row}.address", address, address_at, computed=True, override=of_address)
        self._note(f"{row}.user", user or None, (*at, "user"), override=of_user)
        self._note_fields(row, host, at, "port", "transport", "endpoint", "pin")
        if host.lab:
            self._note_fields(f"{row}.lab", host.lab, (*at, "lab"))
        return HostSpec(
            name=name,
            address=address,
            user=user,
            lab=LabSpec(**_given(host.lab)) if host.lab else None,
            **_given(host, "port", "transport", "endpoint", "pin"),
        )

    def _image(self, talos: str) -> ImageSpec:
        image = self._fields.image
        if image.path:
            spec = images.host_image(image.path)
            self._note("image.path", spec.path, ("image", "path"))
        elif image.url:
            spec = images.url_image(image.url, image.sha256 or "")
            self._note("image.url", spec.url, ("image", "url"))
        elif image.schematic:
            spec = images.factory_image(talos, image.schematic)
            self._note("image.schematic", image.schematic, ("image", "schematic"))
            self._note("image.url", spec.url, ("image", "url"), computed=True)
            self._note("image.installer", spec.installer, ("image", "installer"), computed=True)
        else:
            spec = images.release_image(image.release or talos)
            self._note("image.release", image.release or talos, ("image", "release"), computed=True)
            self._note("image.url", spec.url, ("image", "url"), computed=True)
        self._note("image.sha256", image.sha256, ("image", "sha256"))
        return replace(spec, sha256=image.sha256 or "")

    def _patches(self, at: KeyPath, given: Sequence[Any]) -> tuple[PatchSpec, ...]:
        specs = read_patches(self._checked, at, given, folder=self._file.parent, found=self._found)
        if at[0] == "patches":
            self._note(".".join(str(part) for part in at), len(specs), at)
        return specs

    def _machines(self, first_host: str) -> Iterator[tuple[KeyPath, MachineSpec]]:
        machines = self._fields.machines
        if isinstance(machines, Counts):
            yield from self._counted(machines, first_host)
            return
        for index, machine in zip(self._checked.indices(("machines",), len(machines)), machines, strict=True):
            at: KeyPath = ("machines", index)
            patches = self._patches((*at, "patches"), machine.patches)
            mac = machine.mac or computed_mac(self._name, machine.name)
            spec = self._machine(machine.name, Role(machine.role), machine, at, first_host)
            yield at, self._noted(replace(spec, mac=mac, address=machine.address or "", patches=patches), at)

    def _counted(self, machines: Counts, first_host: str) -> Iterator[tuple[KeyPath, MachineSpec]]:
        for key, role, word in (("control_planes", Role.CONTROL_PLANE, "cp"), ("workers", Role.WORKER, "worker")):
            group = getattr(machines, key)
            at: KeyPath = ("machines", key)
            hardware = Hardware() if isinstance(group, int) else group
            count = group if isinstance(group, int) else group.count
            self._note(f"machines.{key}", count, at if isinstance(group, int) else (*at, "count"))
            patches = self._patches((*at, "patches"), hardware.patches)
            for number in range(1, count + 1):
                name = f"{self._name}-{word}-{number}"
                spec = self._machine(name, role, hardware, at, first_host)
                yield at, self._noted(replace(spec, patches=patches), at)

    def _machine(self, name: str, role: Role, given: Hardware, at: KeyPath, first_host: str) -> MachineSpec:
        return MachineSpec(
            name=name,
            role=role,
            host=given.host or first_host,
            cpus=given.cpus,
            memory_mib=given.memory,
            disk_gib=given.disk,
            mac=computed_mac(self._name, name),
            vlan=given.vlan,
            place=self._checked.tree.place(at),
        )

    def _noted(self, spec: MachineSpec, at: KeyPath) -> MachineSpec:
        row = f"machines.{spec.name}"
        self._note(f"{row}.role", str(spec.role), (*at, "role"), computed=True)
        self._note(f"{row}.host", spec.host, (*at, "host"), computed=True)
        self._note(f"{row}.cpus", spec.cpus, (*at, "cpus"))
        self._note(f"{row}.memory", size(spec.memory_mib), (*at, "memory"))
        self._note(f"{row}.disk", f"{spec.disk_gib} GiB", (*at, "disk"))
        self._note(f"{row}.mac", spaced_mac(spec.mac), (*at, "mac"), computed=True)
        self._note(f"{row}.address", spec.address or None, (*at, "address"))
        self._note(f"{row}.vlan", spec.vlan, (*at, "vlan"))
        self._note(f"{row}.patches", len(spec.patches), (*at, "patches"))
        return spec


def _given(fields: Fields, *keys: str) -> dict[str, Any]:
    """Those fields, or all, for a value of the model that calls them the same and has its own default for what is left out."""
    values = {key: getattr(fields, key) for key in keys or type(fields).model_fields}
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in values.items() if value is not None
    }


def size(mib: int) -> str:
    """MiB as the file spells sizes."""
    return f"{mib} MiB" if mib % 1024 else f"{mib // 1024} GiB"
