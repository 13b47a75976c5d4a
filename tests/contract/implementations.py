"""The two implementations of the contract behind one face: the module's own text under a genuine engine, and the lab's functions."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import yaml

from provisioner.lab.functions.api import ErrorRecord, Streams, Terminating
from provisioner.lab.functions.lab import LabFunctions
from provisioner.lab.winrm.binding import bind
from provisioner.lab.world.hyperv.service import Caller
from provisioner.lab.world.world import World
from tests.engine.cmdlets.harness import EngineHome

MODULE = Path(__file__).resolve().parents[2] / "powershell" / "TalosHyperV"
CONTRACT: dict[str, Any] = yaml.safe_load((MODULE / "contract.yaml").read_text(encoding="utf-8"))

CALLERS = {
    "administrator": Caller("LAB\\Administrator", administrator=True),
    "hyper-v administrator": Caller("LAB\\kim", administrator=False, hyperv_administrator=True),
    "user": Caller("LAB\\guest", administrator=False),
}
NET_TYPES = {
    "string": "System.String",
    "guid": "System.String",
    "time": "System.String",
    "json": "System.String",
    "bytes": "System.String",
    "bool": "System.Boolean",
    "int32": "System.Int32",
    "int64": "System.Int64",
    "string[]": "System.String[]",
}
_PYTHON_TYPES = {"bool": bool, "int32": int, "int64": int, "string[]": list}


@dataclass(frozen=True)
class Failure:
    id: str
    category: str
    target: str
    terminating: bool
    message: str


@dataclass
class Answer:
    results: list[dict[str, Any]] = field(default_factory=list)
    errors: list[Failure] = field(default_factory=list)


class Implementation(Protocol):
    """Something that has the functions of the contract, on a world."""

    def stand_on(self, world: World, caller: str) -> None: ...

    def call(self, function: str, arguments: Mapping[str, Any], *, what_if: bool) -> Answer: ...

    def leave(self) -> None:
        """The world is done with."""


def module_text() -> str:
    """The module as a client loads it into a session: what is private, then the functions."""
    files = [*sorted((MODULE / "Private").glob("*.ps1")), *sorted((MODULE / "Public").glob("*.ps1"))]
    return "\n".join(file.read_text(encoding="ascii") for file in files)


class Engine:
    """A PowerShell process that stands on one world after another."""

    def __init__(self, pwsh: str, folder: Path, first: World) -> None:
        self._pwsh = pwsh
        self._folder = folder
        self._number = 0
        self._home: EngineHome | None = None
        self._text = ""
        self._has_hyperv = first.state.host.hyperv_module
        self._start(self._new_home(first))

    def _start(self, home: EngineHome) -> None:
        text = (Path(__file__).parent / "driver.ps1").read_text(encoding="utf-8")
        self._noise = (self._folder / "noise.txt").open("w+", encoding="utf-8")
        with socket.create_server(("127.0.0.1", 0)) as door:
            door.settimeout(30)
            self._process = subprocess.Popen(
                home.command(self._pwsh, text),
                env={**home.environment(), "DRIVER_PORT": str(door.getsockname()[1])},
                stdin=subprocess.DEVNULL,
                stdout=self._noise,  # what -WhatIf says on the console, and why the driver ended if it did
                stderr=subprocess.STDOUT,
            )
            self._socket, _ = door.accept()
        self._socket.settimeout(60)
        self._stream = self._socket.makefile("rw", encoding="utf-8", newline="\n")

    def _end(self) -> None:
        self._stream.close()
        self._socket.close()
        try:
            self._process.wait(60)
        finally:
            self._process.kill()
            self._process.wait()
            self._noise.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self.leave()

    def load(self, text: str) -> None:
        """Loads script text for good, as a client does with `add_script(text, use_local_scope=False)`."""
        self._text = text
        self._ask({"text": text})

    # -- Implementation

    def stand_on(self, world: World, caller: str) -> None:
        home = self._new_home(world)
        if world.state.host.hyperv_module != self._has_hyperv:  # a process keeps the modules that it has
            self._has_hyperv = world.state.host.hyperv_module
            self._end()
            self._start(home)
            self.load(self._text)
        self._ask({"environment": home.environment(CALLERS[caller])})

    def call(self, function: str, arguments: Mapping[str, Any], *, what_if: bool) -> Answer:
        assert self._home is not None
        self._home.sync()
        said = self._ask({"function": function, "arguments": {**arguments, **({"WhatIf": True} if what_if else {})}})
        self._home.sync()
        assert not self._home.server.failures, self._home.server.failures
        row = CONTRACT["functions"][function]
        fields = CONTRACT["types"][row["output"]]
        for result in said["results"]:
            assert result["type"] == row["output"]
            got = {one["name"]: one["type"] for one in result["fields"]}
            assert list(got) == list(fields)
            assert got == {name: NET_TYPES[kind] for name, kind in fields.items()}
        return Answer(
            [{one["name"]: one["value"] for one in result["fields"]} for result in said["results"]],
            [self._failure(one, function) for one in said["errors"]],
        )

    def leave(self) -> None:
        if self._home is not None:
            self._home.stop()
            self._home = None

    @staticmethod
    def _failure(said: Mapping[str, Any], function: str) -> Failure:
        failure_id, _, of = said["id"].partition(",")
        assert of == function, said
        return Failure(
            failure_id, said["category"], said["target"], said["terminating"], f"{said['message']} {said['where']}"
        )

    def _new_home(self, world: World) -> EngineHome:
        """The first home's folder stays: the modules that the process has loaded lie there."""
        self.leave()
        self._number += 1
        self._home = EngineHome(world, self._folder / f"world-{self._number}", pwsh=self._pwsh)
        self._home.start()
        return self._home

    def _ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        self._stream.write(json.dumps(message) + "\n")
        self._stream.flush()
        line = self._stream.readline()
        assert line, "the engine ended: " + Path(self._noise.name).read_text(encoding="utf-8")[-2000:]
        answer: dict[str, Any] = json.loads(line)
        assert "broken" not in answer, answer["broken"]
        return answer


class Lab:
    """The lab's own functions."""

    def __init__(self) -> None:
        self._functions: LabFunctions | None = None
        self._caller = CALLERS["administrator"]

    def stand_on(self, world: World, caller: str) -> None:
        self._functions = LabFunctions(world)
        self._caller = CALLERS[caller]

    def call(self, function: str, arguments: Mapping[str, Any], *, what_if: bool) -> Answer:
        assert self._functions is not None
        row = CONTRACT["functions"][function]
        fields = CONTRACT["types"][row["output"]]
        answer = Answer()

        def told(record: ErrorRecord, *, terminating: bool = False) -> None:
            answer.errors.append(Failure(record.id, record.category, record.target, terminating, record.message))

        streams = Streams(error=told, what_if=what_if, user=self._caller.user, administrator=self._caller.administrator)
        function_row = self._functions.table[function]
        bound = bind(function_row.parameters, arguments.items(), should_process=function_row.changes)
        try:
            for result in self._functions.run(function, bound.arguments, streams):
                assert list(result) == list(fields)
                for name, kind in fields.items():
                    assert type(result[name]) is _PYTHON_TYPES.get(kind, str), (name, result[name])
                answer.results.append(dict(result))
        except Terminating as ended:
            told(ended.record, terminating=True)
        return answer

    def leave(self) -> None:
        self._functions = None


def decoded(value: Any, kind: str) -> Any:
    """A field as a case writes it: nested JSON as data, bytes as their number."""
    if kind == "json":
        return json.loads(value)
    if kind == "bytes":
        return len(base64.b64decode(value, validate=True))
    return value
