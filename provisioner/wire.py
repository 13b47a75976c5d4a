"""What the clients of this package share about peers: failures in plain words, and the texts of others cut to a readable length.

A failure's words name the place that was asked for, never the one that a lab's dialer put in its stead, and nothing of Python's.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from collections.abc import Iterable, Iterator

TEXT_CHARS = 2_000
"""Characters of one message of a peer that are kept; a person reads no more of it, and a terminal takes a minute for megabytes."""
TEXT_LINES = 40
EXCERPT_CHARS = 80
"""Of what cannot be read: enough to see that it is HTML, SSH or the answer of another program."""

_PLAIN = {  # what Python has no class of its own for
    errno.ENOTCONN: "connection reset",
    errno.EHOSTUNREACH: "no route to the host",
    errno.ENETUNREACH: "no route to the network",
    errno.EHOSTDOWN: "the host is down",
    errno.ENETDOWN: "this computer's network is down",
    errno.EADDRNOTAVAIL: "this computer has no address or port left for it",
    errno.EMFILE: "too many open files on this computer",
    errno.ENFILE: "too many open files on this computer",
    errno.EACCES: "this computer does not allow it",
    errno.EPERM: "this computer does not allow it",
}
_TLS_CUT = frozenset({"UNEXPECTED_EOF_WHILE_READING", "EOF"})
"""OpenSSL's reasons that mean the connection and not what was said on it."""


def inner_errors(error: BaseException) -> Iterator[BaseException]:
    """The error, and what the libraries wrapped into it, outermost first."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        reason = getattr(found, "reason", None)  # urllib3's
        if isinstance(reason, BaseException):
            found = reason
            continue
        wrapped = next((item for item in found.args if isinstance(item, BaseException)), None)
        found = wrapped or found.__cause__


def failure_words(error: BaseException, *, at: str = "", within_s: float | None = None) -> str:
    """How a connection or a call failed: `connection refused at 192.0.2.10:5986`, `name not known: hv01.lan`, `no answer within 10 s`.

    `at` is the place asked for, `host:port`; `within_s` the real seconds that an answer was given.
    """
    chain = list(inner_errors(error))
    for found in reversed(chain):
        if words := _words(found, at, within_s):
            return words
    return f"no connection{_at(at)}"


def _words(error: BaseException, at: str, within_s: float | None) -> str:
    match error:
        case socket.gaierror():
            return _name_words(error, at)
        case ssl.SSLError():
            closed = "the connection was closed"
            return f"{closed}{_at(at)}" if is_tls_cut(error) else f"TLS failed{_at(at)}: {tls_reason(error)}"
        case TimeoutError():
            return f"no answer{'' if within_s is None else f' within {within_s:g} s'}{_at(at, 'from')}"
        case ConnectionRefusedError():
            return f"connection refused{_at(at)}"
        case ConnectionError():
            return f"connection reset{_at(at)}"
        case OSError(errno=int(number)):
            return (_PLAIN.get(number) or (error.strerror or "no connection").lower()) + _at(at)
    return ""


def _name_words(error: socket.gaierror, at: str) -> str:
    host = at.rpartition(":")[0] or at
    known = "the name server does not answer" if error.errno == socket.EAI_AGAIN else "name not known"
    return f"{known}: {host}" if host else known


def is_tls_cut(error: ssl.SSLError) -> bool:
    """Whether TLS ended because its connection did, and not for what was said on it."""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        return True
    return _reason(error) in _TLS_CUT


def tls_reason(error: ssl.SSLError) -> str:
    """OpenSSL's reason as words: `wrong version number`."""
    verify = getattr(error, "verify_message", "")
    reason = verify or _reason(error).lower().replace("_", " ") or str(error.args[-1] if error.args else "")
    return clipped(reason, chars=200) or "without a reason"


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's own name; an error that Python code made has none."""
    return str(getattr(error, "reason", None) or "").upper()


def _at(place: str, preposition: str = "at") -> str:
    return f" {preposition} {place}" if place else ""


def break_connection(connection: socket.socket) -> None:
    """Ends a connection under the thread that uses it, from any other: what that thread waits for fails at once."""
    with contextlib.suppress(OSError):
        # not ssl's own shutdown, which would take the TLS state from under the thread that reads
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def excerpt(came: bytes | str, chars: int = EXCERPT_CHARS) -> str:
    """The beginning of what came, on one line, escaped and in quotes: `"<!DOCTYPE html>..." (1,240 bytes)`."""
    if not came:
        return "nothing"
    begin = came[:chars]
    text = begin.decode("latin-1") if isinstance(begin, bytes) else begin
    shown = "".join(letter if letter.isprintable() else _escaped(letter) for letter in text)
    if len(came) <= chars:
        return f'"{shown}"'
    unit = "bytes" if isinstance(came, bytes) else "characters"
    return f'"{shown}..." ({len(came):,} {unit})'


def shown(value: object) -> str:
    """A value that came where another was due, as a person would write it."""
    if isinstance(value, str | bytes):
        return excerpt(value)
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}" if -(2**63) <= value < 2**63 else "a large number"
    return "a list" if isinstance(value, list | tuple) else "an object"


def _escaped(letter: str) -> str:
    known = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    code = ord(letter)
    return known.get(letter) or (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


def clipped(text: str, *, chars: int = TEXT_CHARS, lines: int = TEXT_LINES) -> str:
    """A message of a peer, whole where it is of a sane length; else its beginning and how much more there was."""
    kept = text[:chars]
    parts = kept.split("\n", lines)
    if len(parts) > lines:
        kept = "\n".join(parts[:lines])
    if len(kept) == len(text):
        return text
    return f"{kept}... {len(text) - len(kept):,} characters more"


def few(texts: Iterable[str], *, most: int, chars: int = 500) -> tuple[str, ...]:
    """The first of many messages, each of a sane length, and how many more there were."""
    every = tuple(texts)
    kept = tuple(clipped(text, chars=chars, lines=5) for text in every[:most])
    more = len(every) - len(kept)
    return (*kept, f"... {more:,} more") if more else kept
