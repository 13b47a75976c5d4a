"""Whatever a host answers, bent at any depth: its envelope, the fragments within, or the CLIXML within those. Answers of a good talk are
recorded once and played to our sessions again, each time bent otherwise: no network, no waiting.
"""

from __future__ import annotations

import base64
import functools
import itertools
import re
import struct
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import requests
from pypsrp.wsman import _TransportHTTP

from provisioner.errors import Malformed
from provisioner.hyperv import functions, parse
from provisioner.hyperv.module import script_module
from provisioner.lab.winrm import WinRmEndpoint
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.state import Account, State, WindowsHost
from provisioner.winrm.connection import HostConnection
from provisioner.winrm.psrp import PsrpSession
from provisioner.winrm.retry import action_of
from provisioner.winrm.transport import Invocation, ModuleState, Records, SignIn
from provisioner.winrm.winrs import WinrsSession
from tests.fuzz.bend import bend_bytes, bend_text
from tests.fuzz.budget import dice
from tests.fuzz.ends import end_of
from tests.lab.clients.helpers import PASSWORD, USER, ScriptedHost
from tests.lab.world.hand import HandClock
from tests.unit.winrm.test_hooks import OnePlace

STATEMENTS = (functions.get_host(), functions.get_vm(["a", "b"]))
_STREAM = re.compile(rb"(<(?:\w+:)?Stream[^>]*>)([^<]+)(</)")
_RELATES = re.compile(rb"(RelatesTo>)[^<]*")
_MESSAGE = re.compile(rb"MessageID>([^<]+)<")
Answers = dict[str, list[bytes]]
"""By action, in the order in which they came."""


class Results:
    """Turns each result into facts, as the port does."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.taken: list[tuple[str, Any]] = []
        self.records = Records(
            restart=self.taken.clear, result=lambda type_name, values: self.taken.append((type_name, values))
        )

    def read(self) -> None:
        for type_name, values in self.taken:
            if type_name == "TalosHyperV.Host":
                self.seen.append(parse.host_facts(values))
            if type_name == "TalosHyperV.VM":
                self.seen.append(parse.vm_facts(values, "Get-TalosVM"))


Make = Callable[[SignIn, HostConnection], Any]
MAKE: dict[str, Make] = {
    "psrp": lambda sign_in, connection: PsrpSession(sign_in, connection, script_module(), ModuleState()),
    "winrs": lambda sign_in, connection: WinrsSession(sign_in, connection, script_module()),
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answers]:
    """A good talk over each transport with the lab's endpoint."""
    state = State(host=WindowsHost(name="HV01", address="192.0.2.10"))
    state.accounts.append(Account(USER, PASSWORD))
    endpoint = WinRmEndpoint(Kernel(state, HandClock()), ScriptedHost(), Path(tmp_path_factory.mktemp("winrm")))
    endpoint.start()
    with pytest.MonkeyPatch.context() as patch:
        talks = {name: record(endpoint, make, patch) for name, make in MAKE.items()}
    endpoint.stop()
    return talks


def record(endpoint: WinRmEndpoint, make: Make, patch: pytest.MonkeyPatch) -> Answers:
    taken: Answers = defaultdict(list)
    send = _TransportHTTP.send

    def noting(self: Any, message: bytes, **given: Any) -> bytes:
        answer: bytes = send(self, message, **given)
        taken[action_of(message)].append(answer)
        return answer

    results = Results()
    with patch.context() as inner:
        inner.setattr(_TransportHTTP, "send", noting)
        session = make(
            SignIn(user=USER, password=PASSWORD, ca_path=endpoint.ca_path), OnePlace(endpoint.https_port, "127.0.0.1")
        )
        session.run(Invocation(statements=STATEMENTS, records=results.records))
        session.close()
    results.read()
    assert len(results.seen) == 3, "the talk was a good one"
    return taken


