"""The user's kubeconfig with our context in it, and without it again: what others have there stays as it was, however it is written."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import yaml as pyyaml

from provisioner.talos import kubeconfigs, secrets, yaml
from provisioner.talos.clienttext import ClientFileError
from tests.fuzz.budget import dice
from tests.unit.talos.helpers import CONFIGS, NOW, bundle, cluster

CONTEXT = "admin@home"
OURS = CONFIGS.kubeconfig(cluster(), bundle(), server="https://192.0.2.10:6443")
KUBECONFIGS = kubeconfigs.KubeconfigFile()
TWIN = yaml.load(CONFIGS.kubeconfig(cluster(), secrets.stand_in(NOW), server="https://192.0.2.99:6443"))
"""Of another cluster that has our name."""

SECTIONS = {"clusters": "cluster", "users": "user", "contexts": "context"}
NAMES = ["work", "home", "admin@home", "home-1", "123", "true", "a b", "ä", "null", "x: y", "'q'", "admin@home-1"]
EXTRAS: list[dict[str, Any]] = [
    {},
    {"namespace": "x"},
    {"extensions": [{"name": "e", "extension": {"a": None}}]},
    {"proxy-url": "http://p"},
]
USERS: list[dict[str, Any]] = [
    {"token": "0123"},
    {
        "exec": {
            "apiVersion": "v1",
            "command": "aws",
            "args": ["eks", "--region", "no"],
            "env": [{"name": "A", "value": "1.10"}],
        }
    },
    {"client-certificate-data": "YQ==", "client-key-data": "Yg=="},
    {"username": "u", "password": "#p: 'x'"},
]


def someone(chance: Random) -> dict[str, Any]:
    """A kubeconfig that somebody else has made."""
    if chance.random() < 0.2:
        return dict(TWIN)
    data: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "preferences": {}}
    names = chance.sample(NAMES, chance.randint(0, 4))
    data["clusters"] = [
        {"name": name, "cluster": {"server": f"https://{i}:6443"} | chance.choice(EXTRAS)}
        for i, name in enumerate(names)
    ]
    data["users"] = [
        {"name": name, "user": chance.choice(USERS)} for name in chance.sample(NAMES, chance.randint(0, 3))
    ]
    data["contexts"] = [
        {
            "name": name,
            "context": {"cluster": chance.choice(NAMES), "user": chance.choice(NAMES)} | chance.choice(EXTRAS),
        }
        for name in chance.sample(NAMES, chance.randint(0, 3))
    ]
    if chance.random() < 0.5:
        data["current-context"] = chance.choice(NAMES)
    for key in chance.sample([*SECTIONS, "preferences", "kind"], chance.randint(0, 2)):
        data[key] = None if chance.random() < 0.3 and key in SECTIONS else data[key]
        if chance.random() < 0.3:
            del data[key]
    return data


def spelled(chance: Random, data: dict[str, Any]) -> str:
    """The same in one of many spellings."""
    style = chance.randrange(6)
    if style == 0:
        text = json.dumps(data, indent=chance.choice([None, 2, 4]), ensure_ascii=chance.random() < 0.5)
    elif style == 1:
        text = pyyaml.safe_dump(data, default_flow_style=True, allow_unicode=True, width=10_000)
    else:
        text = pyyaml.safe_dump(data, sort_keys=chance.random() < 0.5, allow_unicode=True, indent=chance.choice([2, 4]))
        if chance.random() < 0.5:
            lines = text.split("\n")
            lines.insert(chance.randrange(len(lines)), "# a word of the user's")
            candidate = "\n".join(lines)
            text = candidate if pyyaml.safe_load(candidate) == data else text
    if chance.random() < 0.2:
        text = text.replace("\n", "\r\n")
    return ("\ufeff" if chance.random() < 0.1 else "") + text


def entries(data: Any) -> dict[tuple[str, str], Any]:
    """Each entry by section and name, whatever else the file is."""
    found: dict[tuple[str, str], Any] = {}
    for section, inner in SECTIONS.items():
        for item in (data or {}).get(section) or []:
            found[section, item["name"]] = item.get(inner)
    return found


def read(raw: bytes) -> Any:
    return pyyaml.safe_load(raw.decode("utf-8-sig"))


def test_what_others_have_there_stays() -> None:
    merged_anything = 0
    for name, chance in dice("kubeconfigs", 60):
        raw = spelled(chance, someone(chance)).encode()
        before = entries(read(raw))
        try:
            merged = KUBECONFIGS.merge(raw, OURS, ())
        except ClientFileError:
            continue
        merged_anything += 1
        with_ours = entries(read(merged))
        assert {key: with_ours.get(key) for key in before} == before, (name, raw)
        added = with_ours.keys() - before.keys()
        assert {section for section, _ in added} == set(SECTIONS), (name, raw)
        assert KUBECONFIGS.merge(merged, OURS, ()) == merged, (name, raw)
        assert entries(read(KUBECONFIGS.remove(merged, CONTEXT, OURS, None))) == before, (name, raw)
    assert merged_anything


def test_a_damaged_file_is_refused_or_kept() -> None:
    for name, chance in dice("damaged kubeconfigs", 60):
        text = spelled(chance, someone(chance))
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(text) + 1)
            text = text[:at] + chance.choice("\t\0:{}[]-#&*!|>'\"%@`,?\x85\r\n é") + text[at + chance.randrange(3) :]
        raw = text.encode("utf-8", "surrogatepass")
        try:
            merged = KUBECONFIGS.merge(raw, OURS, ())
        except ClientFileError:
            continue
        try:
            before = entries(read(raw))
        except (pyyaml.YAMLError, TypeError, KeyError, AttributeError, UnicodeDecodeError):
            continue  # PyYAML reads less than kubectl does
        after = entries(read(merged))
        assert {key: after.get(key) for key in before} == before, (name, raw)
