"""What the cmdlets do: thin, for the rules are the world's. One module per area; each adds its cmdlets to `BEHAVIOURS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import ScheduledTask, WindowsHost
from provisioner.lab.world.storage import Storage
from provisioner.lab.world.world import World
from tests.engine.cmdlets.call import Call
from tests.engine.cmdlets.files import FileTree
from tests.engine.hyperv import EngineHyperV


@dataclass(frozen=True)
class Environment:
    """What behaviours stand on."""

    world: World
    files: FileTree
    run_task: Callable[[ScheduledTask], None] = lambda _task: None
    """Runs a task of the scheduler, which has begun."""
    end_task: Callable[[str], None] = lambda _name: None
    """Ends the engine that runs a task of the scheduler."""

    @property
    def kernel(self) -> Kernel:
        return self.world.kernel

    @property
    def storage(self) -> Storage:
        return self.world.storage

    @property
    def host(self) -> WindowsHost:
        return self.world.state.host

    def hyperv_of(self, call: Call) -> EngineHyperV:
        """The management service, asked by the user of this call."""
        return EngineHyperV(self.world.hyperv.service.acting_as(call.caller))


Act = Callable[[Call, Environment], None]


@dataclass(frozen=True)
class Behaviour:
    act: Act
    parameters: frozenset[str]
    """What it respects. A use of another real parameter is refused: the lab does not pretend."""


BEHAVIOURS: dict[str, Behaviour] = {}


def behaviour(name: str, parameters: str = "") -> Callable[[Act], Act]:
    """Makes a function the behaviour of a cmdlet that respects these parameters, named in one line."""

    def add(act: Act) -> Act:
        assert name not in BEHAVIOURS, name
        BEHAVIOURS[name] = Behaviour(act, frozenset(parameters.split()))
        return act

    return add
