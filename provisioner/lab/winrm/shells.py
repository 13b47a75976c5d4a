"""What all shells have in common: identity, age, channels, and the description that Get and Enumerate show."""

from __future__ import annotations

import abc
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from xml.sax.saxutils import escape

from provisioner.lab.winrm import soap
from provisioner.lab.winrm.channel import Channel
from provisioner.lab.winrm.soap import RSP, Request

if TYPE_CHECKING:
    from provisioner.lab.functions.api import Functions
    from provisioner.lab.winrm.stats import Counters

POOL = ""
"""Key of the channel that belongs to the shell as a whole."""
STOP_WAIT_S = 10.0
"""How long a Signal waits for a command to come to its end before it is given up."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Quotas of the service; the defaults are those of current Windows, as `winrm get winrm/config/winrs` shows them."""

    shells_per_user: int = 30
    commands_per_shell: int = 1000
    operations_per_user: int = 1500
    envelope_kb: int = 500
    idle_timeout_s: float = 7200.0
    min_idle_timeout_s: float = 60.0


@dataclass
class Opening:
    """What every new shell is told."""

    request: Request
    limits: Limits
    now: float
    """Monotonic."""
    id: str = field(init=False)

    def __post_init__(self) -> None:
        self.id = (self.request.find("Shell").get("ShellId") or str(uuid.uuid4())).upper()


class Shell(abc.ABC):
    """One shell. Operations give the body of their answer and raise soap.Fault."""

    kind: str
    input_streams = "stdin"
    output_streams = "stdout stderr"

    def __init__(self, opening: Opening) -> None:
        request, shell = opening.request, opening.request.find("Shell")
        self.id = opening.id
        self.uri = request.uri
        self.identity = request.caller.identity
        self.owner = request.user
        self.client_ip = request.caller.peer
        self.limits = opening.limits
        self.created = self.active = opening.now
        wanted = soap.seconds_of(shell.findtext(f"{{{RSP}}}IdleTimeOut"), opening.limits.idle_timeout_s)
        self.idle_timeout_s = max(opening.limits.min_idle_timeout_s, wanted)
        self.busy = 0
        """Requests at work in it; while there is one it is not idle."""
        self.channels: dict[str, Channel] = {}
        self.functions: dict[str, tuple[str, ...]] = {}
        """Command id -> functions that its pipeline calls, for faults that were asked for by a function's name."""
        self.lock = threading.RLock()

    def channel(self, command_id: str) -> Channel:
        found = self.channels.get(command_id.upper())
        if found is None:
            raise soap.unknown_command()
        return found

    def new_channel(self, command_id: str) -> Channel:
        """For a command that begins. What Windows says to an id in use is not documented: refused."""
        with self.lock:
            if command_id in self.channels:
                raise soap.invalid(f"A command with the identifier {command_id} exists already.")
            if len([key for key in self.channels if key != POOL]) >= self.limits.commands_per_shell:
                raise soap.quota(soap.COMMAND_QUOTA, "The maximum number of concurrent commands per shell is reached.")
            made = self.channels[command_id] = Channel()
            return made

    def expired(self, now: float) -> bool:
        return not self.busy and now - self.active > self.idle_timeout_s

    @abc.abstractmethod
    def command(self, request: Request) -> str: ...

    @abc.abstractmethod
    def send(self, request: Request) -> str: ...

    @abc.abstractmethod
    def signal(self, request: Request) -> str: ...

    @abc.abstractmethod
    def close(self) -> None:
        """Stops what runs in it. Does not wait."""

    def abort_channels(self, reason: str) -> None:
        with self.lock:
            channels = list(self.channels.values())
        for channel in channels:
            channel.fail(soap.aborted(reason))

    def describe(self, now: float) -> str:
        """rsp:Shell, as Windows shows it."""
        return (
            f'<rsp:Shell xmlns:rsp="{RSP}"><rsp:ShellId>{self.id}</rsp:ShellId><rsp:ResourceUri>{escape(self.uri)}</rsp:ResourceUri>'
            f"<rsp:Owner>{escape(self.owner)}</rsp:Owner><rsp:ClientIP>{self.client_ip}</rsp:ClientIP>"
            f"<rsp:ProcessId>{self.process_id()}</rsp:ProcessId><rsp:IdleTimeOut>PT{self.idle_timeout_s:.3f}S</rsp:IdleTimeOut>"
            f"<rsp:InputStreams>{self.input_streams}</rsp:InputStreams><rsp:OutputStreams>{self.output_streams}</rsp:OutputStreams>"
            "<rsp:MaxIdleTimeOut>PT2147483.647S</rsp:MaxIdleTimeOut><rsp:Locale>en-US</rsp:Locale>"
            "<rsp:DataLocale>en-US</rsp:DataLocale><rsp:CompressionMode>NoCompression</rsp:CompressionMode>"
            "<rsp:ProfileLoaded>Yes</rsp:ProfileLoaded><rsp:Encoding>UTF8</rsp:Encoding><rsp:BufferMode>Block</rsp:BufferMode>"
            f"<rsp:State>Connected</rsp:State>"
            f"<rsp:ShellRunTime>{_duration(now - self.created)}</rsp:ShellRunTime>"
            f"<rsp:ShellInactivity>{_duration(now - self.active)}</rsp:ShellInactivity></rsp:Shell>"
        )

    def process_id(self) -> int:
        """Of its wsmprovhost, made up: unlike for each shell, and the same while it lives."""
        return 2000 + int(self.id[:4], 16) // 4 * 4


def command_id_of(request: Request) -> str:
    """PSRP clients choose it; for others the service does."""
    return (request.find("CommandLine").get("CommandId") or str(uuid.uuid4())).upper()


def command_response(command_id: str) -> str:
    return f"<rsp:CommandResponse><rsp:CommandId>{command_id}</rsp:CommandId></rsp:CommandResponse>"


def signal_of(request: Request) -> tuple[str, str]:
    """Command id and code, in lower case: clients spell it differently."""
    signal = request.find("Signal")
    return (signal.get("CommandId") or "").upper(), (signal.findtext(f"{{{RSP}}}Code") or "").lower()


def _duration(seconds: float) -> str:
    whole = int(seconds)
    return f"P{whole // 86400}DT{whole // 3600 % 24}H{whole // 60 % 60}M{whole % 60}S"


class ShellHost(Protocol):
    """Opens shells in place of the lab's own; the tests run a genuine PowerShell behind the same endpoint this way."""

    def start(self) -> None:
        """The endpoint starts to listen."""

    def stop(self) -> None:
        """The endpoint has stopped: processes end with it."""

    def open_powershell(self, opening: Opening, counters: Counters, on_death: Callable[[Shell, str], None]) -> Shell:
        """`on_death(shell, reason)` is called for a shell that ends by itself."""

    def open_cmd(self, opening: Opening, functions: Functions, counters: Counters) -> Shell: ...
