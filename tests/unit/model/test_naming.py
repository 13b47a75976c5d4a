"""Marks: what is written into Notes is found again, whatever people name their switches and write beside it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioner.lab.functions import call as lab
from provisioner.model.naming import Mark, find_mark

NAMES = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), min_size=1, max_size=120)
"""All that a name on a host can be; line feeds end the line, and lone surrogates are no text."""
OTHERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80).filter(lambda text: "provision/1" not in text)


@settings(deadline=None, max_examples=300)
@given(name=NAMES, before=OTHERS, after=OTHERS)
def test_a_mark_is_found_again_whatever_the_name(name: str, before: str, after: str) -> None:
    """On both sides of the contract: the lab's functions read it by rules of their own."""
    mark = Mark(cluster_id="c0ffee", machine=name)
    for end in ("\n", "\r\n"):
        notes = f"{before}{end}{mark}{end}{after}"
        assert find_mark(notes) == mark
        assert lab.find_mark(notes) == str(mark)
    assert lab.cluster_of(str(mark)) == "c0ffee"


@pytest.mark.parametrize(
    "name",
    [
        "External vSwitch (2.5G)",
        'Kim\'s "fast" switch',
        "a machine=b",
        "x cluster=y machine=z",
        "イーサネット",
        "a\u2028b\x85c",
        " edges ",
        "100%",
    ],
)
def test_names_as_people_give_them(name: str) -> None:
    mark = Mark(cluster_id="c0ffee", machine=f"switch:{name}")
    assert find_mark(f"mine\n{mark}\nask first") == mark


def test_marks_of_before_are_still_read() -> None:
    text = "provision/1 cluster=6f9d0c52 machine=switch:LAB"
    assert find_mark(text) == Mark(cluster_id="6f9d0c52", machine="switch:LAB")
    assert str(find_mark(text)) == text


@pytest.mark.parametrize(
    "notes",
    [
        "",
        "provision/1 cluster=c0ffee",
        "provision/1 cluster=c0ffee machine=",
        "provision/1 cluster=c0 ffee machine=a",
        "see provision/1 cluster=c0ffee machine=a",
        "provision/2 cluster=c0ffee machine=a",
    ],
)
def test_only_a_whole_line_is_a_mark(notes: str) -> None:
    assert find_mark(notes) is None
    assert lab.find_mark(notes) == ""
