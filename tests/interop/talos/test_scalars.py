"""What Talos makes of a value at any place of its config, and we with it: how scalars are spelled, what null is, which forms are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.talos import validate, yaml
from provisioner.talos.schema import FieldType
from tests.fuzz.budget import dice
from tests.interop.talos.judge import Judge
from tests.interop.talos.test_judge import patched_by_us
from tests.unit.talos.helpers import SCHEMA, documents_of
from tests.unit.talos.places import HOSTILE, SchemaPlace, all_places
from tests.unit.talos.test_validate import patched

pytestmark = [pytest.mark.go, pytest.mark.timeout(600)]

CONFIG = "version: v1alpha1\nmachine: {type: worker}\n"
PLACES = all_places(SCHEMA)

KINDS = {
    "string": "machine.kubelet.extraArgs.{}",
    "bool": "machine.install.wipe",
    "int": "machine.network.interfaces.[].mtu",
    "uint16": "machine.network.interfaces.[].vlans.[].vlanId",
    "uint32": "machine.network.interfaces.[].routes.[].metric",
    "any": "machine.kubelet.extraConfig",
    "duration": "machine.time.bootTimeout",
    "disk-size": "machine.disks.[].partitions.[].size",
    "size-match": "machine.install.diskSelector.size",
    "mode": "machine.files.[].permissions",
    "base64": "machine.registries.config.{}.tls.ca",
    "url": "machine.logging.destinations.[].endpoint",
}
SPELLINGS = [
    *(
        "1.10",
        "0644",
        "0o644",
        "1e3",
        "1.5e3",
        "True",
        "TRUE",
        "1_000",
        "0b101",
        "08",
        ".inf",
        "-.INF",
        ".nan",
        "+5",
        "-0x1F",
    ),
    *(
        "18446744073709551615",
        "99999999999",
        "1500.0",
        "1500.9",
        "-1.5",
        "2147483648",
        "9223372036854775808",
        "0.00001",
    ),
    *(
        "1234567.0",
        "100000.0",
        "1e21",
        "1e-7",
        ".5",
        "5.",
        "1__0",
        "09",
        "0x",
        "off",
        "Yes",
        "y",
        "'yes'",
        "'5'",
        "2026-01-01",
    ),
    *("2026-13-01", "1:30", "=", "'0644'", "'1_000'", "'2026-01-01'", "'.inf'", "'null'", "'true'", "a b", "'a: b'"),
    *(
        "90s",
        "1h30m",
        "-5m",
        "0",
        "'0'",
        "'120'",
        "1.5h",
        "100us",
        "1ms",
        "3ns",
        "1d",
        "2 minutes",
        "9999999999h",
        ".5s",
        "1h 5m",
    ),
    *(
        "10GB",
        "10 GiB",
        "1,5k",
        "1.5MB",
        "10 gigs",
        "100",
        "1234",
        "1000000000",
        "5000000",
        "20000000000EB",
        "1.2.3",
        "'>= 10GB'",
    ),
    *(
        "'<5 TB'",
        "'> x'",
        "'=10GB'",
        "aGVsbG8=",
        "aGVsbG8",
        "'%%%'",
        "aGVs bG8=",
        "udp://x:514/",
        "'tcp://[::1'",
        "a:b",
        "'10.0.0.1:80'",
    ),
    *(
        "https://A.b/c?d#e",
        "HTTPS://a",
        "http://a:b/",
        "http://a/%zz",
        "http://u:p@h/",
        "http://a/b c",
        "'://x'",
        "/path",
        "x y",
        "'[a]'",
    ),
]


def compare(judge: Judge, questions: list[tuple[SchemaPlace, str]]) -> list[tuple[str, str, bytes | None, str | None]]:
    """SourceLocation, value, our answer and Talos', wherever they differ."""
    texts = [place.patch(value) for place, value in questions]
    theirs = judge.patch([(CONFIG, [text]) for text in texts])
    ours = [patched_by_us(CONFIG, text) for text in texts]
    return [
        (str(place), value, our, their)
        for (place, value), our, their in zip(questions, ours, theirs, strict=True)
        if our != (their.encode() if their is not None else None) and not expected_to_differ(place, value, our, their)
    ]


