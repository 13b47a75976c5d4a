"""JSON as every command and journal writes it: one place decides which characters go out as they are."""

from __future__ import annotations

import json
import re
from typing import Any

_STEERING = re.compile(
    "[\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""What steers a terminal or the direction of text: DEL and C1, marks and overrides of direction, separators, invisible characters, tags.

JSON itself escapes only what is below a space.
"""


def json_text(value: Any, *, indent: int | None = None, compact: bool = False, encoding: str = "utf-8") -> str:
    """The value as JSON that any reader takes and that steers no terminal. `encoding` is that of the stream it goes to."""
    ascii_only = encoding.lower().replace("-", "").replace("_", "") != "utf8"
    separators = (",", ":") if compact else None
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, separators=separators)
    return _STEERING.sub(lambda found: json.dumps(found[0])[1:-1], text)
