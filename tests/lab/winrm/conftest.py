"""An endpoint over a small world and a table of functions."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pypsrp.powershell import RunspacePool

from provisioner.lab.winrm import WinRmEndpoint
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import Account, State, WindowsHost
from tests.lab.winrm.doubles import PASSWORD, USER, TableOfFunctions, load, wsman
from tests.lab.world.hand import HandClock


@pytest.fixture
def kernel() -> Kernel:
    state = State(host=WindowsHost(name="HV01", address="192.0.2.10"))
    state.accounts += [Account(USER, PASSWORD), Account("guest", "guest", groups=["Users"])]
    return Kernel(state, HandClock())


@pytest.fixture
def functions() -> TableOfFunctions:
    return TableOfFunctions()


@pytest.fixture
def start(kernel: Kernel, functions: TableOfFunctions, tmp_path: Path) -> Iterator[Callable[..., WinRmEndpoint]]:
    started: list[WinRmEndpoint] = []

    def start(**given: Any) -> WinRmEndpoint:
        started.append(WinRmEndpoint(kernel, functions, given.pop("folder", tmp_path / "winrm"), **given))
        started[-1].start()
        return started[-1]

    yield start
    for endpoint in started:
        endpoint.stop()


@pytest.fixture
def endpoint(start: Callable[..., WinRmEndpoint]) -> WinRmEndpoint:
    return start()


@pytest.fixture
def pool(endpoint: WinRmEndpoint) -> Iterator[RunspacePool]:
    """An open pool with the module loaded."""
    with wsman(endpoint, operation_timeout=2, read_timeout=4) as client, RunspacePool(client) as opened:
        load(opened)
        yield opened


@pytest.fixture
def fast_switching() -> Iterator[None]:
    """Threads change places as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)
