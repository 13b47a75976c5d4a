"""The API before a config came: who the machine is, and nothing that needs a config."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from google.protobuf.empty_pb2 import Empty
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError

from provisioner.lab.world.guests.guests import add_foreign
from provisioner.talos.api.gen import cosi_pb2 as cosi
from provisioner.talos.api.gen import machine_pb2 as pb
from provisioner.talos.api.gen.cosi_grpc import StateStub
from provisioner.talos.api.gen.machine_grpc import MachineServiceStub
from tests.lab.machines.clients import (
    STATUS,
    get,
    insecure,
    refusal,
    run,
)
from tests.lab.machines.clusters import Cluster
from tests.lab.machines.helpers import Lan, Served


def test_maintenance_answers_who_the_machine_is(lan: Lan, served: Served) -> None:
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()

    async def work() -> None:
        async with served.maintenance(vm) as channel:
            assert await get(channel, STATUS, "machine") == {
                "stage": "maintenance",
                "status": {"ready": True, "unmetConditions": []},
            }
            system = await get(channel, "SystemInformations.hardware.talos.dev", "systeminformation", "hardware")
            assert system["uuid"] == vm.bios_uuid.lower()
            links = await StateStub(channel).List(
                cosi.ListRequest(namespace="network", type="LinkStatuses.net.talos.dev")
            )
            specs = [yaml.safe_load(reply.resource.spec.yaml_spec) for reply in links]
            assert [spec["hardwareAddr"] for spec in specs if spec["type"] == "ether"] == ["02:15:5d:00:00:01"]
            disk = await get(channel, "Disks.block.talos.dev", "sda")
            assert (disk["size"], disk["dev_path"], disk["readonly"]) == (20 * 2**30, "/dev/sda", False)
            assert (await get(channel, "Versions.runtime.talos.dev", "version")) == {"version": "v1.11.5"}
            absent = StateStub(channel).Get(
                cosi.GetRequest(namespace="runtime", type="SystemDisks.block.talos.dev", id="system-disk")
            )
            assert (await refusal(absent))[0] is Status.NOT_FOUND

    run(work())


def test_maintenance_refuses_all_that_needs_a_config(lan: Lan, served: Served) -> None:
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()

    async def work() -> None:
        async with served.maintenance(vm) as channel:
            api, state = MachineServiceStub(channel), StateStub(channel)
            not_there = (Status.UNIMPLEMENTED, "API is not implemented in maintenance mode")
            assert await refusal(api.Version(Empty())) == not_there
            assert await refusal(api.Reset(pb.ResetRequest())) == not_there
            assert await refusal(api.Bootstrap(pb.BootstrapRequest())) == (
                Status.UNIMPLEMENTED,
                "method Bootstrap not implemented",
            )
            assert (await refusal(api.Events(pb.EventsRequest())))[0] is Status.UNIMPLEMENTED
            for kind, namespace, text in (
                ("MachineConfigs.config.talos.dev", "config", "not authorized"),
                ("Nonsense.talos.dev", "runtime", 'resource type "Nonsense.talos.dev" is not supported'),
                (STATUS, "nonsense", 'namespace "nonsense" is not supported'),
            ):
                call = state.Get(cosi.GetRequest(namespace=namespace, type=kind, id="x"))
                assert await refusal(call) == (Status.PERMISSION_DENIED, text)
            assert await refusal(state.Destroy(cosi.DestroyRequest())) == (Status.PERMISSION_DENIED, "not authorized")

    run(work())


def test_unknown_methods_are_answered_with_a_content_type(lan: Lan, served: Served) -> None:
    """A client in Go takes an answer without one for a broken server."""
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()

    async def work() -> None:
        async with served.maintenance(vm) as channel:
            async with channel.request("/time.TimeService/Time", Cardinality.UNARY_UNARY, Empty, Empty) as stream:
                await stream.send_message(Empty(), end=True)
                with pytest.raises(GRPCError, match=r"unknown service time\.TimeService"):
                    await stream.recv_message()

    run(work())


@pytest.mark.parametrize(
    ("mode", "dry_run", "answer"),
    [
        (pb.ApplyConfigurationRequest.AUTO, True, "Dry run summary:\nNode is running in maintenance mode"),
        (pb.ApplyConfigurationRequest.NO_REBOOT, False, "--mode='no-reboot' is not supported in maintenance mode"),
        (pb.ApplyConfigurationRequest.STAGED, True, "--mode='staged' is not supported in maintenance mode"),
    ],
)
def test_modes_and_dry_runs_in_maintenance(
    served: Served, cluster: Cluster, mode: Any, dry_run: bool, answer: str
) -> None:
    lan = served.lan
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()
    request = pb.ApplyConfigurationRequest(data=cluster.config("controlplane"), mode=mode, dry_run=dry_run)

    async def work() -> None:
        async with served.maintenance(vm) as channel:
            call = MachineServiceStub(channel).ApplyConfiguration(request)
            if "not supported" in answer:
                assert answer in (await refusal(call))[1]
            else:
                assert (await call).messages[0].mode_details.startswith(answer)

    run(work())
    lan.advance(60)
    assert lan.guest(vm).stage == "maintenance", "nothing was taken"


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        (b"\tnot: yaml", Status.UNKNOWN, "failed to parse config: decode error: yaml: "),
        (
            b"version: v1alpha1\nmachine: {type: worker}\n",
            Status.INVALID_ARGUMENT,
            "configuration validation failed: 3 errors",
        ),
    ],
)
def test_bad_configs_are_refused_and_the_machine_waits_on(
    lan: Lan, served: Served, data: bytes, status: Status, text: str
) -> None:
    (vm,) = lan.to_maintenance("a")
    served.servers.settle()

    async def work() -> None:
        async with served.maintenance(vm) as channel:
            call = MachineServiceStub(channel).ApplyConfiguration(pb.ApplyConfigurationRequest(data=data))
            code, message = await refusal(call)
            assert code is status
            assert message.startswith(text)

    run(work())
    lan.advance(60)
    assert lan.guest(vm).stage == "maintenance"


def test_a_foreign_machine_keeps_every_byte_it_was_sent(lan: Lan, served: Served, cluster: Cluster) -> None:
    foreign = add_foreign(lan.kernel, "n", "02155D000001", "ffffffff-0000-4000-8000-000000000001", "192.0.2.60")
    served.advance(70)
    config = cluster.config("worker")

    async def work() -> None:
        port = served.routes.loopback_port("192.0.2.60", 50000)
        async with served.channel(port, insecure()) as channel:
            system = await get(channel, "SystemInformations.hardware.talos.dev", "systeminformation", "hardware")
            assert system["uuid"] == foreign.uuid
            assert foreign.received == []
            api = MachineServiceStub(channel)
            await api.ApplyConfiguration(pb.ApplyConfigurationRequest(data=config, dry_run=True))
            await refusal(api.ApplyConfiguration(pb.ApplyConfigurationRequest(data=b"rubbish")))
            await api.ApplyConfiguration(pb.ApplyConfigurationRequest(data=config))

    run(work())
    assert foreign.received == [config, b"rubbish", config]
    served.advance(10)
    assert lan.kernel.state.guests["foreign:n"].stage == "installing", "it takes the config as any Talos would"
