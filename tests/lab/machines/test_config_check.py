"""Which configs Talos takes, and what it says to the others (facts/talos.md 3.5, 8.3)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from provisioner.lab.machines import config_check
from provisioner.lab.machines.config_check import NotDecoded, NotValid
from provisioner.lab.world.guests.config import MachineConfig
from tests.lab.machines.clusters import Cluster
from tests.lab.machines.helpers import Lan

LAN = Lan()
HARDWARE = (LAN.start("a"), LAN.machine(LAN.vms["vm-a"]).hardware)[1]
CLUSTER = Cluster()


def checked(data: bytes, *, minor: int = 11, installed: bool = False) -> config_check.Checked:
    return config_check.check(data, minor=minor, hardware=HARDWARE, installed=installed)


def changed(type: str, change: Callable[[dict[str, Any]], Any]) -> bytes:
    document = CLUSTER.document(type)
    change(document)
    return yaml.safe_dump(document, sort_keys=False).encode()


@pytest.mark.parametrize("type", ["controlplane", "worker"])
def test_a_whole_config_is_taken(type: str) -> None:
    assert checked(CLUSTER.config(type, "a-name")).warnings == []


def at(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for key in parents:
            document = document.setdefault(key, {})
        document[last] = value

    return change


def without(path: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for key in parents:
            document = document[key]
        del document[last]

    return change


PAIR = {"crt": "YQ==", "key": "YQ=="}
STATIC: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("worker", without("machine"), "machine instructions are required"),
    ("worker", without("cluster"), "cluster instructions are required"),
    ("worker", at("persist", False), ".persist should be enabled"),
    ("worker", at("machine.type", "boss"), 'unknown machine type "boss"'),
    ("worker", without("machine.install"), 'install instructions are required in "metal" mode'),
    ("worker", without("machine.install.disk"), "either install disk or diskSelector should be defined"),
    (
        "worker",
        without("machine.ca"),
        "issuing CA or some accepted CAs are required (.machine.ca, machine.acceptedCAs)",
    ),
    ("controlplane", at("machine.ca.key", ""), "issuing CA key is required for controlplane nodes (.machine.ca.key)"),
    (
        "worker",
        at("machine.ca.key", "YQ=="),
        "issuing Talos API CA key is not allowed on non-controlplane nodes (.machine.ca)",
    ),
    (
        "worker",
        at("cluster.ca", PAIR),
        "issuing Kubernetes API CA key is not allowed on non-controlplane nodes (.cluster.ca)",
    ),
    ("worker", at("cluster.etcd", {}), "etcd config is only allowed on control plane machines"),
    ("worker", without("cluster.controlPlane"), "cluster controlplane endpoint is required"),
    ("worker", at("cluster.controlPlane.endpoint", "https://:6443"), "invalid controlplane endpoint: hostname must"),
    ("worker", at("cluster.network.dnsDomain", "no domain"), '"no domain" is not a valid DNS name'),
    (
        "controlplane",
        at("cluster.network.cni", {"name": "x"}),
        'cni name should be one of ["flannel", "custom", "none"]',
    ),
    ("controlplane", at("cluster.inlineManifests", [{"name": ""}]), "inline manifest name can't be empty"),
    (
        "controlplane",
        at("cluster.inlineManifests", [{"name": "a"}, {"name": "a"}]),
        'inline manifest name "a" is duplicate',
    ),
    ("worker", without("cluster.id"), "cluster discovery service requires .cluster.id"),
    ("worker", without("cluster.secret"), "cluster discovery service requires .cluster.secret"),
    (
        "worker",
        at("machine.network.interfaces", [{"interface": "eth0", "vip": {"ip": "192.0.2.9"}}]),
        "virtual (shared) IP is not allowed on non-controlplane nodes",
    ),
    ("worker", at("machine.network.interfaces", [{"dhcp": True}]), "required either config section to be set"),
    (
        "worker",
        at("machine.network.interfaces", [{"interface": "e", "deviceSelector": {"physical": True}}]),
        "config sections are mutually exclusive",
    ),
    (
        "worker",
        at("machine.network.interfaces", [{"interface": "e", "addresses": ["192.0.2.300/24"]}]),
        '"e": invalid CIDR address: 192.0.2.300/24',
    ),
]


@pytest.mark.parametrize(("type", "change", "message"), STATIC, ids=[message[:40] for _, _, message in STATIC])
def test_static_validation(type: str, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    with pytest.raises(NotValid) as refused:
        checked(changed(type, change))
    assert refused.value.where == "static"
    assert f"\t* {message}" in str(refused.value) or message in str(refused.value).split("] ")[-1]


def test_all_findings_come_in_one_list() -> None:
    with pytest.raises(NotValid) as refused:
        checked(changed("worker", lambda d: (d["machine"]["ca"].update(key="YQ=="), d["cluster"].update(etcd={}))))
    lines = str(refused.value).splitlines()
    assert lines[0] == "2 errors occurred:"
    assert [line[:3] for line in lines[1:3]] == ["\t* ", "\t* "]
    assert str(refused.value).endswith("\n\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            at("machine.kubelet.image", "ghcr.io/siderolabs/kubelet:v1.28.0"),
            "Kubernetes 1.28.0 is not supported by Talos 1.11",
        ),
        (at("machine.kubelet.image", "ghcr.io/siderolabs/kubelet:latest"), "no :v in it"),
        (at("cluster.apiServer.image", "registry.k8s.io/kube-apiserver:v1.35.0"), "Kubernetes 1.35.0 is not supported"),
        (
            at("machine.install", {"diskSelector": {"size": "> 1TB"}, "image": "x:v1"}),
            "no disks matched the expression",
        ),
        (at("machine.network.hostname", "no_name"), 'invalid hostname "no_name"'),
    ],
)
def test_what_the_machine_itself_checks(change: Callable[[dict[str, Any]], Any], message: str) -> None:
    with pytest.raises(NotValid, match=message.replace("(", r"\(")) as refused:
        checked(changed("controlplane", change))
    assert refused.value.where == "runtime"


def test_a_wrong_install_disk_is_taken_all_the_same() -> None:
    """Talos looks for a named disk only when it installs."""
    checked(changed("worker", at("machine.install.disk", "/dev/nvme0n1")))


def test_no_install_section_is_needed_where_talos_is_installed() -> None:
    checked(changed("worker", without("machine.install")), installed=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "config not found"),
        (b"\tx: 1", "decode error: yaml: found character"),
        (b"[1]", "recovered: expected a mapping node"),
        (b"version: v2\n", "missing kind"),
        (b"version: v1alpha1\nmachine:\n  type: worker\n  type: worker\n", 'mapping key "type" already defined'),
        (b"apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: a\n", '"HostnameConfig" "v1alpha1": not registered'),
        (b"apiVersion: v1\nkind: VolumeConfig\nname: a\n", '"VolumeConfig" "v1": not registered'),
        (
            b"apiVersion: v1alpha1\nkind: KmsgLogConfig\nname: a\n---\napiVersion: v1alpha1\nkind: KmsgLogConfig\nname: a\n",
            "duplicate",
        ),
    ],
)
def test_what_is_no_machine_config(data: bytes, message: str) -> None:
    with pytest.raises(NotDecoded) as refused:
        checked(data)
    assert message in str(refused.value)


def test_a_version_line_says_nothing() -> None:
    for line in ("", "version: v1alpha2\n"):
        with pytest.raises(NotValid, match="cluster instructions are required"):
            checked(f"{line}machine: {{}}\n".encode())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("debug: maybe", "line 1: cannot unmarshal !!str `maybe` into bool"),
        ("cluster: {clusterName: [lab]}", "line 1: cannot unmarshal !!seq into string"),
        ("machine: {certSANs: 5}", "line 1: cannot unmarshal !!int `5` into []string"),
        ("machine: {time: {bootTimeout: 2 minutes}}", "cannot unmarshal !!str `2 minutes` into time.Duration"),
        ("machine: {features: {kubePrism: {port: '7445'}}}", "cannot unmarshal !!str `7445` into int"),
        ("machine: {install: x}", "cannot unmarshal !!str `x` into v1alpha1.InstallConfig"),
    ],
)
def test_values_of_another_type_are_refused_in_talos_words(text: str, said: str) -> None:
    with pytest.raises(NotDecoded) as refused:
        checked(text.encode())
    head, _, rest = str(refused.value).partition("\n  ")
    assert head == "error decoding  to *v1alpha1.Config: yaml: unmarshal errors:"
    assert said in rest


def test_an_unknown_key_of_another_document_is_refused() -> None:
    text = b"apiVersion: v1alpha1\nkind: VolumeConfig\nname: EPHEMERAL\nprovisioning: {maxSise: 5GB}\n"
    with pytest.raises(NotDecoded, match="unknown keys found during decoding:\nprovisioning:\n    maxSise: 5GB"):
        checked(text)


@pytest.mark.parametrize(
    ("change", "unknown"),
    [
        (at("nonsense", 1), {"nonsense": 1}),
        (at("machine.kubelet.imagee", "x"), {"machine": {"kubelet": {"imagee": "x"}}}),
        (at("machine.network.interfaces", [{"interface": "a", "dhpc": True}]), {"machine": {"network": {"interfaces": [{"dhpc": True}]}}}),
        (at("machine.registries.mirrors", {"docker.io": {"endpoint": []}}), {"machine": {"registries": {"mirrors": {"docker.io": {"endpoint": []}}}}}),
        (at("machine.install.grubUseUKICmdline", True), {"machine": {"install": {"grubUseUKICmdline": True}}}),
    ],
)  # fmt: skip
def test_unknown_keys_are_named_in_their_place(
    change: Callable[[dict[str, Any]], Any], unknown: dict[str, Any]
) -> None:
    with pytest.raises(NotDecoded) as refused:
        checked(changed("worker", change))
    head, _, rest = str(refused.value).partition("\n")
    assert head == "unknown keys found during decoding:"
    assert yaml.safe_load(rest) == unknown


def test_free_form_parts_are_not_looked_into() -> None:
    checked(
        changed(
            "controlplane",
            lambda d: (
                d["machine"]["kubelet"].update(extraConfig={"any": {"thing": 1}}),
                d["machine"].update(sysctls={"a.b": "1"}, nodeLabels={"x": "y"}),
                d["cluster"]["apiServer"].update(auditPolicy={"rules": [{"level": "None"}]}),
            ),
        )
    )


def test_warnings_do_not_refuse() -> None:
    found = checked(changed("worker", at("machine.install.extraKernelArgs", ["a=b"]))).warnings
    assert found == ["extra kernel arguments are not supported when booting using SDBoot"]


@pytest.mark.parametrize("name", ["base-controlplane", "base-worker", "overrides-controlplane", "overrides-worker"])
def test_upstream_reference_configs_have_no_key_that_the_table_lacks(golden_talos: Path, name: str) -> None:
    """They name no install disk and an older Kubernetes; nothing else may be found in them."""
    data = (golden_talos / "gen-config" / "v1.11" / f"{name}.yaml").read_bytes()
    document = MachineConfig(data).v1alpha1
    assert document is not None
    document["machine"]["install"]["disk"] = "/dev/sda"
    text = yaml.safe_dump(document).replace(":v1.28.0", ":v1.34.1")
    checked(text.encode())


def test_words_and_numbers_are_read_as_yaml_1_2_reads_them() -> None:
    text = b"version: v1alpha1\nmachine: {type: worker, token: off, certSANs: [10:20:30:40:50:11, 010]}\n"
    config = MachineConfig(text)
    assert config.token == "off"
    assert config.cert_sans == ["10:20:30:40:50:11", "010"]
