"""Machine configs: equal to Talos' own reference files, and what a cluster file puts into them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provisioner.errors import Fault
from provisioner.model.cluster import Cluster, NetworkSpec, Role
from provisioner.talos import machineconfig, patches, secrets, yaml
from provisioner.talos.schema import Problem
from tests.unit.talos.helpers import CONFIGS, ENDPOINT, SCHEMA, bundle, cluster, config_of, machine, patch

GOLDEN_ENDPOINT = "https://base:6443"
BASE = cluster(name="base", kubernetes="v1.28.0", install_disk="")
OVERRIDES = replace(
    BASE,
    cert_sans=("foo", "bar"),
    schedule_on_control_planes=True,
    network=NetworkSpec(dns_domain="example.com"),
    install_disk="/dev/vda",
)
BY_PATCH = """
machine:
  install: {extraKernelArgs: [foo=bar, bar=baz]}
  sysctls: {foo: bar}
  registries: {mirrors: {ghcr.io: {endpoints: [https://ghcr.io.my-mirror.com]}}}
cluster: {network: {cni: {name: custom, urls: [https://example.com/cni.yaml]}}}
"""
"""What Talos' generator takes as options, and a cluster file does not have."""
LOCAL_PORT = "cluster: {controlPlane: {localAPIServerPort: 5443}}"
"""The same, of control planes."""


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(("name", "spec"), [("base", BASE), ("overrides", OVERRIDES)])
def test_byte_for_byte_as_talos_writes_it(golden_talos: Path, role: Role, name: str, spec: Cluster) -> None:
    folder = golden_talos / "gen-config"
    problems: list[Problem] = []
    bundle = secrets.read_bundle((folder / "secrets.yaml").read_bytes())
    generated = machineconfig.generate(role, spec, bundle, endpoint=GOLDEN_ENDPOINT)
    install = generated[0]["machine"]["install"]
    assert install.pop("image") == spec.installer, "Talos' files have none"
    documents = [SCHEMA.decode(document, problems) for document in generated]
    assert problems == []
    if name == "overrides":
        texts = [(folder / "patch.yaml").read_text(), BY_PATCH, *([LOCAL_PORT] if role is Role.CONTROL_PLANE else [])]
        for text in texts:
            documents = patches.apply_patch(documents, patches.load_patch(yaml.load_documents(text), SCHEMA), SCHEMA)
    written = yaml.dump_documents(SCHEMA.encode(document) for document in documents)
    assert written == (folder / "v1.11" / f"{name}-{role}.yaml").read_bytes()


def test_what_a_cluster_file_decides() -> None:
    spec = cluster(
        cert_sans=("127.0.0.1", "home.lan"),
        network=NetworkSpec(pod_subnets=("10.1.0.0/16",), service_subnets=("10.2.0.0/16",), dns_domain="home.local"),
        install_disk="/dev/sdb",
        schedule_on_control_planes=True,
    )
    config = config_of(spec, "cp1")
    assert config["machine"]["install"] == {
        "disk": "/dev/sdb",
        "image": "ghcr.io/siderolabs/installer:v1.11.5",
        "wipe": False,
    }
    assert config["machine"]["certSANs"] == ["127.0.0.1", "home.lan"]
    assert config["machine"]["network"] == {"hostname": "cp1"}
    assert config["machine"]["kubelet"]["image"] == "ghcr.io/siderolabs/kubelet:v1.34.1"
    assert config["cluster"]["controlPlane"] == {"endpoint": ENDPOINT}
    assert config["cluster"]["clusterName"] == "home"
    assert config["cluster"]["network"] == {
        "dnsDomain": "home.local",
        "podSubnets": ["10.1.0.0/16"],
        "serviceSubnets": ["10.2.0.0/16"],
    }
    assert config["cluster"]["apiServer"]["certSANs"] == ["192.0.2.10", "127.0.0.1", "home.lan"]
    assert config["cluster"]["allowSchedulingOnControlPlanes"] is True


def test_the_installer_of_a_schematic_is_used() -> None:
    spec = cluster()
    spec = cluster(
        image=type(spec.image)(url="", file_name="x.iso", installer="factory.talos.dev/metal-installer/abc:v1.11.5")
    )
    assert config_of(spec, "w1")["machine"]["install"]["image"] == "factory.talos.dev/metal-installer/abc:v1.11.5"


def test_a_worker_gets_no_key_of_a_ca() -> None:
    text = CONFIGS.machine_config(cluster(), machine("w1"), bundle(), endpoint=ENDPOINT).decode()
    for key in (bundle().os.key, bundle().kubernetes.key, bundle().etcd.key, bundle().service_account_key):
        assert secrets.encoded(key) not in text
    config = config_of(cluster(), "w1")
    assert config["machine"]["ca"]["key"] == config["cluster"]["ca"]["key"] == ""
    assert "etcd" not in config["cluster"]


def test_the_shared_address_lies_on_the_adapter_by_its_mac_on_control_planes_alone() -> None:
    spec = cluster(vip="192.0.2.5")
    assert config_of(spec, "cp1")["machine"]["network"]["interfaces"] == [
        {"deviceSelector": {"hardwareAddr": "02:11:22:33:44:55"}, "dhcp": True, "vip": {"ip": "192.0.2.5"}}
    ]
    assert "interfaces" not in config_of(spec, "w1")["machine"]["network"]


def test_patches_apply_in_the_order_all_role_machine() -> None:
    spec = cluster(
        patches=(patch("machine: {sysctls: {a: all, b: all, c: all}}"),),
        worker_patches=(patch("machine: {sysctls: {b: worker, c: worker}}"),),
        control_plane_patches=(patch("machine: {sysctls: {b: control}}"),),
        machines=(
            machine("cp1", Role.CONTROL_PLANE),
            machine("w1", patches=(patch("machine: {sysctls: {c: one}}"),)),
        ),
    )
    assert config_of(spec, "w1")["machine"]["sysctls"] == {"a": "all", "b": "worker", "c": "one"}
    assert config_of(spec, "cp1")["machine"]["sysctls"] == {"a": "all", "b": "control", "c": "all"}


def test_a_patch_brings_documents_of_its_own() -> None:
    spec = cluster(
        patches=(patch("apiVersion: v1alpha1\nkind: KmsgLogConfig\nname: log\nurl: tcp://192.0.2.9:5000/\n"),)
    )
    text = CONFIGS.machine_config(spec, spec.machine("w1"), bundle(), endpoint=ENDPOINT)
    assert [document.get("kind") for document in yaml.load_documents(text)] == [None, "KmsgLogConfig"]


def test_all_findings_come_at_once_each_at_the_patch_that_brought_it() -> None:
    spec = cluster(
        patches=(
            patch("machine: {netwrok: {}}", line=50),
            patch("machine: {install: {disk: {$patch: delete}}, persist: true}", line=60),
            patch("cluster: {network: {dnsDomain: 'not a name'}}", line=70),
            patch("machine: {install: {disk: {$patch: delete}}}", line=80),
        ),
    )
    with pytest.raises(Fault) as caught:
        CONFIGS.machine_config(spec, spec.machine("cp1"), bundle(), endpoint=ENDPOINT)
    fault = caught.value
    assert fault.id == "P-CONFIG-REFUSED"
    assert fault.machine == "cp1"
    assert [(f.place.line, f.path, f.did_you_mean) for f in fault.findings] == [
        (50, "machine.netwrok", "network"),
        (60, "machine.persist", ""),
        (70, "cluster.network.dnsDomain", ""),
        (80, "machine.install", ""),
    ]
    assert str(fault.findings[0].place) in fault.seen[0]


def test_a_file_is_checked_without_secrets_and_each_finding_told_once() -> None:
    assert CONFIGS.findings(cluster()) == ()
    spec = cluster(
        patches=(patch("machine: {netwrok: {}}", line=50),),
        worker_patches=(patch("cluster: {etcd: {subnet: 10.0.0.0/8}}", line=60),),
    )
    assert [(f.place.line, f.path) for f in CONFIGS.findings(spec)] == [(50, "machine.netwrok"), (60, "cluster.etcd")]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("machine: {type: worker}", "machine.type"),
        ("machine: {token: abcdef.0123456789abcdef}", "machine.token"),
        ("cluster: {id: other}", "cluster.id"),
        ("cluster: {secret: other}", "cluster.secret"),
        ("cluster: {controlPlane: {endpoint: 'https://192.0.2.99:6443'}}", "cluster.controlPlane.endpoint"),
        ("machine: {network: {hostname: other}}", "machine.network.hostname"),
        ("machine: {network: {hostname: cp1.under_score.lan}}", "machine.network.hostname"),
        ("machine: {kubelet: {image: 'ghcr.io/siderolabs/kubelet:v1.35.0'}}", "machine.kubelet.image"),
        ("cluster: {apiServer: {image: 'registry.k8s.io/kube-apiserver:latest'}}", "cluster.apiServer.image"),
        (
            "machine: {network: {interfaces: [{interface: a, addresses: [192.0.2.10/28], vip: {ip: 192.0.2.77}}]}}",
            "machine.network.interfaces[0].vip.ip",
        ),
    ],
)
def test_a_patch_may_not_estrange_a_machine_from_its_cluster(text: str, path: str) -> None:
    spec = cluster(patches=(patch(text),))
    with pytest.raises(Fault) as caught:
        CONFIGS.machine_config(spec, spec.machine("cp1"), bundle(), endpoint=ENDPOINT)
    assert path in [finding.path for finding in caught.value.findings]


def test_a_fault_shows_no_secret() -> None:
    spec = cluster(patches=(patch("machine: {ca: {crt: [a]}, token: {a: b}}"),))
    with pytest.raises(Fault) as caught:
        CONFIGS.machine_config(spec, spec.machine("cp1"), bundle(), endpoint=ENDPOINT)
    shown = f"{caught.value} {caught.value.seen} {caught.value.findings}"
    assert bundle().trustd_token not in shown
    assert secrets.encoded(bundle().os.key)[:40] not in shown


def test_an_unknown_contract_is_an_error_of_the_caller() -> None:
    with pytest.raises(KeyError):
        machineconfig.generate(Role.WORKER, replace(BASE, talos="v1.99.0"), bundle(), endpoint=ENDPOINT)
