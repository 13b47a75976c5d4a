"""A real run of `provision up lab`, kept as its events: what the screens of the docs are painted from.

python -m tests.docs record      makes it anew: a home of its own, a lab of its own, stopped at the end
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from provisioner.faults import Exit
from provisioner.model.events import Event, RunStarted, StepEnded, from_json
from provisioner.views.run_state import RunState

ROOT = Path(__file__).resolve().parents[2]
GOOD = Path(__file__).with_name("up-lab.jsonl")
FAILED = Path(__file__).with_name("up-lab-fails.jsonl")
"""One machine stays in its firmware."""
LEFT_OUT = {GOOD: ("call_ended",), FAILED: ("call_ended", "note", "wait_started", "wait_progressed", "wait_ended")}
"""Types of events that no screen of the docs shows."""
BOUND_S = 300


def read(path: Path) -> list[Event]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [event for event in map(from_json, lines) if event is not None]


def fold(events: Iterable[Event]) -> RunState:
    """The state of a run after all of these."""
    state = RunState()
    for event in events:
        state = state.apply(event)
    return state


def record() -> None:
    with _newcomer() as provision:
        _keep(GOOD, provision("up", "lab", "--progress", "json"))
    with _newcomer() as provision:
        provision("lab", "fault", "vm-never-boots", "--place", "lab-worker-2")
        _keep(FAILED, provision("up", "lab", "--progress", "json", code=Exit.TIMED_OUT))


@contextlib.contextmanager
def _newcomer() -> Iterator[Callable[..., str]]:
    """Somebody who never used the command: what it prints, the home's path as `~`. The lab is stopped at the end."""
    with tempfile.TemporaryDirectory() as home:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PROVISION_")}
        environment = inherited | {"HOME": home, "PYTHONPATH": str(ROOT)}
        for name in ("KUBECONFIG", "TALOSCONFIG"):
            environment.pop(name, None)

        def provision(*arguments: str, code: int = Exit.DONE) -> str:
            command = [sys.executable, "-m", "provisioner", *arguments]
            done = subprocess.run(
                command, cwd=home, env=environment, capture_output=True, text=True, timeout=BOUND_S, check=False
            )
            if done.returncode != code:
                raise SystemExit(f"provision {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
            return done.stdout.replace(home, "~")

        try:
            yield provision
        finally:
            provision("lab", "stop")


def _keep(path: Path, out: str) -> None:
    """All but the last line, which is the result object."""
    lines = out.splitlines()[:-1]
    path.write_text("".join(f"{line}\n" for line in lines if json.loads(line)["type"] not in LEFT_OUT[path]))


def story(events: Sequence[Event], *, home: str = "~") -> list[str]:
    """What a run says of itself, without what differs from run to run: versions, then each step with its outcome and words.
    `home` is told as `~`, numbers as `#`.
    """
    (run,) = [event for event in events if isinstance(event, RunStarted)]
    versions = [f"{name} {value}" for name, value in sorted(run.versions.items()) if name != "provision"]
    said = {event.step: event for event in events if isinstance(event, StepEnded)}
    rows = [f"{step} {said[step].outcome}: {said[step].summary.replace(home, '~')}" for step in sorted(said)]
    return [*versions, *map(without_numbers, rows)]


def without_numbers(text: str) -> str:
    """`54 GiB` as `# GiB`, a hash as `#`; names and versions keep their digits."""
    text = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{12}\b", "#", text)
    return re.sub(r"(?<![\w.-])\d+(?:\.\d+)*(?:/\d+)?(?![\w.-])", "#", text)
