"""PowerShell Remoting: one shell with one runspace on the host, kept warm for the life of a worker.

A pipeline goes on running on the host when its connection dies, and its output waits there; so after an outage the same
Receive goes out again. A shell that the host has forgotten is replaced, and the functions are run again: they look first
and change only what differs (contract).

Sources: [MS-PSRP] https://learn.microsoft.com/openspecs/windows_protocols/ms-psrp/ for messages and fragments,
[MS-WSMV] for a shell's Command, Receive and Signal (https://learn.microsoft.com/openspecs/windows_protocols/ms-wsmv/).
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pypsrp.complex_objects import ErrorRecord, PSInvocationState
from pypsrp.exceptions import WSManFaultError
from pypsrp.messages import MessageType
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan

from provisioner.errors import HostRefused, Malformed, ProvisionError, Rejected
from provisioner.ports import Progress
from provisioner.web import size
from provisioner.winrm import retry
from provisioner.winrm.connection import HostConnection
from provisioner.winrm.session import HostSession
from provisioner.winrm.transport import (
    IDLE_S,
    OBJECT_BYTES,
    OPERATION_S,
    Invocation,
    InvocationCancelled,
    ModuleState,
    Records,
    ScriptModule,
    SignIn,
    Statement,
    same_name,
)
from provisioner.winrm.values import from_ps, to_ps
from provisioner.wire import TEXT_CHARS, clipped, shown

LINE = 200
"""Characters of a name, an id or a line of progress."""

Responses = list[tuple[int, Any]]
"""Messages of one Receive, as pypsrp gives them: (type, message or None)."""


_OPEN_ENDPOINTS = re.compile(r"microsoft\.powershell(32)?|powershell\.\d[\w.-]*", re.IGNORECASE)


def accepts_scripts(endpoint: str) -> bool:
    """Whether a session configuration takes text. Only those that PowerShell itself registers do (Windows PowerShell's, and
    `PowerShell.7` with its versions); any other may be a restricted endpoint, and there the module must be installed.
    """
    return _OPEN_ENDPOINTS.fullmatch(endpoint) is not None


class _ModuleMissing(Exception):
    """The runspace does not know our functions, or knows another version of them."""


class PsrpSession(HostSession):
    """One worker's session: one shell with one runspace."""

    def __init__(self, sign_in: SignIn, connection: HostConnection, module: ScriptModule, state: ModuleState) -> None:
        super().__init__(sign_in, connection, module)
        self._state = state
        self._pool: RunspacePool | None = None
        self._ready = False
        self._loaded = False

    # --- one call ---

    def _run(self, call: Invocation) -> None:
        def attempt() -> None:
            call.records.restart()
            self._make_ready(call)
            if call.statements:
                self._run_statements(call)

        self._persist(call, attempt)

    def _forget_session(self) -> None:
        self._pool = None

    def _end_session(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.close()

    def _run_statements(self, call: Invocation) -> None:
        try:
            self._pipeline(call, call.statements, call.records)
        except _ModuleMissing:
            call.records.restart()
            self._load(call)
            self._pipeline(call, call.statements, call.records)
        if not self._loaded:
            self._state.text_needed = False

    def _make_ready(self, call: Invocation) -> None:
        """A pool that is open, with the module in its runspace as far as is known: text that is needed is loaded at once, even before
        there is anything to call. Where nothing is known the first call asks; if it asks for the host itself, it is the question.
        """
        if self._pool is None:
            self._open()
        if self._ready:
            return
        if self._state.text_needed and accepts_scripts(self._sign_in.endpoint):
            try:
                self._load(call)
            except HostRefused:
                self._state.text_needed = None
            else:
                return
        if self._state.text_needed is None and call.statements and call.statements[0] != self._module.question:
            try:
                self._pipeline(call, (self._module.question,), Records())
            except _ModuleMissing:
                self._load(call)
        self._ready = bool(call.statements)

    def _open(self) -> None:
        self._transport.locate()
        wsman = WSMan("host.invalid", operation_timeout=OPERATION_S)
        wsman.transport = self._transport
        pool = RunspacePool(wsman, configuration_name=self._sign_in.endpoint, idle_timeout=IDLE_S)
        with _faults(self._sign_in.at):
            pool.open()
        self._pool = pool
        self._ready = self._loaded = False

    def _load(self, call: Invocation) -> None:
        module = self._module
        if not accepts_scripts(self._sign_in.endpoint):
            raise HostRefused(
                id="ModuleNotInstalled",
                message=f"the endpoint {self._sign_in.endpoint} has no {module.name} {module.version}, and takes no text",
                function=module.question.function,
            )
        self._pipeline(call, module.text(), Records())
        self._loaded = self._ready = self._state.text_needed = True

    # --- one pipeline ---

    def _pipeline(self, call: Invocation, what: Sequence[Statement] | str, records: Records) -> None:
        """Runs statements, or a script, to the end. All of ours fit into one Command: so one that was lost can be asked for."""
        if self._pool is None:
            raise retry.ShellGone
        ps = PowerShell(self._pool)
        if isinstance(what, str):
            ps.add_script(what, use_local_scope=False)  # into the runspace, not into this pipeline alone
        else:
            _add(ps, what)
        with _faults(self._sign_in.at):
            try:
                responses = self._start(ps, call)
                while True:
                    self._deliver(ps, responses, records)
                    _forget(ps)
                    if ps.state != PSInvocationState.RUNNING:
                        break
                    responses = _receive(ps, call)
            except (InvocationCancelled, _ModuleMissing, HostRefused):
                self._end(ps)
                raise
            except Malformed:
                self._pool = None  # more of it may be wrong
                raise
        records.done(ps.state == PSInvocationState.FAILED)
        self._end(ps)

    def _start(self, ps: PowerShell, call: Invocation) -> Responses:
        """Begins the pipeline. When the answer to its Command is lost, we know its id, for we chose it: so we ask for it."""
        while True:
            try:
                ps.begin_invoke()
            except retry.OutcomeUnknown:
                call.sent = True
                ps.runspace_pool.pipelines[ps.id] = ps
                ps._command_id = ps.id
                ps.state = PSInvocationState.RUNNING
                try:
                    return _receive(ps, call, timeout=1)
                except WSManFaultError as fault:
                    if fault.code != retry.NO_SUCH_TARGET:
                        raise
                ps.state = PSInvocationState.NOT_STARTED  # it never arrived
            else:
                call.sent = True
                return []

    def _deliver(self, ps: PowerShell, responses: Responses, records: Records) -> None:
        """Hands records on in the order in which the host wrote them."""
        for kind, message in responses:
            if kind == MessageType.PIPELINE_OUTPUT:
                written = message.data.data
                if written is not None and written != "":  # what $null becomes, depending on the host's engine
                    self._deliver_result(ps, written, records)
            elif kind == MessageType.ERROR_RECORD:
                self._deliver_error(ps, ps.streams.error.pop(0), records)
            elif kind == MessageType.PIPELINE_STATE:
                for record in ps.streams.error:
                    self._deliver_error(ps, record, records)
            elif kind == MessageType.PROGRESS_RECORD:
                records.progress(_progress(ps.streams.progress.pop(0)))

    def _deliver_result(self, ps: PowerShell, written: Any, records: Records) -> None:
        type_name, values = from_ps(written, ps.commands[-1].cmd or "", expected=self._module.expected)
        if type_name == self._module.answer_type and (version := values.get("ModuleVersion")) != self._module.version:
            if not self._loaded:
                raise _ModuleMissing
            raise HostRefused(
                id="ModuleVersion",
                message=f"{self._module.name} {self._module.version} was loaded, and yet {version} answers",
                function=self._module.question.function,
            )
        records.result(type_name, values)

    def _deliver_error(self, ps: PowerShell, record: ErrorRecord, records: Records) -> None:
        refused = _refused(record)
        unknown = refused.id == "CommandNotFoundException"
        if unknown and not self._loaded and any(same_name(refused.target, each.cmd or "") for each in ps.commands):
            raise _ModuleMissing
        records.error(refused)

    def _end(self, ps: PowerShell) -> None:
        """Frees the pipeline on the host, stopping it first if it runs: a runspace does one thing at a time."""
        try:
            if ps.state == PSInvocationState.RUNNING:
                ps.stop()
            else:
                ps.close()
        except Rejected:
            raise  # or the next call would try it again
        except Exception:  # noqa: BLE001 - the outcome is known already; a shell that cannot be tidied is not used again
            self._pool = None


def _receive(ps: PowerShell, call: Invocation, *, timeout: int | None = None) -> Responses:
    """What came since, in order; nothing when the host held the request without a word. (`PowerShell.poll_invoke` would sort
    outputs and errors apart.) Raises InvocationCancelled.
    """
    if call.cancelled.is_set():
        raise InvocationCancelled
    try:
        received: Responses = ps.runspace_pool._receive(ps.id, timeout=timeout)
    except WSManFaultError as fault:
        if fault.code == retry.OPERATION_TIMED_OUT:
            return []
        raise
    return received


def _add(ps: PowerShell, statements: Sequence[Statement]) -> None:
    for number, statement in enumerate(statements):
        if number:
            ps.add_statement()
        ps.add_cmdlet(statement.function).add_parameters(
            {name: to_ps(value) for name, value in statement.arguments.items()}
        )


def _progress(said: Any) -> Progress:
    percent = said.percent_complete
    if percent is not None and type(percent) is not int:
        raise retry.malformed("a progress record without a number")
    return Progress(activity=_text(said.activity, LINE), status=_text(said.description, LINE), percent=percent or 0)


def _refused(record: ErrorRecord) -> HostRefused:
    """An error record by its ids; its words are for people, and in the host's language."""
    error_id, _, function = _text(record.fq_error, TEXT_CHARS).partition(",")
    target = getattr(record, "target_object", None)  # set by the deserializer alone
    if not isinstance(target, str):
        target = record.target_name
    return HostRefused(
        id=error_id[:LINE],
        message=clipped(str(record)),
        target=_text(target, TEXT_CHARS),
        function=function[:LINE] or _text(record.activity, LINE),
    )


def _text(value: Any, most: int) -> str:
    """A text of a record. $null is none."""
    if value is not None and not isinstance(value, str):
        raise retry.malformed(f"a record with {shown(value)} where a text is due")
    return clipped(value or "", chars=most)


def _forget(ps: PowerShell) -> None:
    """Drops records that are never read; the library would keep them for the life of the pipeline. Raises Malformed for one without an end."""
    ps.clear_streams()
    pool = ps.runspace_pool
    pool.user_events.clear()
    if sum(len(part["data"]) for part in pool._fragmenter.incoming_buffer.values()) > OBJECT_BYTES:
        raise retry.malformed(f"a record of more than {size(OBJECT_BYTES)}")


@contextlib.contextmanager
def _faults(at: str) -> Iterator[None]:
    """Errors of ours for whatever the library makes of what the host sends."""
    try:
        yield
    except (ProvisionError, InvocationCancelled, _ModuleMissing, retry.ShellGone, retry.OutcomeUnknown):
        raise
    except WSManFaultError as fault:
        if fault.code in (retry.NO_SUCH_TARGET, retry.OPERATION_ABORTED):
            raise retry.ShellGone(clipped(str(fault.reason or "the host does not know our shell"))) from fault
        raise retry.explain(fault, at=at) from fault
    except Exception as error:
        raise retry.explain(error, at=at) from error
