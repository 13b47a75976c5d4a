"""How each figure is measured. Every function gives the samples of the figures that it measures; the median counts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.critical_path import critical_path, read_log
from tests.bench.product import CLUSTER, PROVISION, Product, product, run

UP_SPEED = 3.5
"""The lab's, at which the critical path of `up` takes 65 to 90 s."""
OUTAGE_SPEED = 6.0
OPERATION_TIMED_OUT = "2150858793"
"""The fault by which a host ends a Receive that has nothing to say (MS-WSMV 2.2.4.43, WSManFault)."""
HEAVY = ("pypsrp", "requests", "cryptography", "google.protobuf", "pydantic", "provisioner.lab.world")
"""What `--help` needs none of."""


@dataclass(kw_only=True)
class Samples:
    """What was measured of one figure, several times."""

    values: list[float] = field(default_factory=list)
    paths_s: list[float] = field(default_factory=list)
    """The critical path of each sample in real seconds, where the limit is a share of it."""
    worst: bool = False
    """The samples are of different moments: the worst counts, not the median."""

    @property
    def value(self) -> float:
        return max(self.values) if self.worst else median(self.values)

    def add(self, value: float, path_s: float | None = None) -> None:
        self.values.append(value)
        if path_s is not None:
            self.paths_s.append(path_s)


Measured = dict[str, Samples]
Tell = Callable[[str], None]


def measure_help(repeat: int, tell: Tell) -> Measured:
    """Both commands in turn, so that both see the same machine."""
    found: Measured = {name: Samples() for name in ("help", "help_to_typer", "help_heavy_imports")}
    environment = {**os.environ, "TERM": "dumb"}
    with TemporaryDirectory(prefix="provision-bench-") as folder:
        outputs = Path(folder) / "output"
        for _ in range(5 * repeat):
            bare = run([sys.executable, "-c", "import typer"], environment, outputs).wall_s
            ours = run([str(PROVISION), "--help"], environment, outputs).wall_s
            found["help"].add(ours * 1000)
            found["help_to_typer"].add(ours / bare)
    found["help_heavy_imports"].add(len(heavy_imports(environment)))
    tell(f"--help: {found['help'].value:.0f} ms")
    return found


def heavy_imports(environment: Mapping[str, str]) -> list[str]:
    """Which of the heavy packages `--help` imports, by the interpreter's own account."""
    told = subprocess.run(
        [sys.executable, "-X", "importtime", str(PROVISION), "--help"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    names = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    return [heavy for heavy in HEAVY if any(name == heavy or name.startswith(f"{heavy}.") for name in names)]


def measure_up(repeat: int, tell: Tell) -> Measured:
    """A first `up` on a fresh lab, then the commands on what stands."""
    names = ["up_beyond_path", "peak_memory", "winrm_calls", "winrm_runspaces", "winrm_module_loads"]
    names += ["winrm_converged_calls", "converged_up", "status"]
    found: Measured = {name: Samples() for name in names}
    for number in range(repeat):
        with product(UP_SPEED) as made:
            _first_up(made, found)
            last = found["up_beyond_path"]
            tell(f"up {number + 1}: {last.values[-1]:.2f} s beyond a critical path of {last.paths_s[-1]:.1f} s")
            _on_what_stands(made, found)
            tell(f"converged up: {found['converged_up'].value:.2f} s, status: {found['status'].value:.2f} s")
    return found


def _first_up(made: Product, found: Measured) -> None:
    ran = made.run("up", CLUSTER, "--progress", "none")
    path_s = critical_path(read_log(made.ask("log")["log"]))[-1].total_s / made.speed
    found["up_beyond_path"].add(ran.wall_s - path_s, path_s)
    found["peak_memory"].add(ran.peak_mib)
    stats = made.stats()
    found["winrm_calls"].add(stats["actions"]["Command"])
    found["winrm_runspaces"].add(stats["shells"])
    found["winrm_module_loads"].add(stats["module_loads"] / stats["shells"])


def _on_what_stands(made: Product, found: Measured) -> None:
    for number in range(2, 5):
        before = made.stats()["calls"]
        found["converged_up"].add(made.run("up", CLUSTER, "--progress", "none").wall_s)
        after = made.stats()["calls"]
        # By our own account, and by the endpoint's: no function was called more often than there were calls.
        most = max(count - before.get(name, 0) for name, count in after.items())
        found["winrm_converged_calls"].add(max(most, len(list(_calls(made, run=number)))))
        found["status"].add(made.run("status", CLUSTER).wall_s)


def _calls(made: Product, *, run: int) -> Iterator[Mapping[str, Any]]:
    return (event for event in made.events(run) if event["type"] == "call_ended")


def measure_waiting(_repeat: int, tell: Tell) -> Measured:
    """At the pace of a real host, where calls wait long enough for a Receive to come back empty; once, for it takes a minute."""
    with product(1.0) as made:
        made.run("up", CLUSTER, "--until", "maintenance", "--progress", "none")
        waited_s = sum(event["elapsed_s"] for event in _calls(made, run=1))
        empty = made.stats()["faults"].get(OPERATION_TIMED_OUT, 0)
    tell(f"waiting: {empty} requests brought nothing in {waited_s:.0f} s")
    return {"winrm_idle_requests": Samples(values=[empty / (waited_s / 10)])}


# --- the outage at the switch ---------------------------------------------------------------------------------------

OUTAGE_S = 4.0
"""Real seconds that the host is away, beside the outage of the switch itself."""
SWITCH_OUTAGE_S = 2.0
"""Real seconds of that: said, so that all runs have the same."""
MOMENTS = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95)
"""When it begins, in parts of the length that the step has without it."""


def measure_outages(repeat: int, tell: Tell) -> Measured:
    """The switch step without an outage of ours, then with one at several moments of it."""
    without = median(_switch_step_s("", 0.0) for _ in range(repeat))
    tell(f"switch step: {without:.1f} s")
    found: Measured = {}
    for kind in ("reset", "silence"):
        samples = Samples(worst=True)
        for part in MOMENTS:
            samples.add(_switch_step_s(kind, part * without) - without - OUTAGE_S)
        found[f"outage_{kind}"] = samples
        tell(f"outage by {kind}: {samples.value:+.2f} s beyond its length")
    return found


def _switch_step_s(kind: str, after_s: float) -> float:
    """Real seconds from the step's beginning to its end."""
    with product(OUTAGE_SPEED) as made:
        made.fault("switch-outage", value=SWITCH_OUTAGE_S * made.speed)
        if kind == "silence":
            made.fault("switch-silence")
        process = made.start("up", CLUSTER, "--until", "switch", "--progress", "json")
        drop: threading.Timer | None = None
        begun = 0.0
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event.get("step") != "switch":
                continue
            if event["type"] == "step_started":
                begun = time.perf_counter()
                if kind:
                    cut = {"place": kind, "value": OUTAGE_S * made.speed}
                    drop = threading.Timer(after_s, made.fault, ("link-drop",), cut)
                    drop.start()
            elif event["type"] == "step_ended":
                ended = time.perf_counter()
        if process.wait() != 0:
            raise RuntimeError(f"up --until switch ended with {process.returncode}, {kind} after {after_s:.1f} s")
        if drop is not None:
            drop.join()
        return ended - begun


MEASURES: Mapping[str, Callable[[int, Tell], Measured]] = {
    "help": measure_help,
    "up": measure_up,
    "waiting": measure_waiting,
    "outage": measure_outages,
}
"""By the word that `python -m tests.bench` takes to measure only these."""
