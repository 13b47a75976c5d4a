"""Of all that is kept here only the secrets must survive: a copy of them brings a cluster back."""

from __future__ import annotations

import base64
import shutil
import subprocess

import pytest
import yaml

from tests.end_to_end.conftest import Desk


def test_the_secrets_alone_bring_a_cluster_back(desk: Desk) -> None:
    desk.write_cluster(speed=200)
    desk.good("up", "lab")
    secrets = desk.secrets()
    shutil.rmtree(desk.provision_home / "lab")
    (desk.provision_home / "lab").mkdir(mode=0o700)
    (desk.provision_home / "lab" / "secrets.yaml").write_bytes(secrets)
    (desk.provision_home / "lab" / "secrets.yaml").chmod(0o600)
    assert desk.good("status", "lab", "--json").json["state"] == "healthy"
    again = desk.good("up", "lab", "--json").json
    assert again["outcome"] in ("ok", "unchanged")
    plan = desk.good("plan", "lab", "--json").json
    assert (plan["changes"], plan["refusals"]) == (0, 0)
    assert desk.kubectl("--context", "admin@lab", "get", "nodes").code == 0
    done = desk.good("down", "lab", "--all", "--yes", "--json").json
    assert "VMs" in done["summary"]
    assert desk.ask_lab("status")["vm_names"] == ["fileserver"]


@pytest.mark.long
def test_machines_that_our_keys_open_are_ours_although_the_id_of_their_marks_was_lost(desk: Desk) -> None:
    """As with clusters whose id was made apart from their secrets."""
    desk.write_cluster(speed=200)
    desk.good("up", "lab")
    folder = desk.provision_home / "lab"
    cluster_id = (folder / "cluster-id").read_text().strip()
    document = yaml.safe_load(desk.secrets())
    document["cluster"]["id"] = base64.urlsafe_b64encode(bytes(32)).decode()
    shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    (folder / "secrets.yaml").write_text(yaml.safe_dump(document))
    (folder / "secrets.yaml").chmod(0o600)

    status = desk.run("status", "lab", "--json").json
    assert status["state"] == "not healthy"
    assert any("ours" in line and cluster_id in line for line in status["drift"])
    up = desk.run("up", "lab", "--json")
    assert (up.code, up.json["fault"]["id"]) == (6, "P-CONFIG-IDLOST")
    plan = desk.run("plan", "lab", "--json").json
    assert [action["fault"] for action in plan["actions"]] == ["P-CONFIG-IDLOST"], "nothing else is said of them"
    down = desk.run("down", "lab", "--yes", "--json")
    assert (down.code, down.json["fault"]["id"]) == (6, "P-VM-FOREIGN")
    assert len(desk.ask_lab("status")["vm_names"]) == 5

    (way_out,) = up.json["fault"]["next_steps"]
    subprocess.run(["sh", "-c", way_out], check=True, cwd=desk.folder)
    assert desk.good("status", "lab", "--json").json["state"] == "healthy"
    desk.good("down", "lab", "--all", "--yes")
    assert desk.ask_lab("status")["vm_names"] == ["fileserver"]


@pytest.mark.parametrize("variable", ["KUBECONFIG", "TALOSCONFIG"])
def test_dev_null_as_a_name_is_told_and_nothing_is_written(desk: Desk, variable: str) -> None:
    """By a link in the test's own folder, and with a plan alone: no run of ours may have the computer's device for its target."""
    link = desk.folder / "nowhere"
    link.symlink_to("/dev/null")
    desk.write_cluster(speed=200)
    desk.good("lab", "start")
    desk.environment[variable] = str(link)
    plan = desk.good("plan", "lab", "--json").json
    (access,) = (action for action in plan["actions"] if action["step"] == "access")
    assert f"{link} is the null device" in access["why"]
