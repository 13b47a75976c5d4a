"""Get-, Save- and Remove-TalosImage: ISO files on the host, and the record beside each that we downloaded."""

from __future__ import annotations

import ntpath
import re
import uuid
from collections.abc import Iterator
from typing import Any

from provisioner.lab.functions.api import Terminating
from provisioner.lab.functions.call import (
    Arguments,
    Call,
    Result,
    compact,
    delete_files,
    iso,
    json_file,
    refuse,
    remove_empty,
)
from provisioner.lab.functions.hosts import image_folder
from provisioner.lab.world.downloads import DownloadFailed, sha256_of
from provisioner.lab.world.hyperv.service import VmView
from provisioner.lab.world.state import HostFile
from provisioner.lab.world.storage import FileFault, key

HASH_BYTES_PER_S = 150_000_000.0
FRESH_S = 600.0
"""Who has not written to its file for that long has been killed."""


def get_image(call: Call, arguments: Arguments) -> Iterator[Result]:
    vms = call.vms()
    for given in arguments["Path"]:
        path = _full_path(call, given)
        file = call.storage.find(path)
        digest = ""
        if file is not None:
            digest = _hash(call, file) if arguments["Verify"] else _recorded_hash(call, file)
        yield _result(call, path, digest, vms, changed=False)


def save_image(call: Call, arguments: Arguments) -> Iterator[Result]:
    path, uri = _full_path(call, arguments["Path"]), arguments["Uri"]
    wanted = arguments["Sha256"].lower()
    sums = "" if wanted else arguments["Sha256Uri"]
    file = call.storage.find(path)
    if file is not None and not sums:
        there = _hash(call, file)
        if wanted in ("", there):
            yield _result(call, path, there, call.vms(), changed=False)
            return
    if call.what_if:
        return
    try:
        digest, changed = _fetch(call, uri, path, wanted, sums)
    except DownloadFailed as failed:
        status = f"HTTP status {failed.status}: " if failed.status else ""
        text = f"{uri} could not be downloaded. {status}{failed}"
        raise refuse("ImageDownload", "ConnectionError", text, uri) from failed
    except FileFault as fault:
        if fault.kind != "no-space":
            raise
        raise refuse("ImageNoSpace", "ResourceUnavailable", str(fault), arguments["Path"]) from fault
    yield _result(call, path, digest, [] if changed else call.vms(), changed=changed)


def _fetch(call: Call, uri: str, path: str, wanted: str, sums: str) -> tuple[str, bool]:
    """The hash of the image, which `sums` may publish, and whether it was downloaded now."""
    if sums:
        wanted, file = _published_hash(call, sums, ntpath.basename(_name_of(uri))), call.storage.find(path)
        if file is not None and _hash(call, file) == wanted:
            return wanted, False
    return _download(call, uri, path, wanted)


