"""A real run of `provision up lab`, kept as its events: what the screens of the docs are painted from.

python -m tests.docs record      makes it anew: a home of its own, a lab of its own, stopped at the end
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from provisioner.model.events import Event, RunStarted, StepEnded, from_json

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).with_name("up-lab.jsonl")
LEFT_OUT = ("call_ended",)
"""Types of events that no screen of the docs shows."""
BOUND_S = 300


def read(path: Path = FILE) -> list[Event]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [event for event in map(from_json, lines) if event is not None]


def record() -> None:
    """Runs `provision up lab` as a newcomer does and keeps its events, the home's path as `~`."""
    with tempfile.TemporaryDirectory() as home:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PROVISION_")}
        environment = inherited | {"HOME": home, "PYTHONPATH": str(ROOT)}
        for name in ("KUBECONFIG", "TALOSCONFIG"):
            environment.pop(name, None)

        def provision(*arguments: str) -> str:
            command = [sys.executable, "-m", "provisioner", *arguments]
            done = subprocess.run(
                command, cwd=home, env=environment, capture_output=True, text=True, timeout=BOUND_S, check=False
            )
            if done.returncode:
                raise SystemExit(f"provision {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
            return done.stdout

        try:
            *events, _result = provision("up", "lab", "--progress", "json").splitlines()
        finally:
            provision("lab", "stop")
    kept = [line for line in events if json.loads(line)["type"] not in LEFT_OUT]
    FILE.write_text("".join(f"{line}\n" for line in kept).replace(home, "~"))


def story(events: Sequence[Event]) -> list[str]:
    """What a run says of itself, without what differs from run to run: each step with its outcome and words, numbers as `#`."""
    (run,) = [event for event in events if isinstance(event, RunStarted)]
    said = {
        event.step: f"{event.step} {event.outcome}: {event.summary}" for event in events if isinstance(event, StepEnded)
    }
    versions = (f"{name} {value}" for name, value in sorted(run.versions.items()) if name != "provision")
    return [*versions, *(without_numbers(said[step]) for step in sorted(said))]


def without_numbers(text: str) -> str:
    """`54 GiB` as `# GiB`, a hash as `#`; names and versions keep their digits."""
    import re

    text = re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{12}\b", "#", text)
    return re.sub(r"(?<![\w.-])\d+(?:\.\d+)*(?:/\d+)?(?![\w.-])", "#", text)
