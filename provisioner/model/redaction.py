"""The last net under all that is written out: known secrets are hidden wherever they stand, and so is whatever looks like a key or a token.

Nothing of ours puts a secret into an event; but events carry the words of others, and a refused config may be quoted back. A known
value is found in every encoding in which it may come back, whole or in part: raw, base64 at any alignment and for URLs, hexadecimal,
percent-encoded, and escaped as in JSON, XML or PowerShell.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

HIDDEN = "«secret»"
_KINDS = ("", "EC ", "RSA ", "ED25519 ", "ENCRYPTED ")
_GRAM = 8
"""Characters by which a known value is found."""
_PART = 16
"""Of a longer value, so many characters in a row give it away; shorter ones are met by chance, as the beginning of any PEM text."""
_SHORT = 4
"""A password of fewer characters is not hidden: it would be found within everything."""


def _coded(kind: str) -> str:
    """How base64 of a PEM key of that kind begins, as far as it is the same for all of them."""
    begin = f"-----BEGIN {kind}PRIVATE KEY-----".encode()
    return base64.b64encode(begin[: len(begin) // 3 * 3]).decode()


_SHAPES = re.compile(
    "|".join(
        (
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)",  # whole, or cut short
            rf"(?:{'|'.join(_coded(kind) for kind in _KINDS)})[A-Za-z0-9+/=]*",
            r"(?<![A-Za-z0-9.-])[a-z0-9]{6}\.[a-z0-9]{16}(?![A-Za-z0-9.-])",  # tokens of Talos and of kubeadm
        )
    ),
    re.DOTALL,
)
_PEM_LINE = re.compile(r"-----(?:BEGIN|END) [A-Z0-9 ]+-----")


class Redactor:
    """What is known to be secret, and how it is hidden. Learning costs milliseconds once; a line costs microseconds."""

    def __init__(self) -> None:
        self._learned: set[str] = set()
        self._needles: list[str] = []
        self._grams: dict[str, list[tuple[int, int]]] = {}
        """Eight characters of a needle -> which one, and where in it: at each eighth place of the long ones, so that any `_PART` of them
        has one; at the beginning of the others.
        """
        self._short: re.Pattern[str] | None = None

    def learn(self, values: Iterable[str | bytes]) -> None:
        """From now on these are hidden. PEM texts are secret line by line; what is too short, or a mere word, is left alone."""
        short: list[str] = []
        for value in values:
            text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
            if text in self._learned:
                continue
            self._learned.add(text)
            if len(text) >= _GRAM:
                for part in _parts(text):
                    for needle in dict.fromkeys(_encodings(part)):
                        self._add(needle)
            elif len(text) >= _SHORT and not text.isalpha():
                short.append(text)
        if short:
            known = [self._short.pattern] if self._short else []
            self._short = re.compile("|".join((*known, *(rf"(?<!\w){re.escape(text)}(?!\w)" for text in short))))

    def _add(self, needle: str) -> None:
        number = len(self._needles)
        self._needles.append(needle)
        last = len(needle) - _GRAM if len(needle) >= _PART else 0
        for at in range(0, last + 1, _GRAM):
            self._grams.setdefault(needle[at : at + _GRAM], []).append((number, at))

    def __call__(self, text: str) -> str:
        """The text without what is known or looks secret; the same object when there is none."""
        # Shapes first: a key of others begins as ours do, and would lose its shape with that beginning.
        text = _SHAPES.sub(HIDDEN, text)
        if self._grams and len(text) >= _GRAM:
            text = self._without_known(text)
        if self._short is not None:
            text = self._short.sub(HIDDEN, text)
        return text

    def _without_known(self, text: str) -> str:
        grams = self._grams
        hits = [at for at in range(len(text) - _GRAM + 1) if text[at : at + _GRAM] in grams]
        kept: list[str] = []
        done = 0
        for at in hits:
            if at < done:
                continue
            runs = (self._run(text, at, done, *place) for place in grams[text[at : at + _GRAM]])
            begin, end = max(runs, key=lambda run: run[1] - run[0])
            if end > begin:
                kept += (text[done:begin], HIDDEN)
                done = end
        return "".join((*kept, text[done:])) if kept else text

    def _run(self, text: str, at: int, done: int, number: int, offset: int) -> tuple[int, int]:
        """From where to where the text runs along the needle, around that place; nothing when that is too short to say anything."""
        needle = self._needles[number]
        begin, from_ = at, offset
        while from_ and begin > done and text[begin - 1] == needle[from_ - 1]:
            begin, from_ = begin - 1, from_ - 1
        end, to = at + _GRAM, offset + _GRAM
        while to < len(needle) and end < len(text) and text[end] == needle[to]:
            end, to = end + 1, to + 1
        return (begin, end) if end - begin >= min(len(needle), _PART) else (0, 0)


def _parts(text: str) -> Iterator[bytes]:
    """What of a value may stand somewhere by itself: each line of a text of several; else the text, and what it is base64 of."""
    lines = [line.strip() for line in text.splitlines()]
    if len(lines) > 1:
        yield from (line.encode() for line in lines if len(line) >= _GRAM and not _PEM_LINE.fullmatch(line))
        return
    yield text.encode("utf-8", "surrogateescape")
    try:
        decoded = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        return
    if len(decoded) >= _PART and not decoded.startswith(b"-----BEGIN "):
        yield decoded


def _encodings(data: bytes) -> Iterator[str]:
    for shift in range(3):  # where it stands within what was encoded
        coded = base64.b64encode(bytes(shift) + data).decode().rstrip("=")
        inner = coded[-(-shift * 8 // 6) : (shift + len(data)) * 8 // 6]
        yield inner
        yield inner.translate(_FOR_URLS)
    yield data.hex()
    yield data.hex().upper()
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return
    yield text
    for escaped in (quote(text, safe=""), quote_plus(text)):
        yield escaped
        yield re.sub("%..", lambda found: found[0].lower(), escaped)
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield html.escape(text)
    yield html.escape(text, quote=False)
    yield text.replace("'", "''")


_FOR_URLS = str.maketrans("+/", "-_")
_ALL = Redactor()
"""This process's own: what is secret in one place is secret at every exit."""


def hide(values: Iterable[str | bytes]) -> None:
    """Registers secrets: called where they are read or made, before they go anywhere."""
    _ALL.learn(values)


def redacted(text: str) -> str:
    """The text without what is known or looks secret; the same object when there is none."""
    return _ALL(text)


_STEERING = re.compile(
    "[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""What steers a terminal or the direction of text: DEL and C1, marks and overrides of direction, separators, invisible characters, tags.

JSON itself escapes only what is below a space.
"""


def json_line(value: Any, *, indent: int | None = None, compact: bool = False, encoding: str = "utf-8") -> str:
    """The value as JSON that any reader takes, that steers no terminal, and without secrets; ended by a line feed.

    Every command and every journal writes its JSON by this. `encoding` is that of the stream it goes to.
    """
    ascii_only = encoding.lower().replace("-", "").replace("_", "") != "utf8"
    separators = (",", ":") if compact else None
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, separators=separators)
    return redacted(_STEERING.sub(lambda found: json.dumps(found[0])[1:-1], text)) + "\n"
