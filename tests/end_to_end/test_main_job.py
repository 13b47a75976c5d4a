"""The main job, from nothing to four Ready nodes and back, as a user types it."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.docs import recording
from tests.end_to_end.conftest import Desk


def test_from_nothing_to_ready_and_back(desk: Desk) -> None:
    up = desk.good("up", "lab", "--json").json
    assert up["outcome"] == "ok"
    assert "4 nodes Ready" in up["summary"]

    nodes = desk.kubectl("get", "nodes", "-o", "json")
    assert nodes.code == 0, nodes.err
    ready = {
        item["metadata"]["name"]: [c["status"] for c in item["status"]["conditions"] if c["type"] == "Ready"]
        for item in json.loads(nodes.out)["items"]
    }
    assert ready == {name: ["True"] for name in ("lab-cp-1", "lab-worker-1", "lab-worker-2", "lab-worker-3")}

    status = desk.good("status", "lab", "--json").json
    assert status["healthy"]
    assert not status["drifted"]
    assert {m["ready"] for m in status["machines"]} == {True}
    assert status["isos_mounted"] == [], "every ISO is ejected"

    before = desk.secrets()
    again = desk.good("up", "lab", "--json").json
    assert again["outcome"] == "unchanged"
    assert "nothing to do" in again["summary"]
    assert desk.secrets() == before

    down = desk.good("down", "lab", "--all", "--yes", "--json").json
    assert down["outcome"] == "ok"
    names = desk.ask_lab("status")["vm_names"]
    assert names == ["fileserver"], "the foreign VM is untouched, ours are gone"
    assert "admin@lab" not in (desk.folder / ".kube" / "config").read_text()
    assert desk.good("down", "lab", "--all", "--yes", "--json").json["outcome"] == "unchanged", (
        "nothing there is success"
    )


def test_kubectl_agrees(whole: Desk) -> None:
    table = whole.kubectl("get", "nodes")
    assert table.out.count(" Ready ") == 4
    assert "control-plane" in table.out
    pods = whole.kubectl("get", "pods", "-n", "kube-system")
    assert "kube-apiserver-lab-cp-1" in pods.out
    waited = whole.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=30s")
    assert waited.code == 0, waited.err
    drained = whole.kubectl("drain", "lab-worker-3", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s")
    assert drained.code == 0, drained.err
    assert "SchedulingDisabled" in whole.kubectl("get", "node", "lab-worker-3").out
    assert whole.kubectl("uncordon", "lab-worker-3").code == 0


def test_files_for_clients_are_private(whole: Desk) -> None:
    home = whole.provision_home
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    for path in (home / "lab").rglob("*"):
        if path.is_file() and path.name not in ("lock", "lock.pid"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_no_secret_leaves_the_secrets(whole: Desk) -> None:
    """Nothing that is secret in the bundle stands in a journal, the lab's log, or the machines' notes."""
    import yaml

    bundle = yaml.safe_load(whole.secrets())
    secret = {
        bundle["cluster"]["secret"],
        bundle["secrets"]["bootstraptoken"],
        bundle["secrets"]["secretboxencryptionsecret"],
        bundle["trustdinfo"]["token"],
        *(pair["key"] for pair in bundle["certs"].values()),
    }
    password = (whole.lab_folder() / "password").read_text()
    looked_at = [*(whole.provision_home / "lab" / "runs").rglob("events.jsonl"), whole.lab_folder() / "lab.log"]
    assert len(looked_at) > 1
    for path in looked_at:
        text = path.read_text()
        assert not any(word in text for word in secret), path
        assert password not in text, path


def test_the_screen_of_the_readme_is_that_of_such_a_run(whole: Desk) -> None:
    """It is painted from a recorded run. When runs come to say something else: `python -m tests.docs record`."""
    journal = recording.read(whole.provision_home / "lab" / "runs" / "1" / "events.jsonl")
    assert recording.story(journal, home=str(whole.folder)) == recording.story(recording.read(recording.GOOD))


@pytest.mark.long
def test_rebuild_keeps_what_is_kept(desk: Desk) -> None:
    desk.good("up", "lab")
    before = desk.secrets()
    kubeconfig = (desk.folder / ".kube" / "config").read_text()
    result = desk.good("rebuild", "lab", "--yes", "--json").json
    assert result["outcome"] == "ok"
    assert desk.secrets() == before
    assert "admin@lab" in kubeconfig
    assert desk.kubectl("get", "nodes").out.count(" Ready ") == 4
    assert desk.good("status", "lab", "--json").json["healthy"]


def test_the_screen_of_one_machine(whole: Desk) -> None:
    shown = whole.good("console", "lab", "worker-2", "--json").json
    assert (shown["machine"], shown["vm"], shown["stage"]) == ("lab-worker-2", "Running", "running")
    picture = Path(shown["picture"])
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert stat.S_IMODE(picture.stat().st_mode) == 0o600
    wrong = whole.run("console", "lab", "worker-9")
    assert wrong.code == 2
    assert "lab-worker-1" in wrong.err
