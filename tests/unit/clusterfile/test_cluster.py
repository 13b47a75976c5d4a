"""What a cluster file becomes: values, defaults, and where each came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from provisioner.clusterfile import Loaded, find_cluster_file, list_clusters, load_cluster, read_settings
from provisioner.errors import Fault
from provisioner.model.cluster import Cluster, LabSpec, Origin, Role
from provisioner.model.naming import computed_mac
from provisioner.model.scalars import Scalar

ROOT = Path(__file__).resolve().parents[3]
CASES = Path(__file__).parent / "cases"


def load(name: str) -> Cluster:
    return load_cluster(CASES / name).cluster


def load_text(tmp_path: Path, text: str, name: str = "home.yaml") -> Loaded:
    path = tmp_path / name
    path.write_text(text)
    return load_cluster(path)


def test_smallest_file_gets_the_pins() -> None:
    cluster = load("valid-smallest.yaml")
    assert cluster.name == "valid-smallest"
    assert (cluster.talos, cluster.kubernetes) == ("v1.11.5", "v1.34.1")
    assert (cluster.switch.name, cluster.switch.adapter, cluster.switch.allow_management_os) == (
        "LAB",
        "Ethernet",
        True,
    )
    assert [machine.name for machine in cluster.control_planes] == ["valid-smallest-cp-1"]
    assert [machine.name for machine in cluster.workers] == [f"valid-smallest-worker-{n}" for n in (1, 2, 3)]
    assert {(machine.cpus, machine.memory_mib, machine.disk_gib) for machine in cluster.machines} == {(2, 4096, 20)}
    assert {machine.host for machine in cluster.machines} == {"hv01.lan"}
    assert cluster.image.url.endswith("/v1.11.5/metal-amd64.iso")
    assert cluster.lab is None


def test_machines_get_computed_mac_addresses_that_stay() -> None:
    cluster = load("valid-smallest.yaml")
    for machine in cluster.machines:
        assert machine.mac == computed_mac("valid-smallest", machine.name)
    assert len({machine.mac for machine in cluster.machines}) == 4


def test_texts_are_kept_as_written() -> None:
    cluster = load("valid-texts-kept.yaml")
    assert cluster.name == "2024"
    assert cluster.hosts["hv01.lan"].user == "off"
    assert (cluster.switch.name, cluster.switch.adapter) == ("yes", "010")
    assert [machine.name for machine in cluster.machines] == ["8080", "on"]
    assert [machine.mac for machine in cluster.machines] == ["021500000010", "021500000011"]
    machine = cluster.patches[0].documents[0]["machine"]
    assert machine["sysctls"] == {"net.ipv4.ip_forward": "1"}
    assert {key: str(value) for key, value in machine["env"].items()} == {
        "A": "off",
        "B": "1:30",
        "C": "2024-01-02",
        "D": "0x1F",
        "E": "1.50",
    }
    assert (machine["env"]["D"].value, machine["env"]["E"].value) == (31, 1.5)


def test_merged_anchors() -> None:
    first, second = load("valid-anchors.yaml").machines
    assert (first.name, first.role, first.memory_mib, first.cpus) == ("a-1", Role.CONTROL_PLANE, 6144, 4)
    assert (second.name, second.role, second.memory_mib, second.cpus) == ("a-2", Role.WORKER, 8192, 4)


def test_several_hosts_in_each_spelling() -> None:
    cluster = load("valid-several-hosts.yaml")
    one, two, three = cluster.hosts.values()
    assert (one.name, one.address, one.user) == ("hv01", "192.168.1.5", r"hv01\provision")
    assert one.pin == "00112233445566778899aabbccddeeff" * 2
    assert (two.name, two.address, two.port, two.transport) == ("hv02.lan", "hv02.lan", 5985, "winrs")
    assert (three.name, three.address, three.port) == ("hv03", "192.168.1.7", 5986)
    assert [machine.host for machine in cluster.machines] == ["hv01", "hv03", "hv03"]
    assert {(m.cpus, m.memory_mib, m.disk_gib, m.vlan) for m in cluster.workers} == {(8, 16384, 60, 20)}


def test_lab_file() -> None:
    cluster = load_cluster(ROOT / "clusters" / "lab.yaml").cluster
    lab = cluster.hosts["hv01.lab"].lab
    assert lab is not None
    assert cluster.lab == lab == LabSpec(speed=lab.speed, seed=1)
    assert cluster.hosts["hv01.lab"].user == "provision"
    assert cluster.cert_sans == ("127.0.0.1",)
    assert (len(cluster.control_planes), len(cluster.workers)) == (1, 3)


def test_patches_from_files_come_with_all_their_documents(tmp_path: Path) -> None:
    (tmp_path / "patches").mkdir()
    (tmp_path / "patches" / "all.yaml").write_text("machine: {env: {A: off}}\n---\nkind: HostnameConfig\n")
    text = "version: 1\nhost: {address: hv01.lan, user: u}\npatches:\n  worker:\n    - file: patches/all.yaml\n    - cluster: {proxy: {disabled: true}}\n"
    patches = load_text(tmp_path, text).cluster.worker_patches
    assert [patch.documents for patch in patches] == [
        ({"machine": {"env": {"A": "off"}}}, {"kind": "HostnameConfig"}),
        ({"cluster": {"proxy": {"disabled": Scalar("true", True)}}},),
    ]
    assert [patch.place.line for patch in patches] == [5, 6]


def test_octal_permissions_mean_what_talos_takes_them_for(tmp_path: Path) -> None:
    text = "version: 1\nhost: {address: a, user: u}\npatches: {all: [{machine: {files: [{permissions: 0644}, {permissions: 0o600}]}}]}\n"
    files = load_text(tmp_path, text).cluster.patches[0].documents[0]["machine"]["files"]
    assert [file["permissions"].value for file in files] == [0o644, 0o600]


def test_protection_knows_its_line(tmp_path: Path) -> None:
    cluster = load_text(tmp_path, "version: 1\nhost: {address: a, user: u}\nprotect: true\n").cluster
    assert cluster.protect
    assert cluster.protect.line == 3


@pytest.mark.parametrize(
    ("image", "url", "file_name", "path"),
    [
        (
            "schematic: 376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba",
            "https://factory.talos.dev/image/376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba/v1.11.5/metal-amd64.iso",
            "talos-v1.11.5-376567988ad3-metal-amd64.iso",
            "",
        ),
        (
            "release: v1.11.2",
            "https://github.com/siderolabs/talos/releases/download/v1.11.2/metal-amd64.iso",
            "talos-v1.11.2-metal-amd64.iso",
            "",
        ),
        ("path: 'D:\\iso\\Talos.ISO'", "", "Talos.ISO", "D:\\iso\\Talos.ISO"),
    ],
)
def test_images(tmp_path: Path, image: str, url: str, file_name: str, path: str) -> None:
    spec = load_text(tmp_path, f"version: 1\nhost: {{address: a, user: u}}\nimage: {{{image}}}\n").cluster.image
    assert (spec.url, spec.file_name, spec.path) == (url, file_name, path)


def line_of(origin: Origin) -> int:
    assert origin.place is not None
    return origin.place.line


def test_every_value_has_its_origin(tmp_path: Path) -> None:
    text = "version: 1\nhost: {address: hv01.lan, user: u}\nswitch: {name: LAN}\nmachines:\n  control_planes: {count: 1, memory: 6 GiB}\n"
    rows = {origin.path: origin for origin in load_text(tmp_path, text).cluster.origins}
    assert (rows["name"].value, rows["name"].source) == ("home", "computed")
    assert (rows["switch.name"].source, line_of(rows["switch.name"])) == ("file", 3)
    assert (rows["hosts.hv01.lan.address"].source, line_of(rows["hosts.hv01.lan.address"])) == ("file", 2)
    assert (rows["switch.allow_management_os"].value, rows["switch.allow_management_os"].source) == (True, "default")
    memory = rows["machines.home-cp-1.memory"]
    assert memory.place is not None
    assert (memory.value, memory.source, memory.place.line, memory.place.column) == ("6 GiB", "file", 5, 38)
    assert (rows["machines.home-worker-2.memory"].value, rows["machines.home-worker-2.memory"].source) == (
        "4 GiB",
        "default",
    )
    assert rows["machines.home-worker-2.mac"].source == "computed"


def test_option_beats_environment_beats_file(tmp_path: Path) -> None:
    path = tmp_path / "home.yaml"
    path.write_text("version: 1\nhost: {address: hv01.lan, user: file}\n")
    environment = {"PROVISION_HOST": "hv02.lan", "PROVISION_USER": "environment"}
    settings = read_settings(environment, cwd=tmp_path, user="option")
    cluster = load_cluster(path, overrides=settings.overrides).cluster
    host = cluster.hosts["hv01.lan"]
    assert (host.address, host.user) == ("hv02.lan", "option")
    sources = {origin.path: origin.source for origin in cluster.origins}
    assert (sources["hosts.hv01.lan.address"], sources["hosts.hv01.lan.user"]) == ("environment", "option")


def test_overrides_are_not_meant_for_the_lab(tmp_path: Path) -> None:
    settings = read_settings({"PROVISION_HOST": "hv02.lan", "PROVISION_USER": "me"}, cwd=tmp_path)
    cluster = load_cluster(ROOT / "clusters" / "lab.yaml", overrides=settings.overrides).cluster
    assert [(host.address, host.user) for host in cluster.hosts.values()] == [("hv01.lab", "provision")]


def test_overriding_the_address_of_several_hosts_is_a_finding() -> None:
    settings = read_settings({"PROVISION_HOST": "hv09.lan"}, cwd=CASES)
    with pytest.raises(Fault) as caught:
        load_cluster(CASES / "valid-several-hosts.yaml", overrides=settings.overrides)
    assert ["PROVISION_HOST" in finding.problem for finding in caught.value.findings] == [True]


def test_files_are_found_by_name_in_the_order_of_the_folders(tmp_path: Path) -> None:
    here, home = tmp_path / "clusters", tmp_path / "home" / "clusters"
    for folder, names in ((here, ["b.yaml", "c.yml", "schema.json"]), (home, ["a.yaml", "b.yaml"])):
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).write_text("version: 1\n")
    folders = [here, home]
    assert [(name, path.parent) for name, path in list_clusters(folders).items()] == [
        ("a", home),
        ("b", here),
        ("c", here),
    ]
    assert find_cluster_file("b", folders=folders) == here / "b.yaml"
    assert find_cluster_file("a", folders=folders) == home / "a.yaml"
    assert find_cluster_file(str(home / "b.yaml"), folders=folders) == home / "b.yaml"
    assert find_cluster_file("lab", folders=folders).name == "lab.yaml"


def test_an_unknown_name_lists_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "homelab.yaml").write_text("version: 1\n")
    with pytest.raises(Fault) as caught:
        find_cluster_file("homelap", folders=[tmp_path])
    assert caught.value.id == "P-FILE-NOTFOUND"
    assert "there are homelab, lab" in caught.value.seen
    assert caught.value.probable_cause == "homelab was meant"


@pytest.mark.parametrize("ref", ["nowhere/home.yaml", "home.yaml", "./home"])
def test_a_path_that_is_not_there(ref: str, tmp_path: Path) -> None:
    with pytest.raises(Fault) as caught:
        find_cluster_file(ref, folders=[tmp_path])
    assert caught.value.id == "P-FILE-NOTFOUND"


def test_settings_home_and_cluster(tmp_path: Path) -> None:
    settings = read_settings({"PROVISION_HOME": str(tmp_path), "PROVISION_CLUSTER": "home"}, cwd=Path("/somewhere"))
    assert (settings.home, settings.cluster) == (tmp_path, "home")
    assert settings.folders == (Path("/somewhere/clusters"), tmp_path / "clusters")
    assert read_settings({"PROVISION_CLUSTER": "home"}, cwd=tmp_path, cluster="other").cluster == "other"


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(Fault) as caught:
        load_cluster(tmp_path)
    assert (caught.value.id, list(caught.value.seen)) == ("P-FILE-NOTFOUND", ["Is a directory"])
    assert "readable" in caught.value.next_steps[0]
