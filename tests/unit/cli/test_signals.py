"""SIGTERM and SIGHUP do what Ctrl-C does, whenever they come: exit 130, in order, without a traceback."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

STARTING = """
import sys, types
from provisioner.__main__ import main
late = types.ModuleType("provisioner.cli.app")
def run():
    print("ready", flush=True)
    sys.stdin.read()
late.run = run
sys.modules["provisioner.cli.app"] = late
main()
"""
"""A command that is still at its start."""

PLANNING = """
import asyncio, sys
import provisioner.operations.observe as reading
from provisioner.cli import loading
from provisioner.__main__ import main
async def observe(*_):
    print("ready", flush=True)
    await asyncio.sleep(600)
reading.observe = observe
loading.open_ports = lambda *_, **__: None
async def close_ports(_):
    print("closed in order", flush=True)
loading.close_ports = close_ports
sys.argv = ["provision", "plan", "home"]
main()
"""
"""A plan whose host does not answer yet."""

ENDED = """
import asyncio, sys
from provisioner.cli import signals
from provisioner.__main__ import main
import types
late = types.ModuleType("provisioner.cli.app")
def run():
    async def go():
        for number in signals.stop_signals():
            asyncio.get_running_loop().add_signal_handler(number, print)
    asyncio.run(go())
    signals.stop_as_at_ctrl_c()
    print("ready", flush=True)
    sys.stdin.read()
late.run = run
sys.modules["provisioner.cli.app"] = late
main()
"""
"""A run whose loop, with its own handlers, has ended."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "home.yaml").write_text(
        "version: 1\nhost: {address: hv01.lan, user: me}\nswitch: {name: LAB, adapter: Ethernet}\nmachines: {control_planes: 1}\n"
    )
    return tmp_path


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PROVISION_PASSWORD": "x", **more}


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("script", [STARTING, PLANNING, ENDED], ids=["starting", "planning", "ended"])
def test_a_signal_stops_in_order_at_any_moment(place: Path, script: str, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=place,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line == b"ready\n", process.stderr.read().decode()
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == b""
    assert out == (b"closed in order\n" if script == PLANNING else b"")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_at_a_question_stops_in_order(place: Path, number: signal.Signals) -> None:
    ours, theirs = pty.openpty()
    code = "from keyring.backends import fail; import keyring; keyring.set_keyring(fail.Keyring()); from provisioner.__main__ import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "plan", "home"],
        cwd=place,
        env=environment(PROVISION_PASSWORD=""),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        said = b""
        while b"Password of me" not in said:
            said += os.read(ours, 1000)
        process.send_signal(number)
        assert process.wait(60) == 130
        assert b"Traceback" not in said + _rest(ours)
    finally:
        process.kill()
        process.wait(60)
        os.close(ours)


def _rest(terminal: int) -> bytes:
    rest = b""
    try:
        while part := os.read(terminal, 1000):
            rest += part
    except OSError:  # nobody is there any more
        pass
    return rest


def test_a_hangup_that_is_ignored_stays_ignored(place: Path) -> None:
    """As nohup sets it."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTING],
        cwd=place,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN) and None,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=60)
    assert process.returncode == 0
