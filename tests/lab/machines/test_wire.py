"""Both encodings of a resource say the same; the tables of kinds are whole."""

from __future__ import annotations

import pytest
import yaml
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from provisioner.lab.machines import kinds, wire
from provisioner.lab.machines.kinds import ALL
from provisioner.lab.machines.resources import View
from provisioner.lab.machines.snapshot import META
from provisioner.lab.machines.wire import Field
from provisioner.talos.api.gen import machine_pb2 as pb
from tests.lab.machines.clusters import Cluster
from tests.lab.machines.helpers import Lan


def test_machine_status_reads_as_the_message_of_the_same_fields() -> None:
    """MachineStatusEvent has the numbers of the resource's spec."""
    spec = {
        "stage": "running",
        "status": {"ready": False, "unmetConditions": [{"name": "nodeReady", "reason": "not yet"}]},
    }
    encoded = wire.encode(ALL["MachineStatuses.runtime.talos.dev"].fields, spec)
    read = pb.MachineStatusEvent.FromString(encoded)
    condition = pb.MachineStatusEvent.MachineStatus.UnmetCondition(name="nodeReady", reason="not yet")
    status = pb.MachineStatusEvent.MachineStatus(ready=False, unmet_conditions=[condition])
    assert read == pb.MachineStatusEvent(stage=pb.MachineStatusEvent.RUNNING, status=status)


@pytest.mark.parametrize(
    ("field", "value", "encoded"),
    [
        (Field(1, "a"), "hi", b"\x0a\x02hi"),
        (Field(1, "a"), "", b""),
        (Field(2, "a", "bool"), True, b"\x10\x01"),
        (Field(2, "a", "bool"), False, b""),
        (Field(3, "a", "uint"), 300, b"\x18\xac\x02"),
        (Field(22, "a", "bool"), True, b"\xb0\x01\x01"),
        (Field(1, "a", "ip"), "192.0.2.1", b"\x0a\x06\x0a\x04\xc0\x00\x02\x01"),
        (Field(1, "a", "cidr"), "192.0.2.1/24", b"\x0a\x08\x0a\x04\xc0\x00\x02\x01\x10\x18"),
        (Field(5, "a", "mac"), "02:15:5d:00:00:01", b"\x2a\x06\x02\x15\x5d\x00\x00\x01"),
        (Field(4, "a", repeated=True), ["x", ""], b"\x22\x01x\x22\x00"),
        (Field(4, "a", repeated=True), None, b""),
        (Field(1, "a", "enum", words={"no": 0, "yes": 2}), "yes", b"\x08\x02"),
        (Field(1, "a", "enum", words={"no": 0, "yes": 2}), "no", b""),
    ],
)
def test_wire_form(field: Field, value: object, encoded: bytes) -> None:
    assert wire.encode([field], {"a": value}) == encoded


def test_a_struct_carries_the_whole_spec() -> None:
    encoded = wire.encode([Field(1, "", "struct")], {"phase": "Running", "conditions": [{"type": "Ready"}]})
    assert encoded[:1] == b"\x0a"
    assert MessageToDict(Struct.FromString(encoded[2:]))["conditions"] == [{"type": "Ready"}]


def test_every_resource_of_a_whole_cluster_has_both_encodings_of_known_keys() -> None:
    lan = Lan()
    vms = lan.running_cluster(Cluster(), control_planes=1, workers=1)
    seen: set[str] = set()
    for vm in vms:
        view = View(lan.machine(vm))
        for kind in ALL.values():
            for entry in view.look(kind).values():
                resource = entry.resource()
                seen.add(kind.type)
                value = yaml.safe_load(resource.spec.yaml_spec)
                if not (kind.raw or kind.scalar or kind.fields[0].kind == "struct"):
                    assert set(value) <= {field.key for field in kind.fields}, kind.type
                assert resource.metadata.namespace == kind.namespace
                assert resource.spec.proto_spec or not any(value.values()), kind.type
    lacking = {kind.type for kind in ALL.values() if not kind.sensitive} - seen
    assert lacking == {
        "Diagnostics.runtime.talos.dev",
        "ExtensionStatuses.runtime.talos.dev",
        "MetaKeys.runtime.talos.dev",
    }, "these are empty on a healthy machine without extensions"


def test_a_version_counts_changes_and_nothing_else() -> None:
    lan = Lan()
    (vm,) = lan.to_maintenance("a")
    view, kind = View(lan.machine(vm)), ALL["HostnameStatuses.net.talos.dev"]
    first = view.look(kind)["hostname"]
    assert view.look(kind)["hostname"] is first
    lan.guest(vm).hostname = "other"
    second = view.look(kind)["hostname"]
    assert (first.version, second.version) == (1, 2)
    assert second.created == first.created


def test_an_overlapping_network_is_diagnosed_after_half_a_minute() -> None:
    lan, cluster = Lan(), Cluster()
    document = cluster.document("controlplane")
    document["cluster"]["network"]["podSubnets"] = ["192.0.0.0/16"]
    (vm,) = lan.to_maintenance("a")
    lan.installed(vm, yaml.safe_dump(document).encode())
    view, kind = View(lan.machine(vm)), ALL["Diagnostics.runtime.talos.dev"]
    lan.advance(40)
    assert list(view.look(kind)) == ["address-overlap"]


@pytest.mark.parametrize(
    ("type", "singular", "alias"),
    [
        ("MachineStatuses.runtime.talos.dev", "MachineStatus", "machinestatus"),
        ("NodeAddresses.net.talos.dev", "NodeAddress", "na"),
        ("Identities.cluster.talos.dev", "Identity", "identity"),
        ("MachineConfigs.config.talos.dev", "MachineConfig", "mc"),
        ("KernelCmdlines.runtime.talos.dev", "KernelCmdline", "cmdline"),
        ("LinkStatuses.net.talos.dev", "LinkStatus", "links"),
        ("SystemDisks.block.talos.dev", "SystemDisk", "sd"),
        ("Services.v1alpha1.talos.dev", "Service", "svc"),
    ],
)
def test_names_by_which_users_ask_for_a_kind(type: str, singular: str, alias: str) -> None:
    definition = META["ResourceDefinitions.meta.cosi.dev"][type.lower()]
    assert definition["displayType"] == singular
    assert alias in definition["aliases"]
    assert set(definition["aliases"]) <= set(definition["allAliases"])


def test_hardly_any_two_kinds_share_a_name() -> None:
    """An ambiguous word is an error in the client. `ns` is: Namespaces are called so, and NetworkStatuses by their capitals."""
    names = [alias for kind in kinds.ALL.values() if not kind.sensitive for alias in kind.all_aliases()]
    assert sorted(name for name in set(names) if names.count(name) > 1) == ["ns"]
