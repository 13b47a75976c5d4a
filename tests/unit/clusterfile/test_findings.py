"""Case files: each `invalid-*.yaml` with exactly the findings that stand beside it; each `valid-*.yaml` with none."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from provisioner.clusterfile import json_schema, load_cluster
from provisioner.errors import Fault, Finding
from provisioner.talos import yaml as core

ROOT = Path(__file__).resolve().parents[3]
CASES = Path(__file__).parent / "cases"
VALID = sorted(CASES.glob("valid-*.yaml"))
INVALID = sorted(CASES.glob("invalid-*.yaml"))
SHIPPED = sorted((ROOT / "clusters").glob("*.yaml"))


def spelled(finding: Finding) -> str:
    """As the `.findings` files have it."""
    lines = [f"{finding.place}  {finding.path}", f"    {finding.severity}: {finding.problem}"]
    lines += [f"    expected {finding.expected}"] if finding.expected else []
    lines += [f"    did you mean {finding.did_you_mean}"] if finding.did_you_mean else []
    return "\n".join(lines)


@pytest.mark.parametrize("name", [path.name for path in INVALID])
def test_all_findings_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CASES)
    with pytest.raises(Fault) as caught:
        load_cluster(Path(name))
    assert caught.value.id == "P-FILE-FINDINGS"
    assert [spelled(finding) for finding in caught.value.findings] == expected_of(name)
    errors = sum(finding.severity == "error" for finding in caught.value.findings)
    assert caught.value.message == f"{errors} finding{'s' * (errors > 1)} in {name}"


def expected_of(name: str) -> list[str]:
    found: list[str] = []
    for line in (CASES / name).with_suffix(".findings").read_text().splitlines():
        if line.startswith("    "):
            found[-1] += f"\n{line}"
        else:
            found.append(line)
    return found


@pytest.mark.parametrize(
    ("network", "machines", "problem"),
    [
        (
            "pod_subnets: [10.244.0.0/24]",
            "[{name: a, role: controlplane}, {name: b, role: worker}]",
            "pods for 1 of 2 machines",
        ),
        ("pod_subnets: [10.244.0.0/23]", "[{name: a, role: controlplane}, {name: b, role: worker}]", ""),
        ("pod_subnets: [fd00::/64]", "{control_planes: 1, workers: 1}", "pods for 1 of 2 machines"),
        ("pod_subnets: [fd00::/40]", "{control_planes: 1, workers: 1}", "larger than Kubernetes takes"),
        ("pod_subnets: [10.244.0.0/16, fd00::/56]", "{control_planes: 1, workers: 250}", ""),
        (
            "pod_subnets: [10.244.0.0/16, fd00::/48]",
            "{control_planes: 1, workers: 256}",
            "pods for 256 of 257 machines",
        ),
        ("service_subnets: [10.96.0.0/28]", "{control_planes: 1, workers: 1}", ""),
        ("service_subnets: [10.96.0.0/29]", "{control_planes: 1, workers: 1}", "too small for services"),
    ],
)
def test_networks_have_room(tmp_path: Path, network: str, machines: str, problem: str) -> None:
    path = tmp_path / "home.yaml"
    path.write_text(f"version: 1\nhost: {{address: hv01.lan, user: u}}\nnetwork: {{{network}}}\nmachines: {machines}\n")
    try:
        load_cluster(path)
        found: list[str] = []
    except Fault as fault:
        found = [finding.problem for finding in fault.findings if finding.severity == "error"]
    assert len(found) == bool(problem)
    assert all(problem in text for text in found)


def test_each_case_has_its_findings_and_no_finding_is_orphaned() -> None:
    assert {path.stem for path in INVALID} == {path.stem for path in CASES.glob("*.findings")}


@pytest.mark.parametrize("path", [*VALID, *SHIPPED], ids=lambda path: path.name)
def test_clean(path: Path) -> None:
    assert load_cluster(path).warnings == ()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_files_name_their_schema(path: Path) -> None:
    assert path.read_text().splitlines()[0] == "# yaml-language-server: $schema=schema.json"


def test_everything_has_every_field() -> None:
    text = (ROOT / "clusters" / "everything.yaml").read_text()
    schema = json_schema()
    names = {name for part in (schema, *schema["$defs"].values()) for name in part.get("properties", {})}
    assert [name for name in sorted(names) if f"{name}:" not in text and f"{name}, " not in text] == []


def test_committed_schema_is_current() -> None:
    committed = json.loads((ROOT / "clusters" / "schema.json").read_text())
    assert committed == json_schema(), "make it anew: provision config schema > clusters/schema.json"


@pytest.mark.parametrize("path", [*VALID, *SHIPPED], ids=lambda path: path.name)
def test_schema_takes_what_the_loader_takes(path: Path) -> None:
    """A second reader of the schema; values as an editor's YAML server sees them, texts where we keep texts."""
    jsonschema.validate(core.load(path.read_bytes()), loosened(json_schema()))


