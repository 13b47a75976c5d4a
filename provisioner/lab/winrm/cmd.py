"""The cmd shell of WinRS, as far as the second transport of this product and like-minded clients go.

Known is one program, `powershell` (or `powershell.exe`, by any path), with `-EncodedCommand`, and of scripts only the
module's bootstrap, recognised by its shape: a script that reads standard input, parses it by ConvertFrom-Json, and uses the members
`.module`, `.command` and `.args` of it. It is served as that script would be:

    standard input   {"module": "<text of the module>", "command": "<function>", "args": {"<parameter>": <value>}}
    standard output  {"ok": true, "output": [{...}]}   or   {"ok": false, "id": "<FullyQualifiedErrorId>", "message": "<text>"}

An error that a function writes and goes on from ends the call too: a bootstrap has one answer, and asks with -ErrorAction Stop.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape

from provisioner.lab.functions.api import ErrorRecord, Functions, Terminating
from provisioner.lab.winrm import soap
from provisioner.lab.winrm.channel import Channel
from provisioner.lab.winrm.runspace import SHOWN_CHARACTERS, Command, Failure, Runspace, Stopped
from provisioner.lab.winrm.shells import Opening, Shell, command_id_of, command_response, signal_of
from provisioner.lab.winrm.soap import RSP, Request
from provisioner.lab.winrm.stats import Counters

COMMAND_LINE_LIMIT = 8191
"""Characters that cmd.exe takes."""
STOPPED_EXIT_CODE = -1073741510
"""STATUS_CONTROL_C_EXIT"""

_POWERSHELL = re.compile(
    r'(?:cmd(?:\.exe)?\s+/c\s+)?"?(?:[^"]*\\)?powershell(?:\.exe)?"?(?:\s+(?P<rest>.*))?', re.IGNORECASE | re.DOTALL
)
_ENCODED = re.compile(r"[-/]e(?:c|nc?|ncodedc\w*)?\s+(?P<text>[A-Za-z0-9+/=]+)", re.IGNORECASE)
_BOOTSTRAP = (
    re.compile(r"\[Console\]::In|\$input\b|OpenStandardInput", re.IGNORECASE),
    re.compile(r"ConvertFrom-Json", re.IGNORECASE),
    re.compile(r"\.module\b", re.IGNORECASE),
    re.compile(r"\.command\b", re.IGNORECASE),
    re.compile(r"\.args\b", re.IGNORECASE),
)


@dataclass
class Process:
    """A command of the shell."""

    channel: Channel
    stdin: bytearray = field(default_factory=bytearray)
    stdin_ended: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)
    kill: Callable[[], None] = lambda: None
    """Ends what runs for it outside of this process."""


class CmdShell(Shell):
    """A cmd.exe that knows one program."""

    kind = "cmd"

    def __init__(self, opening: Opening, functions: Functions, counters: Counters) -> None:
        super().__init__(opening)
        self._functions = functions
        self._counters = counters
        codepage = opening.request.options.get("WINRS_CODEPAGE", "437")
        self._encoding = "utf-8" if codepage == "65001" else f"cp{codepage}"
        self._processes: dict[str, Process] = {}

    def command(self, request: Request) -> str:
        command_id = command_id_of(request)
        line = request.find("CommandLine")
        parts = [line.findtext(f"{{{RSP}}}Command"), *(each.text for each in line.iterfind(f"{{{RSP}}}Arguments"))]
        text = " ".join(part for part in parts if part).strip()
        process = Process(self.new_channel(command_id))
        self._processes[command_id] = process
        threading.Thread(target=self._run, args=(process, text), name="winrm-command", daemon=True).start()
        return command_response(command_id)

    def send(self, request: Request) -> str:
        for stream in request.find("Send").iterfind(f"{{{RSP}}}Stream"):
            command_id = (stream.get("CommandId") or "").upper()
            self.channel(command_id)
            process = self._processes[command_id]
            process.stdin += soap.decoded(stream.text)
            if (stream.get("End") or "").lower() == "true":
                process.stdin_ended.set()
        return "<rsp:SendResponse/>"

    def signal(self, request: Request) -> str:
        command_id, _code = signal_of(request)
        process = self._processes.pop(command_id, None)
        if process is not None:
            self._stop(process)
            self.channels.pop(command_id, None)
            process.channel.fail(soap.unknown_command())
        return "<rsp:SignalResponse/>"

    def close(self) -> None:
        for process in list(self._processes.values()):
            self._stop(process)
        self.abort_channels("The shell was closed.")

    def _stop(self, process: Process) -> None:
        process.stopping.set()
        process.stdin_ended.set()
        process.kill()

    # -- the programs

    def _run(self, process: Process, line: str) -> None:
        exit_code = 1
        try:
            match = _POWERSHELL.fullmatch(line)
            if len(line) > COMMAND_LINE_LIMIT:
                self._say(process, "stderr", "The command line is too long.\r\n")
            elif match is None:
                program = line.split(maxsplit=1)[0] if line else ""
                words = f"'{program}' is not recognized as an internal or external command,\r\noperable program or batch file.\r\n"
                self._say(process, "stderr", words)
            else:
                exit_code = self.run_powershell(process, script_of(match["rest"] or ""))
        except Stopped:
            exit_code = STOPPED_EXIT_CODE
        finally:
            process.channel.finish(exit_code)

    def _say(self, process: Process, stream: str, text: str) -> None:
        process.channel.put(stream, text.encode(self._encoding, "replace"))

    def run_powershell(self, process: Process, script: str) -> int:
        """Runs until its end; gives its exit code. Raises Stopped."""
        if not all(pattern.search(script) for pattern in _BOOTSTRAP):
            words = f"The lab's powershell does not know the script {script[:SHOWN_CHARACTERS]!r}."
            self._say(process, "stderr", _clixml_error(words))
            return 1
        process.stdin_ended.wait()
        if process.stopping.is_set():
            raise Stopped
        try:
            document = json.loads(bytes(process.stdin).decode("utf-8-sig"))
            module, command, arguments = document["module"], document["command"], document["args"]
        except (ValueError, KeyError, TypeError) as error:
            self._say(process, "stderr", _clixml_error(f"Standard input is not the bootstrap's document: {error!r}"))
            return 1
        answer = self._call(process, module, command, arguments)
        self._say(process, "stdout", json.dumps(answer, ensure_ascii=False, separators=(",", ":")) + "\r\n")
        return 0

    def _call(self, process: Process, module: str, command: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        runspace = Runspace(self._functions, self._counters)
        output = _Collected(process)
        try:
            load = Command(module, is_script=True, local_scope=False, parameters=())
            call = Command(command, is_script=False, local_scope=False, parameters=list(arguments.items()))
            for each in (load, call):
                runspace.run([each], output, self.identity, process.stopping)
        except Failure as failure:
            error_id = f"{failure.record.id},{failure.function}" if failure.function else failure.record.id
            return {"ok": False, "id": error_id, "message": failure.record.message}
        return {"ok": True, "output": output.results}


class _Collected:
    """What a bootstrap gathers before it writes its one line."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.results: list[Mapping[str, Any]] = []

    def result(self, type_name: str, fields: Mapping[str, Any], types: Mapping[str, str]) -> None:  # noqa: ARG002 - JSON knows no types
        if self._process.stopping.is_set():
            raise Stopped
        self.results.append(fields)

    def error(self, record: ErrorRecord, function: str) -> None:  # noqa: ARG002 - the runspace adds it
        raise Terminating(record)

    def warning(self, text: str) -> None: ...

    def progress(self, activity: str, status: str, percent: int) -> None: ...


def script_of(options: str) -> str:
    encoded = _ENCODED.search(options)
    if encoded:
        try:
            return base64.b64decode(encoded["text"]).decode("utf-16-le")
        except ValueError:
            return ""
    return options


def _clixml_error(message: str) -> str:
    """What powershell.exe writes to a redirected standard error."""
    text = escape(message).replace("\r", "_x000D_").replace("\n", "_x000A_")
    return (
        '#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
        f'<S S="Error">{text}_x000D__x000A_</S></Objs>'
    )
