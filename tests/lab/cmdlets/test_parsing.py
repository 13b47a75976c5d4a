"""What is read of WQL, and of the command lines of tasks."""

from __future__ import annotations

import base64

import pytest

from tests.engine.cmdlets.tasks import script_text, windows_words
from tests.engine.cmdlets.wql import parse_filter, parse_query

ROW = {"Name": "vmms", "State": "Running", "Size": 42, "Path": "C:\\x"}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("Name='vmms'", True),
        ("name = 'VMMS'", True),
        ('Name="other"', False),
        ("Name<>'other' AND State='Running'", True),
        ("(Name='a' OR Name='vmms') AND Size=42", True),
        ("Name='vmms' OR Name='a' AND Size=0", True),
        ("NOT Name='vmms'", False),
        ("Name LIKE 'vm%'", True),
        ("Size > 41 AND Size<=42", True),
        ("Path='C:\\\\x'", True),
        ("Missing='x'", False),
    ],
)
def test_filters(text: str, fits: bool) -> None:
    assert parse_filter(text).fits(ROW) is fits


@pytest.mark.parametrize(
    "text", ["Name", "Name='x", "Name='x' AND", "(Name='x'", "Name='x' Name='y'", "Name ~ 'x'", ""]
)
def test_filters_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ValueError):
        parse_filter(text)


def test_queries() -> None:
    query = parse_query("SELECT * FROM Win32_Service WHERE Name='vmms'")
    assert query.class_name == "Win32_Service"
    assert query.where is not None
    assert query.where.fits(ROW)
    assert parse_query("select Name from X").where is None
    with pytest.raises(ValueError):
        parse_query("DELETE FROM X")


def test_all_values_of_a_property() -> None:
    condition = parse_filter("(Address='a' OR Address='b') AND Timeout=10")
    assert condition.values("address") == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('-File "C:\\Program Files\\x.ps1" -Name a', ["-File", "C:\\Program Files\\x.ps1", "-Name", "a"]),
        ('a\\\\"b c" d', ["a\\b c", "d"]),
        ('say \\"hi\\"', ["say", '"hi"']),
        ('""', [""]),
        ("C:\\a\\ b", ["C:\\a\\", "b"]),
        ("", []),
    ],
)
def test_words_of_a_windows_command_line(line: str, words: list[str]) -> None:
    assert windows_words(line) == words


def test_what_a_task_runs() -> None:
    file = '-NoProfile -ExecutionPolicy Bypass -File "C:\\Program Files\\x.ps1" -Name "it\'s" -Force -Count -1'
    assert script_text(file).splitlines() == [
        "& 'C:\\Program Files\\x.ps1' -Name 'it''s' -Force -Count '-1'",
        "exit $LASTEXITCODE",
    ]
    assert script_text('-NoProfile -Command "Get-VM; 1"') == "Get-VM; 1"
    encoded = base64.b64encode("Get-VM".encode("utf-16-le")).decode()
    assert script_text(f"-EncodedCommand {encoded}") == "Get-VM"
    with pytest.raises(ValueError):
        script_text("-NoProfile")
