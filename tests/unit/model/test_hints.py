"""What earlier runs noted: of the form it has, or nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from provisioner.model.facts import EtcdBegan
from provisioner.model.hints import Hints, MachineHint

FULL = Hints(
    machines={"home-cp-1": MachineHint(address="192.0.2.1", installed=True, vm="id-1"), "gone": MachineHint()},
    images={"a.iso": "ab" * 32},
    endpoint="https://192.0.2.1:6443",
    client_endpoint="https://127.0.0.1:6443",
    etcd_began=EtcdBegan(vms=("id-1",)),
    others={"of another version": [1]},
)


def test_a_file_gives_back_what_was_written() -> None:
    assert Hints.from_json(json.loads(json.dumps(FULL.to_json()))) == FULL
    assert Hints().to_json() == {}


def test_installed_is_believed_of_that_vm_alone() -> None:
    hint = FULL.of("home-cp-1")
    assert hint.installed_on("id-1")
    assert not hint.installed_on("id-2")
    assert not MachineHint(vm="id-1").installed_on("id-1")
    assert not FULL.of("home-worker-1").installed_on("")


@pytest.mark.parametrize(
    "told",
    [
        {"machines": 7, "images": [], "endpoint": 1, "client_endpoint": {}, "bootstrapped": 0},
        {"machines": None, "images": None, "endpoint": None, "client_endpoint": None, "bootstrapped": None},
    ],
)
def test_another_form_says_nothing(told: dict[str, Any]) -> None:
    assert Hints.from_json(told) == Hints()


def test_a_machine_of_another_form_says_nothing_of_itself() -> None:
    hints = Hints.from_json({"machines": {"a": "x", "b": {"address": 5, "installed": 1, "vm": None}}})
    assert hints.of("a") == hints.of("b") == MachineHint()


@pytest.mark.parametrize(("told", "vms"), [(True, ()), ({"vms": "id-1"}, ()), ({"vms": ["id-1"]}, ("id-1",))])
def test_a_start_of_etcd_is_never_forgotten_for_its_form(told: Any, vms: tuple[str, ...]) -> None:
    assert Hints.from_json({"bootstrapped": told}).etcd_began == EtcdBegan(vms=vms)


def test_who_gives_up_the_machines_keeps_the_rest() -> None:
    left = FULL.without_cluster()
    assert (left.etcd_began, left.endpoint) == (None, "")
    assert (left.machines, left.images, left.others) == (FULL.machines, FULL.images, FULL.others)
