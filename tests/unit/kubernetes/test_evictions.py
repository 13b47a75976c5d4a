"""Which pods a drain evicts, and how."""

from __future__ import annotations

import json
from typing import Any

import pytest

from provisioner.errors import Malformed
from provisioner.kubernetes.evictions import eviction, lost, node_pod, stays
from provisioner.kubernetes.reading import parsed
from provisioner.ports import LeftReason


def pod(**parts: Any) -> Any:
    metadata = {"name": "p", "namespace": "n", "uid": "u", **parts.pop("metadata", {})}
    return node_pod(parsed(json.dumps({"metadata": metadata, **parts})))


def owner(kind: str, *, controller: bool = True) -> dict[str, Any]:
    return {"ownerReferences": [{"kind": kind, "name": "o", "uid": "o", "controller": controller}]}


SCRATCH = {"volumes": [{"name": "a", "configMap": {}}, {"name": "b", "emptyDir": {}}]}


@pytest.mark.parametrize(
    ("metadata", "stay"),
    [
        (owner("DaemonSet"), True),
        (owner("ReplicaSet"), False),
        (owner("DaemonSet", controller=False), False),
        ({"annotations": {"kubernetes.io/config.mirror": "x"}, **owner("Node")}, True),
        ({}, False),
    ],
    ids=["daemon set", "replica set", "no controller", "mirror", "unmanaged"],
)
def test_what_belongs_to_the_node_stays(metadata: dict[str, Any], stay: bool) -> None:
    assert stays(pod(metadata=metadata)) is stay


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({}, LeftReason.UNMANAGED),
        ({"metadata": owner("ReplicaSet", controller=False)}, LeftReason.UNMANAGED),
        ({"metadata": owner("ReplicaSet"), "spec": SCRATCH}, LeftReason.LOCAL_DATA),
        ({"metadata": owner("ReplicaSet")}, None),
        ({"spec": SCRATCH, "status": {"phase": "Succeeded"}}, None),
    ],
    ids=["unmanaged", "no controller", "local data", "managed", "finished"],
)
def test_what_would_be_lost_needs_consent(parts: dict[str, Any], reason: LeftReason | None) -> None:
    found = lost([pod(**parts)], local_data=False, unmanaged=False)
    assert [each.reason for each in found] == ([reason] if reason else [])
    assert lost([pod(**parts)], local_data=True, unmanaged=True) == ()


def test_an_eviction_is_of_that_very_pod() -> None:
    """A pod of the same name that a StatefulSet made elsewhere meanwhile is another."""
    assert eviction(pod())["deleteOptions"] == {"preconditions": {"uid": "u"}}
    assert eviction(pod())["metadata"] == {"name": "p", "namespace": "n"}


@pytest.mark.parametrize("metadata", [{"uid": None}, {"name": 7}, {"ownerReferences": {}}, {"annotations": []}])
def test_what_is_no_pod_is_malformed(metadata: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        pod(metadata=metadata)
