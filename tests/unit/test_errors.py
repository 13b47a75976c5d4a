"""A failure is one record: raised as a Fault, told as an event, kept in the journal, shown, printed as JSON."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime

import pytest

from provisioner.errors import FailureReport, Fault, Finding, SourceLocation
from provisioner.faults import FAULTS
from provisioner.model.events import FaultReported, from_json
from provisioner.model.steps import StepId

PLACE = SourceLocation(file="clusters/home.yaml", line=3, column=1)
FULL = Fault(
    "P-CONFIG-REFUSED",
    "Talos refuses the config of home-cp-1",
    machine="home-cp-1",
    expected="a config that Talos takes",
    seen=["no such disk"],
    probable_cause="the disk is called otherwise",
    next_steps=["provision config check home", "provision up home"],
    see_also=["provision status home"],
    resume_command=["provision up home"],
    picture="runs/1/home-cp-1.png",
    findings=[Finding(place=PLACE, path="machines[0].disk", problem="no such disk")],
)
WHEN = {"t": datetime(2026, 5, 23, tzinfo=UTC), "at_s": 1.5}


def told(fault: Fault) -> FaultReported:
    return FaultReported.from_report(fault, step=StepId.CONFIG, resume_command="provision up home", **WHEN)


def test_this_test_fills_every_field() -> None:
    assert all(getattr(FULL, item.name) for item in fields(FailureReport))


def test_an_event_carries_every_field_of_the_fault() -> None:
    event = told(FULL)
    for item in fields(FailureReport):
        if item.name != "next_steps":
            assert getattr(event, item.name) == getattr(FULL, item.name), item.name
    assert event.next_steps == ("provision config check home",), "the command that goes on has a line of its own"
    assert event.step is StepId.CONFIG


def test_the_journal_gives_back_what_was_told() -> None:
    event = told(FULL)
    assert from_json(json.loads(json.dumps(event.to_json()))) == event


def test_the_keys_of_the_json_stay() -> None:
    keys = {"id", "message", "exit", "machine", "expected", "seen", "probable_cause", "next_steps", "see_also"}
    keys |= {"resume_command", "picture", "findings"}
    line = FULL.to_json()
    assert set(line) == keys
    assert set(told(FULL).to_json()) >= {"t", "type", "at_s", "step", *keys}
    assert json.loads(json.dumps(line))["findings"][0]["place"] == {"file": PLACE.file, "line": 3, "column": 1}


@pytest.mark.parametrize("fault_id", ["P-CONFIG-REFUSED", "P-RUN-BUG"])
def test_the_exit_code_is_that_of_the_table(fault_id: str) -> None:
    assert Fault(fault_id, "message").exit == FAULTS[fault_id].exit


def test_a_journal_of_another_version_keeps_its_exit_code() -> None:
    event = from_json(
        {"t": "2026-05-23T00:00:00Z", "type": "fault", "at_s": 0, "id": "P-OLD", "message": "m", "exit": 9}
    )
    assert isinstance(event, FaultReported)
    assert event.exit == 9


def test_a_fault_does_not_change_and_can_be_raised_anywhere() -> None:
    with pytest.raises(FrozenInstanceError):
        FULL.machine = "another"  # type: ignore[misc]

    @contextlib.contextmanager
    def manager() -> Iterator[None]:
        yield

    with pytest.raises(Fault) as caught, manager():  # contextlib sets the traceback of what passes through
        raise FULL
    assert caught.value is FULL
    assert str(FULL) == "P-CONFIG-REFUSED: Talos refuses the config of home-cp-1"
    assert Fault(FULL.id, FULL.message) != FULL, "an exception is itself alone"
