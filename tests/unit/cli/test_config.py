"""`provision config`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from provisioner.cli import loading
from provisioner.cli.app import app
from provisioner.clusterfile import Settings, json_schema
from provisioner.errors import Fault
from provisioner.model.cluster import Cluster, MachineSpec

CASES = Path(__file__).parents[1] / "clusterfile" / "cases"
CONFIG = """\
version: v1alpha1
machine:
    token: wlzjyw.bei2zfylhs2by0wd # machine token
    ca:
        crt: LS0tLS1CRUdJTg==
        key: c2VjcmV0LWtleQ==
    files:
        - content: |
            kept as it is
          path: /var/etc/x
cluster:
    id: Zm9vYmFy
    secret: c2VjcmV0
    token: ""
    serviceAccount:
        key: |
            -----BEGIN KEY-----
            two lines
            -----END KEY-----
    network:
        dnsDomain: cluster.local
---
apiVersion: v1alpha1
kind: WireguardConfig
privateKey: "cHJpdmF0ZQ=="
"""


def run(*arguments: str, environment: dict[str, str] | None = None, width: int = 100) -> Result:
    return CliRunner().invoke(app, ["config", *arguments], env={"COLUMNS": str(width), **(environment or {})})


@pytest.fixture(autouse=True)
def fixed_config(monkeypatch: pytest.MonkeyPatch) -> None:
    """Machine configs that are known, instead of those with keys made now."""

    def machine_config(_settings: Settings, cluster: Cluster, machine: MachineSpec) -> bytes:
        return CONFIG.replace("v1alpha1\nmachine", f"v1alpha1 # {cluster.name}/{machine.name}\nmachine").encode()

    monkeypatch.setattr(loading, "machine_config", machine_config)


@pytest.fixture
def clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "clusters"
    folder.mkdir()
    (folder / "home.yaml").write_text("version: 1\nhost: {address: hv01.lan, user: u}\nswitch: {adapter: Ethernet}\n")
    (folder / "even.yaml").write_text("version: 1\nhost: {address: hv01.lan, user: u}\nmachines: {control_planes: 2}\n")
    (folder / "bad.yaml").write_text((CASES / "invalid-together.yaml").read_text())
    return folder


def test_check_of_a_good_file(clusters: Path) -> None:
    done = run("check", "home")
    assert done.exit_code == 0
    assert done.stdout == (
        "✓ clusters/home.yaml: no findings\n"
        "  home on hv01.lan: 1 control plane, 3 workers, Talos v1.11.5, Kubernetes v1.34.1\n"
    )


def test_check_shows_warnings_and_succeeds(clusters: Path) -> None:
    done = run("check", "even")
    assert done.exit_code == 0
    assert "clusters/even.yaml: 1 warning" in done.stdout
    assert "clusters/even.yaml:3:28   machines.control_planes" in done.stdout


def test_check_of_a_bad_file(clusters: Path) -> None:
    done = run("check", "bad", width=80)
    assert done.exit_code == 3
    assert "P-FILE-FINDINGS   7 findings in clusters/bad.yaml" in done.stdout
    assert "clusters/bad.yaml:7:15   machines[0].rol" in done.stdout
    assert "unknown field; did you mean role?" in done.stdout
    source = (clusters / "bad.yaml").read_text().splitlines()[6]
    assert f"    7 | {source}\n" in done.stdout, "the line itself stands below its place"
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stdout.rstrip().endswith("exit 3")


def test_the_line_that_is_shown_keeps_its_secret(clusters: Path) -> None:
    (clusters / "secret.yaml").write_text(
        "version: 1\nhost: {address: hv01.lan, user: u}\npatches:\n  all:\n    - machine:\n        token: [sesame-open]\n"
    )
    done = run("check", "secret")
    assert done.exit_code == 3
    assert "6 |         token: «secret»" in done.stdout
    assert "sesame" not in done.stdout


def test_without_a_name_the_only_file_is_taken(clusters: Path) -> None:
    assert isinstance(run("check").exception, Fault)
    for name in ("even", "bad"):
        (clusters / f"{name}.yaml").unlink()
    for command in ("check", "show"):
        done = run(command)
        assert (done.exit_code, "home" in done.stdout) == (0, True)


def test_check_as_json(clusters: Path) -> None:
    done = run("check", "bad", "--json")
    assert done.exit_code == 3
    told = json.loads(done.stdout)
    assert (told["schema"], told["ok"], told["fault"], told["exit"]) == (
        "provision/config/1",
        False,
        "P-FILE-FINDINGS",
        3,
    )
    assert told["findings"][0] == {
        "place": {"file": "clusters/bad.yaml", "line": 4, "column": 13},
        "path": "kubernetes",
        "problem": "Talos v1.11.5 does not run Kubernetes v1.28.0",
        "expected": "v1.29 to v1.34",
        "did_you_mean": "v1.34.1",
        "severity": "error",
    }
    good = json.loads(run("check", "home", "--json").stdout)
    assert (good["ok"], good["cluster"], good["findings"], good["exit"]) == (True, "home", [], 0)


def test_the_name_may_come_from_the_environment(clusters: Path) -> None:
    assert "clusters/home.yaml" in run("check", environment={"PROVISION_CLUSTER": "home"}).stdout


def test_an_unknown_cluster_is_a_fault(clusters: Path) -> None:
    done = run("check", "hone")
    assert isinstance(done.exception, Fault)
    assert done.exception.id == "P-FILE-NOTFOUND"


def test_show_tells_where_each_value_came_from(clusters: Path) -> None:
    shown = {line.split()[0]: line.split() for line in run("show", "home").stdout.splitlines()}
    assert shown["switch.adapter"][1:] == ["Ethernet", "clusters/home.yaml:3:19"]
    assert shown["switch.name"][1:] == ["LAB", "default"]
    assert shown["machines.home-cp-1.memory"][1:] == ["4", "GiB", "default"]
    assert shown["name"][1:] == ["home", "computed"]
    assert shown["machines.home-cp-1.mac"][2] == "computed"


def test_show_as_json_with_an_override(clusters: Path) -> None:
    told = json.loads(run("show", "home", "--json", environment={"PROVISION_HOST": "hv02.lan"}).stdout)
    values = {row["path"]: row for row in told["values"]}
    assert told["schema"] == "provision/config/1"
    assert values["hosts.hv01.lan.address"] == {
        "path": "hosts.hv01.lan.address",
        "value": "hv02.lan",
        "source": "environment",
        "place": None,
    }
    assert values["switch.adapter"]["place"] == {"file": "clusters/home.yaml", "line": 3, "column": 19}


def test_schema_is_the_one_that_editors_get() -> None:
    assert json.loads(run("schema").stdout) == json_schema()


def test_machine_hides_every_secret_and_nothing_else(clusters: Path) -> None:
    done = run("machine", "home", "home-worker-2")
    assert done.exit_code == 0
    for secret in ("wlzjyw", "c2VjcmV0", "two lines", "cHJpdmF0ZQ"):
        assert secret not in done.stdout
    assert "v1alpha1 # home/home-worker-2" in done.stdout
    assert "token: «secret» # machine token" in done.stdout
    first, second = yaml.safe_load_all(done.stdout)
    whole, _ = yaml.safe_load_all(CONFIG)
    assert first["machine"]["files"] == whole["machine"]["files"]
    assert first["machine"]["ca"] == {"crt": "LS0tLS1CRUdJTg==", "key": "«secret»"}
    assert first["cluster"] == {
        "id": "Zm9vYmFy",
        "secret": "«secret»",
        "token": "",
        "serviceAccount": {"key": "«secret»"},
        "network": {"dnsDomain": "cluster.local"},
    }
    assert second["privateKey"] == "«secret»"


def test_machine_with_secrets_when_asked(clusters: Path) -> None:
    done = run("machine", "home", "home-cp-1", "--show-secrets")
    assert list(yaml.safe_load_all(done.stdout)) == list(yaml.safe_load_all(CONFIG))


def test_an_unknown_machine_lists_what_there_is(clusters: Path) -> None:
    done = run("machine", "home", "home-worker-9")
    assert isinstance(done.exception, Fault)
    assert done.exception.id == "P-RUN-UNKNOWN"
    assert done.exception.seen == ("there are home-cp-1, home-worker-1, home-worker-2, home-worker-3",)


def test_check_tells_what_talos_would_refuse_in_a_patch(clusters: Path) -> None:
    """As `up` would, and before any host is asked."""
    path = clusters / "patched.yaml"
    path.write_text(
        "version: 1\nhost: {address: hv01.lan, user: u}\nswitch: {adapter: Ethernet}\npatches:\n  all:\n    - machine: {nonsense: {key: 1}}\n"
    )
    done = run("check", "patched", "--json")
    assert done.exit_code == 3
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["path"], finding["place"]["line"]) == ("machine.nonsense", 6)
    assert "nonsense" in run("check", "patched").stdout


def test_check_shows_what_talos_only_warns_of(clusters: Path) -> None:
    (clusters / "labels.yaml").write_text(
        "version: 1\nhost: {address: hv01.lan, user: u}\npatches:\n  worker:\n    - machine: {nodeLabels: {node-role.kubernetes.io/worker: }}\n"
    )
    done = run("check", "labels")
    assert done.exit_code == 0
    assert "1 warning" in done.stdout
    assert "clusters/labels.yaml:5:30   machine.nodeLabels['node-role.kubernetes.io/worker']" in done.stdout


def test_of_very_many_findings_the_first_ones_are_shown(clusters: Path) -> None:
    (clusters / "many.yaml").write_text(
        "version: 1\nhost: {address: hv01.lan, user: u}\n" + "".join(f"x{i}: 1\n" for i in range(2000))
    )
    done = run("check", "many")
    assert done.exit_code == 3
    assert "2000 findings" in done.stdout
    assert "... and 1950 more" in done.stdout
    assert done.stdout.count("unknown field") == 50
    assert len(json.loads(run("check", "many", "--json").stdout)["findings"]) == 2000


@pytest.mark.parametrize(
    "text",
    [
        f"talos: {'v' * 100_000}\n",
        f"{'k' * 100_000}: 1\n",
        f"patches: {{all: [{{machine: {{{'k' * 100_000}: 1}}}}]}}\n",
        f"patches: {{all: [{{machine: {{network: {{nameservers: [a], hostname: {'k' * 100_000}}}}}}}]}}\n",
        f"patches: {{all: [{{file: {'k' * 100_000}}}]}}\n",
    ],
    ids=["value", "key", "key of a patch", "value of a patch", "file of a patch"],
)
def test_a_long_value_is_not_repeated_whole(clusters: Path, text: str) -> None:
    (clusters / "long.yaml").write_text(f"version: 1\nhost: {{address: hv01.lan, user: u}}\n{text}")
    done = run("check", "long")
    assert done.exit_code == 3
    assert len(done.stdout) < 6000
