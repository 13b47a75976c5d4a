"""One run of a command that changes things: a workflow with its lock, journal, view and signals around it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import provisioner
from provisioner.cli.json_output import fault_object, print_json
from provisioner.cli.loading import opened
from provisioner.cli.options import ConsoleOptions, RunOptions
from provisioner.cli.progress import DetachableView, OutageNotes
from provisioner.cli.signals import stop_as_at_ctrl_c, stop_signals
from provisioner.compose import Context
from provisioner.faults import Exit
from provisioner.model import options as model_options
from provisioner.model.events import CallEnded, Event, Note
from provisioner.model.plan import Plan
from provisioner.model.status import FinalObject
from provisioner.ports import CallInfo
from provisioner.runlock import locked
from provisioner.store.durations import usual_times
from provisioner.store.journal import FileJournal
from provisioner.views import Kind, make_view
from provisioner.workflows.recorder import Recorder
from provisioner.workflows.session import Session
from provisioner.workflows.workflow import Result, Workflow


def run(
    context: Context,
    terminal: ConsoleOptions,
    options: RunOptions,
    workflow: Workflow,
    *,
    shown: Plan | None = None,
) -> int:
    """Runs a workflow, alone on its cluster; gives its exit code. `shown` is the plan that was confirmed. Raises P-RUN-LOCKED, P-LOCAL-HOME."""
    with locked(context.store.folder, context.cluster.name):
        running = _Run(context, terminal, workflow, "none" if options.json else options.progress)
        final = running.go(options.for_workflow(), shown)
    if options.json:
        print_json(final.to_json())
    return final.exit


class _Run:
    """All events of the run, those of calls and outages too, count from one moment."""

    def __init__(self, context: Context, terminal: ConsoleOptions, workflow: Workflow, progress: Kind) -> None:
        self._context = context
        self._workflow = workflow
        self._recorder = Recorder(context.clock, self._emit)
        self._journal = FileJournal(context.store.folder)
        self._stop = asyncio.Event()
        view = make_view(
            progress,
            console=terminal.err,
            verbosity=terminal.verbosity,
            terminal=terminal.live,
            usual=usual_times(context.store.folder, command=workflow.name),
        )
        self._view = DetachableView(view, self._stop)
        self._outages = OutageNotes(self._note)

    def go(self, options: model_options.RunOptions, shown: Plan | None) -> FinalObject:
        try:
            result = asyncio.run(self._drive(options, shown))
        finally:
            stop_as_at_ctrl_c()
            self._journal.close()
        folder, ended = self._context.store.folder, result.ended
        final = FinalObject(
            command=self._workflow.name,
            cluster=self._context.cluster.name,
            outcome=ended.outcome,
            exit=ended.exit,
            elapsed_s=ended.elapsed_s,
            summary=ended.summary,
            fault=fault_object(result.fault) if result.fault else None,
            left=ended.left,
            run=self._journal.run,
            folder=str(self._journal.folder),
            files={name: str(folder / name) for name in ("kubeconfig", "talosconfig")},
        )
        self._view.close(final)
        return final

    async def _drive(self, options: model_options.RunOptions, shown: Plan | None) -> Result:
        loop = asyncio.get_running_loop()
        for number in stop_signals():
            loop.add_signal_handler(number, self._interrupt, number)
        async with opened(self._context, on_call=self._call_ended, on_away=self._outages.report) as ports:
            session = Session(
                cluster=self._context.cluster,
                ports=ports,
                recorder=self._recorder,
                stop=self._stop,
                options=options,
                run_number=self._journal.run,
                run_folder=self._journal.folder,
                version=provisioner.__version__,
            )
            return await session.run(self._workflow, shown=shown)

    def _emit(self, event: Event) -> None:
        self._journal.emit(event)
        self._view.emit(event)

    def _note(self, level: str, message: str) -> None:
        self._recorder.emit(Note(level=level, message=message))

    def _call_ended(self, info: CallInfo) -> None:
        self._recorder.emit(CallEnded(**vars(info)))

    def _interrupt(self, number: signal.Signals) -> None:
        if not self._stop.is_set():
            self._stop.set()
            self._note("stopping", "stopping after the current actions; Ctrl-C again leaves at once")
        elif number is not signal.SIGHUP:  # a terminal that closes tells it more than once
            self._journal.close()
            sys.stderr.write(
                "Left at once. The last action may or may not have happened; "
                f"provision status {self._context.cluster.name} tells.\n"
            )
            os._exit(Exit.INTERRUPTED)
