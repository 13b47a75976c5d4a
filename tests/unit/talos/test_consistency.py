"""What Talos takes and the cluster would not survive: a patch against the cluster file, found before anything is made, at its own line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from provisioner.clusterfile import load_cluster
from provisioner.errors import Finding
from provisioner.model.cluster import HostSpec, Role
from tests.unit.talos.helpers import CONFIGS, ENDPOINT, bundle, cluster, machine, patch


def found(text: str, **changes: Any) -> list[tuple[str, str]]:
    """Path and severity of every finding for a cluster with that patch for all machines."""
    of = cluster(patches=(patch(text),), **changes)
    return [(finding.path, finding.severity) for finding in CONFIGS.findings(of)]


STATIC = (
    "machine: {network: {interfaces: [{deviceSelector: {hardwareAddr: '02:11:22:33:44:55'}, dhcp: false,"
    " addresses: [192.0.2.31/24], routes: [{network: 0.0.0.0/0, gateway: 192.0.2.1}]}]}}"
)
ADDRESS = "machine.network.interfaces[0].addresses[0]"


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        (
            "cluster: {network: {podSubnets: [192.0.2.0/24]}}",
            ["cluster.network.podSubnets[0]", "cluster.network.podSubnets"],
        ),
        ("cluster: {network: {podSubnets: [10.96.0.0/16]}}", ["cluster.network.serviceSubnets[0]"]),
        ("cluster: {network: {podSubnets: [10.9.0.0/16, 10.10.0.0/16]}}", ["cluster.network.podSubnets[1]"]),
        ("cluster: {network: {podSubnets: [10.9.0.0/24]}}", ["cluster.network.podSubnets[0]"]),
        ("cluster: {network: {podSubnets: [10.9.0.0]}}", ["cluster.network.podSubnets[0]"]),
        ("cluster: {network: {serviceSubnets: [192.0.0.0/16]}}", ["cluster.network.serviceSubnets"]),
        ("cluster: {network: {podSubnets: [10.9.0.0/24], cni: {name: none}}}", []),
        ("machine: {install: {disk: /dev/sda1}}", ["machine.install.disk"]),
        ("machine: {install: {disk: sda}}", ["machine.install.disk"]),
        ("machine: {install: {disk: /dev/nvme0n1}}", []),
        ("machine: {install: {image: 'ghcr.io/siderolabs/installer:v1.10.3'}}", ["machine.install.image"]),
        ("machine: {install: {image: 'example.lan/installer:v1.11.2-x'}}", []),
        ("cluster: {controlPlane: {endpoint: 'https://other:6443'}}", ["cluster.controlPlane.endpoint"]),
    ],
)
def test_what_a_patch_makes_of_the_file(text: str, paths: list[str]) -> None:
    hosts = {"hv": HostSpec(name="hv", address="192.0.2.2")}
    assert found(text, hosts=hosts) == [(path, "error") for path in paths]


def test_a_node_s_part_of_the_pods_network_can_be_smaller() -> None:
    arguments = "extraArgs: {node-cidr-mask-size: 26}"
    on_control_planes = (
        patch(f"cluster: {{controllerManager: {{{arguments}}}, network: {{podSubnets: [10.9.0.0/24]}}}}"),
    )
    of = cluster(control_plane_patches=on_control_planes, machines=(machine("cp1", Role.CONTROL_PLANE),))
    assert CONFIGS.findings(of) == ()


@pytest.mark.parametrize(
    ("changes", "paths"),
    [
        ({}, [ADDRESS]),
        ({"endpoint": "https://192.0.2.31:6443"}, []),
        ({"vip": "192.0.2.5"}, []),
        ({"machines": (machine("cp1", Role.CONTROL_PLANE, address="192.0.2.31"),)}, []),
        ({"machines": (machine("cp1", Role.CONTROL_PLANE, address="192.0.2.99"),)}, [ADDRESS]),
        ({"machines": (machine("cp1", Role.CONTROL_PLANE, address="192.0.2.31"), machine("w1"))}, []),
    ],
)
def test_a_static_address_that_moves_the_first_control_plane(changes: dict[str, Any], paths: list[str]) -> None:
    if "vip" in changes:  # the shared address brings an interface of its own, with DHCP
        assert found(STATIC.replace("dhcp: false", "dhcp: true"), **changes) == []
    assert found(STATIC, **({"machines": (machine("cp1", Role.CONTROL_PLANE),)} | changes)) == [
        (path, "error") for path in paths
    ]


@pytest.mark.parametrize("extra", ["dhcp: true", "dummy: true"])
def test_a_further_address_moves_nobody(extra: str) -> None:
    assert found(STATIC.replace("dhcp: false", extra)) == []


def test_labels_that_a_worker_may_not_give_itself() -> None:
    labels = (
        "node-role.kubernetes.io/worker: '', a.node.kubernetes.io/b: '', node.kubernetes.io/c: '', example.com/d: ''"
    )
    text = f"machine: {{nodeLabels: {{{labels}, topology.kubernetes.io/zone: a}}}}"
    assert found(text) == [("machine.nodeLabels['node-role.kubernetes.io/worker']", "warning")]
    assert CONFIGS.machine_config(cluster(patches=(patch(text),)), machine("w1"), bundle(), endpoint=ENDPOINT)


# --- places -----------------------------------------------------------------------------------------------------------

FILE = """\
version: 1
host: {address: 192.168.1.5, user: u}
vip: 192.168.1.9
machines: {control_planes: 1, workers: 1}
patches:
  all:
    - machine:
        sysctls: {a: b}
        time:
          bootTimeout: 2 minutes
    - file: all.yaml
    - [{op: add, path: /machine/sysctls, value: {}}, {op: remove, path: /machine/nothing}]
  control_plane:
    - machine:
        network:
          interfaces:
            - interface: eth1
              addresses: [1.2.3.4/24]
              routes:
                - metric: 5
