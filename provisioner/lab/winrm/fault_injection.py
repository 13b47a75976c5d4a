"""Faults of WinRM on demand. `provisioner/lab/world/faults.yaml` lists them: `place` is the verb of a WSMan request, or the name of a
function for the requests of its pipeline, or empty for whatever comes first; for sign-in and quota it is the user.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from provisioner.lab.winrm import soap
from provisioner.lab.world.kernel import Kernel


class FaultInjection:
    """Asks the world for faults, and remembers those that wait for their moment."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._lock = threading.Lock()
        self._pipelines_left: int | None = None

    def refuses_sign_in(self, user: str) -> bool:
        return self._at("winrm-refuse", [_bare(user)]) is not None

    def changes_certificate(self) -> bool:
        return self._at("winrm-certificate", [""]) is not None

    def check_shell_quota(self, user: str) -> None:
        """Raises soap.Fault."""
        if self._at("winrm-quota", [_bare(user)]) is not None:
            raise soap.quota(soap.SHELL_QUOTA, f"The user {user} has too many shells.")

    def forgets_shells(self, places: Sequence[str]) -> bool:
        return self._at("winrm-forget", places) is not None

    def drops(self, places: Sequence[str]) -> bool:
        return self._at("winrm-drop", places) is not None

    def loses_answer(self, places: Sequence[str]) -> tuple[bool, bool]:
        """Whether the answer is lost, and whether the endpoint notices."""
        value = self._at("winrm-lose-answer", places)
        return value is not None, value == 1

    def drops_all(self, verb: str) -> bool:
        """Whether all connections are reset now that this request has been worked on."""
        value = self._at("winrm-drop-after", [""])
        with self._lock:
            if value is not None:
                self._pipelines_left = int(value)
            if verb == "Command" and self._pipelines_left is not None:
                self._pipelines_left -= 1
                if self._pipelines_left <= 0:
                    self._pipelines_left = None
                    return True
            return False

    def stall_s(self, places: Sequence[str]) -> float:
        return self._at("winrm-stall", places) or 0.0

    def bytes_per_s(self, places: Sequence[str]) -> float:
        """0: as fast as it goes."""
        return self._at("winrm-slow", places) or 0.0

    def _at(self, name: str, places: Sequence[str]) -> float | None:
        values = (self._kernel.injected(name, place) for place in places)
        return next((value for value in values if value is not None), None)


def _bare(user: str) -> str:
    return user.rsplit("\\", 1)[-1]
