"""Small words that screens, summaries and faults share."""

from __future__ import annotations

from collections.abc import Sequence


def listed(names: Sequence[str], *, at_most: int = 6) -> str:
    """`a, b, c`, and how many more."""
    shown = ", ".join(names[:at_most])
    return f"{shown} and {len(names) - at_most} more" if len(names) > at_most else shown


def count(number: int, one: str, many: str = "") -> str:
    """`1 VM`, `3 VMs`."""
    return f"{number} {one if number == 1 else many or one + 's'}"
