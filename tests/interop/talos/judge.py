"""The judge: a small Go program on Talos' own library.

Built once for all test processes, kept in the user's cache by a digest of its sources. Where there is no Go its tests are skipped, which
the end of a test run says aloud.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

FOLDER = Path(__file__).resolve().parent

BUILD_S = 600
BATCH = 1000
"""Questions in one call of the program, which is bounded in time."""

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
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"judge {arguments[0]}: {done.stderr}"
        return json.loads(done.stdout)

    def patch(self, questions: Sequence[tuple[str, Sequence[str]]]) -> list[str | None]:
        """What Talos makes of each config and its patches, as text; None where it refuses them."""
        given = [{"config": config, "patches": list(patches)} for config, patches in questions]
        portions = (given[start : start + BATCH] for start in range(0, len(given), BATCH))
        answers = (answer for portion in portions for answer in self.ask("patch", given=portion))
        return [answer["config"] if answer["ok"] else None for answer in answers]

    def talk(self, talosconfig: Path, node: str) -> dict[str, Any]:
        """What Talos' own client hears from a machine: version, services, etcd_members (or etcd_error), machine_status (one event of
        a watch).
        """
        answer: dict[str, Any] = self.ask("talk", talosconfig, node)
        return answer


def build_judge() -> Judge:
    """The judge, built when its sources are new to this machine (1 min then). Skips the test where it cannot be built."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("no Go on this machine (`go` is not on the PATH)")
    environment = os.environ | {"HOME": str(_REAL_HOME)}
    version = subprocess.run([go, "version"], capture_output=True, text=True, env=environment, check=True).stdout
    sources = [FOLDER / name for name in ("go.mod", "go.sum", *sorted(path.name for path in FOLDER.glob("*.go")))]
    digest = hashlib.sha256(version.encode() + b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", _REAL_HOME / ".cache")) / "provision-tests"
    program = cache / f"judge-{digest}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / f"judge-{digest}.lock", timeout=BUILD_S):  # of several workers one builds, the others wait
        _build(go, program, environment)
    return Judge(program)


def _build(go: str, program: Path, environment: dict[str, str]) -> None:
    if program.is_file():
        return
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        fresh = Path(folder) / "judge"
        built = subprocess.run(
            ["nice", go, "build", "-mod=readonly", "-buildvcs=false", "-o", fresh, "."],
            cwd=FOLDER,
            env=environment,
            capture_output=True,
            text=True,
            timeout=BUILD_S,
            check=False,
        )
        if built.returncode != 0 and re.search(r"dial tcp|no such host|timeout|proxy", built.stderr):
            pytest.skip(f"its modules cannot be fetched here: {built.stderr.strip().splitlines()[-1]}")
        if built.returncode != 0:
            pytest.fail(f"the judge cannot be built: {built.stderr.strip()}")
        fresh.rename(program)
