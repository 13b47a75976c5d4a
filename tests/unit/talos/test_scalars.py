"""How a scalar is spelled in a cluster file decides what stands in the config: as Talos reads it, by the kind of the field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provisioner.clusterfile import load_cluster
from provisioner.model.scalars import OddKey, Scalar, resolve, written_float
from provisioner.model.scalars import key as resolved_key
from provisioner.talos import yaml
from provisioner.talos.schema.rules import rule_of
from tests.unit.talos.helpers import SCHEMA, config_of, documents_of
from tests.unit.talos.places import all_places

TEXTS = {
    "1.10": "1.10",
    "0644": "0644",
    "0o644": "0o644",
    "1e3": "1e3",
    "1.5e3": "1.5e3",
    "True": "True",
    "TRUE": "TRUE",
    "1e400": "1e400",
    "1_000": "1_000",
    "2026-01-01": "2026-01-01",
    "~": "",
    "": "",
    "off": "off",
    '"1.10"': "1.10",
}


@pytest.mark.parametrize("inline", [True, False], ids=["inline", "file"])
@pytest.mark.parametrize(("written", "expected"), TEXTS.items())
def test_text_keeps_its_spelling_from_the_cluster_file_to_the_config(
    tmp_path: Path, written: str, expected: str, inline: bool
) -> None:
    patch = f"machine:\n  sysctls:\n    k: {written}\n"
    (tmp_path / "patch.yaml").write_text(patch)
    body = "- " + patch.replace("\n", "\n      ").rstrip() if inline else "- file: patch.yaml"
    (tmp_path / "home.yaml").write_text(
        f"version: 1\nhost: {{address: hv01.lan, user: u}}\npatches:\n  all:\n    {body}\n"
    )
    cluster = load_cluster(tmp_path / "home.yaml").cluster
    assert config_of(cluster, "home-worker-1")["machine"]["sysctls"] == {"k": expected}


FREE = {
    "1_000": 1000,
    "0b101": 5,
    "08": 8.0,
    ".inf": float("inf"),
    "1.10": 1.1,
    "True": True,
    "0644": 420,
    "'08'": "08",
}


@pytest.mark.parametrize(("written", "meant"), FREE.items())
def test_free_form_parts_keep_the_meaning(written: str, meant: object) -> None:
    problems: list[Any] = []
    (document,) = documents_of(f"machine: {{kubelet: {{extraConfig: {{k: {written}}}}}}}")
    decoded = SCHEMA.decode(document, problems)["machine"]["kubelet"]["extraConfig"]["k"]
    assert (decoded, type(decoded), problems) == (meant, type(meant), [])


NUMBERS = {
    "mtu: 1500.0": 1500,
    "mtu: 0x5DC": 1500,
    "mtu: 18446744073709551616": None,
    "mtu: '1500'": None,
    "mtu: true": None,
    "mtu: .inf": None,
    "vlans: [{vlanId: 99999999999}]": None,
    "vlans: [{vlanId: -1}]": None,
}


@pytest.mark.parametrize(("written", "expected"), NUMBERS.items())
def test_numbers_stay_in_their_range(written: str, expected: int | None) -> None:
    problems: list[Any] = []
    (document,) = documents_of(f"machine: {{network: {{interfaces: [{{interface: a, {written}}}]}}}}")
    device = SCHEMA.decode(document, problems)["machine"]["network"]["interfaces"][0]
    assert (device.get("mtu"), len(problems)) == (expected, 0 if expected is not None else 1)


def test_null_is_normalised_where_talos_does_it() -> None:
    problems: list[Any] = []
    text = (
        "machine: {certSANs: [null, a], nodeLabels: {a: , b: ~}, env: null, network: {nameservers: [~]},"
        " kubelet: {nodeIP: {validSubnets: [null]}, extraConfig: {a: null}}, pods: [null]}"
    )
    decoded = SCHEMA.decode(documents_of(text)[0], problems)
    assert problems == []
    assert decoded["machine"] == {
        "kubelet": {"nodeIP": {"validSubnets": []}, "extraConfig": {"a": None}},
        "pods": [],
        "certSANs": ["a"],
        "network": {"nameservers": []},
        "nodeLabels": {"a": "", "b": ""},
    }


RULES = [
    ("duration", "90s", "1m30s"),
    ("duration", "1.5h", "1h30m0s"),
    ("duration", "-5m", "-5m0s"),
    ("duration", "100us", "100µs"),
    ("duration", "2 minutes", None),
    ("duration", "120", None),
    ("duration", "9999999999h", None),
    ("bytes", "10GiB", "10GiB"),
    ("bytes", "10 gigs", None),
    ("disk-size", "5000000", "5.0 MB"),
    ("disk-size", "1234", 1234),
    ("disk-size", "1000000000", "1.0 GB"),
    ("size-match", " >= 10GB ", ">= 10GB"),
    ("size-match", "> x", None),
    ("base64", "aGVsbG8=", "aGVsbG8="),
    ("base64", "-----BEGIN CERTIFICATE-----", None),
    ("url", "HTTPS://A.b:1/c", "https://A.b:1/c"),
    ("url", "tcp://[::1", None),
    ("url", "http://a b/", None),
    ("url", "http://a:b/", None),
    ("url", "a:b", "a:b"),
    ("url", "10.0.0.1:80", None),
    ("prefix", "10.0.0.1/8", "10.0.0.1/8"),
    ("prefix", "10.0.0.0", None),
    ("prefix", "10.0.0.0/33", None),
    ("address-port", "[2001:db8::0]:80", "[2001:db8::]:80"),
    ("address-port", "10.0.0.1", None),
    ("port-range", "1000-2000", "1000-2000"),
    ("port-range", "70000-1", None),
    ("port-range", "80", None),
    ("enum(accept,block)", "BLOCK", "block"),
    ("enum(accept,block)", "foo", None),
]


@pytest.mark.parametrize(("kind", "text", "written"), RULES)
def test_scalars_with_rules(kind: str, text: str, written: str | int | None) -> None:
    rule = rule_of(kind)
    assert rule is not None
    if written is None:
        with pytest.raises(ValueError):
            rule.read(text)
    else:
        assert rule.write(rule.read(text)) == written


def test_a_field_that_was_never_given_is_written_so_that_talos_can_read_it() -> None:
    text = (
        "apiVersion: v1alpha1\nkind: NetworkDefaultActionConfig\n---\n"
        "apiVersion: v1alpha1\nkind: NetworkRuleConfig\nname: a\nportSelector: {ports: [80]}\n---\n"
        "apiVersion: v1alpha1\nkind: VolumeConfig\nname: STATE\nencryption: {keys: [{slot: 1}]}\n"
    )
    problems: list[Any] = []
    documents = [SCHEMA.encode(SCHEMA.decode(document, problems)) for document in documents_of(text)]
    assert documents[0]["ingress"] == "accept"
    assert documents[1]["portSelector"] == {"ports": [80]}
    assert documents[2]["encryption"]["provider"] == "none"


def test_every_kind_is_one_that_is_read() -> None:
    plain = {"string", "bool", "int", "uint", "uint8", "uint16", "uint32", "uint64", "any", "list", "map"}
    kinds = {place.kind.name for place in all_places(SCHEMA)}
    assert {name for name in kinds - plain - SCHEMA.structures.keys() if rule_of(name) is None} == set()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1000.0, "1000"),
        (1234567.0, "1.234567e+06"),
        (1e-7, "1e-07"),
        (-1.5, "-1.5"),
        (0.0, "0"),
        (1e21, "1e+21"),
        (0.0001, "0.0001"),
    ],
)
def test_fractions_are_written_as_go_does(value: float, text: str) -> None:
    assert written_float(value) == text
    assert yaml.dump({"a": value}).decode() == f"a: {text}\n"


def test_keys_that_are_no_text() -> None:
    assert [type(resolved_key(text)) for text in ("a", "1", "null", "true", "2026-01-01")] == [str, *[OddKey] * 4]
    assert resolved_key("1") == "1"
    assert resolve("1:30") == "1:30"
    assert resolve("0o17") == Scalar("0o17", 15)
