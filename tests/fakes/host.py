"""A Hyper-V host: switches, images, VMs, and what its neighbour table knows. It refuses with the ids of the contract
(`powershell/TalosHyperV/contract.yaml`).
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from provisioner.errors import HostRefused
from provisioner.model.facts import (
    ConsoleFacts,
    DriveFacts,
    FolderFacts,
    HostFacts,
    HostState,
    ImageFacts,
    NeighborFacts,
    SwitchFacts,
    SwitchJobFacts,
    VmFacts,
)
from provisioner.model.naming import find_mark
from provisioner.ports import Host, ObserveQuery, Progress, SwitchRequest, VmChange, VmRequest
from tests.fakes.script import Scripted
from tests.unit.steps.world import uuid_of

GIB = 1024**3
READ = datetime(2026, 5, 23, 12, 0, tzinfo=UTC)

PUBLISHED = "a" * 64
"""SHA-256 of what any URL holds, unless `downloads` says otherwise."""


class FakeHost(Scripted):
    """Made of what was seen of a host; reads give back what the calls made of it.

    A switch is made by a job that runs until it is confirmed (`job_ends` says as what); all else is done at once.
    """

    def __init__(self, state: HostState, *, name: str = "hv01") -> None:
        super().__init__()
        self.name = name
        self.facts: HostFacts = state.host
        self.whole = state.whole
        self.switches: dict[str, SwitchFacts] = {}
        if state.switch is not None:
            self.switches[state.switch.name.lower()] = state.switch
        self.images = {image.path.lower(): image for image in state.images if image.exists}
        self.vms = {vm.id: vm for vm in state.vms}
        self.folders = {folder.path.lower(): folder for folder in state.folders}
        """Marked folders. `locked` of them cannot be deleted."""
        self.locked: set[str] = set()
        """Lower-case paths of folders in which a file is held open."""
        self.neighbors: list[NeighborFacts] = []
        self.downloads: dict[str, str] = {}
        """URL -> SHA-256 of what lies there."""
        self.job_ends = "Done"
        """What the job of a switch is after it was confirmed: `Done`, `Failed`, `Undone`, or still `Running`."""
        self.stuck_drives = False
        """Whether drives keep their ISO whatever they are told."""
        self.power: Callable[[VmFacts], None] = lambda _vm: None
        """Told of a VM that was made, started, stopped, changed or (as Off) removed: what runs in it is not this fake's business."""
        self._numbers = itertools.count(1)

    # -- for tests

    def vm(self, name: str) -> VmFacts:
        return next(vm for vm in self.vms.values() if vm.name == name)

    def knows(self, mac: str, *addresses: str) -> None:
        """The neighbour table maps the MAC to these, and to no others."""
        others = [row for row in self.neighbors if row.mac != mac]
        self.neighbors = others + [NeighborFacts(mac=mac, address=each) for each in addresses]

    # -- reading

    async def observe(self, query: ObserveQuery) -> HostState:
        async with self._asked("observe", query=query):
            if not self.whole:
                return HostState(host=self.facts, switch=None, images=(), vms=(), read_utc=READ, whole=False)
            path = self._path(query.image_path or query.image_name)
            return HostState(
                host=self.facts,
                switch=self._switch(query.switch) if query.switch else None,
                marked_switches=tuple(
                    switch
                    for name, switch in self.switches.items()
                    if name != query.switch.lower() and switch.exists and switch.mark is not None
                ),
                images=(self._image(path),),
                vms=tuple(self.vms.values()),
                folders=tuple(self.folders.values()),
                read_utc=READ,
            )

    async def find_switch(self, name: str) -> SwitchFacts:
        async with self._asked("find_switch", name=name):
            return self._switch(name)

    async def find_image(self, path: str, *, verify: bool) -> ImageFacts:
        async with self._asked("find_image", path=path, verify=verify):
            return self._image(self._path(path))

    async def find_vms(self, ids: Sequence[str]) -> tuple[VmFacts, ...]:
        async with self._asked("find_vms", ids=tuple(ids)):
            return tuple(self.vms[each] for each in ids if each in self.vms)

    async def find_neighbors(self, macs: Sequence[str], *, sweep: bool) -> tuple[NeighborFacts, ...]:
        async with self._asked("find_neighbors", macs=tuple(macs), sweep=sweep):
            return tuple(row for row in self.neighbors if row.mac in macs)

    async def watch_neighbors(self, macs: Sequence[str], *, wait_s: int) -> AsyncIterator[NeighborFacts]:
        """Ends at once with what is known, as at the end of its time."""
        async with self._asked("watch_neighbors", macs=tuple(macs), wait_s=wait_s):
            rows = [row for row in self.neighbors if row.mac in macs]
        for row in rows:
            yield row

    async def console(self, id: str, *, width: int, height: int) -> ConsoleFacts:
        async with self._asked("console", id=id):
            if self._vm(id, "Get-TalosConsole").state != "Running":
                raise _refused("VMNotRunning", "Get-TalosConsole", id)
            return ConsoleFacts(width=width, height=height, pixels=bytes(2 * width * height))

    # -- the switch

    async def new_switch(self, request: SwitchRequest) -> SwitchJobFacts:
        name, adapter = request.name, request.adapter
        async with self._asked("new_switch", request=request):
            function, there = "New-TalosSwitch", self._switch(name)
            if there.job is not None and there.job.state == "Running":
                raise _refused("SwitchJobRunning", function, name)
            if there.job is not None and there.job.state == "Undone" and not request.retry:
                raise _refused("SwitchUndone", function, name)
            if there.exists and there.kind != "External":
                raise _refused("SwitchOtherKind", function, name)
            if there.exists and there.adapter != adapter:
                raise _refused("SwitchOnOtherAdapter", function, name)
            job = SwitchJobFacts(id=f"j{next(self._numbers)}", kind="New", state="Done" if there.exists else "Running")
            if there.exists:
                return job
            physical = next((a for a in self.facts.adapters if a.name == adapter), None)
            if physical is None:
                raise _refused("SwitchAdapterNotFound", function, adapter)
            self.switches[name.lower()] = SwitchFacts(
                name=name,
                exists=True,
                kind="External",
                adapter=adapter,
                adapter_description=physical.description,
                allow_management_os=request.allow_management_os,
                mark=find_mark(request.mark),
                addresses=("192.168.1.10/24",) if request.allow_management_os else (),
                dns_servers=("192.168.1.1",) if request.allow_management_os else (),
                network_category="Private",
                job=job,
            )
            return job

    async def confirm_switch(self, *, name: str, job_id: str) -> SwitchFacts:
        async with self._asked("confirm_switch", name=name, job_id=job_id):
            there = self._switch(name)
            if there.job is None or there.job.id != job_id or there.job.state != "Running":
                raise _refused("SwitchJobNotFound", "Confirm-TalosSwitch", name)
            job = replace(there.job, state=self.job_ends)
            kept = (
                replace(there, job=job)
                if self.job_ends in ("Done", "Running")
                else SwitchFacts(name=name, exists=False, job=job)
            )
            self.switches[name.lower()] = kept
            return kept

    async def remove_switch(self, *, name: str, cluster_id: str) -> SwitchJobFacts:
        async with self._asked("remove_switch", name=name, cluster_id=cluster_id):
            function, there = "Remove-TalosSwitch", self._switch(name)
            if there.exists and (there.mark is None or there.mark.cluster_id != cluster_id):
                raise _refused("SwitchNotOurs", function, name)
            if there.exists and any(vm.switch.lower() == name.lower() for vm in self.vms.values()):
                raise _refused("SwitchInUse", function, name)
            job = SwitchJobFacts(id=f"j{next(self._numbers)}", kind="Remove", state="Done")
            self.switches[name.lower()] = SwitchFacts(name=name, exists=False, job=job)
            return job

    async def hand_over_switch(self, *, name: str, cluster_id: str, mark: str) -> SwitchFacts:
        async with self._asked("hand_over_switch", name=name, cluster_id=cluster_id, mark=mark):
            function, there = "Set-TalosSwitch", self._switch(name)
            if not there.exists:
                raise _refused("SwitchNotFound", function, name)
            if there.mark is None or (there.mark.cluster_id != cluster_id and there.mark != find_mark(mark)):
                raise _refused("SwitchNotOurs", function, name)
            self.switches[name.lower()] = replace(there, mark=find_mark(mark))
            return self._switch(name)

    # -- the ISO

    async def save_image(
        self, *, url: str, sha256: str, sha256_url: str, path: str, progress: Callable[[Progress], None]
    ) -> ImageFacts:
        async with self._asked("save_image", url=url, sha256=sha256, sha256_url=sha256_url, path=path):
            full, found = self._path(path), self.downloads.get(url, PUBLISHED)
            there = self.images.get(full.lower())
            if there is not None and there.sha256 == (sha256 or found):
                return there
            progress(Progress(activity="Save-TalosImage", status="150 of 304 MiB", percent=49))
            if sha256 and sha256 != found:
                raise _refused("ImageChecksum", "Save-TalosImage", path)
            image = ImageFacts(path=full, exists=True, size_bytes=318_767_104, sha256=found, ours=True)
            self.images[full.lower()] = image
            return image

    async def remove_image(self, path: str) -> ImageFacts:
        async with self._asked("remove_image", path=path):
            full = self._path(path)
            there = self._image(full)
            if there.exists and not there.ours:
                raise _refused("ImageNotOurs", "Remove-TalosImage", path)
            if there.exists and any(vm.iso.lower() == full.lower() for vm in self.vms.values()):
                raise _refused("ImageInUse", "Remove-TalosImage", path)
            self.images.pop(full.lower(), None)
            return self._image(full)

    # -- VMs

    async def new_vm(self, request: VmRequest) -> VmFacts:
        async with self._asked("new_vm", request=request):
            function, mark = "New-TalosVM", find_mark(request.mark)
            there = next((vm for vm in self.vms.values() if vm.name.lower() == request.name.lower()), None)
            if there is not None and there.mark != mark:
                raise _refused("VMNotOurs", function, request.name)
            if there is None and any(vm.mac == request.mac for vm in self.vms.values()):
                raise _refused("VMMacInUse", function, request.mac)
            if not self._switch(request.switch).exists:
                raise _refused("VMSwitchNotFound", function, request.switch)
            if there is None and not self._image(self._path(request.iso_path)).exists:
                raise _refused("VMIsoNotFound", function, request.iso_path)
            made = there if there is not None and there.complete else _vm_of(request, self.facts.disk_folder)
            if there is not None:
                made = replace(made, id=there.id)
            if mark is not None:
                self.folders[made.folder.lower()] = FolderFacts(path=made.folder, mark=mark, vm_id=made.id)
            return self._keep(replace(made, state="Running"))

    async def set_vm(self, change: VmChange) -> VmFacts:
        async with self._asked("set_vm", change=change):
            function = "Set-TalosVM"
            vm = self._vm(change.id, function)
            if vm.mark != find_mark(change.mark):
                raise _refused("VMNotOurs", function, change.id)
            cpus, memory_mib = change.cpus or vm.cpus, change.memory_mib or vm.memory_mib
            must_be_off = {
                "Cpus": cpus != vm.cpus,
                "MemoryBytes": memory_mib != vm.memory_mib,
                "StaticMemory": change.static_memory and vm.dynamic_memory,
                "MacAddress": change.mac is not None and (change.mac != vm.mac or not vm.static_mac),
                "SecureBootOff": change.secure_boot_off and vm.secure_boot,
                "FixBootOrder": change.boot_order and vm.boot_order != ("disk", "dvd", "network"),
            }
            if vm.state != "Off" and any(must_be_off.values()):
                raise _refused("VMMustBeOff", function, next(name for name, so in must_be_off.items() if so))
            if change.switch is not None and not self._switch(change.switch).exists:
                raise _refused("VMSwitchNotFound", function, change.switch)
            drives = vm.drives
            if change.disk_gib is not None:
                size = change.disk_gib * GIB
                if any(drive.size_bytes > size for drive in drives if drive.kind == "disk"):
                    raise _refused("VMDiskShrink", function, change.id)
                drives = tuple(replace(d, size_bytes=size) if d.kind == "disk" else d for d in drives)
            vlan = vm.vlan if change.vlan is None else change.vlan or None
            order = ("disk", "dvd", "network") if change.boot_order else vm.boot_order
            done = replace(vm, cpus=cpus, memory_mib=memory_mib, drives=drives, vlan=vlan, boot_order=order)
            return self._keep(_with_rest(done, change))

    async def start_vm(self, id: str) -> VmFacts:
        async with self._asked("start_vm", id=id):
            vm = self._vm(id, "Start-TalosVM")
            if vm.state not in ("Off", "Saved", "Paused", "Running", "Starting"):
                raise _refused("HyperV.InvalidState", "Start-TalosVM", id)
            return self._keep(replace(vm, state="Running"))

    async def stop_vm(self, id: str, *, turn_off: bool) -> VmFacts:
        async with self._asked("stop_vm", id=id, turn_off=turn_off):
            return self._keep(replace(self._vm(id, "Stop-TalosVM"), state="Off", uptime_s=0))

    async def remove_vm(self, id: str, *, cluster_id: str, keep_mark: bool = False) -> None:
        async with self._asked("remove_vm", id=id, cluster_id=cluster_id, keep_mark=keep_mark):
            vm = self.vms.get(id)
            if vm is not None and (vm.mark is None or vm.mark.cluster_id != cluster_id):
                raise _refused("VMNotOurs", "Remove-TalosVM", id)
            if vm is not None:
                del self.vms[id]
                self.power(replace(vm, state="Off"))
            for folder in [folder for folder in self.folders.values() if folder.vm_id == id and not keep_mark]:
                self._delete(folder, "Remove-TalosVM")

    async def remove_folder(self, path: str, *, cluster_id: str) -> None:
        async with self._asked("remove_folder", path=path, cluster_id=cluster_id):
            folder = self.folders.get(path.lower())
            if folder is not None and folder.mark.cluster_id != cluster_id:
                raise _refused("FolderNotOurs", "Remove-TalosFolder", path)
            if folder is not None and any(vm.folder.lower() == path.lower() for vm in self.vms.values()):
                raise _refused("FolderInUse", "Remove-TalosFolder", path)
            if folder is not None:
                self._delete(folder, "Remove-TalosFolder")

    async def dismount_iso(self, id: str) -> VmFacts:
        async with self._asked("dismount_iso", id=id):
            vm = self._vm(id, "Dismount-TalosIso")
            return vm if self.stuck_drives else self._keep(_with_iso(vm, ""))

    async def close(self) -> None:
        return None

    # -- what it holds

    def _keep(self, vm: VmFacts) -> VmFacts:
        self.vms[vm.id] = vm
        self.power(vm)
        return vm

    def _delete(self, folder: FolderFacts, function: str) -> None:
        if folder.path.lower() in self.locked:
            raise _refused("VMFilesLocked", function, folder.path)
        del self.folders[folder.path.lower()]

    def _vm(self, id: str, function: str) -> VmFacts:
        vm = self.vms.get(id)
        if vm is None:
            raise _refused("VMNotFound", function, id)
        return vm

    def _switch(self, name: str) -> SwitchFacts:
        there = self.switches.get(name.lower(), SwitchFacts(name=name, exists=False))
        used_by = tuple(vm.name for vm in self.vms.values() if there.exists and vm.switch.lower() == name.lower())
        return replace(there, vm_names=tuple(dict.fromkeys((*there.vm_names, *used_by))))

    def _image(self, path: str) -> ImageFacts:
        there = self.images.get(path.lower(), ImageFacts(path=path, exists=False))
        used_by = tuple(vm.name for vm in self.vms.values() if vm.iso.lower() == path.lower())
        return replace(there, vm_names=tuple(dict.fromkeys((*there.vm_names, *used_by))))

    def _path(self, path: str) -> str:
        return path if "\\" in path else f"{self.facts.image_folder}\\{path}"