def loosened(schema: dict[str, Any]) -> dict[str, Any]:
    """Editors see numbers where our loader keeps texts as written (a switch called 010): taken for texts here."""
    if schema.get("type") == "string":
        schema = {**schema, "type": ["string", "integer", "number"]}
    return {
        key: loosened(value)
        if isinstance(value, dict)
        else [loosened(item) if isinstance(item, dict) else item for item in value]
        if isinstance(value, list)
        else value
        for key, value in schema.items()
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "blue"}, "colour"),
        ({"version": 2}, "1 was expected"),
        ({"machines": {"control_planes": -1}}, "-1"),
        ({"machines": [{"name": "a"}]}, "role"),
        ({"machines": {"workers": {"count": 1, "memory": "4 GB"}}}, "4 GB"),
        ({"switch": {"vlan": 0}}, "0 is less"),
        ({"switch": {"vlan": None}}, "None"),
        ({"hosts": {"a": {"lab": {"speed": 2000}}}}, "2000"),
    ],
)
def test_schema_refuses_what_the_loader_refuses(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    document = {"version": 1, "hosts": {"hv01.lan": {}}} | change
    with pytest.raises(jsonschema.ValidationError) as caught:
        jsonschema.validate(document, json_schema())
    assert message in str(caught.value)
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(Fault):
        load_cluster(path)


WORDS = ["version", "host", "hosts", "switch", "adapter", "image", "machines", "control_planes", "workers", "count"]
WORDS += ["name", "role", "memory", "disk", "mac", "patches", "all", "file", "network", "pod_subnets", "vlan", "lab"]
WORDS += ["path", "op", "address", "endpoint", "url", "sha256", "talos", "worker", "controlplane", "4 GiB", "on", "<<"]
SCALARS = st.one_of(st.sampled_from(WORDS), st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8))
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=25,
)


@given(document=DOCUMENTS, base=st.sampled_from([path.read_text() for path in VALID]), data=st.data())
@settings(max_examples=150, deadline=None)
def test_nonsense_gives_findings_with_places_and_nothing_else(
    document: Any, base: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever stands in a file: a cluster or findings, each of which points at a line that is there."""
    whole = yaml.safe_load(base)
    key = data.draw(st.sampled_from([*whole, "hosts", "image", "network", "patches", "endpoint"]))
    whole = copy.deepcopy(whole) | {key: document}
    path = tmp_path_factory.mktemp("fuzz") / "fuzz.yaml"
    path.write_text(yaml.safe_dump(whole, allow_unicode=True))
    lines = path.read_text().splitlines()
    for finding in findings_of(path):
        assert 1 <= finding.place.line <= len(lines), finding
        assert finding.problem, finding


def findings_of(path: Path) -> list[Finding]:
    """Nothing, or the findings of the one fault that a file may give."""
    try:
        load_cluster(path)
    except Fault as fault:
        found = fault
    else:
        return []
    assert found.id == "P-FILE-FINDINGS"
    assert any(finding.severity == "error" for finding in found.findings)
    return list(found.findings)


@given(raw=st.binary(max_size=60) | st.text(alphabet="{}[]:,-&*!|>'\"%@` \n\ta1<", max_size=60).map(str.encode))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_findings(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("bytes") / "x.yaml"
    path.write_bytes(b"version: 1\n" + raw)
    for finding in findings_of(path):
        assert finding.problem, finding


@pytest.mark.parametrize("version", ["[1]", "{a: 1}", "1.0", "true", "'1'", "one", "-1", "0", "0x1", "", "~"])
def test_only_a_whole_number_is_a_version(version: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"host: {{address: hv01.lan, user: u}}\nversion: {version}\n")
    found = findings_of(path)
    if version == "0x1":
        assert found == []
    else:
        assert [(finding.path, finding.place.line) for finding in found] == [("version", 2)]


@pytest.mark.parametrize("field", ["talos: ", "protect: ", "host: {address: hv01.lan, lab: {speed: "])
def test_half_a_character_is_a_finding(field: str, tmp_path: Path) -> None:
    """An escape makes a string that no file can hold."""
    path = tmp_path / "x.yaml"
    path.write_text(f'version: 1\n{field}"\\ud800"{"}" * field.count("{")}\n')
    assert findings_of(path)


def test_aliases_cannot_multiply_without_end(tmp_path: Path) -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    path = tmp_path / "laughs.yaml"
    path.write_text("version: 1\n" + "\n".join(rows))
    with pytest.raises(Fault) as caught:
        load_cluster(path)
    assert "there are too many values" in {finding.problem for finding in caught.value.findings}


def test_deep_nesting_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "deep.yaml"
    path.write_text("version: 1\npatches: " + "[" * 3000 + "]" * 3000)
    with pytest.raises(Fault) as caught:
        load_cluster(path)
    assert [finding.problem for finding in caught.value.findings] == ["is nested too deeply"]


def test_large_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text("version: 1\n# " + "x" * (1 << 20))
    with pytest.raises(Fault) as caught:
        load_cluster(path)
    assert [finding.problem for finding in caught.value.findings] == ["is larger than 1 MiB"]


@pytest.mark.parametrize(
    "line", ["endpoint: '['", "endpoint: 'https://[::1'", "image: {url: 'https://['}", "host: 'x://['"]
)
def test_a_lone_bracket_is_a_finding(line: str, tmp_path: Path) -> None:
    """The standard library's reader of URLs raises at it."""
    host = "" if line.startswith("host") else "host: {address: hv01.lan, user: u}\n"
    path = tmp_path / "home.yaml"
    path.write_text(f"version: 1\n{host}{line}\nswitch: {{name: LAB}}\nmachines: {{control_planes: 1}}\n")
    with pytest.raises(Fault) as caught:
        load_cluster(path)
    assert caught.value.findings
