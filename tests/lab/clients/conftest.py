"""The lab's endpoint over a scripted host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from provisioner.lab.winrm import WinRmEndpoint
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import Account, State, WindowsHost
from tests.lab.clients.helpers import PASSWORD, USER, ScriptedHost
from tests.lab.world.hand import HandClock


@pytest.fixture
def kernel() -> Kernel:
    state = State(host=WindowsHost(name="HV01", address="192.0.2.10"))
    state.accounts.append(Account(USER, PASSWORD))
    return Kernel(state, HandClock())


@pytest.fixture
def scripted() -> ScriptedHost:
    return ScriptedHost()


@pytest.fixture
def endpoint(kernel: Kernel, scripted: ScriptedHost, tmp_path: Path) -> Iterator[WinRmEndpoint]:
    started = WinRmEndpoint(kernel, scripted, tmp_path / "winrm")
    started.start()
    yield started
    started.stop()
