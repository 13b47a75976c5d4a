"""One run of a command that changes things, from its first event to its last. `up`, `down` and `rebuild` are told here as stories;
what they do is planned by the steps and done by the engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from provisioner.errors import Fault, Interrupted, TransportError
from provisioner.faults import Exit, exit_code
from provisioner.model.cluster import Cluster
from provisioner.model.events import Event, FaultReported, Note, PlanMade, RunEnded, RunStarted
from provisioner.model.facts import Observed
from provisioner.model.options import RemovalScope, RunOptions
from provisioner.model.plan import AS_THE_FILE_SAYS, Action, Plan, Verb
from provisioner.model.steps import StepId
from provisioner.operations.observe import observe, observe_hosts, read_keys
from provisioner.ports import Ports
from provisioner.steps import removing
from provisioner.steps.begin import new_run
from provisioner.steps.run_context import Run
from provisioner.steps.waiting import Waiter, bounded
from provisioner.workflows.down import needs_of_removal, plan_down, without_machines
from provisioner.workflows.engine import Apply, Engine, Needs, Outcome, first_in_order
from provisioner.workflows.up import APPLY, needs_of, plan_up

T = TypeVar("T")

PICTURE_SIZE = (1024, 768)
"""Generation 2 firmware's own resolution; more than the native one is refused."""
PICTURE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a run ended: what its last event says, for exit codes and `--json`."""

    command: str
    outcome: str
    exit: int
    elapsed_s: float
    summary: str
    fault: Fault | None = None
    left: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Session:
    """What every story of a run needs."""

    cluster: Cluster
    ports: Ports
    emit: Callable[[Event], None]
    stop: asyncio.Event
    options: RunOptions = field(default_factory=RunOptions)
    run_number: int = 0
    run_folder: Path = Path()
    version: str = ""
    begun_s: float | None = None
    """When the run began, by the clock port; now, if not given. All of a run's events count from it."""
    _begun: float = 0.0
    _machines_gone: bool = False
    """Within a rebuild: the old machines are removed."""
    _command: str = ""
    _go_on: str = ""
    """What to type after a failure."""
    _run: Run | None = None

    # -- the stories

    async def up(self, *, until: StepId | None = None) -> Result:
        """Reads, plans, does, proves. Never raises a Fault: it is in the result and in the events."""
        self._start("up", f"--until {until}" if until else "")
        return await self._guarded(self._up(until), StepId.HOST)

    async def down(self, extent: RemovalScope, *, shown: Plan | None = None) -> Result:
        """`shown` is the plan that was confirmed: what would be destroyed beyond it is refused."""
        self._start("down", _flags(extent))
        return await self._guarded(self._down(extent, shown), StepId.HOST)

    async def rebuild(self, *, shown: Plan | None = None) -> Result:
        """Down and up as one run. Checked as one plan first: nothing is removed for a cluster that could not be made again.

        `shown` as for `down`.
        """
        self._start("rebuild")
        return await self._guarded(self._rebuild(shown), StepId.HOST)

    async def _up(self, until: StepId | None) -> Result:
        seen = await self._unless_stopped(observe(self.cluster, self.ports))
        plan = plan_up(
            self.cluster,
            seen,
            retry_switch=self.options.retry_switch,
            until=until,
            wait_scale=self.options.wait_scale,
        )
        self._tell(plan)
        if plan.refusals:
            return self._refused(plan)
        return self._ended(await self._make(seen, plan), plan, "up")

    async def _down(self, extent: RemovalScope, shown: Plan | None) -> Result:
        seen = await self._unless_stopped(observe_hosts(self.cluster, self.ports))
        plan = plan_down(self.cluster, seen, extent)
        self._check_shown(plan, shown)
        self._tell(plan)
        outcome = await self._remove(seen, plan)
        if plan.refusals and not outcome.faults and not outcome.interrupted:
            done = f"{self._success('down', plan)}; " if plan.changes else ""
            return self._refused(plan, f"{done}VMs that bear its mark and are not proven to be its machines stay")
        return self._ended(outcome, plan, "down")

    async def _rebuild(self, shown: Plan | None) -> Result:
        seen = await self._unless_stopped(observe(self.cluster, self.ports))
        after = plan_up(self.cluster, without_machines(seen), retry_switch=self.options.retry_switch)
        if after.refusals:
            self._tell(after)
            return self._refused(after)
        going = plan_down(self.cluster, seen, RemovalScope(contexts=False))
        if going.refusals:
            self._tell(going)
            return self._refused(going)
        self._check_shown(going, shown)
        self._tell(replace(going, actions=going.changes + after.actions))
        outcome = await self._remove(seen, going)
        if outcome.faults or outcome.interrupted:
            return self._ended(outcome, going, "rebuild")
        self._machines_gone = True
        self._go_on = f"provision up {self.cluster.name}"  # there is nothing left to remove, and new machines must stay
        seen = await self._unless_stopped(observe(self.cluster, self.ports))
        plan = plan_up(self.cluster, seen, retry_switch=self.options.retry_switch)
        if plan.refusals:
            return self._refused(plan, GONE)
        return self._ended(await self._make(seen, plan), plan, "rebuild")

    # -- what they share

    def _start(self, command: str, more: str = "") -> None:
        self._begun = self.ports.clock.now() if self.begun_s is None else self.begun_s
        self._command = command
        self._go_on = f"provision {command} {self.cluster.name} {more}".rstrip()
        self.emit(
            RunStarted(
                command=command,
                cluster=self.cluster.name,
                host=", ".join(self.cluster.hosts),
                run=self.run_number,
                lab=self.cluster.lab is not None,
                versions={
                    "provision": self.version,
                    "talos": self.cluster.talos,
                    "kubernetes": self.cluster.kubernetes,
                },
                folder=str(self.run_folder),
                speed=self.ports.clock.rate,
                **self._waiter().stamp(),
            )
        )

    def _waiter(self) -> Waiter:
        return Waiter(
            clock=self.ports.clock,
            started_s=self._begun,
            emit=self.emit,
            stop=self.stop,
            scale=self.options.wait_scale,
        )

    async def _guarded(self, story: Awaitable[Result], step: StepId) -> Result:
        """Turns a fault that ends the whole story into its result."""
        try:
            return await story
        except Fault as fault:
            return self._end("failed", exit_code(fault.id), "", fault=fault, step=step)
        except Interrupted:
            return self._end("interrupted", Exit.INTERRUPTED, GONE if self._machines_gone else "stopped while reading")
        except Exception as error:
            # The journal must not end in the middle of a sentence; the traceback is the command line's business.
            bug = Fault("P-RUN-BUG", f"{type(error).__name__}: {error}")
            self._end("failed", exit_code(bug.id), "", fault=bug, step=step)
            raise

    def _tell(self, plan: Plan) -> None:
        """The plan, and as warnings what it does not change."""
        keeps = sum(action.verb is Verb.KEEP for action in plan.actions)
        self.emit(
            PlanMade(
                changes=len(plan.changes),
                keeps=keeps,
                destroys=len(plan.destroys),
                actions=tuple(action_line(action) for action in plan.actions),
                warnings=tuple(asdict(warning) for warning in plan.warnings),
                differences=tuple(asdict(each) for each in plan.differences),
                **self._waiter().stamp(),
            )
        )
        for names, each in plan.told_differences:
            message = f"{listed(names)}: {each.words}; {each.next_steps}"
            self.emit(Note(level="warning", message=message, **self._waiter().stamp()))

    async def _unless_stopped(self, reading: Coroutine[Any, Any, T]) -> T:
        """What was read; given up at the first Ctrl-C, for nothing is at work yet. Raises Interrupted."""
        task, stop = asyncio.create_task(reading), asyncio.create_task(self.stop.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise Interrupted
            return task.result()
        finally:
            task.cancel()
            stop.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)

    def _check_shown(self, plan: Plan, shown: Plan | None) -> None:
        """Raises P-RUN-PLANCHANGED when more would be destroyed than was confirmed."""
        more = {a.id for a in plan.destroys} - {a.id for a in shown.destroys} if shown else set()
        if more:
            raise Fault(
                "P-RUN-PLANCHANGED",
                "the plan has changed since it was shown",
                expected="to remove only what was confirmed",
                seen=tuple(f"also {name}" for name in sorted(more)),
            )

    async def _make(self, seen: Observed, plan: Plan) -> Outcome:
        run = self._new_run(seen, plan.actions)
        run.bundle, run.access = read_keys(self.ports)
        return await self._carry_out(run, plan.actions, APPLY, needs_of(self.cluster))

    async def _remove(self, seen: Observed, plan: Plan) -> Outcome:
        """Needs no keys: what is removed is known by its mark, and damaged secrets are a reason to remove."""
        return await self._carry_out(self._new_run(seen, plan.actions), plan.actions, _REMOVE, needs_of_removal)

    async def _carry_out(
        self, run: Run, actions: Sequence[Action], appliers: Mapping[StepId, Apply], needs: Needs
    ) -> Outcome:
        try:
            return await Engine(run=run, actions=actions, appliers=appliers, needs=needs).go()
        finally:
            for finder in run.finders.values():
                await finder.close()

    def _new_run(self, seen: Observed, actions: Sequence[Action]) -> Run:
        self._run = new_run(
            self.cluster,
            self.ports,
            seen,
            waiter=self._waiter(),
            options=self.options,
            picture=self._picture,
            actions=actions,
        )
        return self._run

    async def _picture(self, machine: str) -> str:
        """The VM's screen into the run's folder. A picture is a help, never a reason to fail."""
        run = self._run
        vm = run.vms.get(machine) if run else None
        if run is None or vm is None:
            return ""
        host = run.host_of(self.cluster.machine(machine))
        width, height = PICTURE_SIZE
        looking = host.console(vm.id, width=width, height=height)
        try:
            console = await bounded(self.ports.clock, looking, what=f"screen of {machine}", bound_s=PICTURE_S)
            return str(self.ports.store.save_picture(self.run_folder, machine, console))
        except (TransportError, Fault, ValueError):  # ValueError: pixels that make no picture
            return ""

    def _refused(self, plan: Plan, summary: str = "nothing was changed") -> Result:
        """The plan itself says no. All refusals are told, lowest step first."""
        first = plan.refusals[0]
        for action in plan.refusals[1:]:
            if action.fault is not None:
                self._tell_fault(action.fault, action.step)
        assert first.fault is not None, "a refusal carries its fault"
        return self._end("failed", exit_code(first.fault.id), summary, fault=first.fault, step=first.step)

    def _ended(self, outcome: Outcome, plan: Plan, command: str) -> Result:
        left = tuple(f"{action.step}: {action.object}" for action in outcome.left)
        found = first_in_order(outcome)
        if found is not None:
            step, fault = found
            told = [fault]
            for other_step, other in outcome.faults:
                if not any(
                    _same(other, earlier) for earlier in told
                ):  # one lost host is one box, however many waited for it
                    told.append(other)
                    self._tell_fault(other, other_step)
            return self._end("failed", exit_code(fault.id), self._what_stays(plan), fault=fault, step=step, left=left)
        if outcome.interrupted:
            return self._end("interrupted", Exit.INTERRUPTED, self._what_stays(plan), left=left)
        if not any(action.kind for action in plan.actions):
            return self._end("unchanged", Exit.DONE, f"nothing to do: {_why_nothing(command, plan)}")
        return self._end("ok", Exit.DONE, self._success(command, plan))

    def _what_stays(self, plan: Plan) -> str:
        if self._machines_gone:
            return GONE
        return "nothing was removed" if not plan.destroys else "what was not removed yet stays"

    def _success(self, command: str, plan: Plan) -> str:
        if command == "down":
            vms = sum(action.kind == "remove_vm" for action in plan.changes)
            others = [action.object for action in plan.changes if action.kind != "remove_vm"]
            return ", ".join(([f"{vms} VMs"] if vms else []) + others) + " removed"
        last = plan.actions[-1].step
        if last is StepId.ACCESS:
            found = self._run.health if self._run else ""
            return f"{self.cluster.name} is up: {found or plan.of(StepId.HEALTH)[-1].details['nodes']}"
        return f"{self.cluster.name} is done up to step {last}"

    def _tell_fault(self, fault: Fault, step: StepId) -> None:
        self.emit(FaultReported.of(fault, step=step, resume_command=self._go_on, **self._waiter().stamp()))

    def _end(
        self,
        outcome: str,
        exit: int,
        summary: str,
        *,
        fault: Fault | None = None,
        step: StepId = StepId.HOST,
        left: tuple[str, ...] = (),
    ) -> Result:
        if fault is not None:
            self._tell_fault(fault, step)
        elapsed = round(self.ports.clock.now() - self._begun, 3)
        self.emit(
            RunEnded(
                outcome=outcome,
                exit=int(exit),
                elapsed_s=elapsed,
                fault=fault.id if fault else None,
                summary=summary,
                left=left,
                resume_command="" if outcome in ("ok", "unchanged") else self._go_on,
                **self._waiter().stamp(),
            )
        )
        return Result(
            command=self._command,
            outcome=outcome,
            exit=int(exit),
            elapsed_s=elapsed,
            summary=summary,
            fault=fault,
            left=left,
        )


