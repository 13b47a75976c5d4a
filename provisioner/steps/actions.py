"""Short ways to make the actions of a step."""

from __future__ import annotations

from provisioner.errors import Fault
from provisioner.model.cluster import MachineSpec
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import Work


class Kept(str):
    """What `apply` returns when it found that nothing had to be done after all: the reason why. Counted as a keep."""

    __slots__ = ()


def for_machine(
    step: StepId,
    machine: MachineSpec,
    verb: Verb,
    why: str,
    *,
    work: Work | None = None,
    bound_s: float = 0.0,
    warning: str = "",
    fault: Fault | None = None,
) -> Action:
    """An action on one machine, on that machine's host."""
    return Action(
        step=step,
        verb=verb,
        object=machine.name,
        machine=machine.name,
        host=machine.host,
        why=why,
        work=work,
        bound_s=bound_s,
        warning=warning,
        fault=fault,
    )


def refuse(step: StepId, machine: MachineSpec, fault: Fault) -> Action:
    return for_machine(step, machine, Verb.REFUSE, fault.message, fault=fault)
