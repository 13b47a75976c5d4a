"""The fuzzers' own tool: what failed once fails again."""

from __future__ import annotations

from tests.fuzz.budget import dice, once, rounds


def test_a_round_is_the_same_each_time_and_no_other() -> None:
    first = {name: chance.random() for name, chance in dice("x", 3)}
    assert first == {name: chance.random() for name, chance in dice("x", 3)}
    assert once(next(iter(first))).random() == next(iter(first.values()))
    assert len(set(first.values())) == len(rounds(3))
