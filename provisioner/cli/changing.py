"""`up`, `plan`, `down`, `rebuild`: questions first, then one run with its lock, journal and view, then its exit code."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import typer

import provisioner
from provisioner.cli.json_output import fault_object, plan_object
from provisioner.cli.loading import open_cluster
from provisioner.cli.options import PROGRESS, STEP_NAMES, ConsoleOptions
from provisioner.cli.progress import DetachableView, OutageNotes
from provisioner.cli.signals import stop_as_at_ctrl_c, stop_signals
from provisioner.compose import Context, close_ports, open_ports
from provisioner.errors import Fault
from provisioner.faults import Exit
from provisioner.faults import exit_code as code_of
from provisioner.model.events import CallEnded, Event, Note
from provisioner.model.jsontext import json_text
from provisioner.model.options import RemovalScope, RunOptions
from provisioner.model.plan import Plan
from provisioner.model.redaction import redacted
from provisioner.model.status import FinalObject
from provisioner.model.steps import StepId
from provisioner.operations.observe import observe, observe_hosts
from provisioner.ports import CallInfo, Ports
from provisioner.runlock import locked
from provisioner.store.durations import usual_times
from provisioner.store.journal import FileJournal
from provisioner.views import make_view
from provisioner.views.down import render_down
from provisioner.views.plan import render_plan
from provisioner.workflows.down import plan_down, without_machines
from provisioner.workflows.session import Result, Session
from provisioner.workflows.up import plan_up

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What was typed, for all commands of this file."""

    cluster: str
    until: str = ""
    yes: bool = False
    progress: str = "auto"
    as_json: bool = False
    wait_scale: float = 1.0
    retry_switch: bool = False
    host: str = ""
    user: str = ""

    def check(self) -> None:
        """Raises typer's BadParameter (exit 2) for what cannot be meant."""
        if self.until and self.until not in STEP_NAMES:
            raise typer.BadParameter(
                f"{self.until!r} is no step; there are {', '.join(STEP_NAMES)}", param_hint="--until"
            )
        if not math.isfinite(self.wait_scale):
            raise typer.BadParameter(
                f"{self.wait_scale} is no factor: every wait has a bound", param_hint="--wait-scale"
            )
        if self.progress not in PROGRESS:
            raise typer.BadParameter(f"{self.progress!r}; there are {', '.join(PROGRESS)}", param_hint="--progress")
        if self.as_json and self.progress == "json":
            raise typer.BadParameter("--json and --progress json both want stdout: take one of them")

    @property
    def until_step(self) -> StepId | None:
        return StepId(self.until) if self.until else None


# --- the commands ---------------------------------------------------------------------------------------------------


def up(look: ConsoleOptions, wanted: Wanted) -> int:
    """Makes it so. Asks only before something is destroyed, which `up` never does by itself."""
    wanted.check()
    context = _open(wanted)
    return _run(look, wanted, context, "up", lambda session: session.up(until=wanted.until_step))


def plan_only(look: ConsoleOptions, wanted: Wanted, *, exit_code: bool = False) -> int:
    """Prints what `up` would do."""
    wanted.check()
    context = _open(wanted)

    async def read(ports: Ports) -> tuple[Plan, float]:
        begun = time.monotonic()
        seen = await observe(context.cluster, ports)
        plan = plan_up(
            context.cluster,
            seen,
            retry_switch=wanted.retry_switch,
            until=wanted.until_step,
            wait_scale=wanted.wait_scale,
        )
        return plan, time.monotonic() - begun

    plan, read_s = _with_ports(context, read)
    if wanted.as_json:
        _print_json(plan_object(plan, file=str(context.cluster.file), read_s=round(read_s, 3)))
    else:
        usual = usual_times(context.store.folder, command="up")
        sys.stdout.write(
            render_plan(
                plan, context.cluster, read_s=read_s, console=look.console, verbosity=look.verbosity, usual=usual
            )
        )
    if plan.refusals:
        return _refusal_code(plan)
    return Exit.PENDING if exit_code and (plan.changes or plan.differences) else Exit.DONE


