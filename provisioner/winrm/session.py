"""What the sessions of both transports have in common: how a call fails, sessions that the host loses, and the end."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from provisioner.errors import TransportError
from provisioner.winrm import retry
from provisioner.winrm.connection import HostConnection
from provisioner.winrm.http import HostTransport
from provisioner.winrm.transport import ANSWER_BYTES, Invocation, ScriptModule, SignIn

R = TypeVar("R")


class HostSession(ABC):
    """A session on the host (see `transport.WinRmSession`), made at the first call and again when the host loses it."""

    def __init__(
        self, sign_in: SignIn, connection: HostConnection, module: ScriptModule, *, most: int = ANSWER_BYTES
    ) -> None:
        """`most`: bytes of one answer."""
        self._sign_in = sign_in
        self._connection = connection
        self._module = module
        self._transport = HostTransport(sign_in, connection, most=most)

    def run(self, call: Invocation) -> None:
        """See `WinRmSession.run`."""
        self._transport.call = call
        try:
            self._run(call)
        except TransportError as error:
            failure = retry.failure_of(call, error)
            if failure is error:
                raise
            raise failure from error

    def close(self) -> None:
        """Ends the session on the host if it can be reached at once; idempotent."""
        self._transport.call = Invocation()
        with contextlib.suppress(Exception):  # a host that is away drops the session by itself, after IDLE_S
            self._end_session()
        self._transport.reset()

    def _persist(self, call: Invocation, attempt: Callable[[], R]) -> R:
        """The result of what is tried again whenever the host loses the session, or an answer that cannot be asked for."""
        tries = 0
        while True:
            tries += 1
            try:
                return attempt()
            except (retry.ShellGone, retry.OutcomeUnknown) as error:
                self._forget_session()
                tolerated = self._connection.within_outage_tolerance(call.outage_tolerance_s)
                if retry.is_over(error, tries, within_outage_tolerance=tolerated):
                    raise retry.given_up(error, tries) from error

    @abstractmethod
    def _run(self, call: Invocation) -> None: ...

    @abstractmethod
    def _forget_session(self) -> None: ...

    @abstractmethod
    def _end_session(self) -> None: ...
