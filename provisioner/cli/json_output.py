"""Objects that `--json` prints, beside those that the model has itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from provisioner.errors import Fault
from provisioner.model.plan import Plan
from provisioner.workflows.session import action_line


def fault_object(fault: Fault) -> dict[str, Any]:
    """An error is an object too."""
    return {"schema": "provision/fault/1", **fault.to_json()}


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
