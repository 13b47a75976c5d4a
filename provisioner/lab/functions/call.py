"""One call of a host function: the world it acts on, who called, where results and errors go, and how failures become error records."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from provisioner.lab.functions.api import ErrorRecord, Streams, Terminating
from provisioner.lab.world.hyperv import Caller, CmdletError, HyperV
from provisioner.lab.world.hyperv.service import SECONDS, VmView
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.storage import FileFault, Storage
from provisioner.lab.world.world import World

Result = dict[str, Any]
Arguments = Mapping[str, Any]

_MARK = re.compile(r"provision/1 cluster=(\S+) machine=.+", re.DOTALL)
"""A whole line; the name may hold anything."""
_FILE_IDS = {
    "not-found": ("PathNotFound", "ObjectNotFound"),
    "no-folder": ("PathNotFound", "ObjectNotFound"),
    "no-volume": ("DriveNotFound", "ObjectNotFound"),
    "exists": ("NewItemIOError", "ResourceExists"),
    "in-use": ("RemoveFileSystemItemIOError", "WriteError"),
    "no-space": ("GetContentWriterIOError", "WriteError"),
    "not-empty": ("RemoveFileSystemItemIOError", "WriteError"),
}
"""Id and category of the file cmdlet that would have failed."""


@dataclass
class Call:
    world: World
    streams: Streams
    hyperv: HyperV
    caller: Caller

    @classmethod
    def of(cls, world: World, streams: Streams) -> Call:
        by_account = world.caller(streams.user)
        caller = Caller(streams.user, streams.administrator, by_account.hyperv_administrator)
        return cls(world, streams, world.hyperv.acting_as(caller), caller)

    @property
    def what_if(self) -> bool:
        return self.streams.what_if

    @property
    def kernel(self) -> Kernel:
        return self.world.kernel

    @property
    def storage(self) -> Storage:
        return self.world.storage

    # -- reading

    def vms(self) -> list[VmView]:
        """All VMs. Hyper-V that does not answer is an error, never an empty list."""
        self.kernel.spend(SECONDS["get"])
        return self.hyperv.vms.get_vms()

    def vm(self, vm_id: str) -> VmView:
        """The VM of an id; VMNotFound where a good list of all VMs does not have it."""
        found = by_id(self.vms(), vm_id)
        if found is None:
            raise refuse("VMNotFound", "ObjectNotFound", f"There is no VM with the id {vm_id}.", vm_id)
        return found

    def now_utc(self) -> str:
        """What the host's clock shows, ISO 8601 in UTC."""
        return iso(self.kernel.clock.wall() + timedelta(seconds=self.kernel.state.host.clock_skew_s))

    # -- failing

    def each(self, items: Iterable[str], work: Callable[[str], Iterator[Result]]) -> Iterator[Result]:
        """Works on items in their order. What goes wrong with one is a non-terminating error, and the next one has its turn."""
        for item in items:
            if self.streams.stopping.is_set():
                return
            try:
                yield from work(item)
            except (Terminating, CmdletError, FileFault) as error:
                self.streams.error(record_of(error, item))


def refuse(id: str, category: str, message: str, target: str = "") -> Terminating:
    return Terminating(ErrorRecord(id=id, category=category, message=message, target=target))


def record_of(error: Exception, target: str) -> ErrorRecord:
    """A failure as an error record: the functions' own stay what they are, a cmdlet's becomes `HyperV.<its id>`."""
    if isinstance(error, Terminating):
        return error.record
    if isinstance(error, CmdletError) and error.id == "CommandNotFoundException":
        # The functions name cmdlets with their module, and of such a name the engine says that the module cannot be loaded.
        return ErrorRecord(
            id="HyperV.CouldNotAutoLoadModule", category="ObjectNotFound", message=error.message, target=target
        )
    if isinstance(error, CmdletError):
        return ErrorRecord(id=f"HyperV.{error.id}", category=error.category, message=error.message, target=target)
    assert isinstance(error, FileFault)
    own_id, category = _FILE_IDS[error.kind]
    return ErrorRecord(id=f"HyperV.{own_id}", category=category, message=str(error), target=target)


def by_id(vms: Iterable[VmView], vm_id: str) -> VmView | None:
    wanted = bare_id(vm_id)
    return next((view for view in vms if view.id == wanted), None)


def bare_id(text: str) -> str:
    return text.strip("{} ").lower()


def bare_mac(text: str) -> str:
    return re.sub(r"[-:. ]", "", text).upper()


def find_mark(text: str) -> str:
    """The mark line of a text such as a VM's Notes, or empty. Only a whole line counts."""
    return next((line for line in re.split("\r?\n", text) if _MARK.fullmatch(line)), "")


def cluster_of(mark: str) -> str:
    found = _MARK.fullmatch(mark)
    return found[1] if found else ""


def remove_empty(storage: Storage, folder: str) -> None:
    """Removes a folder of the functions' own, and then its parent, as far as nothing is in them."""
    for path in (folder, folder.rpartition("\\")[0]):
        if not storage.is_folder(path) or storage.children(path):
            return
        storage.delete(path)


def delete_files(storage: Storage, *paths: str) -> None:
    """Deletes those that are there, in this order."""
    for path in paths:
        if storage.find(path) is not None:
            storage.delete(path)


def json_file(storage: Storage, path: str) -> dict[str, Any]:
    """The object in a small file; empty where there is none that can be read."""
    try:
        found = json.loads(storage.read(path))
    except (FileFault, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def compact(value: object) -> str:
    """Nested data as one compact JSON text."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def iso(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
