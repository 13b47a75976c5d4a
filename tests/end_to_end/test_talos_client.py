"""Talos' own Go client talks to the lab's machines with the talosconfig that `up` wrote."""

from __future__ import annotations

import pytest
import yaml

from tests.end_to_end.conftest import Desk
from tests.interop.talos.judge import build_judge


@pytest.mark.go
@pytest.mark.timeout(600)
def test_talos_own_client_is_answered(whole: Desk) -> None:
    judge = build_judge()
    path = whole.provision_home / "lab" / "talosconfig"
    document = yaml.safe_load(path.read_text())
    nodes = document["contexts"][document["context"]]["nodes"]
    answers = [judge.talk(path, node) for node in nodes]
    assert len(answers) == 4
    for answer in answers:
        assert answer["version"] == ["v1.11.5"]
        assert answer["services"]["kubelet"] == "Running"
        assert answer["machine_status"]["stage"] == "running"
    for node in nodes:
        kinds = judge.ask("kinds", path, node)
        assert {name: kind for name, kind in kinds.items() if kind["error"] or not kind["typed"]} == {}
    members = [answer["etcd_members"] for answer in answers if "etcd_error" not in answer]
    assert members == [["lab-cp-1"]], "the control plane alone tells of etcd"
