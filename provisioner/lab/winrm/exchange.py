"""What passes between HTTP and the WS-Management service, so that neither knows the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from provisioner.lab.winrm.channel import ConnectionGone
from provisioner.lab.winrm.identity import Identity


@dataclass(frozen=True)
class Caller:
    """Whose envelope it is, and by which connection it came."""

    identity: Identity
    peer: str
    alive: Callable[[], bool] = lambda: True
    deliverable: Callable[[], bool] = lambda: True


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


class Dropped(ConnectionGone):
    """A fault that was asked for: the connection ends before the request is worked on."""
