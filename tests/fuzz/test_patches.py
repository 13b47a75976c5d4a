"""Any value at any place of a patch ends in a config or in findings that name the place: never in an error of ours."""

from __future__ import annotations

from pathlib import Path

from provisioner.clusterfile import load_cluster
from provisioner.errors import Fault
from provisioner.model.cluster import Cluster, MachineSpec
from tests.fuzz.budget import dice
from tests.unit.talos.helpers import CONFIGS, ENDPOINT, SCHEMA, bundle
from tests.unit.talos.places import HOSTILE, all_places

PLACES = all_places(SCHEMA)


def loaded(folder: Path, patches: list[str]) -> Cluster | Fault:
    """The cluster of a file with these patches, the last of them in a file of its own; or what the file is refused with."""
    (folder / "last.yaml").write_text(patches[-1])
    lines = "".join(f"    - {text}\n" for text in patches[:-1])
    (folder / "home.yaml").write_text(
        f"version: 1\nhost: {{address: hv01.lan, user: u}}\nmachines: {{workers: 1}}\npatches:\n  all:\n{lines}    - file: last.yaml\n"
    )
    try:
        return load_cluster(folder / "home.yaml").cluster
    except Fault as fault:
        return fault


def refusal_of(cluster: Cluster, machine: MachineSpec) -> str:
    """Id of the fault that the machine's config is refused with."""
    try:
        CONFIGS.machine_config(cluster, machine, bundle(), endpoint=ENDPOINT)
    except Fault as fault:
        return fault.id
    return ""


def test_any_value_at_any_place(tmp_path: Path) -> None:
    made = refused = 0
    for name, chance in dice("patches", 150):
        patches = [chance.choice(PLACES).patch(chance.choice(HOSTILE)) for _ in range(chance.randint(1, 3))]
        cluster = loaded(tmp_path, patches)
        if isinstance(cluster, Fault):
            assert cluster.id == "P-FILE-FINDINGS", (name, patches)
            assert all(finding.place.line for finding in cluster.findings)
            continue
        findings = CONFIGS.findings(cluster)
        for machine in cluster.machines:
            CONFIGS.effective(cluster, machine)
            refusal = refusal_of(cluster, machine)
            assert refusal in ("", "P-CONFIG-REFUSED"), (name, patches)
            assert findings or not refusal, (name, patches)
            made, refused = made + (not refusal), refused + bool(refusal)
        assert {Path(finding.place.file).name for finding in findings} <= {"home.yaml", "last.yaml"}
    assert made
    assert refused
