"""Runs the actions of a plan: each as soon as what it needs is done, so that every machine has its own lane and no phase waits for the
slowest. One action's failure stops only what hangs on it; the others go on, and nothing is undone.

The first Ctrl-C lets no new action begin and ends all waits; an action at work on the host ends in its own time.
"""

from __future__ import annotations

import asyncio
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from provisioner.errors import Abandoned, Fault, Interrupted, ProvisionError
from provisioner.model.events import ActionEnded, ActionStarted, StepEnded, StepStarted
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import STEP, STEPS, StepId
from provisioner.steps.actions import Kept
from provisioner.steps.run_context import Run

Apply = Callable[[Action, Run], Awaitable[str]]
Needs = Callable[[Action, Sequence[Action]], Sequence[Action]]
"""Which other actions of the plan must be done before this one."""


@dataclass(kw_only=True)
class Outcome:
    """How the actions ended."""

    faults: list[tuple[StepId, Fault]] = field(default_factory=list)
    interrupted: bool = False
    done: int = 0
    left: list[Action] = field(default_factory=list)
    """Actions that were not begun."""


@dataclass(kw_only=True)
class Engine:
    """Runs one plan once."""

    run: Run
    actions: Sequence[Action]
    appliers: Mapping[StepId, Apply]
    needs: Needs
    outcome: Outcome = field(default_factory=Outcome)
    _ended: dict[str, asyncio.Future[bool]] = field(default_factory=dict)
    """By action id: whether it was done."""
    _begun: dict[StepId, float] = field(default_factory=dict)
    _open: dict[StepId, int] = field(default_factory=dict)
    _failed: set[StepId] = field(default_factory=set)
    """Steps with an action of their own that failed."""
    _blocked: dict[StepId, list[Action]] = field(default_factory=dict)
    """Actions that were not begun, since what they need did not come about."""
    _worked_until: dict[StepId, float] = field(default_factory=dict)
    """When the last action of a step that was begun ended."""
    _proofs: dict[StepId, list[str]] = field(default_factory=dict)
    _good: set[str] = field(default_factory=set)
    """Ids of the actions that are done."""
    _found_kept: set[str] = field(default_factory=set)
    """Ids of those that turned out to have nothing to do."""

    async def go(self) -> Outcome:
        """Does all actions; faults are in the outcome, and what else is raised comes as itself: a bug, or a screen that is gone."""
        loop = asyncio.get_running_loop()
        for action in self.actions:
            self._ended[action.id] = loop.create_future()
            self._open[action.step] = self._open.get(action.step, 0) + 1
        try:
            async with asyncio.TaskGroup() as group:
                for action in self.actions:
                    group.create_task(self._lane(action), name=action.id)
        except BaseExceptionGroup as group_of_errors:
            raise _innermost(group_of_errors) from group_of_errors
        return self.outcome

    async def _lane(self, action: Action) -> None:
        before = self.needs(action, self.actions)
        ready = all([await self._ended[other.id] for other in before])
        good = False
        try:
            if not ready or self.run.stop.is_set():
                self.outcome.left.append(action)
                self._blocked.setdefault(action.step, []).append(action)
                self.outcome.interrupted |= self.run.stop.is_set()
            else:
                good = await self._do(action)
                self._worked_until[action.step] = self.run.ports.clock.now()
        finally:
            if good:
                self._good.add(action.id)
            elif action.machine:
                self.run.failed.add(action.machine)
                self.run.learned.set()
            self._ended[action.id].set_result(good)
            self._step_done(action)

    async def _do(self, action: Action) -> bool:
        self._step_begun(action)
        if not action.kind:  # a keep: its reason is its proof
            self._proofs.setdefault(action.step, []).append(action.why)
            self.outcome.done += 1
            return True
        begun = self.run.ports.clock.now()
        self._emit_started(action)
        outcome, proof = "failed", ""
        try:
            proof = await self.appliers[action.step](action, self.run)
            outcome = "kept" if isinstance(proof, Kept) else "done"
        except Interrupted:
            outcome = "stopped"
            self.outcome.interrupted = True
        except Abandoned as reason:
            outcome, proof = "stopped", str(reason)
            self.outcome.left.append(action)
            self._blocked.setdefault(action.step, []).append(action)
        except Fault as fault:
            self._failed.add(action.step)
            self.outcome.faults.append((action.step, fault))
            proof = fault.message
        except ProvisionError as error:
            self._failed.add(action.step)
            self.outcome.faults.append((action.step, _unexpected(action, error)))
            proof = str(error)
        finally:
            elapsed = round(self.run.ports.clock.now() - begun, 3)
            self.run.emit(
                ActionEnded(
                    step=action.step,
                    action=action.id,
                    outcome=outcome,
                    elapsed_s=elapsed,
                    machine=action.machine or None,
                    proof=proof,
                    **self.run.waiter.stamp(),
                )
            )
        if outcome in ("done", "kept"):
            self._proofs.setdefault(action.step, []).append(proof)
            self._found_kept |= {action.id} if outcome == "kept" else set()
            self.outcome.done += 1
        return outcome in ("done", "kept")

    def _emit_started(self, action: Action) -> None:
        self.run.emit(
            ActionStarted(
                step=action.step,
                action=action.id,
                verb=action.verb,
                object=action.object,
                machine=action.machine or None,
                why=action.why,
                **self.run.waiter.stamp(),
            )
        )

    def _step_begun(self, action: Action) -> None:
        if action.step not in self._begun:
            self._begun[action.step] = self.run.ports.clock.now()
            machines = tuple(a.machine for a in self.actions if a.step is action.step and a.machine and a.kind)
            self.run.emit(StepStarted(step=action.step, machines=machines, **self.run.waiter.stamp()))

    def _step_done(self, action: Action) -> None:
        step = action.step
        self._open[step] -= 1
        if self._open[step] or step not in self._begun:
            return
        own = [a for a in self.actions if a.step is step]
        good = [a for a in own if a.id in self._good]
        kept = all(self._was_kept(a) for a in own)
        outcome = (
            "failed" if step in self._failed else "kept" if kept else "done" if len(good) == len(own) else "stopped"
        )
        said = [self._summary(good, self._proofs.get(step, []), kept=kept)] if good else []
        blocked = [a.machine or a.object for a in self._blocked.get(step, ())]
        if blocked:
            said.append(f"not begun: {', '.join(blocked[:LISTED])}" + (" ..." if len(blocked) > LISTED else ""))
        self.run.emit(
            StepEnded(
                step=step,
                outcome=outcome,
                elapsed_s=round(self._worked_until.get(step, self.run.ports.clock.now()) - self._begun[step], 3),
                summary="; ".join(filter(None, said)),
                **self.run.waiter.stamp(),
            )
        )

    def _was_kept(self, action: Action) -> bool:
        return not action.kind or action.id in self._found_kept

    def _summary(self, actions: Sequence[Action], proofs: Sequence[str], *, kept: bool) -> str:
        """One line for a finished step."""
        if len(actions) == 1 and len(proofs) == 1:
            text = proofs[0]
            return f"kept: {text}" if kept and text else text
        if kept:
            return f"{len(actions)} kept"
        words = Counter("kept" if self._was_kept(action) else _word(action) for action in actions)
        return ", ".join(f"{count} {word}" for word, count in words.items())


LISTED = 4
"""Names that a summary gives at most."""


def _word(action: Action) -> str:
    waited = action.verb is Verb.WAIT and STEP[action.step].done_word
    return waited or _DONE.get(action.verb, str(action.verb))


_DONE = {
    Verb.CREATE: "created",
    Verb.CHANGE: "changed",
    Verb.REMOVE: "removed",
    Verb.START: "started",
    Verb.APPLY: "applied",
    Verb.EJECT: "ejected",
    Verb.FETCH: "fetched",
    Verb.WRITE: "written",
}


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


def first_in_order(outcome: Outcome) -> tuple[StepId, Fault] | None:
    """The fault of the lowest step: what a reader should look at first."""
    order = {step.id: number for number, step in enumerate(STEPS)}
    return min(outcome.faults, key=lambda item: order[item[0]], default=None)
