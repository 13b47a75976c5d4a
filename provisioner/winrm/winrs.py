"""The second transport: a command shell (WinRS), for hosts whose policies shut out PowerShell Remoting.

Each statement is a PowerShell process of its own. It gets one JSON document on standard input, the module's text, the function
and its arguments, and writes one JSON line: no quoting, no temporary file, nothing on the command line but the bootstrap. There
is neither progress nor a stream of results, and the first error ends a function; so a list whose call failed is gone through
item by item. pywinrm makes the messages of the shell; signing in, certificates, and sending through outages are the other
transport's own (`http.py`). The shell's commands get their ids from the host, so a lost Command cannot be asked for: the
statement is run again, for the functions look before they change.
Source: [MS-WSMV], https://learn.microsoft.com/openspecs/windows_protocols/ms-wsmv/
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import pypsrp.exceptions
from winrm.exceptions import WinRMOperationTimeoutError, WinRMTransportError, WSManFaultError
from winrm.protocol import Protocol
from winrm.transport import Transport

from provisioner.errors import HostRefused, Malformed, ProvisionError, Rejected, Unreachable
from provisioner.winrm import retry
from provisioner.winrm.connection import HostConnection
from provisioner.winrm.http import HostTransport
from provisioner.winrm.session import HostSession
from provisioner.winrm.transport import (
    IDLE_S,
    OPERATION_S,
    READ_S,
    Int64,
    Invocation,
    InvocationCancelled,
    ScriptModule,
    SignIn,
    Statement,
)
from provisioner.wire import clipped, shown

UTF8 = 65001
"""The code page of the shell: the default, 437, breaks everything but English."""
PIECE = 90_000
"""Bytes of standard input in one envelope; base64 and envelope must stay below 150 KB, the least that hosts take."""
BOOTSTRAP = (
    "$ProgressPreference='SilentlyContinue';"
    "[Console]::OutputEncoding=New-Object Text.UTF8Encoding $false;"
    "$r=-join@($input)|ConvertFrom-Json;"  # PowerShell itself reads a redirected standard input, so only $input has it whole
    "$a=@{};foreach($p in $r.args.PSObject.Properties){$a[$p.Name]=$p.Value};"
    "try{. ([ScriptBlock]::Create($r.module));$o=@(& $r.command @a -ErrorAction Stop);"
    "@{ok=$true;output=$o}|ConvertTo-Json -Depth 4 -Compress}"
    'catch{@{ok=$false;id=$_.FullyQualifiedErrorId;message="$_"}|ConvertTo-Json -Compress}'
)
COMMAND_LINE = (
    "powershell -NoLogo -NoProfile -NonInteractive -EncodedCommand "
    + base64.b64encode(BOOTSTRAP.encode("utf-16-le")).decode()
)
"""Well below the 8191 characters that cmd.exe takes."""
OUTPUT_BYTES = 8 * 2**20
"""Of one answer. Standard output is cut into envelopes as the host likes, and not by what we state as the largest."""
_ID_CHARS = 300
_MILLISECONDS_DIGITS = 14
"""Of a time before the year 5138; a longer one is told as what is no time."""
_DATE = re.compile(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/")


class WinrsSession(HostSession):
    """One worker's session: one shell, and a process in it for each statement."""

    def __init__(self, sign_in: SignIn, connection: HostConnection, module: ScriptModule) -> None:
        super().__init__(sign_in, connection, module, most=OUTPUT_BYTES)
        self._protocol = Protocol(
            "https://host.invalid/wsman",  # the transport knows where the host is
            transport="ntlm",
            username="-",
            password="-",  # noqa: S106 - the transport signs in
            operation_timeout_sec=OPERATION_S,
            read_timeout_sec=READ_S,
        )
        self._protocol.transport = cast("Transport", _Bridge(self._transport))
        self._shell = ""

    def _run(self, call: Invocation) -> None:
        for statement in call.statements:
            self._run_statement(call, statement)
        call.records.done(False)

    def _forget_session(self) -> None:
        self._shell = ""

    def _end_session(self) -> None:
        shell, self._shell = self._shell, ""
        if shell:
            self._protocol.close_shell(shell, close_session=False)

    # --- one statement ---

    def _run_statement(self, call: Invocation, statement: Statement) -> None:
        """Hands on its results, or its error; a list that failed is asked for item by item."""
        try:
            results = self._persist(call, lambda: _read_answer(statement, *self._execute(call, statement)))
        except HostRefused as refused:
            pieces = list(_pieces(statement))
            if len(pieces) < 2:
                call.records.error(refused)
                return
            for piece in pieces:
                self._run_statement(call, piece)
            return
        type_name, fields = self._module.output(statement.function)
        for values in results:
            call.records.result(type_name, from_json(values, fields, expected=self._module.expected))

    def _execute(self, call: Invocation, statement: Statement) -> tuple[bytes, bytes]:
        """Standard output and error of one process."""
        with _faults(self._sign_in.at):
            if not self._shell:
                self._transport.locate()
                self._shell = self._protocol.open_shell(codepage=UTF8, noprofile=True, idle_timeout=f"PT{IDLE_S}S")
            command = self._protocol.run_command(self._shell, COMMAND_LINE, console_mode_stdin=False)
            call.sent = True
            try:
                document = to_document(statement, self._module.text())
                for at in range(0, len(document), PIECE):
                    last = at + PIECE >= len(document)
                    self._protocol.send_command_input(self._shell, command, document[at : at + PIECE], end=last)
                return self._receive(call, command)
            finally:
                self._end(command)

    def _receive(self, call: Invocation, command: str) -> tuple[bytes, bytes]:
        out, err, done = b"", b"", False
        while not done:
            if call.cancelled.is_set():
                raise InvocationCancelled
            with contextlib.suppress(WinRMOperationTimeoutError):  # nothing to say yet
                more_out, more_err, _, done = self._protocol.get_command_output_raw(self._shell, command)
                out, err = out + more_out, err + more_err
        return out, err

    def _end(self, command: str) -> None:
        """Frees the command on the host, or ends it where it still runs."""
        try:
            self._protocol.cleanup_command(self._shell, command)
        except Rejected:
            raise  # or the next call would try it again
        except Exception:  # noqa: BLE001 - the outcome is known already; a shell that cannot be tidied is not used again
            self._shell = ""


