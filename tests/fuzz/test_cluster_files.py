"""A cluster file with anything wrong in it gives findings with places, or a cluster: never an error of ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from provisioner.cli.loading import check_configs
from provisioner.clusterfile import load_cluster
from provisioner.errors import Fault
from provisioner.views.console import Console
from provisioner.views.error_panel import render_error_panel
from tests.fuzz.budget import FACTOR, dice

ROOT = Path(__file__).resolve().parents[2]
FILES = [path.read_text() for path in sorted((ROOT / "clusters").glob("*.yaml"))]
PARTS = ROOT / "tests" / "unit" / "clusterfile" / "cases"
FILES += [path.read_text() for path in sorted(PARTS.glob("valid-*.yaml"))]

VALUES = [
    *(
        "",
        "~",
        "null",
        "true",
        "off",
        "0",
        "-1",
        "1e400",
        ".inf",
        "0x1F",
        "1_000",
        "99999999999999999999",
        "1.10",
        "2026-01-01",
    ),
    *(
        "[]",
        "{}",
        "[null]",
        "{a: b}",
        "[[[]]]",
        "{? [a] : b}",
        "&a [*a]",
        "*nothing",
        "!!binary aGk=",
        "!!python/name:os.system x",
    ),
    *(
        "'",
        '"',
        '"\\0"',
        '"\\ud800"',
        '"\\u202e"',
        "'a b'",
        "' x '",
        "ä",
        "日本",
        "💥",
        "a" * 5000,
        "|",
        ">-",
        "<<",
        "- a",
        "a: b: c",
    ),
    *(
        "10.0.0.300",
        "192.168.1.0/24",
        "::1%lo",
        "[::1]",
        "https://[::1",
        "https://a:99999",
        "D:/vm",
        "\\\\nas\\x",
        "C:con",
        "/dev/sda1",
    ),
    *(
        "99 GiB",
        "4 GB",
        "1e9 GiB",
        "-5 GiB",
        "00-15-5D-00-00-01",
        "v1.11.5-",
        "v99.99.99",
        "~nosuch/x",
        "/dev/zero",
        ".",
    ),
]


def _lines(change: Callable[[Random, list[str]], object]) -> Callable[[Random, str], str]:
    def mutate(chance: Random, text: str) -> str:
        lines = text.split("\n")
        change(chance, lines)
        return "\n".join(lines)

    return mutate


def _replace_value(chance: Random, lines: list[str]) -> None:
    index = chance.choice([i for i, line in enumerate(lines) if ":" in line] or [0])
    lines[index] = lines[index].partition(":")[0] + ": " + chance.choice(VALUES)


def _rename_key(chance: Random, lines: list[str]) -> None:
    index = chance.randrange(len(lines))
    head, colon, rest = lines[index].partition(":")
    lines[index] = head + chance.choice(["x", "s", " ", "_", "\t", "é"]) + colon + rest


def _insert_character(chance: Random, text: str) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice("\t\0:{}[]-#&*!|>'\"%@`,?\u2028\ufeff\x85\r\\ ") + text[at:]


MUTATIONS: list[Callable[[Random, str], str]] = [
    _lines(_replace_value),
    _lines(_replace_value),
    _lines(_rename_key),
    _insert_character,
    _lines(lambda chance, lines: lines.pop(chance.randrange(len(lines)))),
    _lines(lambda chance, lines: lines.insert(chance.randrange(len(lines)), chance.choice(lines))),
    _lines(
        lambda chance, lines: lines.append(f"{chance.choice(['patches', 'hosts', 'zzz'])}: {chance.choice(VALUES)}")
    ),
    lambda chance, text: text[: chance.randrange(len(text) + 1)],
]


def outcome(path: Path) -> Fault | None:
    try:
        check_configs(load_cluster(path))
    except Fault as fault:
        return fault
    return None


@pytest.mark.timeout(600 * max(1, FACTOR))
def test_a_mutated_cluster_file(tmp_path: Path) -> None:
    path = tmp_path / "home.yaml"
    refused = 0
    for name, chance in dice("cluster files", 250):
        text = chance.choice(FILES)
        for _ in range(chance.randint(1, 3)):
            text = chance.choice(MUTATIONS)(chance, text)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        fault = outcome(path)
        if fault is None:
            continue
        refused += 1
        assert fault.id == "P-FILE-FINDINGS", (name, text)
        assert any(finding.severity == "error" for finding in fault.findings), (name, text)
        assert all(finding.place.line >= 1 and finding.place.column >= 1 for finding in fault.findings), (name, text)
        Console(width=80).render(render_error_panel(fault, Console(width=80))).encode()
    assert refused
