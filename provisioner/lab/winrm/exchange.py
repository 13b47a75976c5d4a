"""What passes between HTTP and the WS-Management service, so that neither knows the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


class ConnectionGone(Exception):
    """The connection of a request is dead; nothing was consumed."""


class Dropped(ConnectionGone):
    """A fault that was asked for: the connection ends before the request is worked on."""


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
        """For whom the restricted configuration is made: those who may use Hyper-V and nothing else."""
        return self.may_use_powershell or "hyper-v administrators" in self.groups


@dataclass(frozen=True)
class Caller:
    """Whose envelope it is, and by which connection it came."""

    identity: Identity = Identity("")
    peer: str = ""
    alive: Callable[[], bool] = lambda: True
    """False once the connection is dead."""
    deliverable: Callable[[], bool] = lambda: True
    """False while nothing reaches the client, although the connection may live."""


@dataclass(frozen=True)
class Answer:
    """What the service says to an envelope."""

    status: int
    envelope: bytes
    places: Sequence[str] = ()
    """By what names a fault may be asked for here: the verb first, then the functions of the pipeline."""
    put_back: Callable[[], None] = lambda: None
    """To be called when it could not be delivered."""


Handle = Callable[[bytes, Caller], Answer]
