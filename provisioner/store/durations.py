"""How long things usually take here: medians of earlier runs that ended well."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from statistics import median

from provisioner.model.events import PlanMade, RunEnded, RunStarted, StepEnded
from provisioner.model.plan import Verb
from provisioner.model.steps import StepId
from provisioner.store.journal import read_run, run_numbers

RUN = "run"
LOOKED_AT = 20
"""Runs that are read at most; older ones tell of another host."""
ENOUGH = 5


def usual_times(cluster_folder: Path, *, command: str) -> Mapping[str, float]:
    """Seconds of the clock port by step id, and of a whole run by `run`; empty without a record.

    Only whole runs count, which made every machine and got to the last step, and in them only steps that were not kept.
    """
    steps: dict[str, list[float]] = {}
    counted = 0
    for number in reversed(run_numbers(cluster_folder)[-LOOKED_AT:]):
        took: Mapping[str, float] = {}
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):  # events of another program
            took = _times(cluster_folder / "runs" / str(number), command)
        for key, seconds in took.items():
            steps.setdefault(key, []).append(seconds)
        counted += bool(took)
        if counted == ENOUGH:
            break
    return {key: median(seconds) for key, seconds in steps.items()}


def _times(run_folder: Path, command: str) -> dict[str, float]:
    """Of one run; empty for a run that did not do the whole of the command."""
    took: dict[str, float] = {}
    last = None
    for event in read_run(run_folder):
        match event:
            case RunStarted(command=begun):
                last = event.steps[-1]["id"] if event.steps else ""
                if begun != command:
                    return {}
            case PlanMade() if command != "down" and not _makes_all(event, last):
                return {}
            case StepEnded(outcome="done"):
                took[event.step] = event.elapsed_s
            case RunEnded(outcome="ok"):
                took[RUN] = event.elapsed_s
            case _:
                pass
    return took if last is not None and RUN in took and all(map(_is_sound, took.values())) else {}


def _is_sound(seconds: object) -> bool:
    return isinstance(seconds, int | float) and isfinite(seconds)


def _makes_all(plan: PlanMade, last: str | None) -> bool:
    """Whether the plan goes to the last step and makes every machine: a run that resumes, or stops early, says nothing of a whole one."""
    steps = {str(action.get("step")) for action in plan.actions}
    vms = [str(action.get("verb")) for action in plan.actions if action.get("step") == StepId.VM]
    return last in steps and bool(vms) and all(verb == Verb.CREATE for verb in vms)