def played(answers: Answers, bend: Callable[[bytes], bytes], victim: int) -> Callable[..., bytes]:
    """Gives the recorded answers; the one of that number is bent. A request that had no answer then has none now."""
    left = {action: deque(each) for action, each in answers.items()}
    number = -1

    def send(_self: Any, message: bytes, **_given: Any) -> bytes:
        nonlocal number
        number += 1
        waiting = left.get(action_of(message))
        if not waiting:
            raise requests.ReadTimeout
        asked = _MESSAGE.search(message)
        assert asked is not None
        answer = _RELATES.sub(rb"\g<1>" + asked[1], waiting.popleft())
        return bend(answer) if number == victim else answer

    return send


def bent(answer: bytes, chance: Random) -> bytes:
    """As bytes, or within its stream: as bytes, or as text."""
    how = chance.randrange(4)
    if how == 0 or _STREAM.search(answer) is None:
        return bend_bytes(answer, chance)
    if how == 1:
        return bend_text(answer.decode("utf-8", "replace"), chance).encode("utf-8", "replace")

    def within(found: re.Match[bytes]) -> bytes:
        inner = base64.b64decode(found[2])
        if how == 2:
            inner = bend_bytes(inner, chance)
        else:  # of the same length, so that the fragments' own lengths stay right
            text = inner.decode("latin-1")
            replaced = bend_text(text, chance).ljust(len(text))[: len(text)]
            inner = replaced.encode("latin-1", "replace")
        return found[1] + base64.b64encode(inner) + found[3]

    return _STREAM.sub(within, answer)


@pytest.mark.parametrize(("transport", "count"), [("psrp", 60), ("winrs", 60)])
def test_a_host_that_answers_anything(
    transport: str, count: int, recorded: dict[str, Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = recorded[transport]
    ends: set[str] = set()
    for name, chance in dice(transport, count):
        victim = chance.randrange(sum(map(len, answers.values())))
        results = Results()
        bend = functools.partial(bent, chance=chance)
        monkeypatch.setattr(_TransportHTTP, "send", played(answers, bend, victim))

        def talk(results: Results = results) -> None:
            session = MAKE[transport](SignIn(user=USER, password=PASSWORD), OnePlace(1))
            session.run(Invocation(statements=STATEMENTS, records=results.records))
            results.read()
            session.close()

        ends.add(end_of(name, talk))
    assert {"value", "Malformed"} <= ends


def fragment(number: int, data: bytes) -> bytes:
    """A part of record 99 that is never the last. Source: MS-PSRP, 2.2.4."""
    return struct.pack(">QQBI", 99, number, 0x1 if number == 0 else 0, len(data)) + data


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((b"" for _ in itertools.count()), "more than 500 answers to one call"),
        ((fragment(number, b"x" * 300_000) for number in itertools.count()), "a record of more than 8 MiB"),
    ],
    ids=["nothing", "one record"],
)
def test_a_pipeline_without_an_end_is_ended(
    parts: Iterator[bytes], words: str, recorded: dict[str, Answers], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = recorded["psrp"]
    left = {action: deque(each) for action, each in answers.items()}
    begun = False

    def send(_self: Any, message: bytes, **_given: Any) -> bytes:
        nonlocal begun
        action = action_of(message)
        begun = begun or action == "Command"
        asked = _MESSAGE.search(message)
        assert asked is not None
        answer = answers["Receive"][0] if action == "Receive" and begun else left[action].popleft()
        if action == "Receive" and begun:
            coded = base64.b64encode(next(parts))
            answer = _STREAM.sub(lambda found: found[1] + coded + found[3], answer)
        return _RELATES.sub(rb"\g<1>" + asked[1], answer)

    monkeypatch.setattr(_TransportHTTP, "send", send)
    monkeypatch.setattr("provisioner.winrm.http.CALL_REQUESTS", 500)
    session = MAKE["psrp"](SignIn(user=USER, password=PASSWORD), OnePlace(1))
    with pytest.raises(Malformed, match=words):
        session.run(Invocation(statements=STATEMENTS))
    session.close()
