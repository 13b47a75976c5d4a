"""Whatever stands in a user's kubeconfig or talosconfig: it is merged so that nothing of theirs changes, or refused; never an error of ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml as pyyaml

from provisioner.talos import clienttext, kubeconfigs, secrets
from tests.fuzz.budget import dice
from tests.unit.talos.helpers import NOW
from tests.unit.talos.test_clientfiles import CONTEXT, KUBE, KUBE_OURS, KUBECONFIGS, OTHERS, TALOS, TALOSCONFIGS, THEIRS

Data = dict[str, Any]

NAMES = ("home", "home-1", "home-2", CONTEXT, f"{CONTEXT}-1", "work", "a b", "-", "1", "null", "küche", "x: y", "")
VALUES: tuple[Any, ...] = (
    None,
    "",
    "x",
    0,
    1.5,
    True,
    [],
    {},
    ["x"],
    {"x": {}},
    "off",
    "2026-01-01",
    "two\nlines\n",
    "\u202e",
)
SAME_NAME = kubeconfigs.render(secrets.stand_in(NOW), NOW, cluster="home", server="https://192.0.2.98:6443")


def kubeconfig(chance: Random) -> Data:
    """One that kubectl takes, with entries of ours, of clusters of our name, and of others."""
    data: Data = {"apiVersion": "v1", "kind": "Config"}
    sources = [pyyaml.safe_load(text) for text in (THEIRS, OTHERS, SAME_NAME, KUBE)]
    for section in ("clusters", "users", "contexts"):
        pool = [item for source in sources for item in source[section]]
        chance.shuffle(pool)
        names: set[str] = set()
        items = []
        for item in pool[: chance.randint(0, 5)]:
            name = chance.choice([item["name"], chance.choice(NAMES[:-1])])
            if name not in names:
                items.append({**item, "name": name})
                names.add(name)
        data[section] = items or (None if chance.random() < 0.5 else [])
    if chance.random() < 0.7:
        data["current-context"] = chance.choice(NAMES)
    return data


def bent(chance: Random) -> Data:
    """One with anything anywhere."""
    data = kubeconfig(chance)
    for _ in range(chance.randint(1, 3)):
        section = chance.choice(["clusters", "users", "contexts", "current-context", "preferences"])
        items = data.get(section)
        match chance.randint(0, 3):
            case 0:
                data[section] = chance.choice(VALUES)
            case 1 if isinstance(items, list):
                items.append(chance.choice(VALUES))
            case 2 if isinstance(items, list) and items and isinstance(items[0], dict):
                items[0][chance.choice(["name", "cluster", "user", "context"])] = chance.choice(VALUES)
            case _:
                data.pop(section, None)
    return data


def yaml_of(data: Data, chance: Random) -> str:
    flow = chance.choice([False, False, None, True])
    return pyyaml.safe_dump(
        data, sort_keys=False, default_flow_style=flow, indent=chance.choice([2, 4]), allow_unicode=True
    )


def json_of(data: Data, chance: Random) -> str:
    return json.dumps(
        data, indent=chance.choice([None, 1, 2, "\t"]), ensure_ascii=chance.random() < 0.5
    ) + chance.choice(["", "\n"])


def encoded(text: str, chance: Random) -> bytes:
    text = chance.choice(["", "", "\n", "# mine\n"]) + text if not text.startswith("{") else text
    text = text.replace("\n", chance.choice(["\n", "\n", "\r\n"]))
    encoding = chance.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16"])
    return text.encode(encoding)


WRITERS: tuple[Callable[[Data, Random], str], ...] = (yaml_of, yaml_of, json_of)


def test_nothing_of_theirs_changes() -> None:
    numbered = 0
    for name, chance in dice("kubeconfig", 30):
        data = kubeconfig(chance)
        before = encoded(chance.choice(WRITERS)(data, chance), chance)
        merged = KUBECONFIGS.merge(before, KUBE, ())
        assert KUBECONFIGS.merge(merged, KUBE, ()) == merged, name
        after = clienttext.read(merged).data
        entries = kubeconfigs.Entries(after, KUBE_OURS)
        own, found = entries.find(CONTEXT)
        assert found is not None, name
        cluster, user = entries.used_by(found)
        ours = pyyaml.safe_load(KUBE)
        assert cluster["server"] == ours["clusters"][0]["cluster"]["server"], name
        assert user == ours["users"][0]["user"], name
        numbered += own != CONTEXT
        mine = {"clusters": found["cluster"], "users": found["user"], "contexts": own}
        for section, kept in mine.items():
            there = {item["name"]: item for item in after[section]}
            for item in data.get(section) or []:
                assert there[item["name"]] == item or item["name"] == kept, (name, section, item["name"])
        assert after["current-context"] == (data.get("current-context") or own), name
        left = clienttext.read(KUBECONFIGS.remove(merged, CONTEXT, KUBE, None)).data
        assert own not in [item["name"] for item in left["contexts"]], name
    assert numbered


EDITS: tuple[Callable[[bytes], bytes], ...] = (
    lambda raw: KUBECONFIGS.merge(raw, KUBE, ()),
    lambda raw: TALOSCONFIGS.merge(raw, TALOS, ()),
    lambda raw: KUBECONFIGS.remove(raw, CONTEXT, KUBE, None),
    lambda raw: TALOSCONFIGS.remove(raw, "home", TALOS, None),
)


def words_of_refusal(edit: Callable[[bytes], bytes], text: bytes) -> str:
    """What the file is refused with; empty where it is taken, and taken the same again."""
    try:
        edited = edit(text)
    except clienttext.ClientFileError as error:
        return str(error) or "no words"
    assert edit(edited) == edited
    return ""


def test_anything_anywhere_is_merged_or_refused() -> None:
    refused = 0
    for name, chance in dice("bent", 60):
        text = encoded(chance.choice(WRITERS)(bent(chance), chance), chance)
        if chance.random() < 0.5:
            place = chance.randrange(len(text))
            text = text[:place] + chance.randbytes(chance.randint(0, 3)) + text[place + chance.randint(0, 3) :]
        for edit in EDITS:
            words = words_of_refusal(edit, text)
            assert words != "no words", name
            refused += bool(words)
    assert refused


def test_kubectl_reads_what_was_merged(tmp_path: Path) -> None:
    """The real one, as the judge."""
    kubectl = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl here")
    for name, chance in dice("kubectl", 4):
        path = tmp_path / name
        path.write_bytes(
            KUBECONFIGS.merge(encoded(chance.choice(WRITERS)(kubeconfig(chance), chance), chance), KUBE, ())
        )
        read = subprocess.run(
            [kubectl, "config", "view", "--raw", "-o", "json", "--kubeconfig", str(path)],
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert read.returncode == 0, (name, read.stderr)
        found = {item["name"]: item["context"]["cluster"] for item in json.loads(read.stdout)["contexts"]}
        own, context = kubeconfigs.Entries(clienttext.read(path.read_bytes()).data, KUBE_OURS).find(CONTEXT)
        assert context is not None
        assert found[own] == context["cluster"], name
