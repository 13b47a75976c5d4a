"""Hints of earlier runs: believed only of the very thing they were noted of, and never trusted to have a form."""

from __future__ import annotations

from typing import Any

import pytest

from provisioner.model.effective import EffectiveConfig
from provisioner.model.hints import Hints, MachineHint
from provisioner.workflows.up import expected_endpoint
from tests.unit.steps.running import run_of
from tests.unit.steps.world import cluster_of, observed_of

CP = "home-cp-1"


def test_installed_is_believed_of_the_vm_it_was_seen_on_alone() -> None:
    """After `down` and `up` a VM of the same name has an empty disk: nothing on it can have halted."""
    cluster = cluster_of({})
    run, _ = run_of(cluster, observed_of({"all": "up"}, cluster))
    run.remember_address(CP, "192.168.1.101", installed=True)
    assert run.was_installed(CP)
    again, _ = run_of(
        cluster,
        observed_of({"all": "up", "vms": [{"name": CP, "id": "another"}]}, cluster),
        notes=run.ports.store.read_hints().to_json(),
    )
    assert not again.was_installed(CP)
    assert not again.was_installed("home-worker-1")


@pytest.mark.parametrize("notes", [{"machines": 7}, {"machines": {CP: "x"}}, {"machines": None}, {"images": []}])
def test_notes_of_another_form_are_no_hint(notes: dict[str, Any]) -> None:
    hints = Hints.from_json(notes)
    assert (hints.of(CP), hints.images.get("a.iso", "")) == (MachineHint(), "")
    cluster = cluster_of({})
    assert expected_endpoint(cluster, EffectiveConfig(), hints) == "https://FIRST-CONTROL-PLANE:6443"
    run, _ = run_of(cluster, observed_of({"all": "up"}, cluster), notes=notes)
    assert not run.was_installed(CP)
    run.remember_address(CP, "192.168.1.101", installed=True)
    assert run.was_installed(CP)
