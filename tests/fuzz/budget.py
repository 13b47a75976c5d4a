"""How much a fuzzer does: the same inputs each time, few of them in `make test`, more with PROVISION_FUZZ (`make fuzz`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random

FACTOR = float(os.environ.get("PROVISION_FUZZ") or 1)
"""Read when a test file is loaded: inside of a test the environment is without PROVISION_*."""


def rounds(count: int) -> range:
    """`count` rounds in `make test`, and as many times more as PROVISION_FUZZ says."""
    return range(max(1, round(count * FACTOR)))


def dice(fuzzer: str, count: int) -> Iterator[tuple[str, Random]]:
    """For each round its name, for messages, and a source of chance of its own: a round that failed is made again by `once(name)`."""
    for number in rounds(count):
        name = f"{fuzzer}-{number}"
        yield name, once(name)


def once(name: str) -> Random:
    """The chance of one round."""
    return Random(name)
