"""The question before something is destroyed, and the refusals that come before the question."""

from __future__ import annotations

import sys

from provisioner.errors import Fault
from provisioner.faults import Exit
from provisioner.model.cluster import Cluster
from provisioner.model.plan import Plan


def refusal_code(*plans: Plan) -> int:
    """The exit code with which the run of these plans would end; 0 where none refuses anything."""
    fault = next((action.fault for plan in plans for action in plan.refusals if action.fault), None)
    return fault.exit if fault else Exit.DONE


def refuse_protected(cluster: Cluster, plan: Plan) -> None:
    """Raises P-RUN-PROTECTED where the plan would remove a cluster that its file protects."""
    if plan.changes and cluster.protect is not None:
        raise Fault(
            "P-RUN-PROTECTED",
            f"{cluster.name} is protected by its file",
            expected="no protect: true",
            seen=(f"{cluster.protect}: protect: true",),
            next_steps=("remove that line first",),
        )


def confirm(cluster: Cluster, verb: str, *, command: str, yes: bool) -> None:
    """Asks for the cluster's name; `yes` stands for the answer. Raises P-RUN-CONFIRM for another answer, and without a terminal."""
    name = cluster.name
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Fault(
            "P-RUN-CONFIRM",
            f"this would {verb} {name}, and there is no terminal to ask in",
            expected="--yes, or a terminal",
            next_steps=(f"provision {command} {name} --yes",),
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
