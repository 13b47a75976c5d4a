"""What a config says after all patches: read from the patched config, and the same as the cluster file where there is no patch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from provisioner.images import factory_image
from provisioner.model.cluster import Cluster, NetworkSpec, Role
from provisioner.model.effective import EffectiveConfig
from provisioner.talos import effective
from tests.unit.talos.helpers import CONFIGS, ENDPOINT, cluster, machine, patch

ROOT = Path(__file__).resolve().parents[3]


def changed(text: str, name: str = "cp1", **given: Any) -> dict[str, Any]:
    """What one patch changes in the values of a machine."""
    bare = cluster(**given)
    patched = cluster(**given, patches=(patch(text),))
    before, after = (CONFIGS.effective(of, of.machine(name), endpoint=ENDPOINT) for of in (bare, patched))
    return {key: value for key, value in vars(after).items() if value != getattr(before, key)}


@pytest.mark.parametrize(
    "of",
    [
        cluster(),
        cluster(vip="192.0.2.5", endpoint="https://api.home.lan:6443", install_disk="/dev/nvme0n1"),
        cluster(
            network=NetworkSpec(
                pod_subnets=("10.1.0.0/16", "fd00:1::/48"), service_subnets=("10.2.0.0/16",), dns_domain="home.local"
            ),
            kubernetes="v1.33.2",
            image=factory_image("v1.11.5", "0123456789abcdef" * 4),
        ),
    ],
)
@pytest.mark.parametrize("name", ["cp1", "w1"])
@pytest.mark.parametrize("endpoint", ["", ENDPOINT])
def test_without_patches_the_file_says_the_same_as_the_config(of: Cluster, name: str, endpoint: str) -> None:
    one = of.machine(name)
    assert effective.from_config(of, one, endpoint) == effective.from_file(of, one, endpoint)
    assert CONFIGS.effective(of, one, endpoint=endpoint) == effective.from_file(of, one, endpoint)


PATCHES = {
    "machine: {install: {disk: /dev/nvme0n1}}": {"install_disk": "/dev/nvme0n1"},
    "machine: {install: {diskSelector: {size: '>= 10GB'}}}": {"install_disk": ""},
    "machine: {install: {image: 'x.lan/installer:v1'}}": {"installer": "x.lan/installer:v1"},
    "machine: {network: {hostname: CP1.home.lan}}": {},
    "machine: {network: {hostname: cp1.home.lan}, kubelet: {registerWithFQDN: true}}": {"node_name": "cp1.home.lan"},
    "machine: {kubelet: {extraArgs: {hostname-override: other}}}": {"node_name": "other"},
    "machine: {kubelet: {skipNodeRegistration: true}}": {"registers_node": False},
    "machine: {kubelet: {image: 'ghcr.io/siderolabs/kubelet:v1.33.0@sha256:00'}}": {"kubernetes": "v1.33.0"},
    "machine: {kubelet: {image: 'ghcr.io/siderolabs/kubelet:latest'}}": {"kubernetes": ""},
    "machine: {controlPlane: {controllerManager: {disabled: true}, scheduler: {disabled: true}}}": {
        "controller_manager": False,
        "scheduler": False,
    },
    "cluster: {network: {cni: {name: none}}, proxy: {disabled: true}, coreDNS: {disabled: true}}": {
        "cni": "none",
        "proxy": False,
        "core_dns": False,
    },
    "cluster: {network: {cni: {name: custom, urls: ['https://x/y.yaml']}}}": {"cni": "custom"},
    "cluster: {network: {podSubnets: [10.9.0.0/16], serviceSubnets: [10.8.0.0/16], dnsDomain: a.b}}": {
        "pod_subnets": ("10.9.0.0/16",),
        "service_subnets": ("10.8.0.0/16",),
    },
    "cluster: {network: {podSubnets: {$patch: delete}, dnsDomain: {$patch: delete}}}": {},
    "cluster: {controlPlane: {endpoint: 'https://other:6443'}}": {"endpoint": "https://other:6443"},
    "machine: {network: {interfaces: ["
    "{interface: a, addresses: [192.0.2.31/24, 'fd00::1/64'], vlans: [{vlanId: 5, addresses: [10.0.5.1/24]}]},"
    "{interface: b, cidr: 192.0.3.1/24}, {interface: c, addresses: [192.0.4.1/24], ignore: true}]}}": {
        "addresses": ("192.0.2.31", "fd00::1", "10.0.5.1", "192.0.3.1")
    },
    "machine: {network: {interfaces: [{interface: a, vip: {ip: 192.0.2.5}}]}}": {"vip": "192.0.2.5"},
    "machine: {network: {interfaces: [{interface: a, vlans: [{vlanId: 5, vip: {ip: 192.0.2.6}}]}]}}": {
        "vip": "192.0.2.6"
    },
    "apiVersion: v1alpha1\nkind: VolumeConfig\nname: EPHEMERAL\n": {},
}


@pytest.mark.parametrize(("text", "expected"), PATCHES.items(), ids=PATCHES)
def test_a_patch_changes_what_it_names(text: str, expected: dict[str, Any]) -> None:
    assert changed(text) == expected


def test_a_delete_of_the_file_s_values() -> None:
    text = "machine: {install: {disk: {$patch: delete}, diskSelector: {model: x}}}"
    assert changed(text, install_disk="/dev/sdb") == {"install_disk": ""}


def test_patches_of_a_role_and_of_a_machine() -> None:
    of = cluster(
        machines=(machine("cp1", Role.CONTROL_PLANE), machine("w1"), machine("w2", patches=(_disk("/dev/w2"),))),
        control_plane_patches=(_disk("/dev/cp"),),
        worker_patches=(_disk("/dev/w"),),
    )
    assert [CONFIGS.effective(of, one).install_disk for one in of.machines] == ["/dev/cp", "/dev/w", "/dev/w2"]


def test_the_endpoint_stays_unknown_until_it_is_known() -> None:
    of = cluster(patches=(_disk("/dev/x"),))
    assert CONFIGS.effective(of, of.machines[0]).endpoint == ""
    assert CONFIGS.effective(of, of.machines[0], endpoint=ENDPOINT).endpoint == ENDPOINT


@pytest.mark.parametrize("text", ["machine: {instal: {}}", "machine: {nodeLabels: {x: {$patch: delete}}}"])
def test_a_config_that_cannot_be_made_says_what_the_file_says(text: str) -> None:
    of = cluster(patches=(patch(text), _disk("/dev/x")))
    assert CONFIGS.effective(of, of.machines[0]) == effective.from_file(of, of.machines[0], "")


def test_the_answer_is_remembered() -> None:
    of = cluster(patches=(_disk("/dev/x"),))
    first: EffectiveConfig = CONFIGS.effective(of, of.machines[0])
    assert CONFIGS.effective(of, of.machines[0]) is first
    other = cluster(patches=(_disk("/dev/y"),))
    assert CONFIGS.effective(other, other.machines[0]).install_disk == "/dev/y"
    assert CONFIGS.effective(of, of.machines[0]) == first


def test_without_patches_nothing_heavy_is_loaded() -> None:
    program = (
        "import sys\nfrom tests.unit.talos.helpers import cluster\n"
        "for name in [name for name in sys.modules if name.startswith(('yaml', 'cryptography', 'provisioner.talos'))]:\n"
        "    del sys.modules[name]\n"
        "from provisioner.talos.configs import TalosConfigs\n"
        "of = cluster()\nTalosConfigs(None).effective(of, of.machines[0])\n"
        "print(sorted(name for name in sys.modules if name in ('yaml', 'cryptography', 'provisioner.talos.patches')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def _disk(path: str) -> Any:
    return patch(f"machine: {{install: {{disk: {path}}}}}")