class _Bridge:
    """What pywinrm's Protocol needs of its own transport."""

    def __init__(self, transport: HostTransport) -> None:
        self._transport = transport

    def send_message(self, message: str | bytes) -> bytes:
        try:
            return self._transport.send(message.encode() if isinstance(message, str) else message)
        except pypsrp.exceptions.WinRMTransportError as error:
            raise WinRMTransportError(error.protocol, error.code, error.response_text) from error


@contextlib.contextmanager
def _faults(at: str) -> Iterator[None]:
    """Errors of ours for whatever the library makes of what the host sends, as the other transport has them."""
    try:
        yield
    except (ProvisionError, InvocationCancelled, retry.ShellGone, retry.OutcomeUnknown):
        raise
    except WSManFaultError as fault:
        if fault.wsman_fault_code in (retry.NO_SUCH_TARGET, retry.OPERATION_ABORTED):
            raise retry.ShellGone(clipped(str(fault.reason))) from fault
        code = fault.wsman_fault_code or fault.fault_subcode or fault.fault_code
        same = pypsrp.exceptions.WSManFaultError(code, "", fault.reason, None, None, None)
        raise retry.explain(same, at=at) from fault
    except WinRMTransportError as error:
        raise retry.explain(pypsrp.exceptions.WinRMTransportError(*error.args), at=at) from error
    except WinRMOperationTimeoutError as error:
        raise Unreachable(f"{at} did not do it within its own bound") from error
    except Exception as error:
        raise retry.explain(error, at=at) from error


def to_document(statement: Statement, module: str) -> bytes:
    """Standard input of the bootstrap. ASCII alone, so that no encoding of the host's can break it."""
    arguments = {
        name: value.value if isinstance(value, Int64) else value for name, value in statement.arguments.items()
    }
    return json.dumps({"module": module, "command": statement.function, "args": arguments}).encode("ascii")


def _pieces(statement: Statement) -> Iterator[Statement]:
    """The statement for each item of its list alone; nothing when it has no list."""
    for name, value in statement.arguments.items():
        if isinstance(value, list):
            for item in value:
                yield Statement(function=statement.function, arguments={**statement.arguments, name: [item]})


def _read_answer(statement: Statement, out: bytes, err: bytes) -> list[Any]:
    """Results. Raises HostRefused for an error of the function, and when the process wrote no answer at all."""
    lines = out.decode("utf-8-sig", "replace").strip().splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else None
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict) or "ok" not in answer:
        said = re.sub(r"\s+", " ", err.decode("utf-8", "replace") or "\n".join(lines))
        raise HostRefused(id="WinRS.NoAnswer", message=clipped(said, chars=500), function=statement.function)
    if not answer["ok"]:
        error_id, _, function = str(answer.get("id", ""))[:_ID_CHARS].partition(",")
        raise HostRefused(
            id=error_id,
            message=clipped(str(answer.get("message", ""))),
            target=_target(statement),
            function=function or statement.function,
        )
    output = _unwrapped(answer.get("output"))
    return [item for item in (output if isinstance(output, list) else [output]) if item is not None]


def _target(statement: Statement) -> str:
    """The object that a failed statement was about: JSON carries no TargetObject."""
    for name in ("Id", "Name", "Path", "MacAddress"):
        value = statement.arguments.get(name)
        if value:
            return str(value[0] if isinstance(value, list) else value)
    return ""


# --- JSON as Windows PowerShell 5.1 writes it ---


def from_json(values: Any, fields: Mapping[str, str], *, expected: str) -> Mapping[str, Any]:
    """A result with the contract's types where 5.1 is known to bend them: a list of one comes as its item, a list may come
    wrapped with its count, a time as `/Date(milliseconds)/`. What else is wrong, `parse.py` names. Raises Malformed for what is no object.
    """
    if not isinstance(values, dict):
        raise Malformed(f"it wrote {shown(values)} where an object is due", expected=expected)
    return {name: _straight(_unwrapped(value), fields.get(name, "")) for name, value in values.items()}


def _straight(value: Any, kind: str) -> Any:
    if kind == "string[]" and not isinstance(value, list):
        return [] if value is None else [value]
    date = _DATE.fullmatch(value) if kind == "time" and isinstance(value, str) else None
    if date is not None and len(date[1]) <= _MILLISECONDS_DIGITS:
        return datetime.fromtimestamp(int(date[1]) / 1000, UTC).isoformat().replace("+00:00", "Z")
    return value


def _unwrapped(value: Any) -> Any:
    """5.1 writes some arrays as `{"value": [...], "Count": n}`."""
    if isinstance(value, dict) and set(value) == {"value", "Count"}:
        inner: Sequence[Any] = value["value"]
        return inner
    return value
