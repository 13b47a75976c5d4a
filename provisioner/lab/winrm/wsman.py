"""The WS-Management service: envelopes in, envelopes out, without any idea of HTTP."""

from __future__ import annotations

import base64
import re
import threading
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from xml.sax.saxutils import escape, unescape

from provisioner.lab.winrm import soap
from provisioner.lab.winrm.exchange import Answer, Caller, Dropped
from provisioner.lab.winrm.fault_injection import FaultInjection
from provisioner.lab.winrm.shells import POOL, Limits, Opening, Shell
from provisioner.lab.winrm.soap import RSP, Request, decoded, text_of
from provisioner.lab.winrm.stats import Counters

OPEN_CONFIGURATION = "Microsoft.PowerShell"
RESTRICTED_CONFIGURATION = "TalosHyperV"
"""A session configuration as JEA makes them: the module is installed, its functions are all there is, scripts are refused. It runs as
the caller, without a virtual account.
"""

_CONTROL_CHARACTER = re.compile("_x([0-9A-Fa-f]{4})_")
_COMMAND = re.compile(rb'<S N="Cmd">([^<]*)</S>\s*<B N="IsScript">(true|false)</B>')

MakeShell = Callable[[Opening], Shell]


def called_commands(data: bytes) -> list[tuple[str, bool]]:
    """The commands that a CreatePipeline message calls, told without decoding it: a name, or the text of a script as far as the first
    fragments have it, and whether it is a script.
    """

    def plain(text: bytes) -> str:
        """CLIXML writes control characters as _x000A_."""
        return _CONTROL_CHARACTER.sub(lambda match: chr(int(match[1], 16)), unescape(text.decode("utf-8", "replace")))

    return [(plain(text), is_script == b"true") for text, is_script in _COMMAND.findall(data)]


