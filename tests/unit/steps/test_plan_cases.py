"""Plans, by case files: desired and observed values in, actions out. A new case is a new file under tests/cases, no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.model.options import RemovalScope, RunOptions
from provisioner.model.plan import Action, Plan, Verb
from provisioner.model.steps import StepId
from provisioner.model.work import ChangeVm, Work
from provisioner.workflows.down import plan_down
from provisioner.workflows.up import plan_up
from tests.unit.steps.world import cluster_of, observed_of

CASES = Path(__file__).resolve().parents[2] / "cases"
FILES = sorted(path for path in CASES.rglob("*.yaml"))


def load(path: Path) -> dict[str, Any]:
    case: dict[str, Any] = yaml.safe_load(path.read_text())
    return case


def planned(case: dict[str, Any]) -> Plan:
    cluster = cluster_of(case.get("desired", {}))
    seen = observed_of(case.get("observed", {}), cluster)
    if case.get("command") == "down":
        return plan_down(cluster, seen, RunOptions(remove=RemovalScope(**case.get("extent", {}))))
    return plan_up(cluster, seen, RunOptions(retry_switch=case.get("retry_switch", False)))


def matches(action: Action, wanted: dict[str, Any]) -> bool:
    fault = action.fault.id if action.fault else None
    return (
        action.verb == wanted["verb"]
        and ("object" not in wanted or action.object == wanted["object"])
        and ("kind" not in wanted or action.kind == wanted["kind"])
        and ("fault" not in wanted or fault == wanted["fault"])
        and wanted.get("why", "") in action.why
        and wanted.get("warning", "") in action.warning
        and wanted.get("next_steps", "") in "\n".join(action.fault.next_steps if action.fault else ())
        and all(str(told(action.work, key)) == str(value) for key, value in wanted.get("work", {}).items())
        and ("machine" not in wanted or action.machine == wanted["machine"])
        and wanted.keys() <= KNOWN
    )


KNOWN = {"verb", "object", "kind", "fault", "why", "warning", "next_steps", "work", "machine"}


def told(work: Work | None, key: str) -> object:
    """What the action is to do, by name; of a change also a setting of the VM."""
    return work.changes[key] if isinstance(work, ChangeVm) and key in work.changes else getattr(work, key)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CASES).with_suffix("").as_posix())
def test_plan(path: Path) -> None:
    case = load(path)
    plan = planned(case)
    assert case["expect"], "a case that expects nothing cannot fail"
    for step, wanted in case["expect"].items():
        actions = list(plan.of(StepId(step)))
        assert len(actions) == len(wanted), f"{step}: {[(a.verb, a.object, a.why) for a in actions]}"
        for action, want in zip(actions, wanted, strict=True):
            assert matches(action, want), f"{step}: wanted {want}, planned {action}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(CASES).with_suffix("").as_posix())
def test_every_action_has_its_reason(path: Path) -> None:
    plan = planned(load(path))
    ids = [action.id for action in plan.actions]
    assert len(ids) == len(set(ids)), "ids of actions are unique within a plan"
    for action in plan.actions:
        assert action.why, f"{action.id} has no reason"
        assert (action.fault is not None) == (action.verb is Verb.REFUSE)
        assert bool(action.kind) == (action.verb not in (Verb.KEEP, Verb.REFUSE)), (
            "what is done has a function that does it"
        )
