"""The seam between the loop, where calls are made, and a worker's thread, where they run over one of the two transports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from provisioner.errors import HostRefused
from provisioner.ports import Progress

OUTAGE_TOLERANCE_S = 150.0
"""How long an outage of the host is tolerated within one call, in seconds of the clock port: the host's own watchdog undoes a bad
switch after 90 s, and a DHCP client then needs its time.
"""
FIRST_CONTACT_S = 5.0
"""How long a host is tried that never answered in this run, in real seconds. A wrong address should be told soon."""
CONNECT_S = 2.0
"""Real seconds for one attempt to connect, TLS included. Short, for a SYN sent into an outage is repeated late by the system."""
OPERATION_S = 12
"""How long the host holds a Receive that has no output yet, in real seconds: the OperationTimeout of [MS-WSMV]
(https://learn.microsoft.com/openspecs/windows_protocols/ms-wsmv/).
"""
READ_S = OPERATION_S + 10
"""Real seconds without an answer after which a request is sent again; must exceed `OPERATION_S`."""
ANSWER_S = 60.0
"""Real seconds for one whole answer: a host that sends a byte now and then is disconnected."""
ANSWER_BYTES = 2**20
"""Of one answer. We state 500 KiB as the largest envelope that we take; encoding and encryption add to it."""
CALL_BYTES = 32 * 2**20
"""Of all answers of one call. A whole host with forty VMs is told in half a MiB, a picture of a screen in three."""
CALL_REQUESTS = 20_000
"""Requests of one call, for a host that answers at once and says nothing. A download of an hour takes some thousand."""
OBJECT_BYTES = 8 * 2**20
"""Of one record, put together from its parts."""
WINRM = "WinRM"
"""As what the host is to answer, in `Malformed.expected`."""
TRIES = 4
"""How often a call is begun, when the host loses its shell or an answer that cannot be asked for."""
IDLE_S = 900
"""Seconds after which the host drops a shell whose client is gone; its own default is two hours."""


@dataclass(frozen=True, kw_only=True)
class Int64:
    """An argument for a parameter of type int64: sent as such, whatever its size."""

    value: int


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One host function with its arguments, by the contract's names. Values: str, bool, int, `Int64`, lists of str."""

    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ScriptModule:
    """The PowerShell module whose functions are called, and how a session finds out whether a runspace knows it."""

    name: str
    version: str
    text: Callable[[], str]
    """The functions as one script, for a runspace that does not know them."""
    question: Statement
    """A read whose result has the type `answer_type` and the field `ModuleVersion`."""
    answer_type: str
    output: Callable[[str], tuple[str, Mapping[str, str]]]
    """PSTypeName and field types of a function's results, for a transport that carries neither."""

    @property
    def expected(self) -> str:
        """As what its functions are to write, in `Malformed.expected`."""
        return f"the module {self.name}"


@dataclass
class ModuleState:
    """What the sessions of one host know about its runspaces: learned by the first, true for all."""

    text_needed: bool | None = None
    """Whether a new runspace lacks the module. None: not known, so the first call is the question. A value of an earlier run is a hint:
    text that a runspace does not take is followed by the question.
    """


def same_name(one: str, other: str) -> bool:
    """PowerShell and Hyper-V know no case in names."""
    return one.casefold() == other.casefold()


class InvocationCancelled(Exception):
    """No one waits for the call any more; the pipeline was stopped."""


def _raise(refused: HostRefused) -> None:
    raise refused


@dataclass(frozen=True, kw_only=True)
class Records:
    """Where the records of a call go, in the order in which the host wrote them; called on the worker's thread. What is not given is
    discarded, but for an error, which ends the call.
    """

    restart: Callable[[], None] = lambda: None
    """Records so far are void: the call begins, or begins again since the host lost it."""
    result: Callable[[str, Mapping[str, Any]], None] = lambda _type_name, _values: None
    """An object: its PSTypeName, and its fields by the contract's names."""
    error: Callable[[HostRefused], None] = _raise
    progress: Callable[[Progress], None] = lambda _progress: None
    done: Callable[[bool], None] = lambda _cut_short: None
    """All records are there; True when a terminating error kept later statements from running."""


@dataclass(eq=False, kw_only=True)
class Invocation:
    """One pipeline on its way: what to run, how long outages are tolerated, and where its records go."""

    statements: Sequence[Statement] = ()
    changes: bool = False
    outage_tolerance_s: float = 0.0
    """Real seconds."""
    records: Records = field(default_factory=Records)
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Set by the loop once no one waits any more."""
    requests: int = 0
    received: int = 0
    """Bytes of answers."""
    sent: bool = False
    """The host may have begun: only now can the outcome be unknown."""


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """Who we are to the host, and how we know it."""

    user: str
    password: str = field(repr=False)
    https: bool = True
    """Without it, messages are encrypted by Negotiate (WinRM message encryption); they never go in the clear."""
    certificate: tuple[Path, Path] | None = None
    """Client certificate and key (PEM files) in place of user and password."""
    ca_path: Path | None = None
    """Authorities to trust in place of the system's."""
    pin: str = ""
    """SHA-256 of the host's certificate (hex) in place of any authority."""
    endpoint: str = "Microsoft.PowerShell"
    at: str = "the host"
    """The place that was asked for, `host:port`: what messages name, wherever it is reached."""


class WinRmSession(Protocol):
    """A transport with its session on the host. Belongs to one thread; `HostConnection.abort` ends its request in flight from another."""

    def run(self, call: Invocation) -> None:
        """Runs all statements as one pipeline, opening the session if need be, and tolerating outages as the call says; without statements
        it only opens the session. Records, errors of functions among them, go to the call.

        Raises TransportError: Unreachable, for a change that was sent Dropped, Rejected, NotTrusted, Malformed, and HostRefused for what
        WinRM itself refuses; InvocationCancelled when the call was cancelled.
        """

    def close(self) -> None:
        """Ends the session on the host if it can be reached at once."""
