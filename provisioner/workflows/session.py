"""What the stories of all workflows share: a run is begun, reads, tells its plan, carries it out, and ends, each with its events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from provisioner.errors import Fault, Interrupted, TransportError
from provisioner.faults import Exit, exit_code
from provisioner.model.cluster import Cluster
from provisioner.model.events import FaultReported, Note, PlanMade, RunEnded, RunStarted
from provisioner.model.facts import Observed
from provisioner.model.options import RunOptions
from provisioner.model.plan import Action, Plan, Verb
from provisioner.model.steps import STEP, StepId
from provisioner.model.wording import listed
from provisioner.model.work import FindMachine
from provisioner.operations.machine import save_screen
from provisioner.ports import Ports
from provisioner.steps.discovery import AddressDiscovery
from provisioner.steps.image import image_facts
from provisioner.steps.run_context import Run, read_keys
from provisioner.steps.vm import find_vm
from provisioner.steps.waiting import Waiter
from provisioner.workflows.engine import Engine, Outcome
from provisioner.workflows.recorder import Recorder
from provisioner.workflows.workflow import Result, Workflow

T = TypeVar("T")


@dataclass(kw_only=True)
class Session:
    """One run of one workflow. The stories in `up`, `down` and `rebuild` are told with its methods."""

    cluster: Cluster
    ports: Ports
    recorder: Recorder
    stop: asyncio.Event
    """Set by the first Ctrl-C."""
    options: RunOptions = field(default_factory=RunOptions)
    run_number: int = 0
    run_folder: Path = Path()
    version: str = ""
    workflow: Workflow = field(init=False)
    resume_command: str = ""
    """What to type after a failure."""
    stays: str = ""
    """What a run that does not get to its end leaves as it is."""
    health: str = ""
    """How healthy the cluster was found, in words: `4 nodes Ready`."""
    _run: Run | None = None

    async def run(self, workflow: Workflow, *, shown: Plan | None = None) -> Result:
        """Runs it once. A Fault is in the result and in the events; only bugs are raised. `shown` is the plan that the user confirmed."""
        self.workflow = workflow
        options = self.options
        flags = f"--until {options.until}" if options.until else options.remove.flags
        self.resume_command = f"provision {workflow.name} {self.cluster.name} {flags}".rstrip()
        self.recorder.emit(
            RunStarted(
                command=workflow.name,
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
                steps=tuple(
                    {"id": str(step), "title": STEP[step].title, "done": STEP[step].done_word}
                    for step in workflow.steps
                ),
            )
        )
        try:
            return await workflow.story(self, shown)
        except Fault as fault:
            return self._end("failed", exit_code(fault.id), "", fault=fault)
        except Interrupted:
            return self._end("interrupted", Exit.INTERRUPTED, self.stays or "stopped while reading")
        except Exception as error:
            # The journal must not end in the middle of a sentence; the traceback is the command line's business.
            bug = Fault("P-RUN-BUG", f"{type(error).__name__}: {error}")
            self._end("failed", exit_code(bug.id), "", fault=bug)
            raise

    # -- what stories are told with

    async def read(self, reading: Coroutine[Any, Any, T]) -> T:
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

    def tell(self, plan: Plan) -> None:
        """The plan, and as warnings what it does not change."""
        self.recorder.emit(
            PlanMade(
                changes=len(plan.changes),
                keeps=sum(action.verb is Verb.KEEP for action in plan.actions),
                destroys=len(plan.destroys),
                actions=tuple(action.to_json() for action in plan.actions),
                warnings=tuple(asdict(warning) for warning in plan.warnings),
                differences=tuple(asdict(each) for each in plan.differences),
            )
        )
        for names, each in plan.told_differences:
            message = f"{listed(names)}: {each.words}; {each.next_steps}"
            self.recorder.emit(Note(level="warning", message=message))

    def check_confirmed(self, plan: Plan, shown: Plan | None) -> None:
        """Raises P-RUN-PLANCHANGED when more would be destroyed than was confirmed."""
        more = {a.id for a in plan.destroys} - {a.id for a in shown.destroys} if shown else set()
        if more:
            raise Fault(
                "P-RUN-PLANCHANGED",
                "the plan has changed since it was shown",
                expected="to remove only what was confirmed",
                seen=tuple(f"also {name}" for name in sorted(more)),
            )

    async def carry_out(self, seen: Observed, plan: Plan, *, keys: bool = True) -> Outcome:
        """Does the plan. `keys=False` where none are needed: what is removed is known by its mark, and damaged secrets are a reason to remove."""
        self._run = run = new_run(
            self.cluster,
            self.ports,
            seen,
            waiter=Waiter(
                clock=self.ports.clock,
                emit=self.recorder.emit,
                stop=self.stop,
                scale=self.options.wait_scale,
            ),
            options=self.options,
            picture=self._picture,
            actions=plan.actions,
        )
        if keys:
            run.keys = read_keys(self.ports.store, self.ports.configs)
        try:
            return await Engine(plan, run, self.workflow.apply).go()
        finally:
            self.health = run.health
            for finder in run.finders.values():
                await finder.close()

    def refused(self, plan: Plan, summary: str = "nothing was changed") -> Result:
        """The plan itself says no. All refusals are told, lowest step first."""
        first = plan.refusals[0]
        for action in plan.refusals[1:]:
            if action.fault is not None:
                self._tell_fault(action.fault, action.step)
        assert first.fault is not None, "a refusal carries its fault"
        return self._end("failed", exit_code(first.fault.id), summary, fault=first.fault, step=first.step)

    def ended(self, plan: Plan, outcome: Outcome, *, done: str, nothing: str) -> Result:
        """The last word: `done` when all was done, `nothing` when there was nothing to do. One lost host is told once, however many
        actions it ended.
        """
        left = tuple(f"{action.step}: {action.object}" for action in outcome.left)
        found = outcome.first_fault(plan)
        if found is not None:
            step, fault = found
            told = [fault]
            for other_step, other in outcome.faults:
                if not any(_same(other, earlier) for earlier in told):
                    told.append(other)
                    self._tell_fault(other, other_step)
            return self._end("failed", exit_code(fault.id), self.stays, fault=fault, step=step, left=left)
        if outcome.interrupted:
            return self._end("interrupted", Exit.INTERRUPTED, self.stays, left=left)
        if not any(action.work for action in plan.actions):
            return self._end("unchanged", Exit.DONE, f"nothing to do: {nothing}")
        return self._end("ok", Exit.DONE, done)

    # -- events

    def _tell_fault(self, fault: Fault, step: StepId | None) -> None:
        self.recorder.emit(FaultReported.from_report(fault, step=step, resume_command=self.resume_command))

    def _end(
        self,
        outcome: str,
        exit: int,
        summary: str,
        *,
        fault: Fault | None = None,
        step: StepId | None = None,
        left: tuple[str, ...] = (),
    ) -> Result:
        if fault is not None:
            self._tell_fault(fault, step or self.workflow.steps[0])
        ended = RunEnded(
            outcome=outcome,
            exit=int(exit),
            elapsed_s=round(self.recorder.elapsed_s, 3),
            fault=fault.id if fault else None,
            summary=summary,
            left=left,
            resume_command="" if outcome in ("ok", "unchanged") else self.resume_command,
        )
        self.recorder.emit(ended)
        return Result(ended=ended, fault=fault)

    async def _picture(self, machine: str) -> str:
        """The VM's screen into the run's folder. A picture is a help, never a reason to fail."""
        run = self._run
        vm = run.of(machine).vm if run else None
        if run is None or vm is None:
            return ""
        try:
            return str(await save_screen(self.ports, self.cluster.machine(machine), vm.id, self.run_folder))
        except (TransportError, Fault, ValueError):  # ValueError: pixels that make no picture
            return ""


def _same(fault: Fault, other: Fault) -> bool:
    """Whether both tell the same, for no machine in particular."""
    if fault is other:
        return True
    return not fault.machine and (fault.id, fault.message, *fault.seen) == (other.id, other.message, *other.seen)


def new_run(
    cluster: Cluster,
    ports: Ports,
    seen: Observed,
    *,
    waiter: Waiter,
    options: RunOptions,
    picture: Callable[[str], Awaitable[str]],
    actions: Sequence[Action] = (),
) -> Run:
    """The one way to make a `Run`; asks nothing of the outside. `actions` are those it will do: the finders look for all that they need at once."""
    run = Run(
        cluster=cluster,
        ports=ports,
        seen=seen,
        waiter=waiter,
        options=options,
        picture=picture,
        etcd_runs=seen.etcd is not None,
    )
    for name, host in ports.hosts.items():
        coming = {cluster.machine(a.machine).mac for a in actions if isinstance(a.work, FindMachine) and a.host == name}
        run.finders[name] = AddressDiscovery(host=host, clock=ports.clock, learned=run.learned, coming=coming)
        found = image_facts(cluster, seen.hosts[name])
        if found is not None and found.exists:
            run.images[name] = found
    for machine in cluster.machines:
        own, facts = run.of(machine.name), seen.machines.get(machine.name)
        own.vm = find_vm(machine, seen.hosts[machine.host], seen.secrets)
        if facts is not None:
            own.address, own.facts = facts.address, facts
    return run
