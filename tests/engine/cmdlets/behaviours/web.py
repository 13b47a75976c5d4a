"""Invoke-WebRequest and Start-BitsTransfer: downloads from the world's internet."""

from __future__ import annotations

import ntpath

from provisioner.lab.world.downloads import DownloadFailed
from provisioner.lab.world.storage import FileFault
from tests.engine.cmdlets.behaviours import Environment, behaviour
from tests.engine.cmdlets.call import Call, ShellError

NO_LOGON = 0x800704DD - (1 << 32)
HRESULTS = {"no-space": 0x80070070, "in-use": 0x80070020, "no-folder": 0x80070003, "no-volume": 0x80070003}
SYSTEM = "SYSTEM"


def _download(call: Call, around: Environment, url: str, path: str, activity: str) -> None:
    """What has come stays in the file when the pipeline is stopped or the connection breaks."""

    def progress(done: int, whole: int) -> None:
        call.wire.check()
        call.progress(activity, f"{done} of {whole} bytes", min(99, 100 * done // max(1, whole)))

    around.world.downloads.to_file(url, path, progress)
    call.progress(activity, "done", 100)


@behaviour("Invoke-WebRequest", "Uri OutFile UseBasicParsing Headers TimeoutSec Method")
def invoke_web_request(call: Call, around: Environment) -> None:
    url = call.text("Uri")
    if not call.get("OutFile"):
        text = "The lab downloads to -OutFile only."
        raise ShellError("NotModelled", "NotImplemented", text, url, terminating=True)
    path = around.files.windows_path(call.text("OutFile"))
    try:
        _download(call, around, url, path, f"Web request status: {url}")
    except DownloadFailed as failure:
        raise ShellError(
            "WebCmdletWebResponseException",
            "InvalidOperation",
            f"Response status code does not indicate success: {failure.status}." if failure.status else str(failure),
            url,
            exception="Microsoft.PowerShell.Commands.HttpResponseException"
            if failure.status
            else "System.Net.Http.HttpRequestException",
            status=failure.status,
            terminating=True,
        ) from failure
    except FileFault as fault:
        exception = "System.IO.IOException"
        if fault.kind in ("no-folder", "no-volume"):
            exception = "System.IO.DirectoryNotFoundException"
        raise ShellError(
            exception,
            "NotSpecified",
            str(fault),
            path,
            exception=exception,
            hresult=HRESULTS.get(fault.kind, 0x80070002) - (1 << 32),
            terminating=True,
        ) from fault


@behaviour("Start-BitsTransfer", "Source Destination Priority DisplayName Description RetryInterval RetryTimeout")
def start_bits_transfer(call: Call, around: Environment) -> None:
    """BITS wants a user who is logged on: in a session of WinRM there is none (fact 35)."""
    sources = [str(source) for source in call.items("Source")]
    if call.caller.user != SYSTEM:
        raise ShellError(
            "StartBitsTransferCOMException",
            "InvalidOperation",
            "The operation being requested was not performed because the user has not logged on to the network."
            " The specified service does not exist. (0x800704DD)",
            sources[0],
            exception="System.Runtime.InteropServices.COMException",
            hresult=NO_LOGON,
        )
    targets = [str(target) for target in call.items("Destination")] or ["."]
    for index, source in enumerate(sources):
        path = around.files.windows_path(targets[min(index, len(targets) - 1)])
        if around.storage.is_folder(path):
            path = ntpath.join(path, source.rpartition("/")[2])
        if not call.should(source):
            continue
        try:
            _download(call, around, source, path, "File Transfer")
        except (DownloadFailed, FileFault) as failure:
            call.error(
                ShellError(
                    "StartBitsTransferCOMException",
                    "InvalidOperation",
                    str(failure),
                    source,
                    exception="System.Runtime.InteropServices.COMException",
                )
            )
