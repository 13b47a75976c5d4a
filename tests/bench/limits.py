"""The limits file, and what a measured figure is worth against it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

import yaml

from tests.bench.figures import Samples

LIMITS = Path(__file__).with_name("limits.yaml")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One entry of `limits.yaml`."""

    name: str
    what: str
    unit: str
    limit: float
    share: float = 0.0
    """Of the critical path in real seconds, added to the limit."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A figure, measured."""

    figure: Figure
    value: float
    limit: float

    @property
    def ok(self) -> bool:
        return self.value <= self.limit


def read_limits(path: Path = LIMITS) -> dict[str, Figure]:
    """By name, in the file's order."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: Figure(name=name, **entry) for name, entry in entries.items()}


def judge(figure: Figure, samples: Samples) -> Verdict:
    """The median against the limit; for a limit with a share, against that of the median path."""
    path_s = median(samples.paths_s) if samples.paths_s else 0.0
    return Verdict(figure=figure, value=samples.value, limit=figure.limit + figure.share * path_s)