GONE = "the old machines are removed"
"""What is left in place when a rebuild stops in its second half."""


def _why_nothing(command: str, plan: Plan) -> str:
    """Why a run had nothing to do, and of what that is not said."""
    if command == "down":
        return "no VM is proven to be ours" if plan.of(StepId.VM) else "nothing of it is there"
    if plan.differences:
        return f"differences that up does not change: {len(plan.differences)}, see provision plan {plan.cluster}"
    configs = "; the configs of running machines are not compared" if plan.uncompared else ""
    return f"{AS_THE_FILE_SAYS}{configs}"


def listed(names: Sequence[str], *, at_most: int = 4) -> str:
    """`a, b, c`, and how many more."""
    return ", ".join(names[:at_most]) + (f" and {len(names) - at_most} more" if len(names) > at_most else "")


def _same(fault: Fault, other: Fault) -> bool:
    """Whether both tell the same, for no machine in particular."""
    if fault is other:
        return True
    return not fault.machine and (fault.id, fault.message, *fault.seen) == (other.id, other.message, *other.seen)


def _flags(extent: RemovalScope) -> str:
    """The extent as it is typed."""
    given = [f"--{name}" for name in ("switch", "image", "secrets") if getattr(extent, name)]
    return "--all" if len(given) == 3 else " ".join(given)


_REMOVE: Mapping[StepId, Apply] = dict.fromkeys(StepId, removing.apply)


def action_line(action: Action) -> dict[str, Any]:
    """An action as the plan's JSON and events show it."""
    line: dict[str, Any] = {
        "id": action.id,
        "step": str(action.step),
        "verb": str(action.verb),
        "sign": action.verb.sign,
        "object": action.object,
        "why": action.why,
    }
    extra = {
        "machine": action.machine,
        "host": action.host,
        "warning": action.warning,
        "destroys": action.destroys,
        "fault": action.fault.id if action.fault else "",
        "kubectl": action.details.get("kubectl", ""),
    }
    return line | {key: value for key, value in extra.items() if value}
