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
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from py_compile import PycInvalidationMode

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests" / "mutants.toml"

COPIED = ("provisioner", "tests", "clusters", "powershell", "docs", "pyproject.toml", "README.md", "Makefile")
"""What the fast tests read of the tree."""

_STEPS, _FLOW, _OPS = "tests/unit/steps", "tests/unit/workflows", "tests/unit/operations"
_CASES, _WHOLE = f"{_STEPS}/test_plan_cases.py", f"{_FLOW}/test_whole_runs.py"

FAST: Mapping[str, tuple[str, ...]] = {
    "provisioner/steps/access.py": (f"{_STEPS}/test_access.py", _CASES),
    "provisioner/steps/blame.py": (f"{_STEPS}/test_maintenance.py", f"{_STEPS}/test_install.py"),
    "provisioner/steps/bootstrap.py": (f"{_STEPS}/test_bootstrap.py", f"{_STEPS}/test_etcd_life.py"),
    "provisioner/steps/config.py": (f"{_STEPS}/test_config_step.py", f"{_STEPS}/test_eject.py", _WHOLE),
    "provisioner/steps/eject.py": (f"{_STEPS}/test_eject.py", _WHOLE),
    "provisioner/steps/etcd_life.py": (f"{_STEPS}/test_etcd_life.py", _CASES),
    "provisioner/steps/discovery.py": (
        f"{_STEPS}/test_eject.py",
        f"{_STEPS}/test_config_step.py",
        f"{_STEPS}/test_search.py",
    ),
    "provisioner/steps/health.py": (f"{_STEPS}/test_health.py", f"{_STEPS}/test_unmet.py", _CASES),
    "provisioner/steps/host.py": (_CASES, f"{_FLOW}/test_unread_host.py"),
    "provisioner/steps/image.py": (f"{_STEPS}/test_image.py", _CASES, _WHOLE, f"{_STEPS}/test_hints.py"),
    "provisioner/steps/install.py": (f"{_STEPS}/test_install.py", f"{_STEPS}/test_maintenance.py"),
    "provisioner/steps/left_disks.py": (_CASES, f"{_STEPS}/test_etcd_life.py"),
    "provisioner/steps/maintenance.py": (f"{_STEPS}/test_search.py", f"{_STEPS}/test_maintenance.py"),
    "provisioner/steps/host_faults.py": (
        f"{_STEPS}/test_host_faults.py",
        f"{_FLOW}/test_session.py",
        f"{_FLOW}/test_unread_host.py",
        f"{_OPS}/test_observe.py",
        _STEPS,
        _FLOW,
    ),
    "provisioner/steps/removal.py": (
        _CASES,
        f"{_FLOW}/test_down.py",
        _WHOLE,
        f"{_STEPS}/test_several_hosts.py",
        f"{_FLOW}/test_session.py",
    ),
    "provisioner/model/hints.py": ("tests/unit/model/test_hints.py",),
    "provisioner/steps/run_context.py": (f"{_STEPS}/test_hints.py", f"{_STEPS}/test_bootstrap.py"),
    "provisioner/steps/secrets.py": (_CASES, _WHOLE),
    "provisioner/steps/switch.py": (f"{_STEPS}/test_switch.py", _CASES),
    "provisioner/steps/vm.py": (f"{_STEPS}/test_vm.py", _CASES, _WHOLE, f"{_STEPS}/test_search.py"),
    "provisioner/steps/vm_policy.py": (f"{_STEPS}/test_vm.py", _CASES),
    "provisioner/steps/waiting.py": (f"{_STEPS}/test_waiting.py",),
    "provisioner/steps/": (_STEPS, _FLOW),
    "provisioner/workflows/down.py": (f"{_FLOW}/test_down.py", f"{_FLOW}/test_session.py", _WHOLE, _CASES),
    "provisioner/workflows/engine.py": (f"{_FLOW}/test_engine.py",),
    "provisioner/workflows/session.py": (f"{_FLOW}/test_session.py", f"{_FLOW}/test_down.py", _WHOLE),
    "provisioner/operations/": (_OPS, f"{_STEPS}/test_several_hosts.py", _FLOW),
    "provisioner/workflows/": (_FLOW, f"{_STEPS}/test_several_hosts.py", _CASES),
    "provisioner/model/naming.py": ("tests/unit/model", "tests/unit/clusterfile/test_cluster.py"),
    "provisioner/model/redaction.py": ("tests/unit/model/test_redaction.py",),
    "provisioner/model/": ("tests/unit/model", _CASES, f"{_FLOW}/test_down.py", f"{_STEPS}/test_vm.py"),
    "provisioner/winrm/retry.py": ("tests/unit/winrm/test_retry.py",),
    "provisioner/hyperv/": ("tests/unit/hyperv",),
    "provisioner/winrm/": ("tests/unit/winrm",),
    "provisioner/web.py": ("tests/unit/winrm/test_hooks.py", "tests/unit/kubernetes"),
    "provisioner/talos/api/": ("tests/unit/talos_api",),
    "provisioner/talos/authority.py": ("tests/unit/talos/test_clientfiles.py",),
    "provisioner/talos/kubeconfigs.py": ("tests/unit/talos/test_clientfiles.py",),
    "provisioner/talos/talosconfigs.py": ("tests/unit/talos/test_clientfiles.py",),
    "provisioner/talos/secrets.py": ("tests/unit/talos/test_secrets.py",),
    "provisioner/talos/": ("tests/unit/talos",),
    "provisioner/kubernetes/": ("tests/unit/kubernetes",),
    "provisioner/cli/": (
        "tests/unit/cli/test_commands.py",
        "tests/unit/cli/test_parts.py",
        "tests/unit/cli/test_exit.py",
        "tests/unit/cli",
    ),
    "provisioner/store/": ("tests/unit/store",),
    "provisioner/credentials.py": ("tests/unit/test_credentials.py",),
    "provisioner/runlock.py": ("tests/unit/test_runlock.py", "tests/unit/cli/test_surroundings.py"),
}
"""Which tests may notice a change of which files, the likeliest first; the first prefix that fits."""

