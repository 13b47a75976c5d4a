"""`make bench`: measures the figures, holds them against `limits.yaml`, prints the table, writes `bench/results.json`.

    python -m tests.bench [--repeat N] [help] [up] [waiting] [outage]

Exit 1 when a limit is broken. Takes about ten minutes; the machine should have nothing else to do.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.figures import MEASURES, Measured
from tests.bench.limits import Figure, Verdict, judge, read_limits

RESULTS = Path(__file__).resolve().parents[2] / "bench" / "results.json"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures the figures of provision.")
    parser.add_argument("--repeat", type=int, default=3, help="how often each is measured; the median counts")
    parser.add_argument("only", nargs="*", metavar="PART", help=f"of {', '.join(MEASURES)}; without any, all")
    given = parser.parse_args()
    unknown = set(given.only) - set(MEASURES)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    load = os.getloadavg()[0]
    if load > (os.cpu_count() or 1) / 2:
        tell(f"the machine is busy (load {load:.1f} on {os.cpu_count()} CPUs): all times will be longer than they are")
    measured: Measured = {}
    for name, measure in MEASURES.items():
        if not given.only or name in given.only:
            measured |= measure(given.repeat, tell)
    verdicts = [judge(figure, measured[name]) for name, figure in read_limits().items() if name in measured]
    sys.stdout.write(f"{table(verdicts)}\n")
    write_results(verdicts, measured, load)
    return 0 if all(verdict.ok for verdict in verdicts) else 1


def tell(text: str) -> None:
    """What was found so far, while the rest is still measured."""
    sys.stderr.write(f"{text}\n")


def table(verdicts: list[Verdict]) -> str:
    width = max(len(verdict.figure.what) for verdict in verdicts)
    lines = [f"{'figure':{width}}  {'measured':>10}  {'limit':>10}            ok"]
    for verdict in verdicts:
        figure = verdict.figure
        sign = "yes" if verdict.ok else "NO"
        lines.append(f"{figure.what:{width}}  {verdict.value:10.2f}  {verdict.limit:10.2f} {figure.unit:10} {sign}")
    return "\n".join(lines)


def write_results(verdicts: list[Verdict], measured: Measured, load: float) -> None:
    """All samples and the load before them too: a median alone does not tell how noisy the machine was."""
    RESULTS.parent.mkdir(exist_ok=True)
    results = {
        "schema": "provision/bench/1",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
            "load": load,
        },
        "figures": [line(verdict, measured) for verdict in verdicts],
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def line(verdict: Verdict, measured: Measured) -> dict[str, object]:
    figure: Figure = verdict.figure
    samples = measured[figure.name]
    return {
        "name": figure.name,
        "what": figure.what,
        "unit": figure.unit,
        "measured": round(verdict.value, 3),
        "limit": round(verdict.limit, 3),
        "ok": verdict.ok,
        "samples": [round(value, 3) for value in samples.values],
        **({"paths_s": [round(path, 3) for path in samples.paths_s]} if samples.paths_s else {}),
    }


if __name__ == "__main__":
    sys.exit(main())
