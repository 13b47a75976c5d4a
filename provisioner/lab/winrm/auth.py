"""Who is there: Basic, NTLM and Negotiate, and client certificates; and the message encryption that comes with NTLM.

NTLM proves a connection, not a request: `ConnectionAuth` lives as long as its TCP connection, and its keys with it.
"""

from __future__ import annotations

import base64
import hmac
import re
import struct
from collections.abc import Mapping

from spnego.channel_bindings import GssChannelBindings
from spnego.exceptions import SpnegoError

from provisioner.lab.winrm.exchange import Identity
from provisioner.lab.winrm.ntlm import Acceptor
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import Account

Headers = list[tuple[str, str]]

ENCRYPTED = "multipart/encrypted"
CERTIFICATE_SCHEME = "http://schemas.dmtf.org/wbem/wsman/1/wsman/secprofile/https/mutual"
_SPNEGO_TYPE = "application/HTTP-SPNEGO-session-encrypted"
_SOAP_TYPE = "application/soap+xml;charset=UTF-8"
_BOUNDARY = "Encrypted Boundary"


class SignInRefused(Exception):
    """Not known, or not yet: answer 401 with these headers. `failed`: credentials were there and wrong."""

    def __init__(self, headers: Headers, *, failed: bool = False) -> None:
        super().__init__("sign-in refused")
        self.headers = headers
        self.failed = failed


class Undecryptable(Exception):
    """A body that the keys of this connection do not open."""


