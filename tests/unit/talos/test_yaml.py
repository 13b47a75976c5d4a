"""Text stays text, and what is written reads the same everywhere."""

from __future__ import annotations

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from provisioner.talos import yaml
from tests.unit.talos.helpers import SAME_EXAMPLES

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]))
)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcde", min_size=1), inner, max_size=4),
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"),
        ("yes", "yes"),
        ("10:20:30:40:50:11", "10:20:30:40:50:11"),
        ("0644", "0644"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("+5", "+5"),
        ("1.34.1", "1.34.1"),
        ("5", 5),
        ("0x1f", 31),
        ("0o17", 15),
        ("true", True),
        ("~", None),
        ("", None),
        ("'5'", "5"),
    ],
)
def test_plain_scalars(text: str, value: object) -> None:
    assert yaml.load(f"key: {text}\n") == {"key": value}


def test_a_fraction_keeps_its_spelling() -> None:
    assert yaml.dump(yaml.load("a: 1.10\n")) == b"a: 1.10\n"


@pytest.mark.parametrize("text", ["off", "10:20:30", "0644", "1e3", "0o17", "5", "true", "null", "~", "", "1_000"])
def test_doubtful_text_is_quoted_for_every_reader(text: str) -> None:
    written = yaml.dump({"key": text})
    assert yaml.load(written) == {"key": text}
    assert pyyaml.safe_load(written) == {"key": text}
    assert b'"' in written


@SAME_EXAMPLES
@given(DATA)
def test_what_is_written_reads_back(data: object) -> None:
    assert yaml.load(yaml.dump({"data": data})) == {"data": data}


def test_layout_is_that_of_talos() -> None:
    written = yaml.dump({"a": [{"name": "x", "inner": {"deep": [1]}}], "text": "one\ntwo\n", "none": [], "map": {}})
    assert written.decode() == (
        "a:\n    - name: x\n      inner:\n        deep:\n            - 1\ntext: |\n    one\n    two\nnone: []\nmap: {}\n"
    )


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "twice"),
        ("a: [1\n", 2, "expected"),
        ("a:\n\t- b\n", 2, "token"),
        ("? [a]\n: 1\n", 1, "scalar"),
    ],
)
def test_errors_name_the_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(yaml.YamlError, match=problem) as caught:
        yaml.load(text)
    assert caught.value.line == line


def test_more_documents_than_one() -> None:
    assert yaml.load_documents("a: 1\n---\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]
    with pytest.raises(yaml.YamlError, match="one document"):
        yaml.load("a: 1\n---\nb: 2\n")
