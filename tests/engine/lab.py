"""A lab whose WinRM shells run a genuine PowerShell: `python -m tests.engine.lab --folder F ...`, as `python -m provisioner.lab`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from provisioner.lab.__main__ import main
from provisioner.lab.world.world import World
from tests.conftest import ROOT, find_pwsh
from tests.engine.bridge import Engines
from tests.engine.cmdlets.harness import EngineHome
from tests.engine.process import EngineSpec


class EngineShells(Engines):
    """Engines with the stub cmdlets of a world, and the files and tasks that these need."""

    def __init__(self, world: World, folder: Path) -> None:
        pwsh = find_pwsh()
        assert pwsh is not None
        home = EngineHome(world, folder / "engine", pwsh=pwsh)
        home.start()
        self._home = home
        spec = EngineSpec(
            argv=home.engine(pwsh),
            env=lambda who: home.environment(world.caller(who.user)),
            after_pipeline=home.sync,
            spares=1,
            warm_up="Get-VM",
        )
        super().__init__(spec, world.kernel)

    def stop(self) -> None:
        super().stop()
        self._home.stop()


_START = """
import sys
from pathlib import Path
from provisioner.lab import control
control.start(Path(sys.argv[1]), speed=float(sys.argv[2]), seed=1, module="tests.engine.lab")
"""


def start(folder: Path, *, speed: float) -> None:
    """Starts the lab of that folder, which the product's commands then find and use; by a process that ends, as theirs does."""
    command = [sys.executable, "-c", _START, str(folder), str(speed)]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, timeout=120)


if __name__ == "__main__":
    sys.exit(main(EngineShells))
