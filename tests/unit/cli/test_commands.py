"""Each command over fakes, in this process: what it does, what it prints where, and how it ends."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from provisioner.cli import loading
from provisioner.cli.runner import _Run
from provisioner.compose import Context
from provisioner.faults import FAULTS, Exit, exit_code
from provisioner.ports import CallInfo, Ports
from tests.conftest import ROOT
from tests.unit.cli.conftest import Home
from tests.unit.cli.over_fakes import FILE

VMS = ["home-cp-1", "home-worker-1"]
FRESH: dict[str, Any] = {}
"""A host that has nothing yet."""


def terminal(home: Home, answer: str) -> None:
    """Both ends of a terminal, at which somebody types that."""

    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    home.monkeypatch.setattr(sys, "stdin", Keyboard(answer))
    home.monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)


# --- up and plan ------------------------------------------------------------------------------------------------------


def test_up_creates_what_is_missing_and_then_finds_nothing_to_do(home: Home) -> None:
    home.seen = FRESH
    first = home.run("up", "home", "--progress", "plain")
    assert (first.code, home.vms) == (Exit.DONE, VMS), first.err
    assert "home is up" in first.out
    assert "kubectl" in first.out
    assert "[ 5/12] VMs: " in first.err


def test_up_of_a_cluster_that_is_up(home: Home) -> None:
    done = home.run("up", "home", "--json")
    result = json.loads(done.out)
    assert (done.code, result["schema"], result["outcome"], result["exit"]) == (0, "provision/result/1", "unchanged", 0)
    assert result["files"]["kubeconfig"].endswith("home/kubeconfig")
    assert "nothing to do" in done.err, "people are told on stderr"


def test_quiet_is_the_result_alone(home: Home) -> None:
    done = home.run("up", "home", "-q")
    assert done.err == ""
    assert done.out.split()[:3] == ["✓", "nothing", "to"]
    assert "provision" not in done.out


def test_events_go_to_stdout_when_a_program_reads_them(home: Home) -> None:
    lines = [json.loads(line) for line in home.run("up", "home", "--progress", "json").out.splitlines()]
    assert (lines[0]["type"], lines[0]["schema"]) == ("run_started", "provision/events/1")
    assert lines[-1]["schema"] == "provision/result/1"


def test_a_dry_run_of_up_is_the_plan(home: Home) -> None:
    home.seen = FRESH
    plan, dry = home.run("plan", "home"), home.run("up", "home", "--dry-run")
    assert (plan.code, dry.code) == (0, 0)
    assert "Next: provision up home" in plan.out
    assert without_times(plan.out) == without_times(dry.out)
    assert home.vms == []


def without_times(text: str) -> list[str]:
    return text.splitlines()[1:]


def test_a_plan_tells_by_its_exit_code_whether_anything_differs(home: Home) -> None:
    assert home.run("plan", "home", "--exit-code").code == Exit.DONE
    home.world, home.seen = None, FRESH
    assert home.run("plan", "home", "--exit-code").code == Exit.PENDING
    assert home.run("plan", "home").code == Exit.DONE


def test_a_plan_as_json(home: Home) -> None:
    home.seen = FRESH
    plan = json.loads(home.run("plan", "home", "--until", "switch", "--json").out)
    assert (plan["schema"], plan["cluster"], plan["destroys"]) == ("provision/plan/1", "home", 0)
    assert {action["step"] for action in plan["actions"]} == {"host", "switch"}


def test_a_plan_that_refuses_ends_as_up_would(home: Home) -> None:
    Path("clusters/home.yaml").write_text(FILE.replace(", adapter: Ethernet", ""))
    home.seen = FRESH
    plan, up = home.run("plan", "home"), home.run("up", "home")
    assert (plan.code, up.code) == (exit_code("P-SWITCH-MISSING"),) * 2
    assert "P-SWITCH-MISSING" in plan.out
    assert "P-SWITCH-MISSING" in up.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("up", "home", "--until", "nosuch"), "'nosuch' is not one of"),
        (("up", "home", "--progress", "loud"), "'loud' is not one of"),
        (("up", "home", "--json", "--progress", "json"), "use one of them"),
        (("up", "home", "--wait-scale", "0.01"), "--wait-scale"),
        (("down",), "Missing argument"),
        (("--json", "status"), "after the command"),
        (("nosuch",), "No such command"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_meant_is_told_in_words_that_are_not_broken(
    home: Home, arguments: tuple[str, ...], says: str
) -> None:
    home.monkeypatch.setenv("COLUMNS", "60")
    done = home.run(*arguments)
    assert done.code == Exit.USAGE
    assert says in " ".join(done.err.split())
    assert "Value error" not in done.err
    assert max(map(len, done.err.splitlines())) <= 60
    assert done.err.startswith("Usage: ")


# --- down and rebuild -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["down", "rebuild"])
def test_a_dry_run_shows_what_would_go(home: Home, command: str) -> None:
    done = home.run(command, "home", "--dry-run")
    assert (done.code, home.vms) == (0, VMS)
    assert all(name in done.err for name in VMS)
    assert ("Next: " in done.out) == (command == "rebuild")
    plan = json.loads(home.run(command, "home", "--dry-run", "--json").out)
    assert (plan["schema"], home.vms) == ("provision/plan/1", VMS)


def test_down_with_yes_asks_nothing(home: Home) -> None:
    done = home.run("down", "home", "--all", "--yes", "--progress", "none")
    assert (done.code, home.vms) == (0, []), done.err
    assert "Type home" not in done.err


@pytest.mark.parametrize(("command", "verb"), [("down", "remove"), ("rebuild", "rebuild")])
def test_a_name_typed_wrongly_changes_nothing(home: Home, command: str, verb: str) -> None:
    terminal(home, "hoem\n")
    done = home.run(command, "home")
    assert (done.code, home.vms) == (exit_code("P-RUN-CONFIRM"), VMS)
    assert f"Type home to {verb} it: " in done.err


def test_an_end_of_input_is_no_answer(home: Home) -> None:
    terminal(home, "")
    assert home.run("down", "home").code == exit_code("P-RUN-CONFIRM")


def test_the_name_typed_rebuilds(home: Home) -> None:
    terminal(home, "home\n")
    home.monkeypatch.setenv("CI", "1")
    done = home.run("rebuild", "home")
    assert (done.code, home.vms) == (0, VMS), done.err
    assert home.world is not None
    assert [call.name for call in home.world.host.calls].count("remove_vm") == len(VMS)


@pytest.mark.parametrize("command", ["down", "rebuild"])
def test_without_a_terminal_there_is_no_answer(home: Home, command: str) -> None:
    done = home.run(command, "home")
    assert (done.code, home.vms) == (exit_code("P-RUN-CONFIRM"), VMS)
    assert f"provision {command} home --yes" in done.err


@pytest.mark.parametrize("command", ["down", "rebuild"])
def test_a_protected_cluster_stays(home: Home, command: str) -> None:
    Path("clusters/home.yaml").write_text(f"{FILE}protect: true\n")
    done = home.run(command, "home", "--yes")
    assert (done.code, home.vms) == (exit_code("P-RUN-PROTECTED"), VMS)
    assert "home.yaml:5" in done.err


def test_a_rebuild_that_could_not_create_again_removes_nothing(home: Home) -> None:
    Path("clusters/home.yaml").write_text(FILE.replace(", adapter: Ethernet", "").replace("LAB", "OTHER"))
    done = home.run("rebuild", "home", "--yes")
    assert (done.code, home.vms) == (exit_code("P-SWITCH-MISSING"), VMS)
    assert home.run("rebuild", "home", "--dry-run").code == exit_code("P-SWITCH-MISSING")
    assert home.run("rebuild", "home").code == exit_code("P-SWITCH-MISSING"), (
        "no one is asked to give up what stays away"
    )


@pytest.mark.parametrize("command", ["down", "rebuild"])
def test_what_came_since_the_question_stays(home: Home, command: str) -> None:
    """The plan that was confirmed did not have the VM that the run finds."""
    less: dict[str, Any] = {
        "all": "up",
        "vms": [{"name": "home-worker-1", "gone": True}],
        "folders": [{"machine": "home-worker-1", "gone": True}],
    }
    opened = iter([less, {"all": "up"}])
    as_it_is = home.open_ports

    def open_ports(context: Context, **listeners: Any) -> Ports:
        home.world, home.seen = None, next(opened)
        return as_it_is(context, **listeners)

    home.monkeypatch.setattr(loading, "open_ports", open_ports)
    done = home.run(command, "home", "--yes")
    assert (done.code, home.vms) == (exit_code("P-RUN-PLANCHANGED"), VMS)
    assert "home-worker-1" in done.err


def test_an_empty_name_is_no_name(home: Home) -> None:
    home.monkeypatch.setenv("PROVISION_CLUSTER", "home")
    assert home.run("down", "", "--yes").code == exit_code("P-FILE-NOTFOUND")


# --- status, explain, version, welcome --------------------------------------------------------------------------------


def test_status_of_the_only_cluster(home: Home) -> None:
    done = home.run("status")
    assert done.code == Exit.DONE, done.out
    assert "healthy" in done.out
    assert json.loads(home.run("status", "--json").out)["healthy"] is True
    assert home.run("status", "--exit-code").code == Exit.DONE


def test_status_of_nothing_differs(home: Home) -> None:
    home.seen = FRESH
    done = home.run("status", "home", "--exit-code")
    assert done.code == Exit.PENDING
    assert "provision up home" in done.out


def test_console(home: Home) -> None:
    """The picture is where it says; a machine is named by the end of its name."""
    told = json.loads(home.run("console", "home", "cp-1", "--json").out)
    assert (told["machine"], told["vm"], told["stage"]) == ("home-cp-1", "Running", "running")
    assert told["picture"].endswith("console/home-cp-1.png")
    assert "home-cp-1 on hv01: VM Running" in home.run("console", "home", "cp-1").out
    unknown = home.run("console", "home", "cp-7")
    assert unknown.code == Exit.USAGE
    assert "P-RUN-UNKNOWN" in unknown.err


def test_explain(home: Home) -> None:
    assert FAULTS["P-BOOT-NOMAINT"].title in home.run("explain", "p-boot-nomaint").out
    assert len(home.run("explain").out.splitlines()) == len(FAULTS)
    told = json.loads(home.run("explain", "P-RUN-BUG", "--json").out)["faults"]
    assert [fault["id"] for fault in told] == ["P-RUN-BUG"]
    unknown = home.run("explain", "P-BOOT-NOMAIN")
    assert (unknown.code, "did you mean P-BOOT-NOMAINT?" in unknown.err) == (exit_code("P-RUN-UNKNOWN"), True)


def test_versions(home: Home) -> None:
    import provisioner

    assert home.run("--version").out == f"provision {provisioner.__version__}\n"
    told = json.loads(home.run("--version", "--json").out)
    verbose = home.run("--version", "-v").out
    for value in (told["python"], told["talos"], told["kubernetes"], told["module"], told["libraries"]["typer"]):
        assert f"  {value}\n" in verbose
    assert "not installed" not in verbose


def test_a_library_that_is_missing_is_told(home: Home) -> None:
    from provisioner.cli import version

    home.monkeypatch.setattr(version, "_LIBRARIES", ("no-such-library",))
    assert "no-such-library      not installed" in home.run("--version", "-v").out


def test_alone_it_says_what_is_here(home: Home) -> None:
    assert "  provision status home\n" in home.run().out
    Path("clusters/home.yaml").unlink()
    assert "  provision up lab\n" in home.run().out


def test_which_cluster(home: Home) -> None:
    Path("clusters/other.yaml").write_text(FILE)
    done = home.run("plan")
    assert (done.code, "there are home, other" in done.err) == (exit_code("P-FILE-NOTFOUND"), True)
    for name in ("home", "other"):
        Path(f"clusters/{name}.yaml").unlink()
    assert "provision plan lab" in home.run("plan").err


def test_a_config_without_secrets_yet(home: Home) -> None:
    done = home.run("config", "machine", "home", "home-worker-1")
    assert done.code == 0, done.err
    assert "hostname: home-worker-1" in done.out
    assert "token: «secret»" in done.out


# --- completion -------------------------------------------------------------------------------------------------------


def completed(home: Home, *words: str) -> list[str]:
    done = home.run("_complete", "--", *words)
    assert (done.code, done.err) == (0, "")
    return [line.split("\t")[0] for line in done.out.splitlines()]


def test_commands_options_and_clusters_are_completed(home: Home) -> None:
    assert completed(home, "") == [
        "completion",
        "config",
        "console",
        "down",
        "explain",
        "lab",
        "plan",
        "rebuild",
        "status",
        "up",
    ]
    assert completed(home, "config", "sh") == ["show"]
    assert "home" in completed(home, "up", "")
    assert completed(home, "status", "ho") == ["home", "homelab"]
    assert completed(home, "-v", "up", "home", "") == []
    assert completed(home, "up", "--pro") == ["--progress"]
    assert completed(home, "up", "home", "--progress", "") == ["auto", "json", "live", "none", "plain"]
    assert completed(home, "up", "home", "--progress", "plain", "--unt") == ["--until"]
    assert completed(home, "up", "--until", "ma") == ["maintenance"]
    assert completed(home, "up", "--host", "") == []
    assert completed(home, "lab", "fault", "--cluster", "la") == ["lab"]
    assert completed(home, "explain", "P-RUN-B") == ["P-RUN-BUG"]
    assert completed(home, "completion", "") == ["bash", "fish", "zsh"]
    assert {"--verbose", "--help"} <= set(completed(home, "plan", "--"))
    assert "--version" not in completed(home, "plan", "--")
    assert completed(home) == completed(home, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_says_how_to_install_itself(home: Home, shell: str) -> None:
    done = home.run("completion", shell)
    assert done.code == 0
    assert f"provision completion {shell}" in done.out
    assert "provision _complete -- " in done.out


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_completes_by_the_script(home: Home, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "provision"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m provisioner "$@"\n')
    program.chmod(0o755)
    (tmp_path / "script").write_text(home.run("completion", "bash").out)
    typed = 'source ./script; COMP_WORDS=(provision up ho); COMP_CWORD=2; _provision; printf "%s " "${COMPREPLY[@]}"'
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", typed], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["home", "homelab"]


def test_quiet_and_yes_show_the_result_alone(home: Home) -> None:
    done = home.run("down", "home", "--yes", "-q")
    assert (done.code, done.err) == (0, "")
    assert "removed" in done.out


# --- a run that is stopped, or read by no one ---------------------------------------------------------------------------


def test_the_second_interrupt_leaves_at_once(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    left: list[int] = []

    async def interrupted(self: _Run, *_: object) -> None:
        self._interrupt(signal.SIGINT)
        self._interrupt(signal.SIGHUP)
        assert left == [], "a terminal that closes tells it more than once"
        self._interrupt(signal.SIGTERM)
        raise KeyboardInterrupt

    home.monkeypatch.setattr(_Run, "_drive", interrupted)
    home.monkeypatch.setattr(os, "_exit", left.append)
    done = home.run("up", "home", "--progress", "plain")
    assert (done.code, left) == (Exit.INTERRUPTED, [Exit.INTERRUPTED])
    assert "stopping after the current actions" in done.err
    assert "provision status home tells" in done.err


def test_calls_to_a_host_are_events(home: Home) -> None:
    async def called(self: _Run, *_: object) -> None:
        self._call_ended(CallInfo(host="hv01.lan", functions=("Get-X",), requests=2, elapsed_s=0.5, outcome="ok"))
        raise KeyboardInterrupt

    home.monkeypatch.setattr(_Run, "_drive", called)
    assert "call hv01.lan: Get-X: ok, 2 requests, 0.5 s" in home.run("up", "home", "-vv", "--progress", "plain").err


@pytest.mark.parametrize(
    ("command", "told_from"), [(("status", "home"), 1), (("console", "home", "cp-1"), 1), (("plan", "home"), 2)]
)
def test_calls_of_what_only_reads_are_shown(home: Home, command: tuple[str, ...], told_from: int) -> None:
    def open_ports(context: Context, on_call: Callable[[CallInfo], None] | None = None) -> Ports:
        if on_call:
            on_call(CallInfo(host="hv01.lan", functions=("Get-X",), requests=2, elapsed_s=0.5, outcome="ok"))
        return home.open_ports(context)

    home.monkeypatch.setattr(loading, "open_ports", open_ports)
    words = "call hv01.lan: Get-X: ok, 2 requests, 0.5 s\n"
    for verbosity, flag in enumerate(("--ascii", "-v", "-vv")):
        assert (words in home.run(*command, flag).err) == (verbosity >= told_from)


def test_another_run_is_at_work(home: Home) -> None:
    from provisioner.cli.loading import load
    from provisioner.compose import open_store
    from provisioner.runlock import locked

    settings, loaded = load("home")
    store = open_store(settings, loaded.cluster, os.environ)
    with locked(store.folder, "home"):
        assert home.run("up", "home").code == exit_code("P-RUN-LOCKED")
