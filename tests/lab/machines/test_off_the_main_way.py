"""What Talos does off the main way; `docs/lab.md` names these."""

from __future__ import annotations

import pytest
from google.protobuf.empty_pb2 import Empty

from provisioner.lab.world.state import Vm
from provisioner.talos.api.gen import machine_pb2 as pb
from provisioner.talos.api.gen.machine_grpc import MachineServiceStub
from tests.lab.machines.clients import run, secure
from tests.lab.machines.clusters import Cluster
from tests.lab.machines.helpers import GIB, Lan, Served


@pytest.mark.parametrize("fails", [False, True])
def test_a_failing_kexec_goes_by_the_firmware_and_so_past_the_boot_order(
    lan: Lan, cluster: Cluster, fails: bool
) -> None:
    """The installer's own boot entry comes first, unless the host does not keep it."""
    (vm,) = lan.to_maintenance("a")
    if fails:
        lan.inject("kexec-fails", "a")
    lan.apply(vm, cluster.config("controlplane"))
    assert lan.kernel.wait_for(lambda: bool(lan.noted("install_done")), 200)
    vm.boot_order[:] = ["dvd:0:1", "disk:0:0"]
    lan.advance(70)
    assert (lan.guest(vm).booted_from, lan.guest(vm).halted) == (("iso", True) if fails else ("disk", False))


def test_documents_without_a_machine_config_are_taken_and_the_machine_waits_on(lan: Lan, served: Served) -> None:
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()
    document = b"apiVersion: v1alpha1\nkind: KmsgLogConfig\nname: a\nurl: tcp://192.0.2.9:3001/\n"

    async def work() -> None:
        async with served.maintenance(vm) as channel:
            request = pb.ApplyConfigurationRequest(data=document)
            reply = await MachineServiceStub(channel).ApplyConfiguration(request)
            assert list(reply.messages[0].warnings) == []

    run(work())
    lan.advance(60)
    assert lan.guest(vm).stage == "maintenance"


def test_memory_is_the_vms(whole: tuple[Served, Cluster, list[Vm]]) -> None:
    served, cluster, vms = whole

    async def work() -> None:
        async with served.channel(served.port(vms[0]), secure(cluster, cluster.client("os:reader"))) as channel:
            reply = await MachineServiceStub(channel).Memory(Empty())
            assert reply.messages[0].meminfo.memtotal == 4 * GIB // 1024

    run(work())
