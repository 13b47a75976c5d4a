"""Are the rules that protect users guarded? Each mutant of `tests/mutants.toml` breaks one of them in a copy of the tree; a fast test
must notice. Run by `make mutate`; `python -m tests.mutate removal switch` takes those whose file, text or reason has one of the words.

A mutant that no test notices is a survivor. A text that does not stand exactly once in its file, or a mutant that cannot be imported,
is a mistake of the list. Both end with exit code 1.
"""

from __future__ import annotations

import argparse
import compileall
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests" / "mutants.toml"

COPIED = ("provisioner", "tests", "clusters", "powershell", "docs", "pyproject.toml", "README.md", "Makefile")
"""What the fast tests read of the tree."""

FAST = {
    "provisioner/steps/": ("tests/unit/steps", "tests/unit/flow"),
    "provisioner/flow/": ("tests/unit/flow", "tests/unit/steps"),
    "provisioner/hyperv/": ("tests/unit/hyperv",),
    "provisioner/talos/api/": ("tests/unit/talos_api",),
    "provisioner/talos/": ("tests/unit/talos",),
    "provisioner/kubernetes/": ("tests/unit/kubernetes",),
    "provisioner/cli/": ("tests/unit/cli",),
    "provisioner/record/": ("tests/unit/record",),
    "provisioner/views/": ("tests/unit/views",),
    "provisioner/clusterfile/": ("tests/unit/clusterfile",),
    "provisioner/images/": ("tests/unit/images",),
    "provisioner/context.py": ("tests/unit/test_context.py",),
    "provisioner/model/": ("tests/unit/model", "tests/unit/steps", "tests/unit/flow"),
}
"""Which tests may notice a change of which files; the first prefix that fits. A mutant may name its own."""

BOUND_S = 120.0
"""A mutant that hangs is noticed too: each test has a bound of its own, and this is that of all."""


@dataclass(frozen=True)
class Mutant:
    """One rule, broken."""

    file: str
    old: str
    new: str
    why: str
    """What would become of the user."""
    tests: tuple[str, ...]

    @property
    def line(self) -> int:
        text = (ROOT / self.file).read_text()
        return text[: text.index(self.old)].count("\n") + 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.why}"


def read_mutants() -> list[Mutant]:
    entries = tomllib.loads(LIST.read_text())["mutant"]
    return [
        Mutant(
            file=entry["file"],
            old=entry["old"],
            new=entry["new"],
            why=entry["why"],
            tests=tuple(entry.get("tests") or _fast(entry["file"])),
        )
        for entry in entries
    ]


def _fast(file: str) -> Sequence[str]:
    return next((tests for prefix, tests in FAST.items() if file.startswith(prefix)), ("tests/unit",))


def mistakes(mutants: Iterable[Mutant]) -> Iterator[str]:
    """What is wrong with the list itself."""
    for mutant in mutants:
        path = ROOT / mutant.file
        count = path.read_text().count(mutant.old) if path.is_file() else 0
        if count != 1:
            yield f"{mutant.file}: {count} places instead of one have the text of {mutant.why!r}: {mutant.old!r}"
        if mutant.old == mutant.new:
            yield f"{mutant.file}: {mutant.why!r} changes nothing"
        yield from (f"{mutant.file}: no tests at {path}" for path in mutant.tests if not (ROOT / path).exists())


@contextmanager
def _copies(count: int) -> Iterator[list[Path]]:
    """Trees of our own, compiled so that a changed file is noticed by its content."""
    with tempfile.TemporaryDirectory(prefix="provision-mutants-") as folder:
        made = [Path(folder) / str(number) for number in range(count)]
        for copy in made:
            for name in COPIED:
                source = ROOT / name
                if source.is_dir():
                    shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "bin"))
                else:
                    shutil.copy(source, copy / name)
            compileall.compile_dir(copy / "provisioner", quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        yield made


def _test(copy: Path, tests: Sequence[str]) -> int:
    """Pytest's exit code over these tests of a copy; 1 for one that outlasts its bound."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--timeout", "30", *tests]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=copy,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=BOUND_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1
    return done.returncode


def _try(copy: Path, mutant: Mutant) -> int:
    path = copy / mutant.file
    text = path.read_text()
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        return _test(copy, mutant.tests)
    finally:
        path.write_text(text)


def run(mutants: Sequence[Mutant], workers: int) -> list[str]:
    """Tries all; what is not as it should be, a line each."""
    wrong: list[str] = []
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        waiting.put(mutant)
    with _copies(workers) as copies:
        all_tests = sorted({path for mutant in mutants for path in mutant.tests})
        if _test(copies[0], all_tests) != 0:
            return [f"the tests fail without any mutant: {' '.join(all_tests)}"]

        def work(copy: Path) -> None:
            while True:
                try:
                    mutant = waiting.get_nowait()
                except queue.Empty:
                    return
                code = _try(copy, mutant)
                if code == 0:
                    wrong.append(f"survived  {mutant}")
                elif code != 1:
                    wrong.append(f"broken    {mutant} (pytest ended with {code})")
                sys.stderr.write("." if code == 1 else "S" if code == 0 else "E")
                sys.stderr.flush()

        threads = [threading.Thread(target=work, args=(copy,)) for copy in copies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    sys.stderr.write("\n")
    return sorted(wrong)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants with one of these in file, text or reason")
    parser.add_argument("-j", type=int, default=2, dest="workers", help="how many at a time")
    given = parser.parse_args()
    every = read_mutants()
    wrong = list(mistakes(every))
    chosen = [
        each
        for each in every
        if not given.words or any(word in f"{each.file} {each.old} {each.why}" for word in given.words)
    ]
    begun = time.monotonic()
    if not wrong:
        wrong = run(chosen, given.workers)
    summary = f"{len(chosen)} mutants in {time.monotonic() - begun:.0f} s: {len(wrong) or 'none'} not caught"
    sys.stdout.write("\n".join([*wrong, summary]) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
