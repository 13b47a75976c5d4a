"""Talos' own Go client asks the lab's machines: TLS, proxying, typed resources and refusals as it expects them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding

from provisioner.lab.world.state import Vm
from tests.interop.talos.judge import Judge, build_judge
from tests.lab.machines.clusters import Cluster, talos_label
from tests.lab.machines.helpers import Lan, Served, serving

pytestmark = pytest.mark.go


@pytest.fixture(scope="module")
def judge() -> Judge:
    return build_judge()


@pytest.fixture(scope="module")
def whole() -> Iterator[tuple[Served, Cluster, list[Vm]]]:
    lan, cluster = Lan(), Cluster()
    vms = lan.running_cluster(cluster, control_planes=1, workers=1)
    with serving(lan) as served:
        yield served, cluster, vms


def talosconfig(folder: Path, served: Served, cluster: Cluster, vm: Vm) -> Path:
    def b64(data: bytes) -> str:
        return base64.b64encode(data).decode()

    crt, key = cluster.client()
    context: dict[str, Any] = {
        "endpoints": [f"127.0.0.1:{served.port(vm)}"],
        "ca": b64(cluster.os_ca[0].public_bytes(Encoding.PEM)),
        "crt": b64(crt),
        "key": b64(talos_label(key)),
    }
    path = folder / "talosconfig"
    path.write_text(yaml.safe_dump({"context": "lab", "contexts": {"lab": context}}))
    return path


def test_a_control_plane(judge: Judge, whole: tuple[Served, Cluster, list[Vm]], tmp_path: Path) -> None:
    served, cluster, (cp, _) = whole
    heard = judge.talk(talosconfig(tmp_path, served, cluster, cp), served.lan.guest(cp).address)
    assert heard["version"] == ["v1.11.5"]
    assert heard["services"]["etcd"] == "Running"
    assert heard["etcd_members"] == ["cp0"]
    assert heard["machine_status"] == {"event": "Created", "stage": "running", "ready": True, "unmet": []}


def test_a_worker_through_its_control_plane(
    judge: Judge, whole: tuple[Served, Cluster, list[Vm]], tmp_path: Path
) -> None:
    served, cluster, (cp, worker) = whole
    heard = judge.talk(talosconfig(tmp_path, served, cluster, cp), served.lan.guest(worker).address)
    assert "etcd" not in heard["services"]
    assert "member list is only available on control plane nodes" in heard["etcd_error"]
    assert heard["machine_status"]["stage"] == "running"


def test_unmet_conditions_reach_typed_readers(judge: Judge, tmp_path: Path) -> None:
    lan, cluster = Lan(), Cluster()
    (vm,) = lan.to_maintenance("a")
    lan.installed(vm, cluster.config("controlplane", "cp"))
    with serving(lan) as served:
        heard = judge.talk(talosconfig(tmp_path, served, cluster, vm), lan.guest(vm).address)
    assert heard["machine_status"] == {"event": "Created", "stage": "booting", "ready": False, "unmet": ["services"]}