BOUND_S = 300.0
"""A mutant that hangs is noticed too: each test has a bound of its own, and this is that of all."""


SPARED = ("xdist", "syrupy", "hypothesispytest")
"""Plugins that take a while to load, and that these tests do without."""


@dataclass(frozen=True)
class Mutant:
    """One rule, broken."""

    file: str
    old: str
    new: str
    why: str
    """What would become of the user."""
    guards: tuple[str, ...]
    """Tests that are known to notice it, tried first."""

    @property
    def fast(self) -> tuple[str, ...]:
        """Whatever else may notice it."""
        return next((tests for prefix, tests in FAST.items() if self.file.startswith(prefix)), ("tests/unit",))

    @property
    def line(self) -> int:
        text = (ROOT / self.file).read_text()
        return text.partition(self.old)[0].count("\n") + 1

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
            guards=tuple(entry.get("tests", ())),
        )
        for entry in entries
    ]


def mistakes(mutants: Iterable[Mutant]) -> Iterator[str]:
    """What is wrong with the list itself."""
    for mutant in mutants:
        path = ROOT / mutant.file
        count = path.read_text().count(mutant.old) if path.is_file() else 0
        if count != 1:
            yield f"{mutant.file}: {count} places instead of one have the text of {mutant.why!r}: {mutant.old!r}"
        if mutant.old == mutant.new:
            yield f"{mutant.file}: {mutant.why!r} changes nothing"
        yield from (f"{mutant.file}: no tests at {path}" for path in mutant.guards if not (ROOT / path).exists())


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


@dataclass(frozen=True)
class Tested:
    """What pytest said of a copy."""

    code: int
    noticed_by: str = ""
    """The file of the first test that failed."""
    said: str = ""


def _test(copy: Path, tests: Sequence[str]) -> Tested:
    """Code 1 where a test fails, or all together outlast their bound."""
    options = [
        "-x",
        "-q",
        "--no-header",
        "--timeout",
        "60",
        *(part for name in SPARED for part in ("-p", f"no:{name}")),
    ]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command,
            cwd=copy,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BOUND_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Tested(1)
    failed = re.search(r"^(?:FAILED|ERROR) ([^:]+)::", done.stdout, re.MULTILINE)
    return Tested(done.returncode, failed[1] if failed else "", done.stdout)


def _try(copy: Path, mutant: Mutant) -> Tested:
    path = copy / mutant.file
    text = path.read_text()
    path.write_text(text.replace(mutant.old, mutant.new))
    try:
        known = _test(copy, mutant.guards) if mutant.guards else Tested(0)
        return known if known.code else _test(copy, mutant.fast)
    finally:
        path.write_text(text)


def run(mutants: Sequence[Mutant], workers: int, tell: Callable[[Mutant, Tested], None], *, sure: bool) -> list[str]:
    """Tries all; what is not as it should be, a line each."""
    wrong: list[str] = []
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        waiting.put(mutant)
    with _copies(workers) as copies:
        all_tests = sorted({path for mutant in mutants for path in (*mutant.guards, *mutant.fast)})
        whole = Tested(0) if sure else _test(copies[0], all_tests)
        if whole.noticed_by:
            return [f"{whole.said}\nthe tests fail without any mutant: {whole.noticed_by}"]

        def work(copy: Path) -> None:
            while True:
                try:
                    mutant = waiting.get_nowait()
                except queue.Empty:
                    return
                tested = _try(copy, mutant)
                if tested.code == 0:
                    wrong.append(f"survived  {mutant}")
                elif tested.code != 1:
                    wrong.append(f"broken    {mutant} (pytest ended with {tested.code})")
                tell(mutant, tested)

        threads = [threading.Thread(target=work, args=(copy,)) for copy in copies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sorted(wrong)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutate", description=__doc__)
    parser.add_argument("words", nargs="*", help="only mutants with one of these in file, text or reason")
    parser.add_argument("-j", type=int, default=2, dest="workers", help="how many at a time")
    parser.add_argument("--sure", action="store_true", help="do not run the tests without a mutant first")
    parser.add_argument("-v", action="store_true", dest="verbose", help="tell which file's test notices each")
    given = parser.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background job ignores it, and what it starts too

    def tell(mutant: Mutant, tested: Tested) -> None:
        word = {0: "survived", 1: "noticed"}.get(tested.code, "broken")
        sys.stderr.write(f"{word}\t{tested.noticed_by}\t{mutant}\n" if given.verbose else word[0])
        sys.stderr.flush()

    every = read_mutants()
    wrong = list(mistakes(every))
    chosen = [
        each
        for each in every
        if not given.words or any(word in f"{each.file} {each.old} {each.why}" for word in given.words)
    ]
    begun = time.monotonic()
    if not wrong:
        wrong = run(chosen, given.workers, tell, sure=given.sure)
        sys.stderr.write("\n")
    summary = f"{len(chosen)} mutants in {time.monotonic() - begun:.0f} s: {len(wrong) or 'none'} not caught"
    sys.stdout.write("\n".join([*wrong, summary]) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
