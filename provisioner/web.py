"""HTTP as our two clients of it share it: straight to the place that was asked for, and no answer larger than its bound.

No proxy of the environment, no redirect, no cookie, no compression: all of them are for the web, and a peer could use each of them to
lead a client elsewhere or to fill its memory.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, InvalidChunkLength, NewConnectionError, ReadTimeoutError

from provisioner.clienttls import is_alert
from provisioner.errors import Malformed, NotTrusted, Rejected, TransportError, Unreachable
from provisioner.wire import excerpt, failure_words, inner_errors, is_tls_cut, tls_reason

ERROR_BYTES = 2**16
"""Of an answer that says no; it is read for its reason alone."""
_CHARSETS = ("utf-8", "utf-16", "utf-16le", "us-ascii", "iso-8859-1")
"""What a text may be in. For any other the library would guess, which takes seconds for a megabyte."""


def straight(session: requests.Session) -> requests.Session:
    """The session without what the environment of a user's shell says about the web, and without cookies."""
    session.trust_env = False
    session.proxies = {}
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.headers["Accept-Encoding"] = "identity"
    return session


class BoundedResponse(requests.Response):
    """An answer that is never read beyond its bound."""

    most = ERROR_BYTES
    expected = ""

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:
        taken = 0
        for chunk in super().iter_content(chunk_size, decode_unicode):
            taken += len(chunk)
            if taken > self.most:
                self.close()
                raise Malformed(f"{status_of(self)} with more than {size(self.most)}", expected=self.expected)
            yield chunk


class BoundedAdapter(HTTPAdapter):
    """Makes answers bounded. `expected`: as what the peer is to answer; `most`: bytes of one answer."""

    def __init__(self, *, expected: str, most: int) -> None:
        self.expected = expected
        self.most = most
        super().__init__(max_retries=0)

    def close(self) -> None:
        """Ends idle connections now: urllib3 leaves them open for as long as anything, as a traceback, refers to their pool."""
        pools = self.poolmanager.pools
        for pool in [pools[key] for key in pools.keys()]:  # noqa: SIM118 - it cannot be iterated
            pool.close()
        super().close()

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> BoundedResponse:
        """Raises Malformed for a redirect, and for a compressed answer: none is asked for."""
        answer = BoundedResponse()
        answer.__dict__.update(super().build_response(req, resp).__dict__)
        answer.expected = self.expected
        answer.most = self.most if answer.status_code < requests.codes.bad_request else ERROR_BYTES
        if (answer.encoding or "").lower() not in _CHARSETS:
            answer.encoding = "utf-8"
        if requests.codes.multiple_choices <= answer.status_code < requests.codes.bad_request:
            where = answer.headers.get("Location", "")
            answer.close()
            came = f"{status_of(answer)}: a redirect{f' to {excerpt(where)}' if where else ''}, which is not followed"
            raise Malformed(came, expected=self.expected)
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            answer.close()
            raise Malformed(f"{status_of(answer)} with a compressed body", expected=self.expected)
        return answer


def status_of(answer: requests.Response) -> str:
    """`HTTP 403 Forbidden`, the words as the peer wrote them."""
    return http_status(answer.status_code, answer.reason or "")


def http_status(code: int, reason: str = "") -> str:
    """The status with the peer's words, or the standard's where it has none."""
    words = reason or http.client.responses.get(code, "")
    shown = "".join(letter if letter.isprintable() else "?" for letter in words[:60])
    return f"HTTP {code} {shown}".rstrip()


def size(count: int) -> str:
    """`512 KiB`, `32 MiB`."""
    return f"{count / 2**20:g} MiB" if count >= 2**20 else f"{count / 2**10:g} KiB"


def explain(error: BaseException, *, at: str, expected: str, within_s: float | None = None) -> TransportError:
    """What an error of requests, of what it stands on, or of reading an answer means. `at`: the place asked for, `host:port`."""
    chain = list(inner_errors(error))
    for inner in chain:
        if found := _of_answer(inner, at, expected):
            return found
    if any(isinstance(inner, ReadTimeoutError) for inner in chain):
        bound = f" within {within_s:g} s" if within_s is not None else ""
        return Unreachable(f"no answer{bound} from {at}, where connections are accepted")
    if any(isinstance(inner, ConnectTimeoutError) and not isinstance(inner, NewConnectionError) for inner in chain):
        return Unreachable(f"no answer from {at}")
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return Unreachable(f"the answer from {at} broke off")
    if _is_of_the_network(error):
        return Unreachable(failure_words(error, at=at))
    return Malformed(f"an answer that cannot be read ({type(error).__name__})", expected=expected)


def _is_of_the_network(error: BaseException) -> bool:
    if isinstance(error, requests.exceptions.RequestException):  # an OSError, all of them
        return isinstance(error, requests.exceptions.Timeout | requests.exceptions.ConnectionError)
    return isinstance(error, OSError) and not isinstance(error, ValueError)


def _of_answer(error: BaseException, at: str, expected: str) -> TransportError | None:
    """What one error of the chain says of the peer's answer, its TLS or its HTTP; None for one that is of the network."""
    match error:
        case TransportError():
            return error
        case ssl.SSLCertVerificationError():
            return NotTrusted(f"its certificate is not the one expected: {tls_reason(error)}")
        case ssl.SSLError() if is_alert(error):
            return Rejected(f"it ends the TLS handshake: {tls_reason(error)}")
        case ssl.SSLError() if not is_tls_cut(error):
            return Malformed(f"no TLS ({tls_reason(error)})", expected=expected)
        case InvalidChunkLength():
            return Malformed("the length of a part of its answer is no number", expected=expected)
        case http.client.IncompleteRead():
            return Unreachable(f"the answer from {at} broke off")
        case http.client.RemoteDisconnected():
            return Unreachable(f"the connection was closed without an answer at {at}")
        case http.client.BadStatusLine():
            return Malformed(f"no HTTP: {excerpt(str(error.args[0] if error.args else ''))}", expected=expected)
        case http.client.HTTPException():
            return Malformed("headers that cannot be read", expected=expected)
    return None