def _vm_of(request: VmRequest, default_folder: str) -> VmFacts:
    folder = f"{request.folder or default_folder}\\{request.name}"
    return VmFacts(
        id=f"id-{request.name}",
        name=request.name,
        state="Off",
        generation=2,
        cpus=request.cpus,
        memory_mib=request.memory_mib,
        dynamic_memory=False,
        mac=request.mac,
        static_mac=True,
        switch=request.switch,
        vlan=request.vlan,
        drives=(
            DriveFacts(
                kind="disk",
                path=f"{folder}\\{request.name}.vhdx",
                size_bytes=request.disk_gib * GIB,
            ),
            DriveFacts(kind="dvd", path=request.iso_path),
        ),
        boot_order=("disk", "dvd", "network"),
        secure_boot=False,
        automatic_checkpoints=False,
        checkpoint_type="Disabled",
        start_action="Start",
        stop_action="ShutDown",
        start_delay_s=request.start_delay_s,
        heartbeat="",
        uptime_s=0,
        bios_uuid=uuid_of(request.name),
        notes=request.mark,
        mark=find_mark(request.mark),
        folder=folder,
        complete=True,
    )


def _with_rest(vm: VmFacts, change: VmChange) -> VmFacts:
    """What is a plain value of the VM."""
    if change.switch is not None:
        vm = replace(vm, switch=change.switch)
    if change.mac is not None:
        vm = replace(vm, mac=change.mac, static_mac=True)
    if change.start_delay_s is not None:
        vm = replace(vm, start_delay_s=change.start_delay_s)
    if change.static_memory:
        vm = replace(vm, dynamic_memory=False)
    if change.secure_boot_off:
        vm = replace(vm, secure_boot=False)
    if change.actions:
        vm = replace(
            vm,
            start_action="Start",
            stop_action="ShutDown",
            checkpoint_type="Disabled",
            automatic_checkpoints=False,
        )
    if change.notes:
        vm = replace(vm, notes=f"{vm.notes}\n{change.mark}".lstrip(), complete=True)
    return vm


def _with_iso(vm: VmFacts, path: str) -> VmFacts:
    return replace(vm, drives=tuple(replace(d, path=path) if d.kind == "dvd" else d for d in vm.drives))


def _refused(id: str, function: str, target: str) -> HostRefused:
    return HostRefused(id=id, message=f"{target}: no", target=target, function=function)


def rows_of(addresses: Mapping[str, str]) -> list[NeighborFacts]:
    """A neighbour table: MAC -> address."""
    return [NeighborFacts(mac=mac, address=address) for mac, address in addresses.items()]


_: type[Host] = FakeHost
