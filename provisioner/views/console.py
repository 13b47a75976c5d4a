"""What all screens are written on: lines of styled words, a width, colours or none, glyphs or their ASCII twins.

Colour repeats, never carries, the meaning: each style goes with a glyph or a word. No line leaves wider than the console.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from provisioner.model.redaction import redacted


class Style(Enum):
    """What a word is, and the SGR code of the colour that repeats it."""

    PLAIN = ""
    STRONG = "1"
    GOOD = "32"
    WORK = "36"
    SLOW = "33"
    BAD = "31"
    KEPT = "2"


class Glyph(Enum):
    """A sign and its 7-bit twin."""

    DONE = ("✓", "ok")
    FAILED = ("✗", "FAIL")
    WARNING = ("!", "!")
    WAITING = ("·", ".")
    WORKING = ("◐", "*")
    NONE = (" ", "")
    TOP = ("╷", "+")
    RULE = ("│", "|")
    BOTTOM = ("╵", "+")


@dataclass(frozen=True)
class Span:
    """Words of one style."""

    text: str
    style: Style = Style.PLAIN


@dataclass(frozen=True)
class Line:
    """One line of a screen."""

    spans: tuple[Span, ...] = ()

    @property
    def text(self) -> str:
        return "".join(span.text for span in self.spans)

    @property
    def cells(self) -> int:
        """How many columns it takes on a terminal."""
        return cells(self.text)


def line(*parts: str | Span | Line) -> Line:
    """A line from texts, spans and lines. Control characters and secrets are taken out here, before anything is cut or wrapped."""
    spans: list[Span] = []
    for part in parts:
        if isinstance(part, Line):
            spans += part.spans
        elif isinstance(part, Span):
            spans.append(Span(printable(part.text), part.style))
        else:
            spans.append(Span(printable(part)))
    return Line(tuple(span for span in spans if span.text))


BLANK = Line()


def cells(text: str) -> int:
    """Columns that a text takes: two for wide characters, none for combining ones."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def printable(text: str) -> str:
    """Without control characters and secrets: what a host or a machine says must not steer the terminal."""
    text = redacted(text)
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in text)


_JOINTS = "/\\:,;=&?-_"
"""Behind one of these a long word is rather cut than within: addresses, paths and lists stay readable."""


def _cut(word: str, width: int) -> tuple[str, str]:
    used = 0
    for index, letter in enumerate(word):
        used += cells(letter)
        if used > width and index:
            joint = max(word.rfind(each, 0, index) for each in _JOINTS) + 1
            at = joint if joint > index // 2 else index
            return word[:at], word[at:]
    return word, ""


def pad(text: str, width: int) -> str:
    """Filled with spaces to the right; never cut."""
    return text + " " * max(0, width - cells(text))


NARROWEST, WIDEST = 60, 160
"""Tables need so much, and lines that are longer are hard to read."""


def fitting_width(columns: int) -> int:
    """The width of a console for a terminal of so many columns."""
    return max(NARROWEST, min(WIDEST, columns))


@dataclass(frozen=True, kw_only=True)
class Console:
    """How a screen comes out. Width 0 means that lines may have any length; `ascii` that all of it is 7-bit, names too."""

    width: int = 100
    color: bool = False
    ascii: bool = False

    @property
    def glyph_cells(self) -> int:
        """Columns that the widest sign takes."""
        return 4 if self.ascii else 1

    def glyph(self, glyph: Glyph) -> str:
        return glyph.value[1] if self.ascii else glyph.value[0]

    def sign(self, glyph: Glyph, style: Style = Style.PLAIN) -> Span:
        """A glyph in a column of its own."""
        return Span(pad(self.glyph(glyph), self.glyph_cells), style)

    def between(self, left: Line, right: Line, *, indent: int = 0) -> list[Line]:
        """`right` at the right margin, on the same line where there is room, else on the next."""
        if not right.spans:
            return self.wrapped(left, indent=indent)
        gap = self.width - left.cells - right.cells
        if self.width <= 0 or gap >= 2:
            return [line(left, " " * max(2, gap if self.width > 0 else 2), right)]
        lines = self.wrapped(left, indent=indent)
        last = lines[-1]
        gap = self.width - last.cells - right.cells
        if len(lines) > 1 and gap >= 2:
            return [*lines[:-1], line(last, " " * gap, right)]
        if right.cells + indent <= self.width:
            return [*lines, line(" " * (self.width - right.cells), right)]
        return [*lines, *self.wrapped(line(" " * indent, right), indent=indent)]

    def wrapped(self, given: Line, *, indent: int) -> list[Line]:
        """The line in as many as it needs; all but the first are indented."""
        if self.width <= 0 or given.cells <= self.width:
            return [given]
        lines: list[Line] = []
        room = self.width
        current: list[Span] = []
        used = 0
        for span in _words(given):
            size = cells(span.text)
            if used + size > room and current:
                lines.append(_trimmed(current))
                current, used = [Span(" " * indent)], indent
                if not span.text.strip():
                    continue
            text = span.text
            while used + cells(text) > room:
                head, text = _cut(text, max(1, room - used))
                lines.append(_trimmed([*current, Span(head, span.style)]))
                current, used = [Span(" " * indent)], indent
            current.append(Span(text, span.style))
            used += cells(text)
        if any(span.text.strip() for span in current):
            lines.append(_trimmed(current))
        return lines

    def indented(self, margin: int, *parts: str | Span | Line, hang: int = 0) -> list[Line]:
        """A line at a margin, in as many as it needs; all but the first are indented by `hang` more."""
        return self.wrapped(line(" " * margin, *parts), indent=margin + hang)

    def joined(self, parts: Sequence[Span], *, indent: int) -> list[Line]:
        """The parts beside each other, four spaces between them, in as many lines as they need; no part is divided that fits a line."""
        lines = [line(*parts[:1])]
        for part in parts[1:]:
            if 0 < self.width < lines[-1].cells + 4 + cells(part.text):
                lines.append(line(" " * indent, part))
            else:
                lines[-1] = line(lines[-1], "    ", part)
        return [wrapped for each in lines for wrapped in self.wrapped(each, indent=indent)]

    def labelled(self, label: str, texts: Sequence[str], *, column: int, style: Style = Style.PLAIN) -> Iterator[Line]:
        """A label, and beside it texts that wrap within their column."""
        for index, text in enumerate(texts):
            yield from self.wrapped(line(pad("" if index else label, column), Span(text, style)), indent=column)

    def render(self, lines: Iterable[Line]) -> str:
        """The screen as text, each line ended, no spaces at the ends of lines."""
        return "".join(f"{self.render_line(each)}\n" for each in lines)

    def render_line(self, given: Line) -> str:
        spans = _trimmed(given.spans).spans
        if self.ascii:
            spans = tuple(Span(span.text.encode("ascii", "replace").decode(), span.style) for span in spans)
        if not self.color:
            return "".join(span.text for span in spans)
        return "".join(
            span.text if span.style is Style.PLAIN else f"\x1b[{span.style.value}m{span.text}\x1b[0m" for span in spans
        )


def _words(given: Line) -> Iterator[Span]:
    """Words and the spaces between them, each with its style."""
    for span in given.spans:
        yield from (Span(part, span.style) for part in re.findall(" +|[^ ]+", span.text))


def _trimmed(spans: Sequence[Span]) -> Line:
    kept = list(spans)
    while kept:
        text = kept[-1].text.rstrip(" ")
        if text:
            kept[-1] = Span(text, kept[-1].style)
            break
        kept.pop()
    return Line(tuple(kept))
