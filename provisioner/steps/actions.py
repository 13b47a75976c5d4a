"""Short ways to make the actions of a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from provisioner.errors import Fault
from provisioner.model.cluster import MachineSpec
from provisioner.model.plan import Action, Verb
from provisioner.model.steps import StepId


class Kept(str):
    """What `apply` returns when it found that nothing had to be done after all: the reason why. Counted as a keep."""

    __slots__ = ()


def for_machine(
    step: StepId,
    machine: MachineSpec,
    verb: Verb,
    why: str,
    *,
    kind: str = "",
    details: Mapping[str, Any] | None = None,
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
        kind=kind,
        details=details or {},
        bound_s=bound_s,
        warning=warning,
        fault=fault,
    )


def refuse(step: StepId, machine: MachineSpec, fault: Fault) -> Action:
    return for_machine(step, machine, Verb.REFUSE, fault.message, fault=fault)
