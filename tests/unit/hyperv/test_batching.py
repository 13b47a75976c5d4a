"""Whose record is whose, when calls of several lanes travel as one pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from provisioner.errors import HostRefused, Malformed
from provisioner.hyperv import functions
from provisioner.hyperv.batching import MAX_STATEMENTS, CallBatch, PendingCall, PerItemBatch, SingleCall, StatementBatch
from provisioner.ports import VmChange


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def refused(error_id: str, target: str) -> HostRefused:
    return HostRefused(id=error_id, message="", target=target, function="f")


def of_ids(batch: CallBatch, *ids: str) -> list[PendingCall]:
    batch.callers += [PendingCall(functions.start_vm([vm_id]), items=(vm_id,)) for vm_id in ids]
    return batch.callers


def outcome(caller: PendingCall) -> Any:
    if not caller.future.done():
        return "waits"
    error = caller.future.exception()
    if isinstance(error, Malformed):
        return error.came
    return error.id if isinstance(error, HostRefused) else [values for _, values in caller.future.result()]


def test_one_statement_for_all_items_each_once() -> None:
    async def test() -> None:
        batch = PerItemBatch(functions.start_vm, named="Id", changes=True)
        of_ids(batch, "a", "b", "a")
        assert batch.statements() == (functions.start_vm(["a", "b"]),)

    run(test)


def test_records_are_handed_out_by_item_whatever_its_case() -> None:
    async def test() -> None:
        batch = PerItemBatch(functions.start_vm, named="Id", changes=True)
        first, second, again = of_ids(batch, "AB", "b", "ab")
        batch.result("VM", {"Id": "ab"})
        assert outcome(first) == "waits", "an error of the same item may follow"
        batch.error(refused("VMNotFound", "B"))
        assert outcome(first) == outcome(again) == [{"Id": "ab"}], "the next item has begun"
        batch.done(cut_short=False)
        assert outcome(second) == "VMNotFound"

    run(test)


def test_a_result_with_an_error_is_an_error() -> None:
    async def test() -> None:
        batch = PerItemBatch(functions.start_vm, named="Id", changes=True)
        (only,) = of_ids(batch, "a")
        batch.result("VM", {"Id": "a"})
        batch.error(refused("VMNoMemory", "a"))
        batch.done(cut_short=False)
        assert outcome(only) == "VMNoMemory"

    run(test)


def test_an_error_about_a_folder_is_of_all_that_have_no_result() -> None:
    async def test() -> None:
        batch = PerItemBatch(lambda ids: functions.remove_vm(ids, cluster_id="c"), named="Id", changes=True)
        removed, locked = of_ids(batch, "a", "b")
        batch.result("VM", {"Id": "a"})
        batch.error(refused("VMFilesLocked", r"C:\VMs\b"))
        batch.done(cut_short=False)
        assert outcome(removed) == [{"Id": "a"}]
        assert outcome(locked) == "VMFilesLocked"

    run(test)


def test_what_a_read_does_not_find_is_missing_in_its_answer() -> None:
    async def test() -> None:
        batch = PerItemBatch(functions.get_vm, named="Id", changes=False)
        found, missing = of_ids(batch, "a", "b")
        batch.result("VM", {"Id": "a"})
        assert outcome(found) == [{"Id": "a"}], "as it streams in"
        batch.done(cut_short=False)
        assert outcome(missing) == []

    run(test)


def of_changes(batch: CallBatch, *ids: str) -> list[PendingCall]:
    batch.callers += [PendingCall(functions.set_vm(VmChange(id=vm_id, mark="m", cpus=2))) for vm_id in ids]
    return batch.callers


def test_the_order_tells_whose_error_it_is_and_the_rest_runs_again() -> None:
    async def test() -> None:
        batch = StatementBatch("Set-TalosVM", named="Id")
        first, second, third, fourth = of_changes(batch, "a", "b", "c", "d")
        batch.result("VM", {"Id": "a"})
        batch.error(refused("VMMustBeOff", "Cpus"))  # its target is the property
        rest = batch.done(cut_short=True)
        assert (outcome(first), outcome(second)) == ([{"Id": "a"}], "VMMustBeOff")
        assert rest is not None
        assert [str(s.arguments["Id"]) for s in rest.statements()] == ["c", "d"]
        rest.result("VM", {"Id": "c"})
        rest.result("VM", {"Id": "d"})
        assert outcome(third) == [{"Id": "c"}], "the next statement has begun"
        assert rest.done(cut_short=False) is None
        assert outcome(fourth) == [{"Id": "d"}]

    run(test)


def test_a_statement_that_says_nothing_is_an_error() -> None:
    async def test() -> None:
        batch = StatementBatch("Set-TalosVM", named="Id")
        spoke, silent = of_changes(batch, "a", "b")
        batch.result("VM", {"Id": "a"})
        assert batch.done(cut_short=False) is None
        assert (outcome(spoke), outcome(silent)) == ([{"Id": "a"}], "Set-TalosVM ended without a result")

    run(test)


def test_an_early_error_of_nobody_goes_to_the_first_statement() -> None:
    async def test() -> None:
        batch = StatementBatch("Set-TalosVM", named="Id")
        first, second = of_changes(batch, "a", "b")
        batch.error(refused("CommandNotFoundException", "Set-TalosVM"))
        rest = batch.done(cut_short=True)
        assert outcome(first) == "CommandNotFoundException"
        assert rest is not None
        assert rest.callers == [second]

    run(test)


def test_a_pipeline_takes_only_so_many_statements() -> None:
    async def test() -> None:
        batch = StatementBatch("Set-TalosVM", named="Id")
        of_changes(batch, *(str(number) for number in range(MAX_STATEMENTS - 1)))
        assert not batch.full
        of_changes(batch, "last")
        assert batch.full

    run(test)


def test_a_call_that_is_run_anew_forgets_what_it_heard() -> None:
    async def test() -> None:
        batch = SingleCall([functions.get_host()], changes=False)
        caller = PendingCall(functions.get_host())
        batch.callers.append(caller)
        batch.result("Host", {"A": 1})
        batch.error(refused("X", ""))
        batch.restart()
        batch.result("Host", {"A": 2})
        batch.done(cut_short=False)
        assert outcome(caller) == [{"A": 2}]

    run(test)


def test_only_calls_that_mean_the_same_become_one() -> None:
    async def test() -> None:
        def stop(*, turn_off: bool) -> PerItemBatch:
            return PerItemBatch(lambda ids: functions.stop_vm(ids, turn_off=turn_off), named="Id", changes=True)

        assert stop(turn_off=True).key == stop(turn_off=True).key != stop(turn_off=False).key
        switch = functions.get_switch("LAB")
        assert SingleCall([switch], changes=False).key == SingleCall([switch], changes=False).key
        assert SingleCall([switch], changes=False).key != SingleCall([functions.get_switch("X")], changes=False).key
        assert SingleCall([switch], changes=True).key is None

    run(test)
