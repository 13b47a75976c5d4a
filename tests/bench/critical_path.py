"""How long `up` must take at least, from the world's own log: the longest chain of lengths that nobody can shorten.

Each line of the log is a moment. Some moments follow from others by the world's own doing: a machine whose power is on reaches
maintenance after so many seconds, whoever watches. Others are asked for by a client: the config is sent, Bootstrap is called.
The time between what such a request needs and the request itself is the client's, and is left out; what the request takes by
itself (New-VM its 1.2 s) is counted. All times are seconds of the world.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Moment:
    """A line of the world's log."""

    at: float
    kind: str
    key: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """What it took by itself, where the log says so."""
        return float(self.details.get("seconds", 0.0))


@dataclass(frozen=True)
class Need:
    """What a moment waits for, beside the causes that its own line names."""

    kinds: tuple[str, ...]
    same_key: bool = False
    """Only a moment of the same machine; otherwise the latest of that kind counts."""


OWN, ANY = True, False

ASKED: Mapping[str, tuple[Need, ...]] = {
    "switch_job": (),
    # Off the network while the switch is made, a host downloads nothing: one after the other, in either order.
    "download": (Need(("switch_settled",), ANY),),
    "image_hashed": (Need(("download",), ANY),),
    # New-TalosVM names the switch and the ISO, and refuses without them; then the cmdlets of one VM, in turn.
    "cmdlet": (Need(("switch_settled", "image_hashed"), ANY), Need(("cmdlet",), OWN)),
    "vm_starting": (Need(("cmdlet",), OWN),),
    "config_applied": (Need(("maintenance", "addressed"), OWN),),
    # Talos holds Bootstrap back until its clock is right.
    "bootstrap": (Need(("apid_open", "time_synced"), OWN),),
}
"""What a client asks for: it takes only what its line says, and begins as soon as it has what it needs. Sources: facts/hyperv.md 2 and 13,
facts/talos.md 3 and 4."""

FOLLOWS: Mapping[str, tuple[Need, ...]] = {
    "switch_bind": (Need(("switch_job",), OWN),),
    "switch_settled": (Need(("switch_bind",), OWN),),
    "vm_running": (Need(("vm_starting",), OWN),),
    "power_on": (Need(("vm_running",), OWN),),
}
"""What follows by itself, where the log's line does not name its cause."""


@dataclass(frozen=True)
class Stretch:
    """A piece of the path: up to this moment, `forced_s` of it after the piece before."""

    moment: Moment
    forced_s: float
    total_s: float


def read_log(lines: Iterable[Sequence[Any]]) -> list[Moment]:
    """From the answer to the lab's control request `log`."""
    return [Moment(float(at), str(kind), str(key), dict(details)) for at, kind, key, details in lines]


def critical_path(moments: Sequence[Moment]) -> tuple[Stretch, ...]:
    """The longest forced chain, first piece first; empty for an empty log. The last piece's `total_s` is its length."""
    paths: list[Stretch] = []
    before: list[int | None] = []
    seen = _Seen(moments)
    for number, moment in enumerate(moments):
        causes = list(seen.causes(number))
        latest = max((moments[cause].at for cause in causes), default=moment.at)
        own = moment.seconds if moment.kind in ASKED else moment.at - latest
        first = max(causes, key=lambda cause: paths[cause].total_s, default=None)
        paths.append(Stretch(moment, own, own + (paths[first].total_s if first is not None else 0.0)))
        before.append(first)
        seen.add(number)
    walked: list[Stretch] = []
    step = max(range(len(paths)), key=lambda number: paths[number].total_s, default=None)
    while step is not None:
        walked.append(paths[step])
        step = before[step]
    return tuple(reversed(walked))


class _Seen:
    """Earlier moments, by kind and by kind and machine."""

    def __init__(self, moments: Sequence[Moment]) -> None:
        self._moments = moments
        self._names = {m.key: str(m.details["name"]) for m in moments if m.kind == "vm_new"}
        self._by_kind: dict[str, int] = {}
        self._by_key: dict[tuple[str, str], int] = {}

    def add(self, number: int) -> None:
        moment = self._moments[number]
        self._by_kind[moment.kind] = number
        self._by_key[moment.kind, self._place(moment)] = number

    def causes(self, number: int) -> Iterator[int]:
        """Numbers of the earlier moments that this one waits for."""
        moment = self._moments[number]
        for cause in moment.details.get("cause", ()):
            kind, _, key = str(cause).partition("/")
            yield from self._found(self._by_key.get((kind, self._names.get(key, key))))
        for need in (*ASKED.get(moment.kind, ()), *FOLLOWS.get(moment.kind, ())):
            for kind in need.kinds:
                own = self._by_key.get((kind, self._place(moment)))
                yield from self._found(own if need.same_key else self._by_kind.get(kind))

    def _found(self, number: int | None) -> Iterator[int]:
        if number is not None:
            yield number

    def _place(self, moment: Moment) -> str:
        """What a line is about. Cmdlets name a VM by its id, by its name, or by the path of its disk: all are the one VM."""
        if moment.key in self._names:
            return self._names[moment.key]
        if moment.kind == "cmdlet" and "\\" in moment.key:
            return moment.key.split("\\")[-2]
        return moment.key
