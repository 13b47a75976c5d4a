"""The product's own commands and its lab, as processes of this bench: in a home of their own, with what each run cost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from provisioner.data import data_folder
from provisioner.lab.control import ask
from provisioner.lab.descriptor import Descriptor, read_descriptor

CLUSTER = "bench"
PROVISION = Path(sys.executable).with_name("provision")
"""The console script of the environment that the bench runs in."""


@dataclass(frozen=True)
class Ran:
    """One command that ended well."""

    wall_s: float
    peak_mib: float
    output: str


class Product:
    """One home and one lab. Commands that fail end the bench: there is nothing to measure."""

    def __init__(self, folder: Path, speed: float) -> None:
        self.home = folder / "home"
        self.speed = speed
        self._outputs = folder / "output"
        clusters = self.home / "clusters"
        clusters.mkdir(parents=True)
        text = (data_folder("clusters") / "lab.yaml").read_text(encoding="utf-8")
        (clusters / f"{CLUSTER}.yaml").write_text(re.sub(r"speed: \d+", f"speed: {speed:g}", text), encoding="utf-8")
        own = {key: value for key, value in os.environ.items() if not key.startswith("PROVISION_")}
        self.environment = own | {"HOME": str(folder), "PROVISION_HOME": str(self.home), "TERM": "dumb"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command whose output is to be read while it runs."""
        return subprocess.Popen(
            [PROVISION, *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, *arguments: str) -> Ran:
        """A command from its first to its last moment. Raises RuntimeError when it fails."""
        return run([str(PROVISION), *arguments], self.environment, self._outputs)

    def events(self, run: int) -> Iterator[Mapping[str, Any]]:
        """The journal of a run, by its number."""
        path = self.home / CLUSTER / "runs" / str(run) / "events.jsonl"
        with path.open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)

    def ask(self, do: str, **more: Any) -> Mapping[str, Any]:
        """A request to the lab's control port."""
        return ask(self._card(), do, **more)

    def stats(self) -> Mapping[str, Any]:
        """What the lab's WinRM endpoint counted so far."""
        found: Mapping[str, Any] = self.ask("stats")["stats"]
        return found

    def fault(self, name: str, *, place: str = "", value: float = 0.0) -> None:
        self.ask("fault", name=name, place=place, value=value)

    def _card(self) -> Descriptor:
        card = read_descriptor(self.home / ".labs" / CLUSTER)
        assert card is not None, "the lab runs"
        return card


@contextmanager
def product(speed: float) -> Iterator[Product]:
    """A fresh home with a lab at work that nobody has used yet; both are gone afterwards."""
    with TemporaryDirectory(prefix="provision-bench-") as folder:
        made = Product(Path(folder), speed)
        made.run("lab", "start", CLUSTER)
        try:
            yield made
        finally:
            made.run("lab", "stop", CLUSTER)


def run(command: list[str], environment: Mapping[str, str], outputs: Path) -> Ran:
    """Runs it to its end. Output goes to a file: a pipe that nobody empties would be waited for."""
    with outputs.open("w+", encoding="utf-8") as output:
        begun = time.perf_counter()
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{text}")
    return Ran(wall, usage.ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024), text)
