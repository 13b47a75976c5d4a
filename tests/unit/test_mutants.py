"""The list of mutants is true: each text stands exactly once where it says, so that `make mutate` breaks what it means to break."""

from __future__ import annotations

from collections import Counter

from tests.mutate import mistakes, read_mutants

LEAST = 120


def test_each_mutant_breaks_one_place() -> None:
    assert list(mistakes(read_mutants())) == []


def test_there_are_enough_and_no_two_are_the_same() -> None:
    mutants = read_mutants()
    assert len(mutants) >= LEAST
    assert [twice for twice, count in Counter((m.file, m.old, m.new) for m in mutants).items() if count > 1] == []
    assert all(mutant.why for mutant in mutants)


def test_each_area_has_some() -> None:
    areas = Counter(mutant.file.split("/")[1] for mutant in read_mutants())
    assert {"steps", "workflows", "hyperv", "talos", "cli", "store"} <= set(areas)
