"""Bad input and bad days: each its own fault id, the right exit code, what to type next, and everything left as it was or resumable."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import Desk, Done

FAST = 200.0
"""A lab speed at which a wait of minutes ends in a second or two."""


def fault_of(done: Done) -> dict[str, Any]:
    """The fault of a `--json` command: alone, or within the result of a run."""
    found = done.json
    fault = found if found["schema"].startswith("provision/fault") else found["fault"]
    assert fault is not None, done.out
    return fault


def expect(done: Done, fault_id: str, code: int) -> dict[str, Any]:
    fault = fault_of(done)
    assert (fault["id"], done.code, fault["exit"]) == (fault_id, code, code), f"{done.out}\n{done.err}"
    assert fault["expected"] or fault["findings"], "says what was expected"
    assert fault["seen"] or fault["findings"] or fault["next_steps"], "says what was seen"
    return fault


def nothing_changed(desk: Desk) -> bool:
    names: list[str] = desk.ask_lab("status")["vm_names"]
    return names == ["fileserver"]


@pytest.fixture
def quick(desk: Desk) -> Desk:
    """A lab at work, with nothing made in it yet."""
    desk.write_cluster(speed=FAST)
    desk.good("lab", "start")
    return desk


# --- before anything is changed ---------------------------------------------------------------------------------------


def test_malformed_cluster_file(desk: Desk) -> None:
    path = desk.write_cluster(machines={"control_planes": 1, "workers": 3, "wrokers": 1}, swich={"name": "LAB"})
    done = desk.run("up", "lab", "--json")
    fault = expect(done, "P-FILE-FINDINGS", 3)
    assert len(fault["findings"]) >= 2, "all findings in one go"
    assert all(f["place"]["line"] > 0 and f["place"]["file"].endswith(path.name) for f in fault["findings"])
    assert any("workers" in f["did_you_mean"] for f in fault["findings"])
    assert not desk.lab_folder().exists(), "nothing was started for a file that is wrong"


def test_no_such_cluster(desk: Desk) -> None:
    fault = expect(desk.run("up", "labb", "--json"), "P-FILE-NOTFOUND", 3)
    assert "lab" in json.dumps(fault)


def test_wrong_password(quick: Desk) -> None:
    before = quick.ask_lab("stats")["stats"]["sign_in_failures"]
    (quick.lab_folder() / "password").write_text("wrong-horse")
    fault = expect(quick.run("up", "lab", "--json"), "P-HOST-SIGNIN", 4)
    assert "wrong-horse" not in json.dumps(fault)
    assert quick.ask_lab("stats")["stats"]["sign_in_failures"] - before <= 1, (
        "tried once: repeated failures lock accounts"
    )
    assert nothing_changed(quick)


def test_host_not_there(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    host = {"hv01": {"address": "127.0.0.1", "port": port, "user": "provision"}}
    desk.write_cluster("home", hosts=host)
    expect(desk.run("up", "home", "--json", PROVISION_PASSWORD="x"), "P-HOST-UNREACHABLE", 4)


def test_no_password(desk: Desk) -> None:
    desk.write_cluster("home", hosts={"hv01": {"address": "127.0.0.1", "user": "provision"}})
    expect(desk.run("up", "home", "--json"), "P-LOCAL-PASSWORD", 4)


def test_changed_certificate(quick: Desk) -> None:
    quick.ask_lab("fault", name="winrm-certificate", times=9)
    fault = expect(quick.run("up", "lab", "--json"), "P-HOST-CERT", 4)
    assert "console" in " ".join(fault["next_steps"])
    assert nothing_changed(quick)


def test_wrong_pin(quick: Desk) -> None:
    host = {"hv01.lab": {"user": "provision", "pin": "ab" * 32, "lab": {"speed": FAST}}}
    quick.write_cluster(hosts=host)
    expect(quick.run("up", "lab", "--json"), "P-HOST-CERT", 4)


def test_too_many_sessions(quick: Desk) -> None:
    quick.ask_lab("fault", name="winrm-quota", times=9)
    fault = expect(quick.run("up", "lab", "--json"), "P-HOST-REFUSED", 1)
    assert "killed" in fault["probable_cause"]
    assert "Restart-Service WinRM" in " ".join(fault["next_steps"])


def test_missing_adapter(quick: Desk) -> None:
    quick.write_cluster(speed=FAST, switch={"name": "LAB", "adapter": "Ethernet 9"})
    fault = expect(quick.run("up", "lab", "--json"), "P-SWITCH-NOADAPTER", 4)
    assert any('"Ethernet"' in line for line in fault["seen"]), "lists what there is"
    assert nothing_changed(quick)


def test_default_switch_is_refused(quick: Desk) -> None:
    quick.write_cluster(speed=FAST, switch={"name": "Default Switch"})
    done = quick.run("up", "lab", "--json")
    assert fault_of(done)["id"] in ("P-FILE-FINDINGS", "P-SWITCH-KIND")
    assert done.code in (3, 6)


def test_too_little_memory(quick: Desk) -> None:
    quick.write_cluster(speed=FAST, machines={"control_planes": 1, "workers": {"count": 3, "memory": "24 GiB"}})
    expect(quick.run("up", "lab", "--json"), "P-VM-MEMORY", 4)
    assert nothing_changed(quick)


def test_too_little_space(quick: Desk) -> None:
    quick.ask_lab("fault", name="disk-full", place="C:")
    expect(quick.run("up", "lab", "--json"), "P-VM-SPACE", 4)
    assert nothing_changed(quick)


def test_foreign_vm_of_our_name(quick: Desk) -> None:
    machines = [
        {"name": "fileserver", "role": "controlplane"},
        {"name": "lab-worker-1", "role": "worker"},
    ]
    quick.write_cluster(speed=FAST, machines=machines)
    fault = expect(quick.run("up", "lab", "--json"), "P-VM-FOREIGN", 6)
    assert "fileserver" in fault["message"]
    assert nothing_changed(quick)


def test_mac_used_twice(quick: Desk) -> None:
    status = quick.ask_lab("status")
    mac = status["vms_detail"][0]["mac"]
    machines = [{"name": "lab-cp-1", "role": "controlplane", "mac": mac}]
    quick.write_cluster(speed=FAST, machines=machines)
    fault = expect(quick.run("up", "lab", "--json"), "P-VM-MACTWICE", 6)
    assert "fileserver" in fault["message"]


def test_bad_checksum(quick: Desk) -> None:
    quick.ask_lab("fault", name="image-checksum")
    expect(quick.run("up", "lab", "--json"), "P-ISO-CHECKSUM", 4)
    assert nothing_changed(quick)
    quick.good("up", "lab", "--until", "image")


def test_pinned_checksum_differs(quick: Desk) -> None:
    url = "https://github.com/siderolabs/talos/releases/download/v1.11.5/metal-amd64.iso"
    quick.write_cluster(speed=FAST, image={"url": url, "sha256": "0" * 64})
    expect(quick.run("up", "lab", "--json"), "P-ISO-CHECKSUM", 4)


# --- while it is at work ----------------------------------------------------------------------------------------------
@pytest.mark.long
def test_machine_never_reaches_maintenance(quick: Desk) -> None:
    quick.ask_lab("fault", name="vm-never-boots", place="lab-worker-2")
    done = quick.run("up", "lab", "--json")
    fault = expect(done, "P-BOOT-NOMAINT", 5)
    assert fault["machine"] == "lab-worker-2"
    assert fault["picture"].endswith("lab-worker-2.png"), "the screen is taken when a machine does not come up"
    assert Path(fault["picture"]).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "nothing runs in it" in fault["probable_cause"]
    quick.good("down", "lab", "--yes")
    quick.good("up", "lab")


def test_config_that_talos_refuses(quick: Desk) -> None:
    quick.ask_lab("fault", name="config-refused", place="lab-cp-1")
    fault = expect(quick.run("up", "lab", "--json"), "P-CONFIG-REFUSED", 3)
    assert fault["machine"] == "lab-cp-1"
    before = quick.secrets()
    assert quick.good("up", "lab", "--json").json["outcome"] == "ok", "the same again goes on"
    assert quick.secrets() == before


def test_patch_that_breaks_the_config_is_found_here(quick: Desk) -> None:
    quick.write_cluster(speed=FAST, patches={"all": [{"machine": {"nonsense": {"key": 1}}}]})
    done = quick.run("up", "lab", "--json")
    fault = fault_of(done)
    assert fault["id"] in ("P-CONFIG-REFUSED", "P-FILE-FINDINGS")
    assert done.code == 3


def test_no_such_install_disk(quick: Desk) -> None:
    quick.write_cluster(speed=FAST, install_disk="/dev/nvme0n1")
    fault = expect(quick.run("up", "lab", "--json"), "P-CONFIG-NODISK", 3)
    assert any("/dev/sda" in line for line in fault["seen"])


@pytest.mark.long
def test_install_that_fails(quick: Desk) -> None:
    quick.write_cluster(speed=1000)
    quick.good("lab", "stop")
    quick.good("lab", "start")
    quick.ask_lab("fault", name="image-pull-fails", place="lab-cp-1", times=5)
    fault = expect(quick.run("up", "lab", "--json"), "P-INSTALL-STUCK", 5)
    assert fault["picture"]


def test_secrets_lost_under_living_machines(quick: Desk) -> None:
    quick.good("up", "lab", "--until", "vm")
    (quick.provision_home / "lab" / "secrets.yaml").unlink()
    fault = expect(quick.run("up", "lab", "--json"), "P-CONFIG-NOSECRETS", 6)
    assert any("down" in line for line in fault["next_steps"])
    assert not (quick.provision_home / "lab" / "secrets.yaml").exists(), "nothing is minted anew"
    quick.good("down", "lab", "--yes")
    assert nothing_changed(quick)


def test_damaged_secrets(quick: Desk) -> None:
    quick.good("up", "lab", "--until", "vm")
    (quick.provision_home / "lab" / "secrets.yaml").write_text("cluster: {id: x}\n")
    fault = expect(quick.run("up", "lab", "--json"), "P-CONFIG-BADSECRETS", 6)
    assert any("certs" in line for line in fault["seen"])
    quick.good("down", "lab", "--yes")
    assert nothing_changed(quick)


def test_broken_kubeconfig_of_the_user(quick: Desk) -> None:
    kubeconfig = quick.folder / ".kube" / "config"
    kubeconfig.parent.mkdir()
    kubeconfig.write_text("contexts: [\n")
    fault = expect(quick.run("up", "lab", "--json"), "P-LOCAL-CONTEXTS", 4)
    assert str(kubeconfig) in json.dumps(fault)
    assert nothing_changed(quick)
    assert str(kubeconfig) in quick.good("status", "lab", "--json").json["access"]
    assert kubeconfig.read_text() == "contexts: [\n"


def test_second_run_at_the_same_time(desk: Desk) -> None:
    desk.write_cluster(speed=5)
    first = subprocess.Popen(
        desk.command("up", "lab", "--progress", "json"),
        cwd=desk.folder,
        env=desk.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert first.stdout is not None
        for line in first.stdout:
            if json.loads(line).get("type") == "action_started":
                break
        fault = expect(desk.run("up", "lab", "--json"), "P-RUN-LOCKED", 6)
        assert str(first.pid) in json.dumps(fault)
    finally:
        first.kill()
        first.wait(60)
        assert first.stdout is not None
        first.stdout.close()


def test_no_confirmation_without_a_terminal(quick: Desk) -> None:
    quick.good("up", "lab", "--until", "vm")
    expect(quick.run("down", "lab", "--json"), "P-RUN-CONFIRM", 6)
    assert len(quick.ask_lab("status")["vm_names"]) == 5


def test_protected_cluster(quick: Desk) -> None:
    quick.good("up", "lab", "--until", "vm")
    quick.write_cluster(speed=FAST, protect=True)
    fault = expect(quick.run("down", "lab", "--yes", "--json"), "P-RUN-PROTECTED", 6)
    assert "lab.yaml:" in json.dumps(fault)
    assert len(quick.ask_lab("status")["vm_names"]) == 5


# --- the switch -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"), [("switch-outage", 20.0), ("switch-silence", 0.0), ("switch-address", 77.0), ("switch-dns", 0.0)]
)
def test_outages_that_pass(desk: Desk, name: str, value: float) -> None:
    """The link drops by a reset or by silence, or the host comes back elsewhere: `up` lives through it."""
    desk.good("lab", "start")
    desk.ask_lab("fault", name=name, value=value)
    assert desk.good("up", "lab", "--until", "image", "--json").json["outcome"] == "ok"


def test_link_that_does_not_come_back(quick: Desk) -> None:
    """The host gets no gateway on the new switch: its watchdog removes the switch, and `up` does not repeat the outage by itself."""
    quick.ask_lab("fault", name="switch-offline")
    done = quick.run("up", "lab", "--json")
    assert fault_of(done)["id"] in ("P-SWITCH-LINKLOST", "P-SWITCH-UNDONE"), done.out
    assert done.code in (5, 6)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        again = quick.run("up", "lab", "--json")
        if fault_of(again)["id"] == "P-SWITCH-UNDONE":
            break
    expect(again, "P-SWITCH-UNDONE", 6)
    assert quick.good("up", "lab", "--until", "switch", "--retry-switch", "--json").json["outcome"] == "ok"


def test_adapter_that_cannot_be_bound(quick: Desk) -> None:
    quick.ask_lab("fault", name="switch-bind")
    expect(quick.run("up", "lab", "--json"), "P-SWITCH-FAILED", 1)
    assert nothing_changed(quick)
