"""House style of times, sizes and counts on screens."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def duration(seconds: float, *, fine: bool = False) -> str:
    """`2.1 s` (with `fine`), `48 s`, `1m12s`, `5m`, `2 h 05 m`, `3 d 04 h`."""
    if seconds < _MINUTE:
        rounded = round(seconds, 1) if fine else int(seconds)
        if rounded < _MINUTE:
            return f"{rounded:.1f} s" if fine else f"{rounded} s"
    whole = int(seconds + 0.5) if fine else int(seconds)
    if whole < _HOUR:
        minutes, rest = divmod(whole, _MINUTE)
        return f"{minutes}m{rest:02d}s" if rest else f"{minutes}m"
    if whole < _DAY:
        hours, rest = divmod(whole, _HOUR)
        return f"{hours} h {rest // _MINUTE:02d} m"
    days, rest = divmod(whole, _DAY)
    return f"{days} d {rest // _HOUR:02d} h"


def about(seconds: float) -> str:
    """A guess: whole minutes from two on, tens of seconds from one, fives below."""
    grain = _MINUTE if seconds >= 2 * _MINUTE else 10 if seconds >= _MINUTE else 5
    return duration(max(5, round(seconds / grain) * grain))


def gib(mib: float) -> str:
    """Memory: `4 GiB`, `1.9 GiB`, `512 MiB`."""
    if mib < 1024:
        return f"{mib:.0f} MiB"
    return f"{mib / 1024:.1f}".removesuffix(".0") + " GiB"


def counted(numbers: Mapping[str, int]) -> str:
    """`1 fetch, 4 create`: what is not zero, in the order given."""
    return ", ".join(f"{number} {word}" for word, number in numbers.items() if number)


def clock_time(moment: datetime) -> str:
    """Local time of day."""
    return moment.astimezone().strftime("%H:%M:%S")


def shown_path(path: Path) -> str:
    """As a user would name it: relative to where they stand, when it lies below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):  # below another folder; the working folder is gone
        return str(path)


def lab_words(speed: float | None) -> str:
    """That this is the lab, and how its seconds relate to ours."""
    return "lab" if speed is None or speed == 1 else f"lab, {speed:g} x real time"