def _refusal_code(plan: Plan) -> int:
    """The exit code that `up` would end with; 0 where the plan refuses nothing."""
    fault = plan.refusals[0].fault if plan.refusals else None
    return code_of(fault.id) if fault else Exit.DONE


def down(look: ConsoleOptions, wanted: Wanted, extent: Mapping[str, bool], *, dry_run: bool) -> int:
    wanted.check()
    context = _open(wanted, needs_name=True)
    wide = RemovalScope(switch=extent["switch"], image=extent["image"], secrets=extent["secrets"])

    async def read(ports: Ports) -> Plan:
        return plan_down(context.cluster, await observe_hosts(context.cluster, ports), wide)

    plan = _with_ports(context, read)
    if plan.changes and context.cluster.protect is not None:
        raise _protected(context)
    if dry_run and wanted.as_json:
        _print_json(plan_object(plan, file=str(context.cluster.file), read_s=0.0))
        return _refusal_code(plan)
    if not wanted.as_json and wanted.progress != "json":
        sys.stderr.write(render_down(plan, context.cluster, console=look.console))
    if dry_run:
        return _refusal_code(plan)
    if plan.destroys:
        _confirm(context, wanted, "remove")
    return _run(look, wanted, context, "down", lambda session: session.down(wide, shown=plan))


def rebuild(look: ConsoleOptions, wanted: Wanted, *, dry_run: bool) -> int:
    wanted.check()
    context = _open(wanted, needs_name=True)

    async def read(ports: Ports) -> tuple[Plan, Plan]:
        seen = await observe(context.cluster, ports)
        removing = plan_down(context.cluster, seen, RemovalScope(contexts=False))
        return removing, plan_up(context.cluster, without_machines(seen))

    removing, after = _with_ports(context, read)
    if removing.changes and context.cluster.protect is not None:
        raise _protected(context)
    if not wanted.as_json and wanted.progress != "json":
        sys.stderr.write(render_down(removing, context.cluster, console=look.console))
        if dry_run:
            sys.stdout.write(
                render_plan(after, context.cluster, read_s=0.0, console=look.console, verbosity=look.verbosity)
            )
    if dry_run:
        if wanted.as_json:
            _print_json(plan_object(after, file=str(context.cluster.file), read_s=0.0))
        return _refusal_code(after) or _refusal_code(removing)
    refusals = (*after.refusals, *removing.refusals)
    refused = refusals[0].fault if refusals else None
    if refused is not None:  # before anybody is asked to give up what could not be made again
        raise refused
    if removing.destroys:
        _confirm(context, wanted, "rebuild")
    return _run(look, wanted, context, "rebuild", lambda session: session.rebuild(shown=removing))


# --- questions ------------------------------------------------------------------------------------------------------


def _open(wanted: Wanted, *, needs_name: bool = False) -> Context:
    return open_cluster(wanted.cluster, host=wanted.host, user=wanted.user, start_lab=True, needs_name=needs_name)


def _protected(context: Context) -> Fault:
    place = context.cluster.protect
    return Fault(
        "P-RUN-PROTECTED",
        f"{context.cluster.name} is protected by its file",
        expected="no protect: true",
        seen=(f"{place}: protect: true",),
        next_steps=("remove that line first",),
    )


def _confirm(context: Context, wanted: Wanted, verb: str) -> None:
    """The cluster's name, typed; `--yes` stands for it. Raises P-RUN-CONFIRM without a terminal."""
    name = context.cluster.name
    if wanted.yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Fault(
            "P-RUN-CONFIRM",
            f"this would {verb} {name}, and there is no terminal to ask in",
            expected="--yes, or a terminal",
            next_steps=(f"provision {'down' if verb == 'remove' else 'rebuild'} {name} --yes",),
        )
    sys.stderr.write(f"Type {name} to {verb} it: ")
    sys.stderr.flush()
    answer = ""
    try:
        answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):  # Ctrl-D or Ctrl-C: what follows begins on a line of its own
            sys.stderr.write("\n")
    typed = answer.strip()
    if typed != name:
        raise Fault(
            "P-RUN-CONFIRM",
            f"{name} was not confirmed",
            expected=name,
            seen=(typed or "nothing",),
            next_steps=("nothing was changed",),
        )


