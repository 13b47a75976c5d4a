"""A PowerShell shell served by psrpcore: one runspace pool, whose runspaces are the lab's own."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psrpcore
from psrpcore import types as ps

from provisioner.lab.functions.api import ErrorRecord
from provisioner.lab.winrm import soap, values
from provisioner.lab.winrm.channel import Channel
from provisioner.lab.winrm.runspace import Command, Failure, Runspace, Stopped
from provisioner.lab.winrm.shells import (
    POOL,
    STOP_WAIT_S,
    Opening,
    Shell,
    command_id_of,
    command_response,
    signal_of,
)
from provisioner.lab.winrm.soap import POWERSHELL, RSP, Request, decoded, text_of

FRAGMENT = 32768
"""Bytes: the size in which Windows cuts its messages."""
_UNSUPPORTED = (
    psrpcore.GetCommandMetadataEvent,
    psrpcore.GetAvailableRunspacesEvent,
    psrpcore.SetMaxRunspacesEvent,
    psrpcore.SetMinRunspacesEvent,
    psrpcore.ResetRunspaceStateEvent,
)
"""Requests that no client of the module makes."""


@dataclass
class _Running:
    """A pipeline at work."""

    pipeline: Any
    channel: Channel
    stopping: threading.Event = field(default_factory=threading.Event)
    input_ended: threading.Event = field(default_factory=threading.Event)


class PsrpShell(Shell):
    """One runspace pool. All of psrpcore is called under `lock`: it knows no threads."""

    kind = "powershell"
    input_streams = "stdin pr"
    output_streams = "stdout"

    def __init__(
        self, opening: Opening, new_runspace: Callable[[], Runspace], version_table: Mapping[str, Any]
    ) -> None:
        super().__init__(opening)
        self._new_runspace = new_runspace
        self.channels[POOL] = Channel()
        self._pool = psrpcore.ServerRunspacePool(application_private_data={"PSVersionTable": dict(version_table)})
        self._running: dict[uuid.UUID, _Running] = {}
        self._idle: list[Runspace] = []
        self._at_work = 0
        self._slots = threading.Condition()
        creation = opening.request.find("Shell").findtext(f"{{{POWERSHELL}}}creationXml")
        self._feed(decoded(creation))

    # -- WSMan operations

    def command(self, request: Request) -> str:
        command_id = command_id_of(request)
        first = decoded(text_of(request.find("CommandLine"), "Arguments"))
        with self.lock:
            channel = self.new_channel(command_id)
            pipeline_id = uuid.UUID(command_id)
            pipeline = psrpcore.ServerPipeline(self._pool, pipeline_id)
            self._running[pipeline_id] = _Running(pipeline, channel)
            try:
                self._feed(first)
            except soap.Fault:
                self.channels.pop(command_id)
                self._running.pop(pipeline_id)
                pipeline.close()
                raise
        return command_response(command_id)

    def send(self, request: Request) -> str:
        for stream in request.find("Send").iterfind(f"{{{RSP}}}Stream"):
            if command_id := stream.get("CommandId"):
                self.channel(command_id)
            self._feed(decoded(stream.text))
        return "<rsp:SendResponse/>"

    def signal(self, request: Request) -> str:
        command_id, code = signal_of(request)
        with self.lock:
            channel = self.channels.get(command_id) if command_id else None
            running = self._running.get(uuid.UUID(command_id)) if channel else None
        if channel is None or running is None:
            return "<rsp:SignalResponse/>"
        if not channel.done:
            self._stop(running)
            channel.wait_done(STOP_WAIT_S)
        # `powershell/signal/ctrl_c` is PSRP's way to stop a pipeline; Windows forgets the command with it, as with Terminate.
        if code.endswith("terminate") or code == "powershell/signal/ctrl_c":
            with self.lock:
                self.channels.pop(command_id, None)
                self._running.pop(uuid.UUID(command_id), None)
                with contextlib.suppress(psrpcore.PSRPCoreError):
                    running.pipeline.close()
            channel.fail(soap.unknown_command())
        return "<rsp:SignalResponse/>"

    def close(self) -> None:
        with self.lock:
            running = list(self._running.values())
        for each in running:
            self._stop(each)
        self.abort_channels("The shell was closed.")

    def _stop(self, running: _Running) -> None:
        running.stopping.set()
        with self._slots:
            self._slots.notify_all()
        running.input_ended.set()

    # -- psrpcore

    def _feed(self, data: bytes) -> None:
        """Raises soap.Fault for a message that cannot be decoded, such as an Int32 that holds 4 GiB."""
        with self.lock:
            try:
                self._pool.receive_data(psrpcore.PSRPPayload(data, psrpcore.StreamType.default, None))
                while (event := self._pool.next_event()) is not None:
                    self._take(event)
            except soap.Fault:
                raise
            except Exception as error:
                # psrpcore raises whatever its decoders do; to the client all of it is a message it should not have sent.
                reason = f"The PSRP message cannot be decoded: {error}"
                raise soap.Fault(soap.INVALID_PARAMETER, "w:SchemaValidationError", reason) from error
            self._pump()

    def _pump(self) -> None:
        """Gives what psrpcore has to send to the channels. Under `lock`."""
        while (payload := self._pool.data_to_send(FRAGMENT)) is not None:
            key = str(payload.pipeline_id).upper() if payload.pipeline_id else POOL
            if channel := self.channels.get(key):
                channel.put("stdout", payload.data)

    def _take(self, event: Any) -> None:
        if isinstance(event, psrpcore.CreatePipelineEvent):
            running = self._running[event.pipeline_id]
            if event.pipeline.no_input:
                running.input_ended.set()
            self._begin(running, event.pipeline.commands)
        elif isinstance(event, psrpcore.EndOfPipelineInputEvent):
            self._running[event.pipeline_id].input_ended.set()
        elif isinstance(event, _UNSUPPORTED):
            raise soap.invalid(f"The lab does not model {type(event).__name__}.")

    # -- running

    def _begin(self, running: _Running, commands: list[Any]) -> None:
        statements: list[list[Command]] = [[]]
        for command in commands:
            parameters = [(None if name is None else str(name), values.plain(v)) for name, v in command.parameters]
            text, is_script = str(command.command_text), bool(command.is_script)
            statements[-1].append(Command(text, is_script, bool(command.use_local_scope), parameters))
            if command.end_of_statement:
                statements.append([])
        arguments = (running, [statement for statement in statements if statement])
        threading.Thread(target=self._run, args=arguments, name="winrm-pipeline", daemon=True).start()

    def _run(self, running: _Running, statements: list[list[Command]]) -> None:
        """On a thread of its own. An error that ends a statement ends the pipeline: so it is for remote ones."""
        runspace: Runspace | None = None
        output = _Output(self, running)
        end: tuple[ps.PSInvocationState, ErrorRecord | None, str] = (ps.PSInvocationState.Completed, None, "")
        try:
            runspace = self._acquire(running)
            with self.lock:
                # Windows does not announce Running; psrpcore's start() would, and cost a round trip.
                running.pipeline._change_state(ps.PSInvocationState.Running, emit=False)
            running.input_ended.wait()
            for statement in statements:
                output.check()
                runspace.run(statement, output, self.identity, running.stopping)
            output.check()
        except Stopped:
            end = (ps.PSInvocationState.Stopped, None, "")
        except Failure as failure:
            end = (ps.PSInvocationState.Failed, failure.record, failure.function)
        except Exception as error:  # noqa: BLE001 - a bug of the lab; its client gets a proper failure that says so
            record = ErrorRecord(id="LabBug", category="NotSpecified", message=f"The lab failed: {error!r}")
            end = (ps.PSInvocationState.Failed, record, "")
        if running.stopping.is_set():
            end = (ps.PSInvocationState.Stopped, None, "")
        if runspace is not None:
            self._release(runspace)
        self._finish(running, *end)

    def _acquire(self, running: _Running) -> Runspace:
        """Waits for a free runspace. One that was in use last comes first: so a pool of one has its functions at once."""
        with self._slots:
            self._slots.wait_for(lambda: self._at_work < max(1, self._pool.max_runspaces) or running.stopping.is_set())
            if running.stopping.is_set():
                raise Stopped
            self._at_work += 1
            return self._idle.pop() if self._idle else self._new_runspace()

    def _release(self, runspace: Runspace) -> None:
        with self._slots:
            self._at_work -= 1
            self._idle.append(runspace)
            self._slots.notify_all()

    def _finish(
        self, running: _Running, state: ps.PSInvocationState, record: ErrorRecord | None, function: str
    ) -> None:
        with self.lock:
            error = values.ps_error(record, function) if record else None
            with contextlib.suppress(psrpcore.PSRPCoreError):  # the pipeline was closed meanwhile
                running.pipeline._change_state(state, error=error)
            self._pump()
        running.channel.finish()


class _Output:
    """Where a pipeline's commands write."""

    def __init__(self, shell: PsrpShell, running: _Running) -> None:
        self._shell = shell
        self._running = running

    def check(self) -> None:
        if self._running.stopping.is_set():
            raise Stopped

    def result(self, type_name: str, fields: Mapping[str, Any], types: Mapping[str, str]) -> None:
        self._write(values.custom_object(type_name, fields, types), ps.PSRPMessageType.PipelineOutput)

    def error(self, record: ErrorRecord, function: str) -> None:
        self._write(values.ps_error(record, function), ps.PSRPMessageType.ErrorRecord)

    def warning(self, text: str) -> None:
        self._write(values.ps_warning(text), ps.PSRPMessageType.WarningRecord)

    def progress(self, activity: str, status: str, percent: int) -> None:
        self.check()
        with self._shell.lock:
            self._running.pipeline.write_progress(activity, 1, status, percent_complete=percent)
            self._shell._pump()

    def _write(self, value: Any, kind: ps.PSRPMessageType) -> None:
        self.check()
        with self._shell.lock:
            self._running.pipeline.prepare_message(value, message_type=kind)
            self._shell._pump()