class Service:
    """All shells of the endpoint, and the operations on them."""

    def __init__(
        self,
        *,
        host_name: Callable[[], str],
        make_powershell: MakeShell,
        make_restricted: MakeShell,
        make_cmd: MakeShell,
        limits: Limits,
        counters: Counters,
        faults: FaultInjection,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._host_name = host_name
        self._make_powershell = make_powershell
        self._make_restricted = make_restricted
        self._make_cmd = make_cmd
        self._limits = limits
        self._counters = counters
        self._faults = faults
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._shells: dict[str, Shell] = {}
        self._at_work: Counter[str] = Counter()
        self._operations: dict[str, Callable[[Request], str]] = {
            "Create": self._create,
            "Delete": self._delete,
            "Command": lambda request: self._shell(request).command(request),
            "Send": lambda request: self._shell(request).send(request),
            "Signal": lambda request: self._shell(request).signal(request),
            "Receive": self._receive,
            "Get": self._get,
        }

    def handle(self, envelope: bytes, caller: Caller) -> Answer:
        """Never raises for what a client sent; raises Dropped and ConnectionGone."""
        message_id = ""
        places: tuple[str, ...] = ()
        try:
            request = soap.parse(envelope, caller)
            message_id = request.message_id
            self._counters.count("actions", request.verb)
            places = self._places(request)
            if self._faults.at("winrm-drop", places) is not None:
                raise Dropped
            if self._faults.at("winrm-forget", places) is not None:
                self.forget_all("The service was restarted.")
            self._check_size(envelope)
            body = self._operate(request)
            return Answer(200, soap.answer(f"{request.action}Response", message_id, body), places, request.put_back)
        except soap.Fault as fault:
            self._counters.count("faults", fault.code)
            return Answer(500, soap.fault_answer(fault, message_id, self._host_name()), places)
        except ET.ParseError:
            return Answer(400, b"", places)

    def open_shells(self) -> int:
        with self._lock:
            return len(self._shells)

    def forget(self, shell: Shell, reason: str) -> None:
        """A shell that ended by itself."""
        with self._lock:
            self._shells.pop(shell.id, None)
        shell.abort_channels(reason)

    def forget_all(self, reason: str) -> None:
        """The host restarted, or its service did."""
        with self._lock:
            shells = list(self._shells.values())
            self._shells.clear()
        for shell in shells:
            shell.close()
            shell.abort_channels(reason)

    # -- around every operation

    def _check_size(self, envelope: bytes) -> None:
        if len(envelope) > self._limits.envelope_kb * 1024:
            reason = f"The request exceeds MaxEnvelopeSize of {self._limits.envelope_kb} KiB."
            raise soap.Fault(soap.ENVELOPE_TOO_LARGE, "w:EncodingLimit", reason, detail="MaxEnvelopeSizeExceeded")

    def _operate(self, request: Request) -> str:
        operation = self._operations.get(request.verb)
        if operation is None:
            reason = f"The action {request.action} is not supported."
            raise soap.Fault(soap.INVALID_PARAMETER, "a:ActionNotSupported", reason)
        self._expire()
        with self._lock:
            shell = self._shells.get(request.selectors.get("ShellId", "").upper())
            if self._at_work[request.user] >= self._limits.operations_per_user:
                raise soap.quota(soap.OPERATION_QUOTA, f"The user {request.user} has too many operations at work.")
            self._at_work[request.user] += 1
            if shell:
                shell.busy += 1
                shell.active = self._monotonic()
        try:
            return operation(request)
        finally:
            with self._lock:
                self._at_work[request.user] -= 1
                if shell:
                    shell.busy -= 1
                    shell.active = self._monotonic()

    def _expire(self) -> None:
        """Shells whose idle time-out has passed are gone for the next request."""
        now = self._monotonic()
        with self._lock:
            expired = [shell for shell in self._shells.values() if shell.expired(now)]
            for shell in expired:
                del self._shells[shell.id]
        for shell in expired:
            shell.close()

    def _places(self, request: Request) -> tuple[str, ...]:
        """By which names a fault may be asked for at this request."""
        with self._lock:
            shell = self._shells.get(request.selectors.get("ShellId", "").upper())
        if shell is None:
            return (request.verb,)
        if request.verb == "Command" and shell.kind == "powershell":
            line = request.find("CommandLine")
            called = called_commands(decoded(text_of(line, "Arguments")))
            names = tuple(name for name, is_script in called if not is_script)
            shell.functions[(line.get("CommandId") or "").upper()] = names
            return (request.verb, *names)
        ids = [element.get("CommandId", "") for element in request.body.iter() if element.get("CommandId")]
        return (request.verb, *(shell.functions.get(ids[0].upper(), ()) if ids else ()))

    def _shell(self, request: Request) -> Shell:
        with self._lock:
            shell = self._shells.get(request.selectors.get("ShellId", "").upper())
        if shell is None or shell.owner != request.user:
            raise soap.unknown_shell()
        return shell

    # -- operations

    def _create(self, request: Request) -> str:
        if self._faults.of_user("winrm-quota", request.user):
            raise soap.quota(soap.SHELL_QUOTA, f"The user {request.user} has too many shells.")
        with self._lock:
            mine = [shell for shell in self._shells.values() if shell.owner == request.user]
        if len(mine) >= self._limits.shells_per_user:
            reason = f"The user {request.user} is allowed {self._limits.shells_per_user} concurrent shells."
            raise soap.quota(soap.SHELL_QUOTA, reason)
        opening = Opening(request, self._limits, self._monotonic())
        with self._lock:
            if opening.id in self._shells:
                raise soap.invalid(f"A shell with the identifier {opening.id} exists already.")
        shell = self._make(request)(opening)
        with self._lock:
            self._shells[shell.id] = shell
        self._counters.add("shells")
        return (
            f"<x:ResourceCreated><a:Address>{escape(request.to)}</a:Address><a:ReferenceParameters>"
            f'<w:ResourceURI>{escape(request.uri)}</w:ResourceURI><w:SelectorSet><w:Selector Name="ShellId">{shell.id}</w:Selector>'
            f"</w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>{shell.describe(self._monotonic())}"
        )

    def _make(self, request: Request) -> MakeShell:
        if request.uri == soap.CMD_URI:
            return self._make_cmd
        if not request.uri.startswith(soap.POWERSHELL_URI):
            raise _unknown_resource(request.uri)
        configuration = request.uri.removeprefix(soap.POWERSHELL_URI).lower()
        if configuration == OPEN_CONFIGURATION.lower():
            allowed, make = request.caller.identity.may_use_powershell, self._make_powershell
        elif configuration == RESTRICTED_CONFIGURATION.lower():
            allowed, make = request.caller.identity.may_use_restricted, self._make_restricted
        else:
            raise _unknown_resource(request.uri)
        if not allowed:
            raise soap.Fault(soap.ACCESS_DENIED, "w:AccessDenied", f"Access is denied to {request.user}.")
        return make

    def _delete(self, request: Request) -> str:
        shell = self._shell(request)
        with self._lock:
            self._shells.pop(shell.id, None)
        shell.close()
        return ""

    def _receive(self, request: Request) -> str:
        shell = self._shell(request)
        wanted = request.find("Receive/DesiredStream")
        command_id = (wanted.get("CommandId") or POOL).upper()
        if shell.kind == "cmd" and not command_id:
            raise soap.invalid("The parameter is incorrect.")
        channel = shell.channel(command_id)
        batch = channel.receive(request)
        request.put_back = lambda: channel.put_back(request.message_id)
        owner = f' CommandId="{command_id}"' if command_id else ""
        parts = [
            f'<rsp:Stream Name="{name}"{owner}>{base64.b64encode(data).decode()}</rsp:Stream>'
            for name, data in batch.chunks
        ]
        if command_id and batch.done:
            if shell.kind == "cmd":
                parts += [f'<rsp:Stream Name="{name}"{owner} End="true"></rsp:Stream>' for name in ("stdout", "stderr")]
            parts.append(
                f'<rsp:CommandState{owner} State="{RSP}/CommandState/Done">'
                f"<rsp:ExitCode>{channel.exit_code}</rsp:ExitCode></rsp:CommandState>"
            )
        elif shell.kind == "cmd":
            parts.append(f'<rsp:CommandState{owner} State="{RSP}/CommandState/Running"></rsp:CommandState>')
        return f"<rsp:ReceiveResponse>{''.join(parts)}</rsp:ReceiveResponse>"

    def _get(self, request: Request) -> str:
        if request.uri.startswith(soap.CONFIG):
            return (
                f'<cfg:Config xmlns:cfg="{soap.CONFIG}"><cfg:MaxEnvelopeSizekb>{self._limits.envelope_kb}</cfg:MaxEnvelopeSizekb>'
                "<cfg:MaxTimeoutms>60000</cfg:MaxTimeoutms></cfg:Config>"
            )
        raise _unknown_resource(request.uri)


def _unknown_resource(uri: str) -> soap.Fault:
    reason = f"The service cannot process the request: the resource URI {uri} is not known."
    return soap.Fault(soap.UNKNOWN_RESOURCE, "w:InvalidResourceURI", reason, detail="InvalidResourceURI")