# --- runs -----------------------------------------------------------------------------------------------------------


def _with_ports(context: Context, work: Callable[[Ports], Awaitable[T]]) -> T:
    """Reads something with fresh ports, in a loop of its own."""

    async def go() -> T:
        ports = open_ports(context)
        try:
            return await work(ports)
        finally:
            await close_ports(ports)

    return asyncio.run(go())


def _run(
    look: ConsoleOptions, wanted: Wanted, context: Context, command: str, story: Callable[[Session], Awaitable[Result]]
) -> int:
    """One run: lock, journal, view, Ctrl-C, and the final object."""
    with locked(context.store.folder, context.cluster.name):
        journal = FileJournal(context.store.folder)
        kind = "none" if wanted.as_json else wanted.progress
        view = make_view(
            kind,
            console=look.console,
            verbosity=look.verbosity,
            terminal=look.terminal,
            usual=usual_times(context.store.folder, command=command),
        )

        stop = asyncio.Event()
        screen = DetachableView(view, stop)

        def emit(event: Event) -> None:
            journal.emit(event)
            screen.emit(event)

        try:
            result = asyncio.run(_drive(wanted, context, journal, emit, story, stop=stop))
        finally:
            stop_as_at_ctrl_c()
            journal.close()
        final = FinalObject(
            command=result.command,
            cluster=context.cluster.name,
            outcome=result.outcome,
            exit=result.exit,
            elapsed_s=result.elapsed_s,
            summary=result.summary,
            fault=fault_object(result.fault) if result.fault else None,
            left=result.left,
            run=journal.run,
            folder=str(journal.folder),
            files={name: str(context.store.folder / name) for name in ("kubeconfig", "talosconfig")},
        )
        screen.close(final)
    if wanted.as_json:
        _print_json(final.to_json())
    return result.exit


async def _drive(
    wanted: Wanted,
    context: Context,
    journal: FileJournal,
    emit: Callable[[Event], None],
    story: Callable[[Session], Awaitable[Result]],
    *,
    stop: asyncio.Event,
) -> Result:
    """All events of the run, those of calls too, count from one moment."""
    clock, begun = context.clock, context.clock.now()

    def stamp() -> dict[str, Any]:
        return {"t": clock.wall(), "at_s": clock.now() - begun}

    def on_call(info: CallInfo) -> None:
        emit(
            CallEnded(
                host=info.host,
                functions=info.functions,
                requests=info.requests,
                elapsed_s=info.elapsed_s,
                outcome=info.outcome,
                **stamp(),
            )
        )

    outages = OutageNotes(emit, stamp)

    def interrupt(number: signal.Signals) -> None:
        if stop.is_set() and number is signal.SIGHUP:
            return  # a terminal that closes tells it more than once
        if stop.is_set():
            journal.close()
            sys.stderr.write(
                "Left at once. The last action may or may not have happened; "
                f"provision status {context.cluster.name} tells.\n"
            )
            os._exit(Exit.INTERRUPTED)
        stop.set()
        message = "stopping after the actions at work; Ctrl-C again leaves at once"
        emit(Note(level="stopping", message=message, **stamp()))

    loop = asyncio.get_running_loop()
    for number in stop_signals():
        loop.add_signal_handler(number, interrupt, number)
    ports = open_ports(context, on_call=on_call, on_away=outages.report)
    session = Session(
        cluster=context.cluster,
        ports=ports,
        emit=emit,
        stop=stop,
        begun_s=begun,
        options=RunOptions(wait_scale=wanted.wait_scale, retry_switch=wanted.retry_switch),
        run_number=journal.run,
        run_folder=journal.folder,
        version=provisioner.__version__,
    )
    try:
        return await story(session)
    finally:
        await close_ports(ports)


def _print_json(value: Mapping[str, object]) -> None:
    sys.stdout.write(redacted(json_text(value, encoding=sys.stdout.encoding or "utf-8")) + "\n")
