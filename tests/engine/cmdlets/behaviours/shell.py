"""What PowerShell's own cmdlets do when time and files are the world's."""

from __future__ import annotations

import fnmatch
import ntpath

from provisioner.lab.world.storage import key
from tests.engine.cmdlets.behaviours import Environment, behaviour
from tests.engine.cmdlets.call import Call, ShellError
from tests.engine.cmdlets.dates import host_now

SHARING_VIOLATION = 0x80070020 - (1 << 32)
_DATE_PARTS = "Year Month Day Hour Minute Second Millisecond DisplayHint Format UFormat AsUTC"


@behaviour("Get-Date", "Date " + _DATE_PARTS)
def get_date(call: Call, around: Environment) -> None:
    genuine = "Microsoft.PowerShell.Utility\\Get-Date"
    if "Date" in call:
        call.genuine(genuine)
    else:
        call.genuine(genuine, Date=host_now(around).isoformat())


@behaviour("Start-Sleep", "Seconds Milliseconds")
def start_sleep(call: Call, _around: Environment) -> None:
    call.spend(call.get("Milliseconds") / 1000 if "Milliseconds" in call else call.get("Seconds"))


@behaviour("Get-FileHash", "Path LiteralPath Algorithm")
def get_file_hash(call: Call, around: Environment) -> None:
    """SHA256 is the world's; the hash of a large file by another algorithm nobody knows, and it is not made up."""
    algorithm = call.text("Algorithm", "SHA256")
    if algorithm != "SHA256":
        raise ShellError(
            "NotModelled", "NotImplemented", f"The lab knows no {algorithm} of its files.", terminating=True
        )
    for said in call.items("LiteralPath" if "LiteralPath" in call else "Path"):
        path = around.files.windows_path(str(said))
        found = around.files.sha256(path)
        if found is None:
            text = f"Cannot find path '{said}' because it does not exist."
            exception = "System.Management.Automation.ItemNotFoundException"
            call.error(ShellError("FileNotFound", "ObjectNotFound", text, str(said), exception=exception))
            continue
        file = around.storage.find(path)
        call.spend((file.size_bytes if file else 0) / HASH_BYTES_PER_S)
        call.out("FileHashInfo", {"Algorithm": algorithm, "Hash": found.upper(), "Path": file.path if file else path})


HASH_BYTES_PER_S = 150e6
"""An ISO of 300 MB takes about two seconds (facts/hyperv.md, 6)."""


@behaviour("Remove-Item", "Path LiteralPath Filter Include Exclude Recurse Force Credential")
def remove_item(call: Call, around: Environment) -> None:
    """The engine's own, but for files that Windows would not let go: a Linux file system would.

    With a locked file in a folder the files go one by one in the order of their names, as on Windows: with -ErrorAction Stop those
    after the locked one stay.
    """
    genuine = "Microsoft.PowerShell.Management\\Remove-Item"
    said = [
        around.files.windows_path(str(path)) for path in call.items("LiteralPath" if "LiteralPath" in call else "Path")
    ]
    if not any(_held(around, path) for path in said):
        call.genuine(genuine)
        return
    for path in said:
        inside = _files(around, path)
        for file in inside:
            if not around.storage.locked(file):
                call.genuine(genuine, Path=None, LiteralPath=file)
            elif call.should(file, "Remove File"):
                call.error(_in_use(file))
        if inside != [path] and call.should(path, "Remove Directory"):
            text = f"Directory {path} cannot be removed because it is not empty."
            call.error(ShellError("DirectoryNotEmpty", "WriteError", text, path, exception="System.IO.IOException"))


def _in_use(path: str) -> ShellError:
    text = f"Cannot remove item {path}: The process cannot access the file because it is being used by another process."
    return ShellError(
        "RemoveFileSystemItemIOError",
        "WriteError",
        text,
        path,
        exception="System.IO.IOException",
        hresult=SHARING_VIOLATION,
    )


def _files(around: Environment, pattern: str) -> list[str]:
    """Files at that path, which may be a pattern, or below it, by name."""
    wanted = key(pattern)
    with around.kernel.lock:
        files = list(around.kernel.state.host.files.items())
    return sorted(
        file.path for path, file in files if path == wanted or path.startswith(wanted + "\\") or _fits(path, wanted)
    )


def _held(around: Environment, pattern: str) -> bool:
    return any(around.storage.locked(path) for path in _files(around, pattern))


def _fits(path: str, pattern: str) -> bool:
    return ntpath.dirname(path) == ntpath.dirname(pattern) and fnmatch.fnmatchcase(path, pattern)
