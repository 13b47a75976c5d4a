"""JSON that steers no terminal."""

from __future__ import annotations

import json
import unicodedata

import pytest

from provisioner.model.jsontext import json_text

HARMFUL = [
    chr(code)
    for code in (*range(0xA0), *range(0x2000, 0x2070), 0x061C, 0xFEFF, 0xFFF9, 0xE0001)
    if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp")
]


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "latin-1", "ascii"])
def test_nothing_that_steers_a_terminal_goes_out(encoding: str) -> None:
    value = {"name": "".join(HARMFUL) + "küche 厨房 \U0001f600"}
    text = json_text(value, encoding=encoding)
    assert json.loads(text) == value, "nothing is lost"
    assert not [letter for letter in HARMFUL if letter in text]
    text.encode(encoding)


def test_letters_stay_readable() -> None:
    assert json_text({"a": "küche 厨房"}, compact=True) == '{"a":"küche 厨房"}'
