"""Short ways to make the actions of a step, on a machine (then on its host too) or on a thing by its name."""

from __future__ import annotations

from typing import TypedDict, Unpack

from provisioner.errors import Fault
from provisioner.model.cluster import MachineSpec
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import Work


class Kept(str):
    """What `apply` returns when it found that nothing had to be done after all: the reason why. Counted as a keep."""

    __slots__ = ()


class _More(TypedDict, total=False):
    machine: str
    host: str
    bound_s: float
    warning: str
    destroys: str
    fault: Fault
    absent: bool
    seen: str
    command: str


def act(
    step: StepId, about: MachineSpec | str, verb: Verb, why: str, work: Work | None = None, **more: Unpack[_More]
) -> Action:
    if isinstance(about, str):
        return Action(step=step, verb=verb, object=about, why=why, work=work, **more)
    more = {"machine": about.name, "host": about.host, **more}
    return Action(step=step, verb=verb, object=about.name, why=why, work=work, **more)


def keep(step: StepId, about: MachineSpec | str, why: str, **more: Unpack[_More]) -> Action:
    return act(step, about, Verb.KEEP, why, **more)


def refuse(step: StepId, about: MachineSpec | str, fault: Fault, host: str = "") -> Action:
    """The fault says why, and which machine it is about where the action is about one."""
    if isinstance(about, str):
        return act(step, about, Verb.REFUSE, fault.message, fault=fault, host=host)
    return act(step, about, Verb.REFUSE, fault.message, fault=fault)
