"""Objects that `--json` prints, beside those that the model has itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from provisioner.errors import Fault
from provisioner.faults import exit_code
from provisioner.model.plan import Plan
from provisioner.workflows.session import action_line


def fault_object(fault: Fault) -> dict[str, Any]:
    """An error is an object too."""
    return {
        "schema": "provision/fault/1",
        "id": fault.id,
        "exit": exit_code(fault.id),
        "message": fault.message,
        "expected": fault.expected,
        "seen": list(fault.seen),
        "probable_cause": fault.probable_cause,
        "next_steps": list(fault.next_steps),
        "resume": fault.resume,
        "see_also": list(fault.see_also),
        "picture": fault.picture,
        "machine": fault.machine,
        "findings": [asdict(finding) for finding in fault.findings],
    }


def plan_object(plan: Plan, *, file: str, read_s: float) -> dict[str, Any]:
    return {
        "schema": "provision/plan/1",
        "cluster": plan.cluster,
        "file": file,
        "read_s": read_s,
        "changes": len(plan.changes),
        "destroys": len(plan.destroys),
        "refusals": len(plan.refusals),
        "actions": [action_line(action) for action in plan.actions],
        "warnings": [asdict(warning) for warning in plan.warnings],
        "differences": [asdict(each) for each in plan.differences],
        "uncompared": list(plan.uncompared),
    }
