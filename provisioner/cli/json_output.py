"""Objects that `--json` prints, beside those that the model has itself."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from provisioner.errors import Fault
from provisioner.model.redaction import json_line

if TYPE_CHECKING:
    from provisioner.model.plan import Plan


def print_json(value: Mapping[str, object], *, indent: int | None = None) -> None:
    """One object on stdout, without anything that is known to be secret."""
    sys.stdout.write(json_line(value, indent=indent, encoding=sys.stdout.encoding or "utf-8"))


def fault_object(fault: Fault) -> dict[str, Any]:
    """An error is an object too."""
    return {"schema": "provision/fault/1", **fault.to_json()}


def plan_object(plan: Plan, *, file: str, read_s: float) -> dict[str, Any]:
    """The object of `plan --json` and of `--dry-run --json`."""
    return {
        "schema": "provision/plan/1",
        "cluster": plan.cluster,
        "file": file,
        "read_s": read_s,
        "changes": len(plan.changes),
        "destroys": len(plan.destroys),
        "refusals": len(plan.refusals),
        "actions": [action.to_json() for action in plan.actions],
        "warnings": [asdict(warning) for warning in plan.warnings],
        "differences": [asdict(each) for each in plan.differences],
        "uncompared": list(plan.uncompared),
    }
