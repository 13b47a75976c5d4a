"""One suite of cases for two implementations of the host's functions. What a case expects is written from the facts about Hyper-V
(`source`), and neither implementation is held against the other.

A case has a world, and steps: a `call` with what it gives back, or something that happens meanwhile (`worlds.set_up`). In what is
expected, `~text` is a regular expression, `${name.Field}` a field of an earlier result, and a field that is not named may be anything; what
a result's fields are, in which order and of which type, is checked at every call.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.lab.world.world import World
from tests.contract.implementations import CONTRACT, Answer, Implementation, decoded
from tests.contract.worlds import durable, make_world, set_up
from tests.lab.world.hand import HandClock

FUNCTIONS: dict[str, Any] = CONTRACT["functions"]


def read_cases() -> list[dict[str, Any]]:
    files = sorted((Path(__file__).parent / "cases").glob("*.yaml"))
    return [
        {**case, "file": file.stem}
        for file in files
        for case in yaml.safe_load(file.read_text(encoding="utf-8"))["cases"]
    ]


CASES = read_cases()


@pytest.mark.parametrize("case", CASES, ids=[f"{case['file']}-{case['case']}" for case in CASES])
def test_case(case: dict[str, Any], implementation: Implementation) -> None:
    world = make_world(case)
    try:
        implementation.stand_on(world, case.get("caller", "administrator"))
        known: dict[str, dict[str, Any]] = {}
        for step in case["steps"]:
            if "call" in step:
                one_call(step, known, world, implementation)
            elif "until" in step:
                wait_until(step, known, world, implementation)
            elif "left" in step:
                check_left(step["left"], world)
            else:
                set_up(world, filled(step, known))
    finally:
        implementation.leave()
        world.stop()


def one_call(
    step: dict[str, Any], known: dict[str, dict[str, Any]], world: World, implementation: Implementation
) -> None:
    function, what_if = step["call"], step.get("what_if", False)
    still = isinstance(world.kernel.clock, HandClock)  # else jobs go on meanwhile
    before = durable(world) if what_if or (still and FUNCTIONS[function]["kind"] == "read") else None
    answer = implementation.call(function, filled(step.get("with", {}), known), what_if=what_if)
    check(step, known, answer)
    if before is not None:
        assert durable(world) == before, f"{function} changed the host"
    if what_if:
        assert not any(result["Changed"] for result in answer.results)
    if "as" in step:
        known[step["as"]] = answer.results[0]


def wait_until(
    step: dict[str, Any], known: dict[str, dict[str, Any]], world: World, implementation: Implementation
) -> None:
    """Reads until a switch is as expected: what its job does takes time of the world, in its own process or thread."""
    expected = filled(step["until"], known)
    kernel = world.kernel
    for _ in range(1000):
        [result] = implementation.call("Get-TalosSwitch", {"Name": expected["Name"]}, what_if=False).results
        if all(fits(result[name], value) for name, value in expected.items()):
            return
        with kernel.bell:
            kernel.clock.wait(kernel.bell, 25.0)  # until the world changes, at most that many of its seconds
    raise AssertionError(f"the switch is {result}")


def check(step: dict[str, Any], known: dict[str, dict[str, Any]], answer: Answer) -> None:
    function = step["call"]
    expected_errors = filled(step.get("errors", []), known)
    assert len(answer.errors) == len(expected_errors), answer.errors
    for error, expected in zip(answer.errors, expected_errors, strict=True):
        assert fits(error.id, expected["id"]), answer.errors
    row = FUNCTIONS[function]
    several = row["kind"] == "change" and row["parameters"][0] == {"name": "Id", "type": "string[]", "mandatory": True}
    for error, expected in zip(answer.errors, expected_errors, strict=True):
        assert error.id in row["errors"] or error.id.startswith("HyperV."), error
        assert error.category == expected["category"], error
        assert "target" not in expected or fits(error.target, expected["target"]), error
        assert error.terminating == (not several), error
        assert "message" not in expected or re.search(expected["message"], error.message), error
    if "expect" in step or not expected_errors:
        expected_results = filled(step.get("expect", []), known)
        assert len(answer.results) == len(expected_results), answer
        kinds = CONTRACT["types"][row["output"]]
        for result, expected in zip(answer.results, expected_results, strict=True):
            for name, value in expected.items():
                assert fits(decoded(result[name], kinds[name]), value), (
                    f"{name} is {result[name]!r}, expected {value!r}"
                )


def check_left(said: dict[str, Any], world: World) -> None:
    """What is on the host after the calls. A job tidies its files in its own process, after it has told that it is done."""
    for path in said.get("files", []):
        assert world.storage.exists(path), path
    for path in said.get("no_files", []):
        assert world.kernel.wait_for(functools.partial(is_gone, world, path), 60.0), path
    for path, mib in said.get("written", {}).items():
        file = world.storage.find(path)
        assert file is not None, path
        assert file.size_bytes == mib * 1024**2, path
    if "vms" in said:
        assert sorted(vm.name for vm in world.state.host.vms.values()) == sorted(said["vms"])
    if "switches" in said:
        assert sorted(switch.name for switch in world.state.host.switches) == sorted(said["switches"])


def is_gone(world: World, path: str) -> bool:
    return not world.storage.exists(path)


def fits(value: Any, expected: Any) -> bool:
    if isinstance(expected, str) and expected.startswith("~"):
        return isinstance(value, str) and re.search(expected[1:], value) is not None
    if isinstance(expected, dict):
        return isinstance(value, dict) and all(
            name in value and fits(value[name], one) for name, one in expected.items()
        )
    if isinstance(expected, list):
        return isinstance(value, list) and len(value) == len(expected) and all(map(fits, value, expected))
    return type(value) is type(expected) and value == expected


def filled(value: Any, known: dict[str, dict[str, Any]]) -> Any:
    if isinstance(value, dict):
        return {name: filled(one, known) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, known) for one in value]
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\.(\w+)\}", lambda found: str(known[found[1]][found[2]]), value)
    return value


# --- the cases themselves -------------------------------------------------------------------------------------------


def calls() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [(case, step) for case in CASES for step in case["steps"] if "call" in step]


def test_cases_say_where_they_come_from() -> None:
    assert [
        case["case"] for case in CASES if not re.search(r"facts [\d.]+|contract|decisions", case.get("source", ""))
    ] == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_listed_error_has_a_case(function: str) -> None:
    seen = {error["id"] for _, step in calls() if step["call"] == function for error in step.get("errors", [])}
    assert set(FUNCTIONS[function]["errors"]) - seen == set()


@pytest.mark.parametrize("function", [name for name, row in FUNCTIONS.items() if row["kind"] == "change"])
def test_each_changing_function_has_a_what_if_and_a_second_run(function: str) -> None:
    steps = [step for _, step in calls() if step["call"] == function]
    assert any(step.get("what_if") for step in steps)
    changed = {one.get("Changed") for step in steps if not step.get("what_if") for one in step.get("expect", [])}
    # these write nothing for what is gone
    assert changed >= {True, False} or function in ("Remove-TalosVM", "Remove-TalosFolder")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_parameter_is_used(function: str) -> None:
    used = {name for _, step in calls() if step["call"] == function for name in step.get("with", {})}
    assert {parameter["name"] for parameter in FUNCTIONS[function]["parameters"]} - used == set()
