"""Talos' own Go client on the lab's machines: every kind of resource decodes into its Go type."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from provisioner.lab.world.state import Vm
from tests.interop.talos.judge import Judge
from tests.lab.machines.clusters import Cluster, as_pem
from tests.lab.machines.helpers import Lan, Served, serving

pytestmark = [pytest.mark.go, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def whole() -> Iterator[tuple[Served, Cluster, list[Vm]]]:
    lan, cluster = Lan(), Cluster()
    vms = lan.running_cluster(cluster)
    with serving(lan) as served:
        yield served, cluster, vms


@pytest.fixture
def access(whole: tuple[Served, Cluster, list[Vm]], tmp_path: Path) -> Path:
    """A talosconfig for the control plane, where it is reached on loopback."""
    served, cluster, vms = whole
    crt, key = cluster.client()
    context = {
        "endpoints": [f"127.0.0.1:{served.port(vms[0])}"],
        "ca": base64.b64encode(as_pem(cluster.os_ca)[0]).decode(),
        "crt": base64.b64encode(crt).decode(),
        "key": base64.b64encode(key).decode(),
    }
    path = tmp_path / "talosconfig"
    path.write_text(yaml.safe_dump({"context": "x", "contexts": {"x": context}}))
    return path


@pytest.mark.parametrize("number", [0, 1], ids=["controlplane", "worker"])
def test_every_kind_is_typed(judge: Judge, whole: tuple[Served, Cluster, list[Vm]], access: Path, number: int) -> None:
    served, _, vms = whole
    kinds = judge.ask("kinds", access, served.lan.guest(vms[number]).address)
    assert len(kinds) > 25
    assert {name: kind for name, kind in kinds.items() if kind["error"] or not kind["typed"]} == {}
    assert kinds["LinkStatuses.net.talos.dev"]["count"] == 2
