"""The judge: a small Go program on Talos' own library. Built once, kept in the user's cache, skipped where there is no Go."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parent

_REAL_HOME = Path.home()
"""Where Go keeps its modules; the tests themselves run with a home of their own."""


class Judge:
    """Asks the program; every answer is what it printed as JSON."""

    def __init__(self, program: Path) -> None:
        self._program = program

    def ask(self, *arguments: str | Path, given: Any = None) -> Any:
        done = subprocess.run(
            [self._program, *map(str, arguments)],
            input=None if given is None else json.dumps(given),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"judge {arguments[0]}: {done.stderr}"
        return json.loads(done.stdout)

    def patch(self, questions: Sequence[tuple[str, Sequence[str]]]) -> list[str | None]:
        """What Talos makes of each config and its patches, as text; None where it refuses them."""
        given = [{"config": config, "patches": list(patches)} for config, patches in questions]
        return [answer["config"] if answer["ok"] else None for answer in self.ask("patch", given=given)]

    def talk(self, talosconfig: Path, node: str) -> dict[str, Any]:
        """What Talos' own client hears from a machine: version, services, etcd_members (or etcd_error), machine_status (one event of
        a watch).
        """
        answer: dict[str, Any] = self.ask("talk", talosconfig, node)
        return answer


def build_judge() -> Judge:
    """The judge, built when its sources are new to this machine (40 s then). Skips the test where it cannot be built."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go on this machine (`go` is not on the PATH)")
    environment = os.environ | {"HOME": str(_REAL_HOME)}
    version = subprocess.run([go, "version"], capture_output=True, text=True, env=environment, check=True).stdout
    sources = [FOLDER / name for name in ("go.mod", "go.sum", *sorted(path.name for path in FOLDER.glob("*.go")))]
    digest = hashlib.sha256(version.encode() + b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", _REAL_HOME / ".cache")) / "provision-tests"
    program = cache / f"judge-{digest}"
    if not program.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            fresh = Path(folder) / "judge"
            built = subprocess.run(
                ["nice", go, "build", "-mod=readonly", "-buildvcs=false", "-o", fresh, "."],
                cwd=FOLDER,
                env=environment,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            if built.returncode != 0:
                pytest.skip(f"the judge cannot be built here: {built.stderr.strip().splitlines()[-1]}")
            fresh.rename(program)
    return Judge(program)
