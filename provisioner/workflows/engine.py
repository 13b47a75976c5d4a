"""Runs the actions of a plan: each as soon as those that it comes after are done, so that every machine has its own lane and no phase waits
for the slowest. One action's failure stops only what comes after it; the others go on, and nothing is undone.

The first Ctrl-C lets no new action begin and ends all waits; an action at work on the host ends in its own time.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from provisioner.errors import Abandoned, Fault, Interrupted, ProvisionError
from provisioner.model.events import ActionEnded, ActionStarted, StepEnded, StepStarted
from provisioner.model.plan import Action, Plan, Verb
from provisioner.model.steps import STEP, StepId
from provisioner.model.wording import listed
from provisioner.steps.actions import Kept
from provisioner.steps.run_context import Run

Apply = Callable[[Action, Run], Awaitable[str]]
"""Does one action and gives its proof in words. Raises Fault, Interrupted, Abandoned."""


_GOOD = ("done", "kept")
"""Outcomes after which the actions that come after it may begin."""


@dataclass(kw_only=True)
class Outcome:
    """How the actions ended."""

    faults: list[tuple[StepId, Fault]] = field(default_factory=list)
    interrupted: bool = False
    left: list[Action] = field(default_factory=list)
    """Actions that were not begun."""

    def first_fault(self, plan: Plan) -> tuple[StepId, Fault] | None:
        """The fault of the lowest step: what a reader should look at first."""
        return min(self.faults, key=lambda item: plan.number(item[0]), default=None)


@dataclass(kw_only=True)
class _Step:
    """What has become of a step's actions."""

    actions: list[Action] = field(default_factory=list)
    open: int = 0
    begun_s: float | None = None
    worked_until_s: float = 0.0
    """When the last action that was begun ended."""
    failed: bool = False
    blocked: list[Action] = field(default_factory=list)
    """Not begun, since what they come after did not come about."""
    proofs: list[str] = field(default_factory=list)


class Engine:
    """Runs one plan once."""

    def __init__(self, plan: Plan, run: Run, apply: Mapping[StepId, Apply]) -> None:
        self.plan = plan
        self.run = run
        self.outcome = Outcome()
        self._apply = apply
        self._ended: dict[str, asyncio.Future[str]] = {}
        """By action id: its outcome; empty for one that was not begun."""
        self._steps: dict[StepId, _Step] = {}

    async def go(self) -> Outcome:
        """Does all actions; faults are in the outcome, and what else is raised comes as itself: a bug, or a screen that is gone."""
        loop = asyncio.get_running_loop()
        for action in self.plan.actions:
            self._ended[action.id] = loop.create_future()
            step = self._steps.setdefault(action.step, _Step())
            step.actions.append(action)
            step.open += 1
        try:
            async with asyncio.TaskGroup() as group:
                for action in self.plan.actions:
                    group.create_task(self._lane(action), name=action.id)
        except BaseExceptionGroup as group_of_errors:
            raise _innermost(group_of_errors) from group_of_errors
        return self.outcome

    async def _lane(self, action: Action) -> None:
        ready = all([await self._ended[before] in _GOOD for before in action.after])
        step, outcome = self._steps[action.step], ""
        try:
            if ready and not self.run.stop.is_set():
                outcome = await self._do(action)
                step.worked_until_s = self.run.ports.clock.now()
            else:
                self.outcome.left.append(action)
                step.blocked.append(action)
                self.outcome.interrupted |= self.run.stop.is_set()
        finally:
            if action.machine and outcome not in _GOOD:
                self.run.of(action.machine).failed = True
                self.run.learned.set()
            self._ended[action.id].set_result(outcome)
            self._step_done(action.step)

    async def _do(self, action: Action) -> str:
        step, clock = self._steps[action.step], self.run.ports.clock
        if step.begun_s is None:
            step.begun_s = clock.now()
            machines = tuple(a.machine for a in step.actions if a.machine and a.work)
            self.run.waiter.emit(StepStarted(step=action.step, machines=machines))
        if action.work is None:  # a keep: its reason is its proof
            step.proofs.append(action.why)
            return "kept"
        machine, begun = action.machine or None, clock.now()
        self.run.waiter.emit(
            ActionStarted(
                step=action.step,
                action=action.id,
                verb=action.verb,
                object=action.object,
                machine=machine,
                why=action.why,
            )
        )
        outcome, proof = "failed", ""
        try:
            outcome, proof = await self._applied(action)
        finally:
            self.run.waiter.emit(
                ActionEnded(
                    step=action.step,
                    action=action.id,
                    outcome=outcome,
                    elapsed_s=round(clock.now() - begun, 3),
                    machine=machine,
                    proof=proof,
                )
            )
        if outcome in _GOOD:
            step.proofs.append(proof)
        return outcome

    async def _applied(self, action: Action) -> tuple[str, str]:
        """Outcome and proof, or what kept it from being done."""
        step = self._steps[action.step]
        try:
            proof = await self._apply[action.step](action, self.run)
            return "kept" if isinstance(proof, Kept) else "done", proof
        except Interrupted:
            self.outcome.interrupted = True
            return "stopped", ""
        except Abandoned as reason:
            self.outcome.left.append(action)
            step.blocked.append(action)
            return "stopped", str(reason)
        except ProvisionError as error:
            fault = error if isinstance(error, Fault) else _unexpected(action, error)
            step.failed = True
            self.outcome.faults.append((action.step, fault))
            return "failed", fault.message if fault is error else str(error)

    def _step_done(self, id: StepId) -> None:
        step = self._steps[id]
        step.open -= 1
        if step.open or step.begun_s is None:
            return
        good = [action for action in step.actions if self._ended[action.id].result() in _GOOD]
        kept = all(map(self._was_kept, step.actions))
        through = "done" if len(good) == len(step.actions) else "stopped"
        said = [self._summary(good, step.proofs, kept=kept)] if good else []
        if step.blocked:
            names = [action.machine or action.object for action in step.blocked]
            said.append(f"not begun: {listed(names)}")
        self.run.waiter.emit(
            StepEnded(
                step=id,
                outcome="failed" if step.failed else "kept" if kept else through,
                elapsed_s=round(step.worked_until_s - step.begun_s, 3),
                summary="; ".join(filter(None, said)),
            )
        )

    def _was_kept(self, action: Action) -> bool:
        return action.work is None or self._ended[action.id].result() == "kept"

    def _summary(self, actions: list[Action], proofs: list[str], *, kept: bool) -> str:
        """One line for a finished step."""
        if len(actions) == 1 and len(proofs) == 1:
            text = proofs[0]
            return f"kept: {text}" if kept and text else text
        if kept:
            return f"{len(actions)} kept"
        words = Counter("kept" if self._was_kept(action) else _word(action) for action in actions)
        return ", ".join(f"{count} {word}" for word, count in words.items())


def _word(action: Action) -> str:
    waited = action.verb is Verb.WAIT and STEP[action.step].done_word
    return waited or action.verb.done


def _unexpected(action: Action, error: ProvisionError) -> Fault:
    """An error of a port that the step did not expect: told as it is, with where it came from for the file of the bug."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    return Fault(
        "P-RUN-BUG",
        f"{action.step} of {action.object}: {type(error).__name__}: {error}",
        expected="an error that this step knows",
        seen=(f"raised in {where.name}, line {where.lineno}",),
        machine=action.machine,
    )


def _innermost(error: BaseException) -> BaseException:
    """The first error within groups of groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
