"""What all tests share: a fixed home, width and colour, where reference data lies, and how many tests ran under an engine."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
"""Reference data and a PowerShell engine, on the development machines alone."""

# Under `nohup`, or in the background of a script, these are ignored, and every command of a test would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def find_pwsh() -> str | None:
    """A PowerShell engine: the development machines' own, or any `pwsh` on the PATH."""
    own = SHARED / "bin" / "pwsh"
    return str(own) if own.is_file() else shutil.which("pwsh")


@pytest.fixture(scope="session")
def pwsh() -> str:
    found = find_pwsh()
    if found is None:
        pytest.skip("no PowerShell engine on this machine (../shared/bin/pwsh or pwsh on the PATH)")
    return found


@pytest.fixture(scope="session")
def golden_talos() -> Path:
    folder = SHARED / "golden" / "talos"
    if not folder.is_dir():
        pytest.skip("Talos' reference data (../shared/golden) is not on this machine")
    return folder


@pytest.fixture(autouse=True)
def fixed_surroundings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the developer's own home, clusters, colours or passwords."""
    home = tmp_path_factory.mktemp("home")
    for name in [name for name in os.environ if name.startswith("PROVISION_") or name.endswith(("_PROXY", "_proxy"))]:
        monkeypatch.delenv(name)
    for name in ("KUBECONFIG", "TALOSCONFIG", "NO_COLOR", "FORCE_COLOR", "CI", "PSModulePath"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PROVISION_HOME", str(home / ".provision"))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TZ", "UTC")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "pwsh" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.engine)
        if item.get_closest_marker("go"):
            item.add_marker(pytest.mark.timeout(GO_BUILD_S))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if "engine" in report.keywords and report.when == "call" and report.passed:
        _RAN.add(report.nodeid)
    if "engine" in report.keywords and report.skipped:
        _SKIPPED.add(report.nodeid)
    if "go" in report.keywords and report.when == "call" and report.passed:
        _JUDGED.add(report.nodeid)
    if "go" in report.keywords and report.skipped:
        _NOT_JUDGED.add(report.nodeid)


GO_BUILD_S = 600
"""For the first test that needs the judge: it builds a Go program with a hundred modules, which are fetched on a new machine."""

_RAN: set[str] = set()
_SKIPPED: set[str] = set()
_JUDGED: set[str] = set()
_NOT_JUDGED: set[str] = set()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    where = find_pwsh()
    terminalreporter.write_line(
        f"PowerShell engine: {len(_RAN)} tests ran under it, {len(_SKIPPED)} skipped"
        + ("" if where else " (none on this machine: the host's module did not run; install pwsh 7.3 or newer)"),
        yellow=bool(_SKIPPED),
        bold=bool(_SKIPPED),
    )
    if _JUDGED or _NOT_JUDGED:
        terminalreporter.write_line(
            f"Talos' own library: {len(_JUDGED)} tests asked it, {len(_NOT_JUDGED)} skipped"
            + ("" if shutil.which("go") else " (no Go on this machine)"),
            yellow=bool(_NOT_JUDGED),
        )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where the development machines' engine is, a skipped engine test is a failure."""
    if _SKIPPED and SHARED.is_dir() and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
