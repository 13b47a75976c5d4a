"""Of all that is kept here only the secrets must survive: a copy of them brings a cluster back."""

from __future__ import annotations

import shutil

import pytest

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