def expected_to_differ(place: SchemaPlace, value: str, ours: bytes | None, theirs: str | None) -> bool:
    """Talos takes what it fails over later; and it writes what it cannot read again."""
    if ours is None and theirs is not None:
        empty_item = "- null" in theirs or ": null\n" in theirs.replace("cluster: null\n", "")
        bent = ("- -9223372036854775808", ": -9223372036854775808", "9223372036854775808", "---\n{}\n")
        return empty_item or place.kind.name == "any" or value == "{}" or any(text in theirs for text in bent)
    if ours is not None and theirs is not None:
        if "protocol: Protocol(0)" in theirs:
            theirs = theirs.replace("    protocol: Protocol(0)\n", "")
        return documents_of(ours) == documents_of(theirs)  # we quote more, for other readers
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_each_spelling_in_each_kind_of_field(judge: Judge, kind: str) -> None:
    place = next(one for one in PLACES if one.path == tuple(KINDS[kind].split(".")))
    assert place.kind.name == kind
    wrap = "{{a: {}, b: [{}]}}" if kind == "any" else "{}"
    assert (
        compare(
            judge, [(place, wrap.replace("{}", value).replace("{{", "{").replace("}}", "}")) for value in SPELLINGS]
        )
        == []
    )


def test_null_in_every_list_and_map(judge: Judge) -> None:
    containers = [place for place in PLACES if place.kind.name in ("list", "map")]
    values = {"list": ["[null]", "null", "[~, ]"], "map": ["{a: null}", "{a: , b: null}", "null", "{null: null}"]}
    assert compare(judge, [(place, value) for place in containers for value in values[place.kind.name]]) == []


def test_null_in_every_field(judge: Judge) -> None:
    assert compare(judge, [(place, "null") for place in PLACES]) == []


def test_hostile_values_anywhere(judge: Judge) -> None:
    asked = [(chance.choice(PLACES), chance.choice(HOSTILE)) for _, chance in dice("places", 1500)]
    assert compare(judge, asked) == []


def test_free_form_parts_with_what_talos_cannot_copy(judge: Judge) -> None:
    """It takes a date and a key that is no text, and panics at the next patch."""
    for value in ("{a: 2026-01-01}", "{a: {1: b}}", "{a: [{true: b}]}"):
        text = f"machine: {{kubelet: {{extraConfig: {value}}}}}"
        assert judge.patch([(CONFIG, [text, CONFIG])]) == [None]
        assert patched_by_us(CONFIG, text) is None


def test_the_kinds_of_scalars_are_all_here() -> None:
    """A kind that Talos comes to have is looked at."""
    known = {*KINDS, "list", "map", "uint", "uint8", "uint64", "cel", "bytes", "prefix", "address-port", "port-range"}
    kinds: set[str] = {
        place.kind.name for place in PLACES if not isinstance(SCHEMA.structures.get(place.kind.name), dict)
    }
    assert {name for name in kinds if not name.startswith("enum(")} <= known
    assert FieldType("string").name in kinds


PLAUSIBLE = [
    *(
        "a",
        "1",
        "true",
        "[]",
        "{}",
        "[a]",
        "{a: b}",
        "10.0.0.0/8",
        "https://a/b",
        "https://a:1/",
        "10s",
        "10GiB",
        "udp://x:1/",
    ),
    *("aGVsbG8=", "'a b'", "80", "tcp", "v2", "10.0.0.1", "'10.0.0.1:80'", "[{}]", "{a: {}}"),
]


def test_whatever_can_be_read_is_judged_the_same(judge: Judge, tmp_path: Path) -> None:
    """A value that fits its place, in the config of a real machine: refused by both, or by neither."""
    cases: dict[str, tuple[str, list[str]]] = {}
    for name, chance in dice("verdicts", 100):
        role, place, value = chance.choice(["cp1", "w1"]), chance.choice(PLACES), chance.choice(PLAUSIBLE)
        try:
            documents = patched(role, place.patch(value))
        except (ValueError, AssertionError):
            continue
        if place.path[:1] == ("portSelector",):
            continue  # without a protocol Talos writes what it cannot read
        path = tmp_path / f"{name}.yaml"
        path.write_bytes(yaml.dump_documents(SCHEMA.encode(document) for document in documents))
        cases[str(path)] = (f"{role} {place}: {value}", [str(problem) for problem in validate.check_config(documents)])
    verdicts = judge.ask("validate", *cases)
    assert cases
    assert [
        (what, problems, verdicts[path]["error"])
        for path, (what, problems) in cases.items()
        if verdicts[path]["ok"] == bool(problems)
    ] == []
