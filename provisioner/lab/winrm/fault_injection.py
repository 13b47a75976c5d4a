"""Faults of WinRM on demand, as `provisioner/lab/world/faults.yaml` lists them."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from provisioner.lab.world.kernel import Kernel


class FaultInjection:
    """Asks the world for faults, and remembers the one that waits for its moment."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._lock = threading.Lock()
        self._pipelines_left: int | None = None

    def at(self, name: str, places: Sequence[str] = ("",)) -> float | None:
        """The value of a fault that waits at one of the places, used up with it; None: there is none. Places are the verb of a WSMan
        request and the functions of its pipeline.
        """
        values = (self._kernel.injected(name, place) for place in places)
        return next((value for value in values if value is not None), None)

    def of_user(self, name: str, user: str) -> bool:
        """Whether that fault waits for a user."""
        return self.at(name, [user.rsplit("\\", 1)[-1]]) is not None

    def drops_all(self, verb: str) -> bool:
        """Whether all connections are reset now that this request has been worked on."""
        value = self.at("winrm-drop-after")
        with self._lock:
            if value is not None:
                self._pipelines_left = int(value)
            if verb == "Command" and self._pipelines_left is not None:
                self._pipelines_left -= 1
                if self._pipelines_left <= 0:
                    self._pipelines_left = None
                    return True
            return False
