"""What can go wrong, as values.

    ProvisionError            base; never raised itself
    ├── Fault                 an expected failure with an id from the table in `faults.py`; ends a run with its exit code
    ├── Interrupted           Ctrl-C: exit 130
    ├── Abandoned             an action that waits for something that cannot come any more; the cause is told elsewhere
    └── TransportError        how a talk with the outside failed; a step turns it into a wait or into a Fault
        ├── Unreachable       nothing was sent, or nothing answered: look again
        ├── Dropped           lost in the middle of a call: the outcome is unknown, a read decides
        ├── Malformed         the peer answers, but not as its protocol says: another program listens there, or it is broken
        ├── NotTrusted        our check of the peer's certificate failed: another cluster, maintenance, a changed pin, a clock
        ├── Rejected          the peer refused our certificate or our sign-in: do not repeat
        │   └── NoSignIn      it offers no way to sign in that we know
        └── Answered          the peer understood and said no, with an id
            ├── HostRefused       an error record of a host function, by its id
            ├── TalosRefused      a gRPC status of Talos
            └── KubeRefused       an HTTP status of the Kubernetes API

A Fault's texts are for people; code decides by `id` and by class alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, asdict, dataclass, fields
from typing import Any

from provisioner.faults import exit_code


class ProvisionError(Exception):
    """Base of all errors of ours."""


class Interrupted(ProvisionError):
    """The user asked to stop (Ctrl-C)."""


class Abandoned(ProvisionError):
    """What an action waits for cannot come any more, since another one failed."""


@dataclass(frozen=True, kw_only=True)
class SourceLocation:
    """A place in the user's own file, one-based."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


_LONGEST_TEXT = 400
"""Letters of a finding's text."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong in a cluster file, and what was expected there."""

    place: SourceLocation
    path: str
    """Where in the document, as `machines[2].memory`."""
    problem: str
    expected: str = ""
    did_you_mean: str = ""
    severity: str = "error"
    """`error`, or `warning`: a warning is shown and stops nothing."""

    def __post_init__(self) -> None:
        """Whatever stands in the file, a finding stays one that can be read."""
        for name in ("path", "problem", "expected", "did_you_mean"):
            text = getattr(self, name)
            if len(text) > _LONGEST_TEXT:
                object.__setattr__(self, name, f"{text[: _LONGEST_TEXT - 3]}...")


@dataclass(frozen=True, eq=False)
class FailureReport:
    """What is told of a failure: raised as a `Fault`, told as an event, shown in a panel, printed as JSON."""

    id: str
    """An id of the table of faults; `provision explain ID` has the long text."""
    message: str
    """One line; names the object."""
    _: KW_ONLY
    exit: int = 0
    """Exit code; from the table if not given."""
    machine: str = ""
    expected: str = ""
    seen: Sequence[str] = ()
    probable_cause: str = ""
    """Only when a rule matched the facts; empty means not known."""
    next_steps: Sequence[str] = ()
    """What to do or to type, each a line. Only commands that exist."""
    see_also: Sequence[str] = ()
    """Commands that show more."""
    resume_command: Sequence[str] = ()
    """The command that goes on. Of a fault: only where the same command again would be refused for the same reason."""
    picture: str = ""
    """Path of the picture of the VM's screen, when one was taken."""
    findings: Sequence[Finding] = ()

    def __post_init__(self) -> None:
        for name in ("seen", "next_steps", "see_also", "resume_command", "findings"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if not self.exit:
            object.__setattr__(self, "exit", exit_code(self.id))

    def to_json(self) -> dict[str, Any]:
        """All fields, JSON-ready."""
        return {item.name: json_ready(getattr(self, item.name)) for item in fields(FailureReport)}


def json_ready(value: Any) -> Any:
    """A value of a report as JSON has it: findings as objects."""
    if isinstance(value, tuple):
        return [asdict(each) if isinstance(each, Finding) else each for each in value]
    return value


class Fault(FailureReport, ProvisionError):
    """An expected failure: what was expected, what was seen, what is likely, what to type next. Ends a run with its exit code."""

    def __str__(self) -> str:
        return f"{self.id}: {self.message}"


class TransportError(ProvisionError):
    """Base of what a talk with the outside can end in."""


class Unreachable(TransportError):
    """No connection, or no answer in time: the call had no effect, or can be asked again."""


class Dropped(TransportError):
    """The connection was lost after the call was sent: whether it had an effect is unknown."""


class Malformed(TransportError):
    """The peer answers, but not as its protocol says: never taken for silence, and never for an answer.

    Raised by the one place of each protocol that reads what comes from outside, for anything that cannot be read, is too large, or is
    not of the form that the caller was promised. The text says what was expected and what came, cut short and without secrets.
    """

    def __init__(self, came: str, *, expected: str = "") -> None:
        """`came`: what was seen there, in words. `expected`: as what it was to answer, `WinRM`, `Talos`; decides nothing but the fault."""
        super().__init__(f"answers, but not as {expected}: {came}" if expected else came)
        self.came = came
        self.expected = expected


class NotTrusted(TransportError):
    """The peer's certificate is not the one we expect."""


class Rejected(TransportError):
    """The peer does not accept our certificate, user name or password. Repeating may lock an account."""


class NoSignIn(Rejected):
    """The peer offers no way to sign in that we know: no user name or password was tried."""

    def __init__(self, offered: Sequence[str]) -> None:
        """`offered`: the schemes that it names, as `Kerberos`; empty when it names none."""
        super().__init__(f"it offers {', '.join(offered) or 'no way to sign in'}")
        self.offered = tuple(offered)


class Answered(TransportError):
    """The peer understood and refused."""


@dataclass(eq=False)
class HostRefused(Answered):
    """An error record of a host function. `id` is its FullyQualifiedErrorId up to the first comma (see the contract)."""

    id: str
    message: str
    target: str = ""
    function: str = ""

    def __post_init__(self) -> None:
        super().__init__(f"{self.function}: {self.id}: {self.message}")


@dataclass(eq=False)
class TalosRefused(Answered):
    """A gRPC status other than OK; `status` is its name, as `INVALID_ARGUMENT`."""

    status: str
    message: str

    def __post_init__(self) -> None:
        super().__init__(f"{self.status}: {self.message}")


@dataclass(eq=False)
class KubeRefused(Answered):
    """An HTTP status of 400 or more from the Kubernetes API; `reason` is its machine-readable word."""

    code: int
    reason: str
    message: str

    def __post_init__(self) -> None:
        super().__init__(f"{self.code} {self.reason}: {self.message}")