class Accounts:
    """The world's accounts, as the sign-in schemes want to ask them."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def find(self, name: str) -> Account | None:
        r"""By `user`, `.\user` or `COMPUTER\user`. The host is in no domain: any other is not known, nor is `user@domain`."""
        domain, backslash, bare = name.casefold().rpartition("\\")
        with self._kernel.lock:
            computer = self._kernel.state.host.name.casefold()
            if backslash and domain not in ("", ".", computer, computer.partition(".")[0]):
                return None
            return next((found for found in self._kernel.state.accounts if found.user.casefold() == bare), None)

    def password_of(self, name: str) -> str | None:
        account = self.find(name)
        return account.password if account else None

    def check(self, name: str, password: str) -> bool:
        expected = self.password_of(name)
        return expected is not None and hmac.compare_digest(expected.encode(), password.encode())

    def identity(self, name: str) -> Identity | None:
        account = self.find(name)
        if account is None:
            return None
        with self._kernel.lock:
            host = self._kernel.state.host.name
        return Identity(f"{host.upper()}\\{account.user}", frozenset(group.lower() for group in account.groups))


class ConnectionAuth:
    """Sign-in and message encryption of one TCP connection. `certificate_hash` is that of the server's, empty without TLS."""

    def __init__(
        self, accounts: Accounts, *, tls: bool, certificate_hash: bytes = b"", require_bindings: bool = False
    ) -> None:
        self._accounts = accounts
        self._tls = tls
        self._bindings: GssChannelBindings | None = None
        if tls and require_bindings:
            self._bindings = GssChannelBindings(application_data=b"tls-server-end-point:" + certificate_hash)
        self._acceptor: Acceptor | None = None
        self._identity: Identity | None = None

    def challenge(self) -> Headers:
        """What may be used here. Basic is offered over TLS alone."""
        offered = [("WWW-Authenticate", "Negotiate")]
        return [*offered, ("WWW-Authenticate", 'Basic realm="WSMAN"')] if self._tls else offered

    def identify(self, headers: Mapping[str, str], certificate_user: str) -> tuple[Identity, Headers]:
        """Whose request this is, and headers for the answer. Raises SignInRefused."""
        value = headers.get("authorization", "")
        scheme, _, token = value.partition(" ")
        if value == CERTIFICATE_SCHEME and self._tls:
            return self._known(certificate_user), []
        if scheme.lower() == "basic" and self._tls:
            return self._basic(_decoded(token)), []
        if scheme.lower() in ("negotiate", "ntlm"):
            return self._negotiate(scheme, _decoded(token))
        if self._identity is None:
            raise SignInRefused(self.challenge())
        return self._identity, []

    def forget(self) -> None:
        """The next request must sign in again."""
        self._acceptor = self._identity = None

    def _basic(self, token: bytes) -> Identity:
        """Clients do not agree on the encoding: RFC 7617 leaves it open."""
        for encoding in ("utf-8", "latin-1"):
            user, _, password = token.decode(encoding, "replace").partition(":")
            if self._accounts.check(user, password):
                return self._known(user)
        raise SignInRefused(self.challenge(), failed=True)

    def _negotiate(self, scheme: str, token: bytes) -> tuple[Identity, Headers]:
        if self._acceptor is None or self._acceptor.complete or token.startswith(b"NTLMSSP\x00\x01"):
            self.forget()
            self._acceptor = Acceptor(self._accounts.password_of, self._bindings)
        acceptor = self._acceptor
        try:
            reply = acceptor.step(token)
        except (SpnegoError, ValueError, struct.error) as error:
            self.forget()
            raise SignInRefused(self.challenge(), failed=True) from error
        headers = [("WWW-Authenticate", f"{scheme} {base64.b64encode(reply).decode()}")] if reply else []
        if not acceptor.complete:
            raise SignInRefused(headers)
        self._identity = self._known(acceptor.user)
        return self._identity, headers

    def _known(self, user: str) -> Identity:
        identity = self._accounts.identity(user)
        if identity is None:
            raise SignInRefused(self.challenge(), failed=True)
        return identity

    # -- message encryption: [MS-WSMV] 2.2.9.1

    def decrypt(self, body: bytes) -> bytes:
        """Plain text of a multipart/encrypted body. Raises Undecryptable."""
        if self._acceptor is None or not self._acceptor.complete:
            raise Undecryptable("no keys on this connection")
        parts = [part for part in re.split(rb"--\s*" + _BOUNDARY.encode() + rb"\r\n", body) if part]
        plain = b""
        for head, tail in zip(parts[::2], parts[1::2], strict=False):
            length = re.search(rb"Length=(\d+)", head)
            _, found, sealed = tail.partition(b"octet-stream\r\n")
            sealed = re.sub(rb"--\s*" + _BOUNDARY.encode() + rb"--\r\n$", b"", sealed)
            if not (length and found and len(sealed) > 4):
                raise Undecryptable("parts of the multipart body are missing")
            size = 4 + struct.unpack_from("<I", sealed)[0]
            try:
                opened = self._acceptor.context.unwrap_winrm(sealed[4:size], sealed[size:])
            except (SpnegoError, ValueError) as error:
                raise Undecryptable(str(error)) from error
            if len(opened) != int(length[1]):
                raise Undecryptable("length and content of the multipart body differ")
            plain += opened
        return plain

    def encrypt(self, body: bytes) -> tuple[str, bytes]:
        """Content type and body. The closing delimiter follows the sealed bytes without a line break: so do all implementations."""
        assert self._acceptor is not None
        sealed = self._acceptor.context.wrap_winrm(body)
        size = len(body) + sealed.padding_length
        head = (
            f"--{_BOUNDARY}\r\n\tContent-Type: {_SPNEGO_TYPE}\r\n\tOriginalContent: type={_SOAP_TYPE};Length={size}\r\n"
            f"--{_BOUNDARY}\r\n\tContent-Type: application/octet-stream\r\n"
        )
        data = struct.pack("<I", len(sealed.header)) + sealed.header + sealed.data
        content_type = f'{ENCRYPTED};protocol="{_SPNEGO_TYPE}";boundary="{_BOUNDARY}"'
        return content_type, head.encode() + data + f"--{_BOUNDARY}--\r\n".encode()


def _decoded(token: str) -> bytes:
    try:
        return base64.b64decode(token, validate=True)
    except ValueError:
        return b""
