"""What a PowerShell engine needs to stand on a world.

    with EngineHome(world, folder) as home:
        subprocess.run([*home.engine(pwsh), "-s"], env=home.environment(caller))

`home.engine` names a session configuration, by which any PowerShell from 7.3 on runs the init script in each new runspace, whether it
serves a pool or runs a text. After a pipeline `home.sync()` brings what it did to files into the world; each call of a cmdlet does so too.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from provisioner.lab.world.hyperv.service import SYSTEM, Caller
from provisioner.lab.world.state import ScheduledTask
from provisioner.lab.world.tasks import TERMINATED
from provisioner.lab.world.world import World
from tests.engine.cmdlets.behaviours import Behaviour, Environment
from tests.engine.cmdlets.behaviours.table import BEHAVIOURS
from tests.engine.cmdlets.description import description
from tests.engine.cmdlets.files import FileTree
from tests.engine.cmdlets.server import CmdletServer
from tests.engine.cmdlets.tasks import TaskEngine

ADMINISTRATOR = Caller("LAB\\Administrator")
INHERITED = ("PATH", "LANG", "TZ", "TMPDIR", "DOTNET_ROOT", "LD_LIBRARY_PATH")
"""What an engine gets of this process's environment: enough to start."""

SIDS = {
    "administrators": ["S-1-5-32-544", "S-1-16-12288"],
    "hyper-v administrators": ["S-1-5-32-578"],
    "users": ["S-1-5-32-545", "S-1-5-32-580"],
}
"""Administrators, high integrity; Hyper-V Administrators; Users, Remote Management Users."""


class EngineHome:
    """Server, modules, drives and environment for the engines of one world. `pwsh` runs the jobs of the task scheduler."""

    def __init__(
        self, world: World, folder: Path, *, pwsh: str = "", behaviours: Mapping[str, Behaviour] = BEHAVIOURS
    ) -> None:
        self.world = world
        self.folder = folder
        self._stopped = False
        self.files = FileTree(world, folder / "drives")
        self._tasks = (
            TaskEngine(lambda text: self.command(pwsh, text), lambda: self.environment(SYSTEM), self.sync)
            if pwsh
            else None
        )
        self.server = CmdletServer(Environment(world, self.files, self._run_task, self._end_task), behaviours)
        self.server.before_call = self.server.after_call = self.files.sync
        self.init_script = folder / "init.ps1"
        self._configuration = folder / "session.pssc"
        self._lay_modules()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        self.files.sync()
        self.server.start()

    def stop(self) -> None:
        """Ends the jobs that still run and the server; it ends no engine that others started. May be called twice."""
        if self._stopped:
            return
        self._stopped = True
        if self._tasks is not None:
            self._tasks.stop()
        self.server.stop()
        self.files.close()

    def _run_task(self, task: ScheduledTask) -> None:
        """On a thread of its own, to the end of its command; a failure is the task's result."""
        if self._tasks is not None:
            threading.Thread(target=self._work, args=(self._tasks, task), name=f"task {task.name}", daemon=True).start()

    def _work(self, engine: TaskEngine, task: ScheduledTask) -> None:
        try:
            engine.run(task)
        except Exception as error:  # noqa: BLE001 - whatever the command fails with is the task's result
            self.world.kernel.note("task_failed", task.name, error=str(error))
            self.world.tasks.finish(task.name, 1)
        else:
            self.world.tasks.finish(task.name)

    def _end_task(self, name: str) -> None:
        self.world.tasks.finish(name, TERMINATED)
        if self._tasks is not None:
            self._tasks.end(name)

    def sync(self) -> None:
        """Brings what engines did to files into the world, and the world's files before the engines' eyes."""
        self.files.sync()

    def environment(self, caller: Caller = ADMINISTRATOR) -> dict[str, str]:
        """The whole environment of an engine that acts for that user, with a token of its own."""
        host = self.world.state.host
        modules = [self.folder / "modules", *([self.folder / "hyperv"] if host.hyperv_module else [])]
        sids = [
            *(SIDS["administrators"] if caller.administrator else []),
            *(SIDS["hyper-v administrators"] if caller.hyperv_administrator else []),
            *SIDS["users"],
        ]
        return {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            "HOME": str(self.folder / "home"),
            "PSModulePath": os.pathsep.join(str(path) for path in modules),
            "PSModuleAnalysisCachePath": str(self.folder / "analysis-cache"),
            "POWERSHELL_TELEMETRY_OPTOUT": "1",
            "LAB_INIT": str(self.init_script),
            "LAB_WORLD": f"127.0.0.1:{self.server.port}:{self.server.admit(caller)}",
            "LAB_ROOT": str(self.files.root),
            "LAB_DRIVES": "".join(self.files.drives()),
            "LAB_SIDS": " ".join(sids),
            "COMPUTERNAME": host.name.split(".")[0].upper(),
            "USERNAME": caller.user.rpartition("\\")[2],
            "ProgramData": host.program_data,
            "ProgramFiles": "C:\\Program Files",
            "SystemDrive": "C:",
            "SystemRoot": "C:\\Windows",
            "windir": "C:\\Windows",
            "PUBLIC": "C:\\Users\\Public",
            "TEMP": "C:\\Windows\\Temp",
            "TMP": "C:\\Windows\\Temp",
        }

    def engine(self, pwsh: str) -> list[str]:
        """The beginning of a command line whose runspaces all run the init script first."""
        return [pwsh, "-ConfigurationFile", str(self._configuration)]

    def command(self, pwsh: str, text: str) -> list[str]:
        """Arguments that run a text in a new engine after the init script."""
        return [*self.engine(pwsh), "-NoProfile", "-NonInteractive", "-Command", text]

    def _lay_modules(self) -> None:
        """A module folder for each real module of the tables. Names stand in CmdletsToExport one by one, so that the first use of
        a cmdlet loads its module.
        """
        stubs = Path(__file__).parent / "stubs"
        for place in ("modules", "hyperv", "home"):
            shutil.rmtree(self.folder / place, ignore_errors=True)
            (self.folder / place).mkdir(parents=True)
        self.init_script.write_text(stubs.joinpath("init.ps1").read_text(encoding="utf-8"), encoding="utf-8")
        init = str(self.init_script).replace("'", "''")
        self._configuration.write_text(_CONFIGURATION.format(init=init), encoding="utf-8")
        loader = self.folder / "LabCmdlets.psm1"
        loader.write_text(stubs.joinpath("LabCmdlets.psm1").read_text(encoding="utf-8"), encoding="utf-8")
        for name, version in description().modules.items():
            folder = self.folder / ("hyperv" if name == "Hyper-V" else "modules") / name
            folder.mkdir()
            cmdlets = ", ".join(f"'{cmdlet.name}'" for cmdlet in description().cmdlets_of(name))
            (folder / f"{name}.psd1").write_text(_MANIFEST.format(name=name, version=version, cmdlets=cmdlets))
            (folder / f"{name}.psm1").write_text(_MODULE.format(name=name, loader=loader))


_CONFIGURATION = """@{{
    SchemaVersion = '2.0.0.0'
    SessionType = 'Default'
    ScriptsToProcess = '{init}'
}}
"""

_MANIFEST = """@{{
    RootModule = '{name}.psm1'
    ModuleVersion = '{version}'
    FunctionsToExport = @()
    AliasesToExport = @()
    CmdletsToExport = @({cmdlets})
}}
"""

_MODULE = """Import-Module -Name '{loader}'
Import-Module -Assembly (New-CmdletAssembly -Module '{name}')
Export-ModuleMember -Cmdlet *
"""