def _download(call: Call, uri: str, path: str, wanted: str) -> tuple[str, bool]:
    """To a file of its own, hashed, renamed, recorded; gives the hash, and whether it was this download that brought the file. Whatever
    goes wrong leaves nothing behind.
    """
    storage, activity = call.storage, f"Image {_name_of(uri)}"
    partial, record = f"{path}.{uuid.uuid4().hex}.partial", f"{path}.provision.json"
    storage.make_folder(ntpath.dirname(path))
    _tidy(call, path)
    delete_files(storage, path, record)

    def progress(done: int, size: int) -> None:
        text = f"{done // 1024**2} of {size // 1024**2} MiB"
        call.streams.progress(activity, text, done * 100 // max(1, size))

    try:
        file = call.world.downloads.to_file(uri, partial, progress, call.streams.stopping)
        digest = _hash(call, file)
        if wanted and digest != wanted:
            text = f"The SHA-256 of {uri} is {digest}; expected is {wanted}."
            raise refuse("ImageChecksum", "InvalidData", text, path)
        there = storage.find(path)
        if there is not None and _hash(call, there) == digest:  # another one was first
            return digest, False
        file = storage.rename(partial, path)
    finally:
        delete_files(storage, partial)
    text = compact(
        {
            "uri": uri,
            "sha256": digest,
            "sizeBytes": file.size_bytes,
            "modifiedUtc": iso(call.kernel.date_of(file.modified)),
        }
    )
    storage.write(record, text.encode())
    return digest, True


def _parts(call: Call, path: str) -> list[HostFile]:
    """The files into which downloads of an image load, or loaded before they were killed."""
    name = re.escape(ntpath.basename(path))
    pattern = re.compile(
        rf"{name}((\.[0-9a-f]{{32}})?\.(partial|sums)|\.provision\.json(\.[0-9a-f]{{32}})?\.new)", re.IGNORECASE
    )
    files = (call.storage.find(child) for child in call.storage.children(ntpath.dirname(path)))
    return [file for file in files if file is not None and pattern.fullmatch(ntpath.basename(file.path))]


def _fresh(call: Call, file: HostFile) -> bool:
    return call.kernel.now() - file.modified < FRESH_S


def _tidy(call: Call, path: str) -> bool:
    """Deletes what killed downloads left; tells whether one is at work."""
    working = False
    for file in _parts(call, path):
        if _fresh(call, file) or call.storage.locked(file.path):
            working = True
        else:
            call.storage.delete(file.path)
    return working


def remove_image(call: Call, arguments: Arguments) -> Iterator[Result]:
    path = _full_path(call, arguments["Path"])
    storage, record = call.storage, f"{path}.provision.json"
    there, ours = storage.find(path) is not None, storage.find(record) is not None
    if there:
        _check_removable(call, path, arguments["Path"], ours=ours)
    parts, loading = _parts(call, path), f"'{path}' is being downloaded by another caller."
    if any(_fresh(call, file) for file in parts):
        raise _in_use(arguments["Path"], loading)
    changed = bool(there or ours or parts)
    if changed and call.what_if:
        return
    if changed and _tidy(call, path):
        raise _in_use(arguments["Path"], loading)
    if changed:
        delete_files(storage, path, record)  # the record last: until then the rest is known as ours
        if key(ntpath.dirname(path)) == key(image_folder(call)):
            remove_empty(storage, image_folder(call))
    yield _result(call, path, "", [], changed=changed)


def _check_removable(call: Call, path: str, target: str, *, ours: bool) -> None:
    if not ours:
        text = f"'{path}' has no record of a download beside it."
        raise refuse("ImageNotOurs", "PermissionDenied", text, target)
    holders = _holders(call.vms(), path)
    if holders:
        raise _in_use(target, f"'{path}' is in the DVD drive of {', '.join(holders)}.")


def _in_use(target: str, text: str) -> Terminating:
    return refuse("ImageInUse", "ResourceBusy", text, target)


def _full_path(call: Call, path: str) -> str:
    """A bare file name lies in the host's folder for images."""
    return path if "\\" in path else f"{image_folder(call)}\\{path}"


def _name_of(uri: str) -> str:
    return re.split(r"[?#]", uri)[0].rsplit("/", 1)[-1]


def _hash(call: Call, file: HostFile) -> str:
    """Counts the hash of a file, which takes its time."""
    seconds = file.size_bytes / HASH_BYTES_PER_S
    call.kernel.spend(seconds)
    call.kernel.note("image_hashed", file.path, seconds=seconds)
    return sha256_of(file)


def _published_hash(call: Call, sums: str, name: str) -> str:
    for line in call.world.downloads.text(sums).splitlines():
        found = re.fullmatch(r"\s*([0-9A-Fa-f]{64})\s+\*?(\S+)\s*", line)
        if found and found[2].rsplit("/", 1)[-1] == name:
            return found[1].lower()
    raise refuse("ImageChecksum", "InvalidData", f"{sums} has no line for {name}.", sums)


def _record(call: Call, path: str) -> dict[str, Any]:
    return json_file(call.storage, f"{path}.provision.json")


def _recorded_hash(call: Call, file: HostFile) -> str:
    """Of the record beside the file, if size and time still fit."""
    record = _record(call, file.path)
    fits = record.get("sizeBytes") == file.size_bytes and record.get("modifiedUtc") == iso(
        call.kernel.date_of(file.modified)
    )
    return str(record.get("sha256", "")) if fits else ""


def _holders(vms: list[VmView], path: str) -> list[str]:
    return [
        view.name for view in vms if any(drive.path and key(drive.path) == key(path) for drive in view.vm.dvd_drives)
    ]


def _result(call: Call, path: str, digest: str, vms: list[VmView], *, changed: bool) -> Result:
    file = call.storage.find(path)
    record = _record(call, path)
    parts = _parts(call, path)
    download = "Running" if any(_fresh(call, part) for part in parts) else "Left" if parts else ""
    return {
        "Path": path,
        "Exists": file is not None,
        "SizeBytes": file.size_bytes if file else 0,
        "Sha256": digest,
        "Ours": bool(record),
        "Uri": str(record.get("uri", "")),
        "Download": download,
        "VMNames": _holders(vms, path),
        "Changed": changed,
    }
