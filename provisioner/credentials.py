"""How to sign in to the hosts of a cluster."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from provisioner.errors import Fault
from provisioner.model.cluster import HostSpec
from provisioner.model.redaction import hide

Ask = Callable[[str], str]
"""Asks the user a question in the terminal. None in its place: there is no one to ask, as in a run that a timer starts."""


@dataclass(frozen=True, kw_only=True)
class HostCredentials:
    """What one host takes."""

    user: str
    password: str = field(repr=False)
    ca_path: Path | None = None
    """The authority of the host's certificate, PEM. None: those that this computer trusts, or the pin of the cluster file."""

    def __post_init__(self) -> None:
        """From here on the password shows in no event, journal or JSON."""
        hide([self.password])


def find_credentials(
    hosts: Mapping[str, HostSpec], *, ask: Ask | None, environment: Mapping[str, str]
) -> Mapping[str, HostCredentials]:
    """Those of all hosts, by name; `ask` is asked once for each host whose password is kept nowhere. Raises P-LOCAL-PASSWORD."""
    return {
        name: HostCredentials(user=host.user, password=find_password(host, ask, environment))
        for name, host in hosts.items()
    }


def find_password(host: HostSpec, ask: Ask | None, environment: Mapping[str, str]) -> str:
    """PROVISION_PASSWORD, else the keychain, else a question in the terminal. Never a file, never an argument."""
    given = environment.get("PROVISION_PASSWORD")
    if given:
        return given
    stored, problem = _from_keychain(host)
    if stored:
        return stored
    if ask is not None:
        said = f" ({problem})" if problem else ""
        return ask(f"Password of {host.user} on {host.name}{said}")
    raise Fault(
        "P-LOCAL-PASSWORD",
        f"no password for {host.user or 'the user'} on {host.name}",
        expected="PROVISION_PASSWORD, a keychain item, or a terminal to ask in",
        seen=(problem or "no such item in the keychain",),
        next_steps=(
            "set PROVISION_PASSWORD in the environment of this command",
            f"or put it into the keychain, which asks for it: {keychain_command(host)}",
        ),
    )


_KEYCHAINS = frozenset(
    f"keyring.backends.{name}" for name in ("macOS", "SecretService", "libsecret", "Windows", "kwallet")
)
"""Backends that keep a secret secret; others of keyring's write plain files, or are third-party programs."""


def keychain_command(host: HostSpec) -> str:
    """What to type to keep the password of a host."""
    service, user = shlex.quote(f"provision:{host.name}"), shlex.quote(host.user)
    if sys.platform == "darwin":
        return f"security add-generic-password -s {service} -a {user} -w"
    return f"keyring set {service} {user}"


def _from_keychain(host: HostSpec) -> tuple[str | None, str]:
    """The password, and why the keychain could not be asked; empty where it could be, or where there is none."""
    import keyring
    from keyring.errors import KeyringError

    backend = keyring.get_keyring()
    # With several at hand keyring's own choice is a chain of them, which may contain what is refused here.
    chain = getattr(backend, "backends", None) if type(backend).__module__ == "keyring.backends.chainer" else [backend]
    problem = ""
    for each in chain or ():
        if type(each).__module__ not in _KEYCHAINS:
            continue
        try:
            stored = each.get_password(f"provision:{host.name}", host.user)
        except KeyringError as error:
            problem = f"the keychain cannot be read: {error or type(error).__name__}"
            continue
        if stored:
            return stored, ""
    return None, problem
