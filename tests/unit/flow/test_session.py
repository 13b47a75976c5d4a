"""A run as a whole: given up in time, nothing destroyed beyond what was shown, and no key needed to remove."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from provisioner.errors import Dropped, Fault, HostRefused, NotTrusted, Rejected, TransportError, Unreachable
from provisioner.flow.down import plan_down
from provisioner.flow.session import Session
from provisioner.model.events import Event, FaultMet, RunEnded
from provisioner.model.facts import HostState
from provisioner.model.wishes import Extent
from tests.unit.steps.running import Notes
from tests.unit.steps.test_waits import SkippingClock
from tests.unit.steps.world import HOST, cluster_of, observed_of

CLUSTER = cluster_of({})
WHOLE = observed_of({"all": "up"}, CLUSTER)


class Host:
    """The host of a whole cluster. Reading it hangs where the test says so."""

    name = HOST

    def __init__(self) -> None:
        self.removed: list[str] = []
        self.hangs = False
        self.refuses: TransportError | None = None

    async def observe(self, _query: Any) -> HostState:
        if self.hangs:
            await asyncio.Event().wait()
        state = WHOLE.hosts[HOST]
        return replace(state, vms=tuple(vm for vm in state.vms if vm.id not in self.removed))

    async def remove_vm(self, id: str, *, mark: str) -> None:
        assert mark == "c0ffee"
        if self.refuses:
            raise self.refuses
        self.removed.append(id)


class Store(Notes):
    def secrets_facts(self) -> Any:
        return WHOLE.secrets

    def read_secrets(self) -> bytes:
        return b"damaged"

    def contexts(self) -> dict[str, str]:
        return {}


def damaged(_text: bytes) -> Any:
    raise Fault("P-CONFIG-BADSECRETS", "the secrets bundle is not whole")


def session_of(host: Host) -> tuple[Session, list[Event]]:
    events: list[Event] = []
    ports: Any = SimpleNamespace(
        hosts={HOST: host}, store=Store(), clock=SkippingClock(), configs=SimpleNamespace(read_bundle=damaged)
    )
    return Session(cluster=CLUSTER, ports=ports, emit=events.append, stop=asyncio.Event()), events


async def test_damaged_secrets_keep_nobody_from_removing() -> None:
    """The box of P-CONFIG-BADSECRETS sends people to `down`: there it must work."""
    host = Host()
    session, _ = session_of(host)
    result = await session.down(Extent())
    assert result.outcome == "ok"
    assert sorted(host.removed) == sorted(vm.id for vm in WHOLE.hosts[HOST].vms)


@pytest.mark.parametrize("command", ["up", "down", "rebuild"])
async def test_ctrl_c_gives_up_a_reading_that_hangs(command: str) -> None:
    host = Host()
    host.hangs = True
    session, events = session_of(host)
    session.ports.configs.read_bundle = lambda _text: None
    session.ports.configs.access = lambda _bundle: None
    stories = {"up": session.up, "down": lambda: session.down(Extent()), "rebuild": session.rebuild}
    running = asyncio.ensure_future(stories[command]())
    await asyncio.sleep(0)
    session.stop.set()
    result = await asyncio.wait_for(running, 10)
    assert (result.outcome, result.exit) == ("interrupted", 130)
    assert isinstance(events[-1], RunEnded)


async def test_no_more_is_destroyed_than_was_shown() -> None:
    host = Host()
    session, _ = session_of(host)
    plan = plan_down(CLUSTER, WHOLE, Extent())
    shown = replace(plan, actions=plan.actions[1:])
    result = await session.down(Extent(), shown=shown)
    assert result.fault is not None
    assert result.fault.id == "P-RUN-PLANCHANGED"
    assert host.removed == []


@pytest.mark.parametrize(
    ("extent", "flags"),
    [(Extent(), ""), (Extent(switch=True), " --switch"), (Extent(switch=True, image=True, secrets=True), " --all")],
)
async def test_the_box_says_to_type_the_same_again_once(extent: Extent, flags: str) -> None:
    host = Host()
    host.refuses = HostRefused(id="VMFilesLocked", message="in use", function="Remove-TalosVM")
    session, events = session_of(host)
    await session.down(extent)
    boxes = [event for event in events if isinstance(event, FaultMet)]
    assert {box.id for box in boxes} == {"P-VM-STUCK"}
    for box in boxes:
        assert box.go_on == (f"provision down home{flags}",)
        assert not set(box.go_on) & set(box.then)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (Rejected("the host refuses the sign-in"), "P-HOST-SIGNIN"),
        (NotTrusted("another certificate"), "P-HOST-CERT"),
        (Dropped("reset"), "P-HOST-LOST"),
        (Unreachable("no route"), "P-HOST-LOST"),
        (HostRefused(id="HyperV.OperationFailed", message="no", function="Remove-TalosVM"), "P-HOST-REFUSED"),
        (
            HostRefused(id="MethodInvocationNotSupportedInConstrainedLanguage", message="no", function=""),
            "P-HOST-CONSTRAINED",
        ),
    ],
)
async def test_whatever_becomes_of_the_host_in_the_middle_is_no_bug(error: TransportError, fault: str) -> None:
    host = Host()
    host.refuses = error
    session, _ = session_of(host)
    result = await session.down(Extent())
    assert result.fault is not None
    assert result.fault.id == fault