"""
PATCH = """\
machine:
  nodeLabels:
    a: b c
  nonsense: 1
---
apiVersion: v1alpha1
kind: VolumeConfig
name: EPHEMERAL
provisioning:
  minSize: 10 gigs
---
apiVersion: v1alpha1
kind: UserVolumeConfig
name: a
provisioning:
  minSize: 10GiB
"""


def places(findings: tuple[Finding, ...]) -> list[str]:
    return [
        f"{Path(finding.place.file).name}:{finding.place.line}:{finding.place.column} {finding.path}"
        for finding in findings
    ]


def test_a_finding_stands_at_the_key_that_brought_it(tmp_path: Path) -> None:
    (tmp_path / "home.yaml").write_text(FILE)
    (tmp_path / "all.yaml").write_text(PATCH)
    assert places(CONFIGS.findings(load_cluster(tmp_path / "home.yaml").cluster)) == [
        "home.yaml:10:11 machine.time.bootTimeout",
        "all.yaml:4:3 machine.nonsense",
        "all.yaml:10:3 VolumeConfig/EPHEMERAL: provisioning.minSize",
        "home.yaml:12:7 ",  # the documents of the file before it make more than one
        "home.yaml:20:19 machine.network.interfaces[1].routes[0]",
        "all.yaml:3:5 machine.nodeLabels['a']",
        "all.yaml:15:1 UserVolumeConfig/a: provisioning.diskSelector.match",
    ]
    (tmp_path / "all.yaml").write_text(PATCH.replace("10 gigs", "10GiB").replace("  nonsense: 1\n", ""))
    assert places(CONFIGS.findings(load_cluster(tmp_path / "home.yaml").cluster))[1:] == [
        "home.yaml:12:7 ",  # the documents of the file before it make more than one
        "home.yaml:20:19 machine.network.interfaces[1].routes[0]",
        "all.yaml:3:5 machine.nodeLabels['a']",
        "all.yaml:14:1 UserVolumeConfig/a: provisioning.diskSelector.match",
    ]


def test_one_mistake_does_not_hide_the_others() -> None:
    text = (
        "machine: {time: {bootTimeout: 120}, logging: {destinations: [{endpoint: 'udp://x/', format: json}]},"
        " install: {disk: [a]}}\ncluster: {network: {podSubnets: [10.96.0.0/16]}}"
    )
    assert found(text) == [
        ("machine.install.disk", "error"),
        ("machine.time.bootTimeout", "error"),
        ("machine.logging.destinations[0].format", "error"),
        ("cluster.network.serviceSubnets[0]", "error"),
    ]


def test_a_finding_after_a_json_patch_stands_at_its_operation(tmp_path: Path) -> None:
    (tmp_path / "home.yaml").write_text(
        "version: 1\nhost: {address: a.lan, user: u}\npatches:\n  all:\n    - - {op: add, path: /machine/sysctls, value: {a: b}}\n"
        "      - op: replace\n        path: /machine/type\n        value: join\n      - {op: add, path: /machine/foo, value: 1}\n"
    )
    found = places(CONFIGS.findings(load_cluster(tmp_path / "home.yaml").cluster))
    assert found == ["home.yaml:9:9 machine.foo"]


def test_an_operation_that_fits_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "home.yaml").write_text(
        "version: 1\nhost: {address: a.lan, user: u}\npatches:\n  all:\n    - [{op: add, path: /machine/sysctls, value: {}},"
        " {op: remove, path: /machine/nothing}]\n"
    )
    findings = CONFIGS.findings(load_cluster(tmp_path / "home.yaml").cluster)
    assert places(findings) == ["home.yaml:5:54 [1]"]
    assert findings[0].problem == "remove /machine/nothing: the config has no such path"
