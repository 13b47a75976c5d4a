"""The rules of strategic merge, one by one; the reference cases of Talos at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provisioner.talos import patches, yaml
from provisioner.talos.schema import Document, Problem
from tests.unit.talos.helpers import SCHEMA, documents_of


def decoded(text: str | bytes) -> list[Document]:
    problems: list[Problem] = []
    documents = [SCHEMA.decode(document, problems) for document in documents_of(text)]
    assert problems == []
    return documents


def merged(config: str | bytes, *texts: str | bytes) -> list[Document]:
    documents = decoded(config)
    for text in texts:
        documents = patches.apply_patch(documents, patches.load_patch(documents_of(text), SCHEMA), SCHEMA)
    return documents


def result(config: str, patch: str) -> Document:
    (document,) = merged(config, patch)
    return document


CASES = {
    "a scalar replaces": (
        "machine: {network: {hostname: a}}",
        "machine: {network: {hostname: b}}",
        {"machine": {"network": {"hostname": "b"}}},
    ),
    "an empty string is ignored": (
        "machine: {network: {hostname: a}}",
        "machine: {network: {hostname: ''}}",
        {"machine": {"network": {"hostname": "a"}}},
    ),
    "zero is ignored": (
        "machine: {network: {interfaces: [{interface: a, mtu: 1400}]}}",
        "machine: {network: {interfaces: [{interface: a, mtu: 0}]}}",
        {"machine": {"network": {"interfaces": [{"interface": "a", "mtu": 1400}]}}},
    ),
    "false replaces": (
        "machine: {install: {wipe: true}}",
        "machine: {install: {wipe: false}}",
        {"machine": {"install": {"wipe": False}}},
    ),
    "a missing part is set": (
        "machine: {type: worker}",
        "cluster: {clusterName: a}",
        {"machine": {"type": "worker"}, "cluster": {"clusterName": "a"}},
    ),
    "maps merge by key": (
        "machine: {sysctls: {a: '1', b: '1'}}",
        "machine: {sysctls: {b: '2', c: '2'}}",
        {"machine": {"sysctls": {"a": "1", "b": "2", "c": "2"}}},
    ),
    "a value of a map is ignored when empty": (
        "machine: {nodeLabels: {a: b}}",
        "machine: {nodeLabels: {a: '', c: ''}}",
        {"machine": {"nodeLabels": {"a": "b", "c": ""}}},
    ),
    "lists append, even what is there": (
        "machine: {certSANs: [a, b]}",
        "machine: {certSANs: [b, c]}",
        {"machine": {"certSANs": ["a", "b", "b", "c"]}},
    ),
    "subnets replace": (
        "cluster: {network: {podSubnets: [10.1.0.0/16], serviceSubnets: [10.2.0.0/16]}}",
        "cluster: {network: {podSubnets: [10.3.0.0/16]}}",
        {"cluster": {"network": {"podSubnets": ["10.3.0.0/16"], "serviceSubnets": ["10.2.0.0/16"]}}},
    ),
    "the audit policy replaces": (
        "cluster: {apiServer: {auditPolicy: {kind: Policy, rules: [{level: Metadata}]}}}",
        "cluster: {apiServer: {auditPolicy: {rules: [{level: None}]}}}",
        {"cluster": {"apiServer": {"auditPolicy": {"rules": [{"level": "None"}]}}}},
    ),
    "interfaces merge by name": (
        "machine: {network: {interfaces: [{interface: a, dhcp: true}, {interface: b}]}}",
        "machine: {network: {interfaces: [{interface: b, mtu: 1400}, {interface: c}]}}",
        {
            "machine": {
                "network": {
                    "interfaces": [
                        {"interface": "a", "dhcp": True},
                        {"interface": "b", "mtu": 1400},
                        {"interface": "c"},
                    ]
                }
            }
        },
    ),
    "interfaces merge by an equal selector": (
        "machine: {network: {interfaces: [{deviceSelector: {hardwareAddr: '02:00:00:00:00:01'}, dhcp: true}]}}",
        "machine: {network: {interfaces: [{deviceSelector: {hardwareAddr: '02:00:00:00:00:01'}, mtu: 1400}]}}",
        {
            "machine": {
                "network": {
                    "interfaces": [{"deviceSelector": {"hardwareAddr": "02:00:00:00:00:01"}, "mtu": 1400, "dhcp": True}]
                }
            }
        },
    ),
    "a selector by physical equals no other": (
        "machine: {network: {interfaces: [{deviceSelector: {physical: true}, dhcp: true}]}}",
        "machine: {network: {interfaces: [{deviceSelector: {physical: true}, mtu: 1400}]}}",
        {
            "machine": {
                "network": {
                    "interfaces": [
                        {"deviceSelector": {"physical": True}, "dhcp": True},
                        {"deviceSelector": {"physical": True}, "mtu": 1400},
                    ]
                }
            }
        },
    ),
    "VLANs merge by id": (
        "machine: {network: {interfaces: [{interface: a, vlans: [{vlanId: 5, mtu: 9000}]}]}}",
        "machine: {network: {interfaces: [{interface: a, vlans: [{vlanId: 5, dhcp: true}, {vlanId: 6}]}]}}",
        {
            "machine": {
                "network": {
                    "interfaces": [
                        {"interface": "a", "vlans": [{"vlanId": 5, "mtu": 9000, "dhcp": True}, {"vlanId": 6}]}
                    ]
                }
            }
        },
    ),
    "admission plugins merge by name": (
        "cluster: {apiServer: {admissionControl: [{name: P, configuration: {a: {b: 1}, c: [1]}}]}}",
        "cluster: {apiServer: {admissionControl: [{name: P, configuration: {a: {d: 2}, c: [2]}}]}}",
        {
            "cluster": {
                "apiServer": {
                    "admissionControl": [{"name": "P", "configuration": {"a": {"b": 1, "d": 2}, "c": [1, 2]}}]
                }
            }
        },
    ),
    "a pair of certificate and key is read as a whole": (
        "machine: {ca: {crt: YQ==, key: YQ==}}",
        "machine: {ca: {crt: Yg==}}",
        {"machine": {"ca": {"crt": "Yg==", "key": ""}}},
    ),
    "an empty text empties base64": (
        "machine: {registries: {config: {a: {tls: {ca: YQ==}}}}}",
        "machine: {registries: {config: {a: {tls: {ca: ''}}}}}",
        {"machine": {"registries": {"config": {"a": {"tls": {"ca": ""}}}}}},
    ),
    "URLs merge part by part": (
        "cluster: {controlPlane: {endpoint: 'https://127.0.0.1:6643/'}}",
        "cluster: {controlPlane: {endpoint: 'https://10.0.0.1'}}",
        {"cluster": {"controlPlane": {"endpoint": "https://10.0.0.1/"}}},
    ),
    "a duration of zero is ignored": (
        "machine: {time: {bootTimeout: 5m}}",
        "machine: {time: {bootTimeout: 0s}}",
        {"machine": {"time": {"bootTimeout": 300000000000}}},
    ),
    "a key is deleted": (
        "machine: {network: {hostname: a}, type: worker}",
        "machine: {network: {hostname: {$patch: delete}}}",
        {"machine": {"type": "worker", "network": {}}},
    ),
    "a key of a map is deleted": (
        "machine: {nodeLabels: {a: b, c: d}}",
        "machine: {nodeLabels: {a: {$patch: delete}}}",
        {"machine": {"nodeLabels": {"c": "d"}}},
    ),
    "a field that is empty already is deleted again": (
        "machine: {network: {}}",
        "machine: {network: {hostname: {$patch: delete}}}",
        {"machine": {"network": {}}},
    ),
    "a list item is deleted by its first other key": (
        "machine: {network: {interfaces: [{interface: a}, {interface: b}]}}",
        "machine: {network: {interfaces: [{interface: a, $patch: delete}]}}",
        {"machine": {"network": {"interfaces": [{"interface": "b"}]}}},
    ),
    "deletes come before the merge": (
        "machine: {network: {interfaces: [{interface: a, dhcp: true}]}}",
        "machine: {network: {interfaces: [{interface: a, mtu: 1400}, {interface: a, $patch: delete}]}}",
        {"machine": {"network": {"interfaces": [{"interface": "a", "mtu": 1400}]}}},
    ),
    "old words for booleans count where a boolean is expected": (
        "machine: {install: {wipe: true}}",
        "machine: {install: {wipe: off}}",
        {"machine": {"install": {"wipe": False}}},
    ),
    "numbers become text where text is expected": (
        "machine: {sysctls: {}}",
        "machine: {sysctls: {a: 1, b: 1.10, c: true}}",
        {"machine": {"sysctls": {"a": "1", "b": "1.10", "c": "true"}}},
    ),
}


@pytest.mark.parametrize(("config", "patch", "expected"), CASES.values(), ids=CASES)
def test_rule(config: str, patch: str, expected: dict[str, Any]) -> None:
    assert result(config, patch) == expected


def test_the_patched_config_is_a_new_one() -> None:
    documents = decoded("machine: {network: {interfaces: [{interface: a}]}}")
    patch = patches.load_patch(
        yaml.load_documents("machine: {network: {interfaces: [{interface: a, mtu: 9000}]}}"), SCHEMA
    )
    patches.apply_patch(documents, patch, SCHEMA)
    assert documents == decoded("machine: {network: {interfaces: [{interface: a}]}}")


def test_documents_match_by_kind_and_name() -> None:
    log = "apiVersion: v1alpha1\nkind: KmsgLogConfig\nname: {}\nurl: tcp://192.0.2.{}:514/\n"
    documents = merged(
        "machine: {type: worker}\n---\n" + log.format("a", 1), log.format("a", 2) + "---\n" + log.format("b", 3)
    )
    assert [document.get("url") for document in documents] == [None, "tcp://192.0.2.2:514/", "tcp://192.0.2.3:514/"]


def test_a_document_is_deleted() -> None:
    config = "machine: {type: worker}\n---\napiVersion: v1alpha1\nkind: KmsgLogConfig\nname: a\n"
    assert len(merged(config, "apiVersion: v1alpha1\nkind: KmsgLogConfig\nname: a\n$patch: delete\n")) == 1


@pytest.mark.parametrize(
    ("patch", "problem"),
    [
        ("machine: {typ: worker}", "machine.typ: unknown field (did you mean type?)"),
        ("machine: {install: {wipe: maybe}}", "machine.install.wipe: expected true or false, got a string"),
        ("machine: {network: [a]}", "machine.network: expected a mapping, got a list"),
        ("machine: {certSANs: a}", "machine.certSANs: expected a list, got a string"),
        (
            "machine: {network: {interfaces: [{interface: a, vlans: [{vlanId: -1}]}]}}",
            "machine.network.interfaces[0].vlans[0].vlanId: expected a whole number from 0 to 65535, got -1",
        ),
        (
            "apiVersion: v1alpha1\nkind: VolumConfig\n",
            "knows no document kind VolumConfig (did you mean VolumeConfig?)",
        ),
        ("kind: VolumeConfig\n", "apiVersion: must be v1alpha1 in a VolumeConfig document"),
        ("name: a", "kind: is required"),
        ("[a]", "expected a mapping"),
        ("machine: {}\n---\ncluster: {}\n", "is given twice"),
        ("version: v1alpha1\n$patch: delete", "can't delete the root of the legacy document"),
        (
            "machine: {network: {interfaces: [{interface: a, vip: {$patch: delete}}]}}",
            "cannot delete an inner key in 'machine.network.interfaces.[0].vip'",
        ),
        ("machine: {network: {interfaces: [{$patch: delete}]}}", "has no key"),
        (
            "cluster: {apiServer: {admissionControl: {$$patch: delete}}}",
            "admissionControl.$$patch: $$ is the escape",
        ),
        ("machine: {install: {$$patch: delete, disk: a}}", "machine.install.$$patch: $$ is"),
        ("apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: a\n", "HostnameConfig came with Talos v1.12"),
        ("apiVersion: v1alpha1\nkind: LinkAliasConfig\nname: a\n", "LinkAliasConfig came with Talos v1.12"),
        ("apiVersion: v1alpha1\nkind: KubeletConfig\n", "KubeletConfig came with Talos v1.14"),
        ("machine: {network: {interfaces: [null]}}", "machine.network.interfaces[0]: is empty"),
        ("machine: {registries: {mirrors: {ghcr.io: null}}}", "machine.registries.mirrors['ghcr.io']: is empty"),
        ("machine: {registries: {config: {ghcr.io: }}}", "machine.registries.config['ghcr.io']: is empty"),
    ],
)
def test_a_patch_that_talos_would_not_take(patch: str, problem: str) -> None:
    with pytest.raises(patches.PatchError) as caught:
        patches.load_patch(documents_of(patch), SCHEMA)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "patch",
    [
        "machine: {nodeLabels: {x: {$patch: delete}}}",
        "machine: {network: {interfaces: [{interface: x, $patch: delete}]}}",
        "machine: {certSANs: [{a: b, $patch: delete}]}",
        "cluster: {network: {dnsDomain: {$patch: delete}}}",
        "apiVersion: v1alpha1\nkind: KmsgLogConfig\nname: x\n$patch: delete\n",
    ],
)
def test_what_is_not_there_cannot_be_deleted(patch: str) -> None:
    with pytest.raises(patches.PatchError, match="lookup failed"):
        merged("machine: {nodeLabels: {a: b}, network: {interfaces: [{interface: a}]}, certSANs: [a]}", patch)


def test_free_form_parts_refuse_another_type() -> None:
    with pytest.raises(patches.PatchError, match="another type"):
        merged(
            "machine: {kubelet: {extraConfig: {maxPods: 110}}}", "machine: {kubelet: {extraConfig: {maxPods: many}}}"
        )


def test_all_problems_of_a_patch_come_at_once() -> None:
    with pytest.raises(patches.PatchError) as caught:
        patches.load_patch(yaml.load_documents("machine: {a: 1, b: 2}\ncluster: {c: 3}"), SCHEMA)
    assert len(caught.value.problems) == 3


def test_json_patches_are_for_single_documents() -> None:
    operation = [{"op": "replace", "path": "/machine/type", "value": "controlplane"}]
    assert (
        patches.apply_json_patch(decoded("machine: {type: worker}"), operation, SCHEMA)[0]["machine"]["type"]
        == "controlplane"
    )
    two = decoded("machine: {type: worker}\n---\napiVersion: v1alpha1\nkind: KmsgLogConfig\nname: a\n")
    with pytest.raises(patches.PatchError, match="one document"):
        patches.apply_json_patch(two, operation, SCHEMA)
    with pytest.raises(patches.PatchError, match="no such path"):
        patches.apply_json_patch(decoded("machine: {}"), [{"op": "remove", "path": "/nothing/here"}], SCHEMA)
    with pytest.raises(patches.PatchError, match="unknown field"):
        patches.apply_json_patch(decoded("machine: {}"), [{"op": "add", "path": "/machine/x", "value": 1}], SCHEMA)


def test_the_reference_cases_of_talos(golden_talos: Path) -> None:
    folder = golden_talos / "patches"

    def read(name: str) -> bytes:
        return (folder / name).read_bytes()

    def written(documents: list[Document]) -> bytes:
        return yaml.dump_documents(SCHEMA.encode(document) for document in documents)

    documents = merged(read("apply/config.yaml"), read("apply/strategic1.yaml"))
    for name in ("jsonpatch1", "jsonpatch2"):
        documents = patches.apply_json_patch(documents, yaml.load(read(f"apply/{name}.yaml")), SCHEMA)
    documents = merged(written(documents), read("apply/strategic2.yaml"), read("apply/strategic3.yaml"))
    assert written(documents) == read("apply/expected.yaml")
    assert written(merged(read("apply/config.yaml"), read("apply/strategic4.yaml"))) == read(
        "apply/expected_manifests.yaml"
    )
    deleted = merged(read("patchdelete/config.yaml"), read("patchdelete/strategic1.yaml"))
    assert written(deleted) == read("patchdelete/expected.yaml")
    several = [read(f"patchdelete/strategic{i}.yaml") for i in (2, 3, 4)]
    assert written(merged(read("patchdelete/controlplane_orig.yaml"), *several)) == read(
        "patchdelete/controlplane_expected.yaml"
    )
