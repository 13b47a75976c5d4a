"""Another config for a machine that has one."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import yaml
from grpclib.const import Status

from provisioner.talos.api.gen import machine_pb2 as pb
from provisioner.talos.api.gen.machine_grpc import MachineServiceStub
from tests.lab.machines.clients import (
    refusal,
    run,
    secure,
)
from tests.lab.machines.clusters import Cluster
from tests.lab.machines.helpers import Lan, Served


def changed_config(cluster: Cluster, **machine: Any) -> bytes:
    document = cluster.document("controlplane", "cp")
    document["machine"] |= machine
    return yaml.safe_dump(document, sort_keys=False).encode()


@pytest.mark.parametrize(
    ("machine", "mode", "used", "said"),
    [
        ({"nodeLabels": {"a": "b"}}, "AUTO", "NO_REBOOT", "Applied configuration without a reboot"),
        (
            {"udev": {"rules": ["x"]}},
            "AUTO",
            "REBOOT",
            "Applied configuration with a reboot\nfields that need a reboot: machine.udev",
        ),
        ({"udev": {"rules": ["x"]}}, "STAGED", "STAGED", "Staged configuration to be applied after the next reboot"),
        (
            {"nodeLabels": {"a": "b"}},
            "TRY",
            "TRY",
            "Applied configuration without a reboot\nThe config is applied in 'try' mode and will be automatically reverted back in 1m0s",
        ),
        ({"udev": {"rules": ["x"]}}, "NO_REBOOT", None, "can't be applied in immediate mode: machine.udev"),
        ({"nonsense": 1}, "AUTO", None, "unknown keys found during decoding:\nmachine:\n    nonsense: 1"),
        ({"type": "worker"}, "AUTO", None, "issuing Talos API CA key is not allowed on non-controlplane nodes"),
    ],
)
def test_another_config_for_a_configured_machine(
    served: Served, machine: dict[str, Any], mode: str, used: str | None, said: str
) -> None:
    lan, cluster = served.lan, Cluster()
    (vm,) = lan.to_maintenance("a")
    lan.installed(vm, cluster.config("controlplane", "cp"))
    served.servers.settle()
    boot_id, config = lan.guest(vm).boot_id, changed_config(cluster, **machine)
    system = lan.disk(vm).system
    assert system is not None

    async def work() -> None:
        async with served.channel(served.port(vm), secure(cluster, cluster.client())) as channel:
            api = MachineServiceStub(channel)
            request = pb.ApplyConfigurationRequest(data=config, mode=mode, dry_run=True)
            if used is None:
                code, text = await refusal(api.ApplyConfiguration(request))
                assert code is Status.INVALID_ARGUMENT
                assert said in text
                return
            details = (await api.ApplyConfiguration(request)).messages[0].mode_details
            assert details.startswith("Dry run summary:\nApplied" if "Applied" in said else "Dry run summary:\nStaged")
            assert "Config diff:" in details
            assert "try" not in details
            assert system.config != config, "a dry run changes nothing"
            request.dry_run = False
            reply = (await api.ApplyConfiguration(request)).messages[0]
            assert reply.mode == pb.ApplyConfigurationRequest.Mode.Value(used)
            assert reply.mode_details.startswith(said)

    run(work())
    if used is None:
        return
    assert (system.config == config) == (used != "TRY")
    assert (lan.guest(vm).config == config) == (used in ("NO_REBOOT", "TRY"))
    lan.advance(90)
    assert (lan.guest(vm).boot_id != boot_id) == (used == "REBOOT")
    assert (lan.guest(vm).config == config) == (used in ("NO_REBOOT", "REBOOT")), "what was tried is taken back"


def test_new_sans_of_the_config_come_into_the_certificate(lan: Lan, served: Served) -> None:
    cluster = Cluster()
    (vm,) = lan.to_maintenance("a")
    lan.installed(vm, cluster.config("controlplane", "cp"))
    served.servers.settle()
    config = changed_config(cluster, certSANs=["127.0.0.1", "talos.example.org"])

    async def work() -> None:
        async with served.channel(served.port(vm), secure(cluster, cluster.client())) as channel:
            await MachineServiceStub(channel).ApplyConfiguration(
                pb.ApplyConfigurationRequest(data=config, mode="NO_REBOOT")
            )

    run(work())
    served.servers.settle()
    context = secure(cluster, cluster.client())
    with socket.create_connection(("127.0.0.1", served.port(vm)), timeout=5) as bare:
        with context.wrap_socket(bare, server_hostname="talos.example.org") as connection:
            assert connection.recv(1)


def test_what_means_the_same_is_no_change(lan: Lan, served: Served) -> None:
    """Empty lines, quotes, comments, the order of keys, and values that Talos takes for absent."""
    cluster = Cluster()
    (vm,) = lan.to_maintenance("a")
    lan.installed(vm, cluster.config("controlplane", "cp"))
    served.servers.settle()
    document = cluster.document("controlplane", "cp")
    document["machine"] |= {"sysctls": {}, "udev": None}
    same = "# ours\n\n" + yaml.safe_dump(dict(reversed(document.items())), default_style='"').replace('"true"', "true")
    other = changed_config(cluster, nodeLabels={"a": "b"})

    async def work() -> None:
        async with served.channel(served.port(vm), secure(cluster, cluster.client())) as channel:
            api = MachineServiceStub(channel)
            for data, changes in ((same.encode(), False), (other, True)):
                request = pb.ApplyConfigurationRequest(data=data, mode="AUTO", dry_run=True)
                details = (await api.ApplyConfiguration(request)).messages[0].mode_details
                assert details.endswith("Config diff:\n\nNo changes.") == (not changes)
                assert ("+    a: b" in details) == changes

    run(work())
