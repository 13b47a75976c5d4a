"""The command line within the test's own process, over the fakes of all ports."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from provisioner.cli import loading
from provisioner.cli.app import run
from provisioner.compose import Context
from provisioner.ports import Ports
from tests.fakes.world import FakeWorld
from tests.unit.cli.over_fakes import FILE
from tests.unit.steps.world import observed_of


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Home:
    """The cluster `home` in the present folder, and the world that its commands find."""

    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    seen: dict[str, Any] = field(default_factory=lambda: {"all": "up"})
    world: FakeWorld | None = None

    def run(self, *arguments: str) -> Ended:
        """One command; its result is that of the program."""
        self.monkeypatch.setattr(sys, "argv", ["provision", *arguments])
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            run()
        shown = self.capsys.readouterr()
        return Ended(int(ended.value.code or 0), shown.out, shown.err)

    def open_ports(self, context: Context, **_: Callable[..., Any]) -> Ports:
        if self.world is None:
            self.world = FakeWorld(context.cluster, observed_of(self.seen, context.cluster))
        return self.world.ports

    @property
    def vms(self) -> list[str]:
        """Names of the VMs that are there."""
        assert self.world is not None, "no command opened it"
        return sorted(vm.name for vm in self.world.host.vms.values())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Home:
    (tmp_path / "clusters").mkdir()
    (tmp_path / "clusters" / "home.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROVISION_PASSWORD", "of no host")
    there = Home(capsys, monkeypatch)
    monkeypatch.setattr(loading, "open_ports", there.open_ports)
    return there
