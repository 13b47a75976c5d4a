"""Who signed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Identity:
    r"""Somebody who has signed in. `user` is `HOST\user` as Windows shows it."""

    user: str
    groups: frozenset[str] = frozenset()

    @property
    def administrator(self) -> bool:
        return "Administrators" in self.groups

    @property
    def may_use_powershell(self) -> bool:
        """The default permissions of the session configuration Microsoft.PowerShell."""
        return self.administrator or "Remote Management Users" in self.groups


NOBODY = Identity("")
