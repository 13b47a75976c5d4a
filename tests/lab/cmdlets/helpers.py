"""An engine that stands on one world after another, and what a script did in it."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from provisioner.lab.world.hyperv.service import Caller
from provisioner.lab.world.world import World
from tests.engine.cmdlets.behaviours import Behaviour
from tests.engine.cmdlets.behaviours.table import BEHAVIOURS
from tests.engine.cmdlets.harness import ADMINISTRATOR, EngineHome

DRIVER = Path(__file__).parent / "driver.ps1"
HYPERV = "Microsoft.HyperV.PowerShell.Commands."


@dataclass(frozen=True)
class Failure:
    id: str
    category: str
    message: str
    target: str
    exception: str
    hresult: int


@dataclass(frozen=True)
class Ran:
    """What a script wrote. Objects come as JSON has them; enums as words."""

    out: list[Any]
    errors: list[Failure]
    warnings: list[str]
    progress: list[str]
    fatal: Failure | None

    @property
    def one(self) -> Any:
        assert len(self.good) == 1, self
        return self.out[0]

    @property
    def good(self) -> list[Any]:
        """What was written, and no error."""
        assert self.fatal is None, self
        assert not self.errors, self
        return self.out


class Engine:
    """One process for all tests: another world is another environment and the init script run again."""

    def __init__(self, pwsh: str, folder: Path, first: World) -> None:
        self._pwsh = pwsh
        self._folder = folder
        self._number = 0
        self.home = self._new_home(first, BEHAVIOURS)
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(30)
            self._process = subprocess.Popen(
                [pwsh, "-NoProfile", "-NonInteractive", "-File", str(DRIVER)],
                env={**self.home.environment(), "DRIVER_PORT": str(server.getsockname()[1])},
                stdin=subprocess.DEVNULL,  # an engine takes its standard input for the script's
                stdout=subprocess.DEVNULL,  # what -WhatIf says on the console
            )
            self._connection, _ = server.accept()
        self._stream = self._connection.makefile("rw", encoding="utf-8", newline="\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._connection.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.home.stop()

    def stand_on(
        self, world: World, caller: Caller = ADMINISTRATOR, behaviours: Mapping[str, Behaviour] = BEHAVIOURS
    ) -> EngineHome:
        self.home.stop()
        self.home = self._new_home(world, behaviours)
        self.act_for(caller)
        return self.home

    def act_for(self, caller: Caller) -> None:
        said = self._ask({"environment": self.home.environment(caller)})
        assert said["fatal"] is None, said

    def run(self, script: str) -> Ran:
        said = self._ask({"script": script})
        assert not self.home.server.failures, self.home.server.failures
        self.home.sync()
        return Ran(
            out=said["out"],
            errors=[Failure(**one) for one in said["errors"]],
            warnings=said["warnings"],
            progress=said["progress"],
            fatal=Failure(**said["fatal"]) if said["fatal"] else None,
        )

    def _new_home(self, world: World, behaviours: Mapping[str, Behaviour]) -> EngineHome:
        self._number += 1
        home = EngineHome(world, self._folder / str(self._number), pwsh=self._pwsh, behaviours=behaviours)
        home.start()
        return home

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        self._stream.write(json.dumps(message) + "\n")
        self._stream.flush()
        line = self._stream.readline()
        assert line, "the engine ended"
        answer: dict[str, Any] = json.loads(line)
        return answer
