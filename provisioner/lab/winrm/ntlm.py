"""NTLM and Negotiate acceptors of pyspnego, whose users are the lab's accounts.

pyspnego's acceptor has one place where it looks its users up: a file that an environment variable of the whole process names. An endpoint
has accounts of its own, they change while it runs, and other threads read the environment. So that one place is replaced: while a step
of ours runs on a thread, it asks our accounts there; for all other threads it is as before.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import spnego
from spnego import _ntlm
from spnego._ntlm_raw.crypto import ntowfv1
from spnego.channel_bindings import GssChannelBindings

PasswordOf = Callable[[str], str | None]
"""The password of a user, or None where there is none."""


class _Lookup(threading.local):
    password_of: PasswordOf | None = None


_lookup = _Lookup()
_file_of_all = _ntlm._get_credential_file
_credential_of_all = _ntlm._get_credential

_Credential = tuple[str | None, str | None, bytes, bytes]


def _credential_file() -> str | None:
    found: str | None = "the lab's accounts" if _lookup.password_of else _file_of_all()
    return found


def _credential(store: str | None, domain: str | None = None, username: str | None = None) -> _Credential:
    if _lookup.password_of is None:
        found: _Credential = _credential_of_all(store, domain, username)
        return found
    password = _lookup.password_of(f"{domain}\\{username}" if domain else username or "")
    if password is None:
        raise spnego.exceptions.SpnegoError(spnego.exceptions.ErrorCode.failure, context_msg="no such account")
    return domain, username, bytes(16), ntowfv1(password)  # no LM hash: nothing has sent LM answers for decades


_ntlm._get_credential_file = _credential_file
_ntlm._get_credential = _credential


class Acceptor:
    """One negotiation, and afterwards the keys that it agreed on."""

    def __init__(self, password_of: PasswordOf, bindings: GssChannelBindings | None) -> None:
        self._password_of = password_of
        with _Asking(password_of):
            # use_negotiate: pyspnego's own code, that takes raw NTLM too, and never the system's GSSAPI
            self.context = spnego.server(
                protocol="negotiate", channel_bindings=bindings, options=spnego.NegotiateOptions.use_negotiate
            )

    @property
    def complete(self) -> bool:
        return bool(self.context.complete)

    @property
    def user(self) -> str:
        return str(self.context.client_principal or "")

    def step(self, token: bytes) -> bytes | None:
        """Raises SpnegoError, ValueError and struct.error: whatever pyspnego makes of a token that is none, or wrong."""
        with _Asking(self._password_of):
            answer: bytes | None = self.context.step(token)
            return answer


class _Asking:
    """While it is entered, this thread looks users up in these accounts."""

    def __init__(self, password_of: PasswordOf) -> None:
        self._password_of = password_of

    def __enter__(self) -> None:
        _lookup.password_of = self._password_of

    def __exit__(self, *_: object) -> None:
        _lookup.password_of = None
