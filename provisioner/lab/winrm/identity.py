"""Who signed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    r"""A user who has signed in. `user` is `HOST\user` as Windows shows it."""

    user: str
    groups: frozenset[str] = frozenset()
    """In lower case."""

    @property
    def administrator(self) -> bool:
        return "administrators" in self.groups

    @property
    def may_use_powershell(self) -> bool:
        """The default permissions of the session configuration Microsoft.PowerShell."""
        return self.administrator or "remote management users" in self.groups

    @property
    def may_use_restricted(self) -> bool:
        """Whom the restricted configuration is made for: those who may use Hyper-V and nothing else."""
        return self.may_use_powershell or "hyper-v administrators" in self.groups


NO_IDENTITY = Identity("")
