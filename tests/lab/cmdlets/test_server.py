"""The server spoken to by hand: no engine is needed for its protocol."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provisioner.lab.world.build import new_world
from provisioner.lab.world.hyperv.service import Caller
from provisioner.lab.world.world import World
from tests.engine.cmdlets.harness import ADMINISTRATOR, EngineHome
from tests.lab.world.hand import NullGuests, hand_world


class Client:
    """One runspace, as the stubs have it."""

    def __init__(self, home: EngineHome, token: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", home.server.port), timeout=10)
        self._stream = self._socket.makefile("rw", encoding="utf-8", newline="\n")
        self.say({"token": token})

    def say(self, message: Any) -> None:
        self._stream.write(json.dumps(message) + "\n")
        self._stream.flush()

    def hear(self) -> Any:
        line = self._stream.readline()
        return json.loads(line) if line else None

    def call(self, name: str, *, yes: bool = True, **arguments: Any) -> list[Any]:
        """All events of a call; a question of ShouldProcess is answered."""
        self.say({"call": name, "set": "", "arguments": arguments})
        events: list[Any] = []
        while not events or events[-1][0] not in ("end", "fatal"):
            events.append(self.hear())
            if events[-1][0] == "should":
                self.say({"should": yes})
        return events

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


@pytest.fixture
def home(world: World, tmp_path: Path) -> Iterator[EngineHome]:
    with EngineHome(world, tmp_path / "home") as home:
        yield home
        assert not home.server.failures


def token(home: EngineHome, caller: Caller = ADMINISTRATOR) -> str:
    return home.environment(caller)["LAB_WORLD"].rpartition(":")[2]


@pytest.fixture
def client(home: EngineHome) -> Iterator[Client]:
    client = Client(home, token(home))
    yield client
    client.close()


def test_a_wrong_token_is_hung_up_on(home: EngineHome) -> None:
    client = Client(home, "0" * 32)
    client.say({"describe": "types"})
    try:
        assert client.hear() is None
    except ConnectionResetError:
        pass
    finally:
        client.close()


def test_the_description(client: Client) -> None:
    client.say({"describe": "types"})
    types = client.hear()
    names = [each["name"] for each in types["classes"]]
    assert names.index("Microsoft.HyperV.PowerShell.Drive") < names.index("Microsoft.HyperV.PowerShell.DvdDrive")
    client.say({"describe": "NetConnection"})
    assert [each["name"] for each in client.hear()] == ["Get-NetConnectionProfile", "Set-NetConnectionProfile"]


def test_a_call(client: Client) -> None:
    [(kind, vm), end] = client.call("Get-VM", Name=["fileserver"])
    assert (kind, end) == ("out", ["end"])
    assert vm["#"] == "Microsoft.HyperV.PowerShell.VirtualMachine"
    assert (vm["Name"], vm["State"], vm["Generation"]) == ("fileserver", "Running", 2)


def test_an_error(client: Client) -> None:
    [(kind, record), end] = client.call("Get-VM", Name=["nobody"])
    assert (kind, end) == ("error", ["end"])
    assert record["id"] == "InvalidParameter"
    assert record["exception"] == "Microsoft.HyperV.PowerShell.VirtualizationException"


@pytest.mark.parametrize(("yes", "state"), [(True, "Off"), (False, "Running")])
def test_a_change_asks_first(client: Client, world: World, yes: bool, state: str) -> None:
    events = client.call("Stop-VM", yes=yes, Name=["fileserver"], TurnOff=True)
    assert [event[0] for event in events] == ["should", "end"]
    assert [vm.state for vm in world.state.host.vms.values()] == [state]


def test_the_token_says_who_asks(home: EngineHome) -> None:
    client = Client(home, token(home, Caller("LAB\\guest", administrator=False)))
    [(kind, record), _end] = client.call("Get-VM")
    assert (kind, record["id"]) == ("error", "Unspecified")
    client.close()


def test_what_is_not_modelled_ends_the_cmdlet(client: Client) -> None:
    [(kind, record)] = client.call("New-VM", Name="x", Version="9.0")
    assert (kind, record["id"]) == ("fatal", "NotModelled")


def test_a_stopped_call_ends_in_the_world_too(tmp_path: Path) -> None:
    """The connection is closed in the middle of a sleep: the thread that slept for it goes away."""
    world = new_world(guests=NullGuests, rate=1.0)
    world.start()
    with EngineHome(world, tmp_path / "home") as home:
        client = Client(home, token(home))
        client.call("Get-VMHost")
        assert home.server.connections == 1
        client.say({"call": "Start-Sleep", "set": "Seconds", "arguments": {"Seconds": 1000}})
        client.close()
        slowly = threading.Event()
        for _ in range(500):
            if not home.server.connections:
                break
            slowly.wait(0.02)
        assert home.server.connections == 0
        assert not home.server.failures
    world.stop()


def test_sleep_moves_the_worlds_clock(client: Client, world: World) -> None:
    before = world.kernel.now()
    assert client.call("Start-Sleep", Seconds=60) == [["end"]]
    assert world.kernel.now() == pytest.approx(before + 60)


def test_a_server_that_stops_closes_its_connections(world: World, tmp_path: Path) -> None:
    with EngineHome(world, tmp_path / "home") as home:
        client = Client(home, token(home))
        client.call("Get-VMHost")
    assert client.hear() is None
    client.close()


def test_environments(tmp_path: Path) -> None:
    world = hand_world()
    home = EngineHome(world, tmp_path / "home")
    administrator, other = home.environment(), home.environment(Caller("LAB\\kim", administrator=False))
    assert administrator["LAB_WORLD"] != other["LAB_WORLD"]
    assert "S-1-5-32-544" in administrator["LAB_SIDS"].split()
    assert "S-1-5-32-544" not in other["LAB_SIDS"].split()
    assert "PROVISION_HOME" not in administrator
    assert any(path.endswith("hyperv") for path in administrator["PSModulePath"].split(":"))
    world.state.host.hyperv_module = False
    assert not any(path.endswith("hyperv") for path in home.environment()["PSModulePath"].split(":"))
    home.start()
    home.stop()
