"""Files of the user stay theirs through up and down: another cluster's entries of our name, a null device, signals while it is at work."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from provisioner.talos import kubeconfigs, secrets, talosconfigs
from tests.end_to_end.conftest import Desk


def test_another_clusters_entries_and_a_null_device_outlive_us(desk: Desk) -> None:
    null = desk.folder / "null"
    try:
        os.mknod(null, 0o666 | stat.S_IFCHR, Path(os.devnull).stat().st_rdev)  # of the test's own, never the computer's
        null.open("wb").close()
    except OSError:
        pytest.skip("no device can be made here")
    now = datetime.now(UTC)
    other = secrets.stand_in(now)
    kube, talos = desk.folder / ".kube" / "config", desk.folder / ".talos" / "config"
    for path, content in (
        (kube, kubeconfigs.render(other, now, cluster="lab", server="https://192.0.2.250:6443")),
        (talos, talosconfigs.render(other, now, context="lab", endpoints=["192.0.2.250"], nodes=[])),
    ):
        path.parent.mkdir()
        path.write_bytes(content)
        path.chmod(0o600)
    before = kube.read_bytes(), talos.read_bytes()
    desk.write_cluster(speed=200)

    done = desk.good("up", "lab", "--progress", "plain", KUBECONFIG=str(null))
    assert stat.S_ISCHR(null.lstat().st_mode), "nothing is written, and nothing takes its place"
    told = " ".join((done.out + done.err).split())
    assert f"{null}: nothing is written there" in told
    assert f"kubectl --kubeconfig {desk.provision_home / 'lab' / 'kubeconfig'} get nodes" in told
    assert kube.read_bytes() == before[0]
    assert desk.good("plan", "lab", "--json", KUBECONFIG=str(null)).json["changes"] == 0

    plan = desk.good("plan", "lab", "--json").json
    (access,) = (action for action in plan["actions"] if action["step"] == "access")
    assert access["object"] == "admin@lab-1"
    assert "is another cluster's and stays" in access["why"]
    desk.good("up", "lab")
    assert desk.kubectl("--context", "admin@lab-1", "get", "nodes").code == 0
    both = yaml.safe_load(kube.read_text())
    assert [item["name"] for item in both["contexts"]] == ["admin@lab", "admin@lab-1"]
    desk.good("down", "lab", "--yes")
    assert (kube.read_bytes(), talos.read_bytes()) == before
