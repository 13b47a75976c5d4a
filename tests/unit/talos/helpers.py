"""What the tests of Talos' files share: a cluster, its machines, one bundle for all (making it takes a second)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import settings

from provisioner.clusterfile.patches import _spec
from provisioner.clusterfile.tree import read_trees
from provisioner.errors import SourceLocation
from provisioner.model.cluster import Cluster, HostSpec, ImageSpec, MachineSpec, PatchSpec, Role, SwitchSpec
from provisioner.talos import secrets, yaml
from provisioner.talos.configs import TalosConfigs
from provisioner.talos.schema import load_schema

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
ENDPOINT = "https://192.0.2.10:6443"
SCHEMA = load_schema("v1.11")


SAME_EXAMPLES = settings(derandomize=True, deadline=None)
"""Properties are tried with the same examples in every run: a test that fails once in a while helps nobody."""


class FixedClock:
    """A clock that shows `NOW` for ever."""

    rate = 1.0

    def now(self) -> float:
        return 0.0

    def wall(self) -> datetime:
        return NOW

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here waits")


CONFIGS = TalosConfigs(FixedClock())


@cache
def bundle() -> secrets.SecretsBundle:
    return secrets.new_bundle(NOW)


def place(line: int) -> SourceLocation:
    return SourceLocation(file="clusters/home.yaml", line=line, column=3)


def documents_of(text: str | bytes) -> list[Any]:
    """Documents as the patches of a cluster file are read. Raises ValueError."""
    raw = text if isinstance(text, bytes) else text.encode()
    trees = read_trees(raw, "patch.yaml", several=True)
    if found := [finding.problem for tree in trees for finding in tree.findings]:
        raise ValueError(found)
    return [value for tree in trees if (value := tree.value) is not None]


def patch(text: str, line: int = 50) -> PatchSpec:
    """A patch as from a file of its own. Raises ValueError for what is none."""
    trees = read_trees(text.encode(), "clusters/home.yaml", several=True)
    found = [finding for tree in trees for finding in tree.findings]
    spec = _spec([(tree, ()) for tree in trees], place(line), found, alone=len(trees) == 1)
    if found:
        raise ValueError(found[0].problem)
    return replace(spec, places=())


def machine(name: str, role: Role = Role.WORKER, **changes: Any) -> MachineSpec:
    return replace(
        MachineSpec(
            name=name,
            role=role,
            host="hv",
            cpus=2,
            memory_mib=4096,
            disk_gib=20,
            mac="021122334455",
            place=place(10),
        ),
        **changes,
    )


def cluster(**changes: Any) -> Cluster:
    return replace(
        Cluster(
            name="home",
            file=Path("clusters/home.yaml"),
            hosts={"hv": HostSpec(name="hv", address="192.0.2.2")},
            switch=SwitchSpec(name="LAB"),
            image=ImageSpec(url="https://example.invalid/metal-amd64.iso", file_name="metal-amd64.iso"),
            talos="v1.11.5",
            kubernetes="v1.34.1",
            machines=(machine("cp1", Role.CONTROL_PLANE), machine("w1")),
        ),
        **changes,
    )


def config_of(of: Cluster, name: str, endpoint: str = ENDPOINT) -> dict[str, Any]:
    """The parsed config of a machine, of its document without a kind."""
    text = CONFIGS.machine_config(of, of.machine(name), bundle(), endpoint=endpoint)
    found: dict[str, Any] = yaml.load_documents(text)[0]
    return found
