"""What Talos' own library makes of our files: it loads and validates them, generates the same, and patches the same way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provisioner.model.cluster import NetworkSpec, Role
from provisioner.talos import machineconfig, patches, secrets, validate, yaml
from provisioner.talos import schema as schemas
from provisioner.talos.schema import Problem
from tests.interop.talos.judge import Judge
from tests.unit.talos.helpers import (
    CONFIGS,
    ENDPOINT,
    SAME_EXAMPLES,
    SCHEMA,
    bundle,
    cluster,
    documents_of,
    machine,
    patch,
)
from tests.unit.talos.test_patches import CASES
from tests.unit.talos.test_validate import CONTROL_PLANE, SOUND, WORKER, patched

pytestmark = [pytest.mark.go, pytest.mark.timeout(600)]  # building the judge anew may take minutes on a busy machine


@pytest.fixture(scope="session")
def bundle_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("judge") / "secrets.yaml"
    path.write_bytes(CONFIGS.write_bundle(bundle()))
    return path


def test_the_bundle_is_whole(judge: Judge, bundle_file: Path) -> None:
    assert judge.ask("bundle", bundle_file) == {"ok": True, "error": "", "warnings": None}


def test_a_bundle_is_refused_for_the_same_reasons(judge: Judge, tmp_path: Path) -> None:
    document = yaml.load(CONFIGS.write_bundle(bundle()))
    del (
        document["cluster"]["id"],
        document["trustdinfo"],
        document["certs"]["os"],
        document["secrets"]["bootstraptoken"],
    )
    path = tmp_path / "secrets.yaml"
    path.write_bytes(yaml.dump(document))
    with pytest.raises(secrets.BundleError) as caught:
        secrets.read_bundle(path.read_bytes())
    verdict = judge.ask("bundle", path)
    assert not verdict["ok"]
    for problem in caught.value.problems:
        assert problem in verdict["error"]


def test_the_table_of_fields_is_that_of_talos(judge: Judge) -> None:
    own = Path(schemas.__file__).parent / "v1.11.json"
    assert json.loads(own.read_text()) == judge.ask("schema")


@pytest.mark.parametrize("scheduling", [False, True])
def test_configs_are_generated_the_same(judge: Judge, bundle_file: Path, scheduling: bool) -> None:
    given_inputs = {
        "bundle": str(bundle_file),
        "contract": "v1.11",
        "name": "home",
        "endpoint": ENDPOINT,
        "kubernetes": "1.34.1",
        "install_disk": "/dev/sda",
        "install_image": "ghcr.io/siderolabs/installer:v1.11.5",
        "sans": ["127.0.0.1", "home.lan"],
        "dns_domain": "home.local",
        "scheduling": scheduling,
    }
    theirs = judge.ask("generate", given=given_inputs)
    spec = cluster(
        cert_sans=("127.0.0.1", "home.lan"),
        network=NetworkSpec(dns_domain="home.local"),
        schedule_on_control_planes=scheduling,
    )
    for role in Role:
        documents = machineconfig.generate(role, spec, bundle(), endpoint=ENDPOINT)
        assert yaml.dump_documents(documents).decode() == theirs[role.value]
    talosconfig = yaml.load(theirs["talosconfig"])
    ours = yaml.load(CONFIGS.talosconfig(cluster(), bundle(), endpoints=[], nodes=[]))
    assert list(ours["contexts"]["home"]) == list(talosconfig["contexts"]["home"])
    assert ours["contexts"]["home"]["ca"] == talosconfig["contexts"]["home"]["ca"]


def test_configs_of_a_cluster_file_are_valid_for_metal(judge: Judge, tmp_path: Path) -> None:
    spec = cluster(
        vip="192.0.2.5",
        cert_sans=("127.0.0.1",),
        machines=(machine("cp1", Role.CONTROL_PLANE), machine("w1")),
        patches=(
            patch(
                "machine: {sysctls: {net.ipv4.ip_forward: 1}}\n---\n"
                "apiVersion: v1alpha1\nkind: VolumeConfig\nname: EPHEMERAL\nprovisioning: {maxSize: 10GiB}\n"
            ),
        ),
    )
    paths = []
    for one in spec.machines:
        path = tmp_path / f"{one.name}.yaml"
        path.write_bytes(CONFIGS.machine_config(spec, one, bundle(), endpoint=ENDPOINT))
        paths.append(path)
    verdicts = judge.ask("validate", *paths)
    assert [verdicts[str(path)]["error"] for path in paths] == ["", ""]


def test_a_config_is_refused_where_talos_refuses_it(judge: Judge, tmp_path: Path) -> None:
    """Every mistake that our checks name is one for Talos too, and what passes here passes there."""
    paths = {}
    cases = [("cp1", text, True) for text, _ in CONTROL_PLANE] + [("w1", text, True) for text, _ in WORKER]
    cases += [(name, text, False) for text in SOUND for name in ("cp1", "w1")]
    for i, (name, text, wrong) in enumerate(cases):
        documents = patched(name, text)
        assert bool(validate.check_config(documents)) == wrong, text
        path = tmp_path / f"{i}.yaml"
        path.write_bytes(yaml.dump_documents(SCHEMA.encode(document) for document in documents))
        paths[str(path)] = (text, wrong)
    verdicts = judge.ask("validate", *paths)
    differing = [
        (text, verdicts[path]["error"]) for path, (text, wrong) in paths.items() if verdicts[path]["ok"] == wrong
    ]
    assert differing == []


def test_the_talosconfig_is_usable(judge: Judge, tmp_path: Path) -> None:
    path = tmp_path / "talosconfig"
    path.write_bytes(CONFIGS.talosconfig(cluster(), bundle(), endpoints=["127.0.0.1:50000"], nodes=["192.0.2.10"]))
    answer = judge.ask("talosconfig", path)
    assert answer["context"] == "home"
    assert answer["contexts"]["home"] == {
        "endpoints": ["127.0.0.1:50000"],
        "nodes": ["192.0.2.10"],
        "usable": {"ok": True, "error": "", "warnings": None},
    }


# --- patches ----------------------------------------------------------------------------------------------------------


def patched_by_us(config: str, patch_text: str) -> bytes | None:
    """The patched text as Talos would write it; None when the patch is refused."""
    problems: list[Problem] = []
    documents = [SCHEMA.decode(document, problems) for document in documents_of(config)]
    assert problems == []
    try:
        patch = patches.load_patch(documents_of(patch_text), SCHEMA)
        documents = patches.apply_patch(documents, patch, SCHEMA)
    except ValueError:  # no YAML of ours, or a PatchError
        return None
    return yaml.dump_documents(SCHEMA.encode(document) for document in documents)


def patched_by_talos(judge: Judge, config: str, patch_text: str) -> bytes | None:
    (answer,) = judge.patch([(config, [patch_text])])
    return None if answer is None else answer.encode()


@pytest.mark.parametrize(("config", "patch_text", "expected"), CASES.values(), ids=CASES)
def test_every_rule_is_one_of_talos(
    judge: Judge, tmp_path: Path, config: str, patch_text: str, expected: dict[str, Any]
) -> None:
    theirs = patched_by_talos(judge, config, patch_text)
    assert theirs is not None
    assert patched_by_us(config, patch_text) == theirs


JSON_PATCHES = [
    "[{op: add, path: /machine/certSANs/-, value: b}]",
    "[{op: add, path: /machine/certSANs/0, value: b}]",
    "[{op: add, path: /machine/sysctls, value: {a: 1.10, b: true, c: 1e3, d: 0644, e: 1_000, f: ~}}]",
    "[{op: replace, path: /machine/network/hostname, value: b}]",
    "[{op: replace, path: /machine/network/nothing, value: b}]",
    "[{op: replace, path: /machine/sysctls, value: {a: b}}]",
    "[{op: replace, path: /machine/sysctls/a, value: b}]",
    "[{op: remove, path: /machine/network}]",
    "[{op: remove, path: /machine/nothing}]",
    "[{op: remove, path: /machine/certSANs/7}]",
    "[{op: add, path: /machine/certSANs/7, value: x}]",
    "[{op: test, path: /machine/type, value: worker}, {op: replace, path: /machine/type, value: controlplane}]",
    "[{op: test, path: /machine/type, value: controlplane}, {op: replace, path: /machine/type, value: x}]",
    "[{op: move, from: /machine/network/hostname, path: /machine/token}]",
    "[{op: copy, from: /machine/type, path: /machine/token}]",
    "[{op: move, from: /machine/nothing, path: /machine/token}]",
    "[{op: add, path: /machine/nonsense, value: 1}]",
    "[{op: add, path: /machine/kubelet, value: {extraConfig: {a: [1, 2.5, x], b: {c: null}}}}]",
    "[{op: add, path: /machine/nodeLabels, value: {a~b: c}}, {op: replace, path: /machine/nodeLabels/a~0b, value: d}]",
    "[{op: add, path: /machine/install, value: {wipe: maybe}}]",
    "[{op: frob, path: /machine/type}]",
    "[{op: remove}]",
    '[{"op": "add", "path": "/machine/time", "value": {"bootTimeout": "2m"}}]',
    "- op: add\n  path: /machine/time\n  value: {bootTimeout: 120}\n",
    "[{op: add, path: /machine/type, value: {a: b}}]",
]


@pytest.mark.parametrize("patch_text", JSON_PATCHES)
def test_json_patches_are_taken_where_talos_takes_them(judge: Judge, patch_text: str) -> None:
    config = "version: v1alpha1\nmachine: {type: worker, certSANs: [a], network: {hostname: a}}\n"
    (theirs,) = judge.patch(
        [(config, [patch_text, "machine: {}"])]
    )  # the second makes Talos read what the first has made
    problems: list[Problem] = []
    documents = [SCHEMA.decode(document, problems) for document in documents_of(config)]
    try:
        documents = patches.apply_json_patch(documents, documents_of(patch_text)[0], SCHEMA)
        ours: bytes | None = yaml.dump_documents(SCHEMA.encode(document) for document in documents)
    except patches.PatchError:
        ours = None
    assert ours == (None if theirs is None else theirs.encode())


def test_a_json_patch_behind_documents_is_refused_by_both(judge: Judge) -> None:
    config = "version: v1alpha1\nmachine: {type: worker}\n"
    more = "apiVersion: v1alpha1\nkind: KmsgLogConfig\nname: a\nurl: tcp://x:1/\n"
    assert judge.patch([(config, [more, JSON_PATCHES[0]])]) == [None]


WORDS = st.sampled_from(["a", "b", "", "off", "5"])
NUMBERS = st.integers(0, 3)
TEXTS = st.dictionaries(st.sampled_from(["a", "b", "c"]), WORDS, max_size=3)
FREE = st.recursive(
    st.booleans() | NUMBERS | WORDS,
    lambda inner: st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2) | st.lists(inner, max_size=2),
    max_leaves=4,
)
FREE_MAPS = st.dictionaries(st.sampled_from(["a", "b", "c"]), FREE, max_size=3)
SELECTORS = st.fixed_dictionaries(
    {}, optional={"hardwareAddr": st.sampled_from(["02:00:00:00:00:01", "x"]), "physical": st.booleans()}
)
VLANS = st.fixed_dictionaries({"vlanId": NUMBERS}, optional={"addresses": st.lists(WORDS, max_size=2), "mtu": NUMBERS})
DEVICES = st.fixed_dictionaries(
    {},
    optional={
        "interface": WORDS,
        "deviceSelector": SELECTORS,
        "dhcp": st.booleans(),
        "mtu": NUMBERS,
        "addresses": st.lists(WORDS, max_size=2),
        "vip": st.fixed_dictionaries({"ip": WORDS}),
        "vlans": st.lists(VLANS, max_size=2),
    },
)
MOUNTS = st.fixed_dictionaries({"hostPath": WORDS, "mountPath": WORDS}, optional={"readonly": st.booleans()})
DOCUMENTS = st.fixed_dictionaries(
    {
        "machine": st.fixed_dictionaries(
            {"type": st.sampled_from(["worker", ""])},
            optional={
                "certSANs": st.lists(WORDS, max_size=2),
                "sysctls": TEXTS,
                "nodeLabels": TEXTS,
                "install": st.fixed_dictionaries({}, optional={"disk": WORDS, "wipe": st.booleans()}),
                "kubelet": st.fixed_dictionaries({}, optional={"extraConfig": FREE_MAPS, "extraArgs": TEXTS}),
                "network": st.fixed_dictionaries(
                    {}, optional={"hostname": WORDS, "interfaces": st.lists(DEVICES, max_size=3)}
                ),
            },
        )
    },
    optional={
        "cluster": st.fixed_dictionaries(
            {},
            optional={
                "clusterName": WORDS,
                "network": st.fixed_dictionaries(
                    {}, optional={"podSubnets": st.lists(WORDS, max_size=2), "dnsDomain": WORDS}
                ),
                "apiServer": st.fixed_dictionaries(
                    {},
                    optional={
                        "auditPolicy": FREE_MAPS,
                        "extraVolumes": st.lists(MOUNTS, max_size=2),
                        "admissionControl": st.lists(
                            st.fixed_dictionaries({"name": WORDS, "configuration": FREE_MAPS}), max_size=2
                        ),
                    },
                ),
            },
        )
    },
)


@settings(SAME_EXAMPLES, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(DOCUMENTS, DOCUMENTS)
def test_any_patch_is_merged_the_same(
    judge: Judge, tmp_path: Path, config: dict[str, Any], patch_document: dict[str, Any]
) -> None:
    config_text, patch_text = yaml.dump(config).decode(), yaml.dump(patch_document).decode()
    theirs = patched_by_talos(judge, config_text, patch_text)
    ours = patched_by_us(config_text, patch_text)
    assert ours == theirs
