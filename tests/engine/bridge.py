"""A PowerShell shell whose pool is a genuine engine's: PSRP is passed on, fragment by fragment, and not understood.

Two things are read in passing: the state of a pipeline, since the engine does not say when a command is over, and the pool's id, which is
exchanged in both directions where a spare, opened ahead under an id of its own, serves a client. Sources: facts on WinRM, section 17.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import psrpcore
from psrpcore.types import RunspacePoolState

from provisioner.lab.functions.api import Functions
from provisioner.lab.winrm import soap
from provisioner.lab.winrm.auth import Accounts
from provisioner.lab.winrm.channel import Channel
from provisioner.lab.winrm.cmd import CmdShell, Process
from provisioner.lab.winrm.exchange import Identity
from provisioner.lab.winrm.runspace import MODULE_HEADER, Stopped
from provisioner.lab.winrm.shells import (
    POOL,
    STOP_WAIT_S,
    Opening,
    Shell,
    command_id_of,
    command_response,
    signal_of,
)
from provisioner.lab.winrm.soap import POWERSHELL, RSP, Request, decoded, text_of
from provisioner.lab.winrm.stats import Counters
from provisioner.lab.winrm.wsman import called_commands
from provisioner.lab.world.kernel import Kernel
from tests.engine import fragments
from tests.engine.process import SESSION, Engine, EngineGone, EngineSpec

OPEN_WAIT_S = 30.0
_ENDED = "The PowerShell process of this shell has ended."
_PLAIN_POOL = re.compile(
    rb'N="MinRunspaces">1<.*N="MaxRunspaces">1<.*N="_isHostNull">true<.*<Nil N="ApplicationArguments"', re.DOTALL
)
_PIPELINE_STATE = re.compile(rb'N="PipelineState">(\d+)<')
_POOL_STATE = re.compile(rb'N="RunspaceState">(\d+)<')
_STOPPED, _FAILED = 3, 5  # PSInvocationState: 3 Stopped, 4 Completed, 5 Failed


class Spare:
    """An engine whose pool was opened before there was a client, and in which a script has run."""

    def __init__(self, spec: EngineSpec, identity: Identity) -> None:
        self.engine = Engine(spec, identity)
        self.pool_id: bytes | None = None
        """Set once it is ready."""
        self.said = b""
        """What the engine answered to the opening of its pool."""
        self._script = spec.warm_up
        self._states: list[int] = []
        self._condition = threading.Condition()
        self._thread = threading.Thread(target=self._open, name="pwsh-spare", daemon=True)

    def start(self) -> None:
        self.engine.on_data = self._on_data
        self.engine.start()
        self._thread.start()

    def _open(self) -> None:
        pool: Any = psrpcore.ClientRunspacePool()
        pool.open()
        with contextlib.suppress(EngineGone):
            self.engine.send("Data", SESSION, pool.data_to_send().data)
            if not self._wait([int(RunspacePoolState.Opened)]):
                self.engine.end()  # Broken, as when its first script fails: a client of a new engine shall see that for itself
                return
            pool.state = RunspacePoolState.Opened
            script: Any = psrpcore.ClientPowerShell(pool)
            script.add_script(self._script)
            script.start()
            first, guid = pool.data_to_send(), str(script.pipeline_id)
            self.engine.send("Command", guid)
            self.engine.wait_acknowledged("Command", guid)
            self.engine.send("Data", guid, first.data)
            self._wait([int(RunspacePoolState.Opened), 4])
            self.engine.send("Close", guid)
            self.engine.wait_acknowledged("Close", guid)
            self.pool_id = pool.runspace_pool_id.bytes_le

    def _wait(self, states: list[int]) -> bool:
        with self._condition:
            self._condition.wait_for(lambda: len(self._states) >= len(states) or self.engine.ended, OPEN_WAIT_S)
            return self._states == states

    def _on_data(self, guid: str, data: bytes) -> None:
        for fragment in fragments.split(data):
            if guid == SESSION:
                self.said += fragment.raw
            wanted = (
                (fragments.POOL_STATE, _POOL_STATE) if guid == SESSION else (fragments.PIPELINE_STATE, _PIPELINE_STATE)
            )
            if fragment.kind == wanted[0] and (state := wanted[1].search(fragment.part)):
                with self._condition:
                    self._states.append(int(state[1]))
                    self._condition.notify_all()


class Engines:
    """All engines of an endpoint, and the shells that they serve: they end with it."""

    def __init__(self, spec: EngineSpec, kernel: Kernel) -> None:
        self._spec = spec
        self._kernel = kernel
        self._lock = threading.Lock()
        self._spares: list[Spare] = []
        self._given: set[Engine] = set()
        self._closing: dict[Engine, threading.Thread] = {}
        self._in_the_making = 0
        self._stopping = threading.Event()

    def start(self) -> None:
        self._refill()

    def open_powershell(self, opening: Opening, counters: Counters, on_death: Callable[[Shell, str], None]) -> Shell:
        return EngineShell(opening, self, counters, on_death)

    def open_cmd(self, opening: Opening, functions: Functions, counters: Counters) -> Shell:
        return EngineCmdShell(opening, functions, counters, self._spec)

    def ready(self) -> int:
        """Spares that could be given away now."""
        with self._lock:
            return sum(1 for spare in self._spares if spare.pool_id is not None)

    def take(self, identity: Identity, *, plain: bool) -> tuple[Engine, Spare | None]:
        """A spare if a plain pool is asked for and one is ready, else a new process, not started yet."""
        spare: Spare | None = None
        with self._lock:
            self._spares = [each for each in self._spares if not each.engine.ended]
            if plain:
                ready = (each for each in self._spares if each.pool_id is not None)
                spare = next((each for each in ready if each.engine.identity == identity), None)
            if spare:
                self._spares.remove(spare)
        # Not under the lock: what makes the environment may want the world's, and the world may want ours.
        engine = spare.engine if spare else Engine(self._spec, identity)
        with self._lock:
            if self._stopping.is_set():
                engine.kill()
                raise soap.aborted("The endpoint is stopping.")
            self._given.add(engine)
        return engine, spare

    def opened(self) -> None:
        """A pool has opened: now a new spare does not compete with it."""
        self._refill()

    def give_back(self, engine: Engine) -> None:
        """Ends it, in the background."""
        with self._lock:
            if self._stopping.is_set() or engine not in self._given:
                return
            self._given.discard(engine)
            closing = threading.Thread(target=self._close, args=(engine,), name="pwsh-close", daemon=True)
            self._closing[engine] = closing
            closing.start()

    def stop(self) -> None:
        """Kills all of them, each by its own process id."""
        with self._lock:
            self._stopping.set()
            spares, self._spares = self._spares, []
            closing = list(self._closing.values())
            engines = [*(spare.engine for spare in spares), *self._given, *self._closing]
            self._given.clear()
        for engine in engines:
            engine.kill()
        for thread in closing:
            thread.join()

    def _close(self, engine: Engine) -> None:
        engine.close()
        with self._lock:
            self._closing.pop(engine, None)

    def after_pipeline(self) -> None:
        self._spec.after_pipeline()

    def _first_administrator(self) -> Identity | None:
        """Who gets the spares: their environment is made for one user."""
        with self._kernel.lock:
            users = [account.user for account in self._kernel.state.accounts]
        identities = (Accounts(self._kernel).identity(user) for user in users)
        return next((found for found in identities if found and found.administrator), None)

    def _refill(self) -> None:
        identity = self._first_administrator()
        with self._lock:
            if self._stopping.is_set() or identity is None:
                return
            wanted = self._spec.spares - len(self._spares) - self._in_the_making
            self._in_the_making += max(0, wanted)
        for _ in range(wanted):
            spare = Spare(self._spec, identity)
            with self._lock:
                self._in_the_making -= 1
                if self._stopping.is_set():
                    spare.engine.kill()
                    return
                self._spares.append(spare)
                spare.start()


class EngineShell(Shell):
    """One runspace pool in one process."""

    kind = "powershell"
    input_streams = "stdin pr"
    output_streams = "stdout"

    def __init__(
        self, opening: Opening, engines: Engines, counters: Counters, on_death: Callable[[Shell, str], None]
    ) -> None:
        super().__init__(opening)
        self.channels[POOL] = Channel()
        self._engines = engines
        self._counters = counters
        self._on_death = on_death
        self._closing = False
        first = decoded(opening.request.find("Shell").findtext(f"{{{POWERSHELL}}}creationXml"))
        opening_fragment = next(fragments.split(first), None)
        if opening_fragment is None:
            raise soap.invalid("creationXml is empty.")
        self._ending: set[str] = set()
        engine, spare = engines.take(self.identity, plain=bool(_PLAIN_POOL.search(first)))
        self._engine = engine
        self._engine_pool_id = spare.pool_id if spare else None
        self._client_pool_id = opening_fragment.pool_id if spare else None
        engine.on_end = self._on_end
        engine.on_data = self._on_data
        if spare:
            self._on_data(SESSION, spare.said)
        else:
            engine.start()
            self._tell("Data", SESSION, first)

    def process_id(self) -> int:
        return self._engine.pid

    # -- from the engine

    def _on_data(self, guid: str, data: bytes) -> None:
        key = POOL if guid == SESSION else guid
        kept, finished = b"", False
        for fragment in fragments.split(fragments.with_pool_id(data, self._client_pool_id)):
            kind = fragment.kind
            if key == POOL and kind == fragments.PIPELINE_STATE:
                continue  # the engine's initial script ran as a pipeline that no client has asked for
            kept += fragment.raw
            if key == POOL and kind == fragments.POOL_STATE:
                self._engines.opened()
            state = _PIPELINE_STATE.search(fragment.part) if kind == fragments.PIPELINE_STATE else None
            if state and _STOPPED <= int(state[1]) <= _FAILED:
                self._ending.add(key)  # with its error record it may fill several fragments
            if fragment.ends and key in self._ending:
                self._ending.discard(key)
                finished = True
        if finished:
            self._engines.after_pipeline()
        channel = self.channels.get(key)
        if channel and kept:
            channel.put("stdout", kept, last=finished)  # in one step: no Receive sees the one without the other

    def _on_end(self) -> None:
        if not self._closing:
            self._on_death(self, _ENDED)
        self.abort_channels(_ENDED)

    def _tell(self, kind: str, guid: str, data: bytes = b"", *, stream: str = "Default") -> None:
        try:
            self._engine.send(kind, guid, fragments.with_pool_id(data, self._engine_pool_id), stream=stream)
        except EngineGone:
            raise soap.aborted(_ENDED) from None

    # -- WSMan operations

    def command(self, request: Request) -> str:
        command_id = command_id_of(request)
        first = decoded(text_of(request.find("CommandLine"), "Arguments"))
        self.new_channel(command_id)
        self._count(first)
        self._tell("Command", command_id)
        self._engine.wait_acknowledged("Command", command_id)
        self._tell("Data", command_id, first)
        return command_response(command_id)

    def send(self, request: Request) -> str:
        for stream in request.find("Send").iterfind(f"{{{RSP}}}Stream"):
            command_id = stream.get("CommandId") or ""
            if command_id:
                self.channel(command_id)
            name = "PromptResponse" if stream.get("Name") == "pr" else "Default"
            self._tell("Data", command_id or SESSION, decoded(stream.text), stream=name)
        return "<rsp:SendResponse/>"

    def signal(self, request: Request) -> str:
        command_id, code = signal_of(request)
        channel = self.channels.get(command_id) if command_id else None
        if channel is None:
            return "<rsp:SignalResponse/>"
        if not channel.done:
            self._tell("Signal", command_id)
            channel.wait_done(STOP_WAIT_S)
        if code.endswith("terminate") or code == "powershell/signal/ctrl_c":
            self.channels.pop(command_id, None)
            channel.fail(soap.unknown_command())
            self._tell("Close", command_id)
        return "<rsp:SignalResponse/>"

    def close(self) -> None:
        self._closing = True
        self._engines.give_back(self._engine)
        self.abort_channels("The shell was closed.")

    def _count(self, first: bytes) -> None:
        for text, is_script in called_commands(first):
            if not is_script:
                self._counters.count("calls", text)
            elif MODULE_HEADER.match(text):
                self._counters.add("module_loads")


class EngineCmdShell(CmdShell):
    """A cmd shell whose `powershell` is an engine's process of its own, for any script."""

    def __init__(self, opening: Opening, functions: Functions, counters: Counters, spec: EngineSpec) -> None:
        super().__init__(opening, functions, counters)
        self._spec = spec

    def run_powershell(self, process: Process, script: str) -> int:
        encoded = base64.b64encode(script.encode("utf-16-le")).decode()
        read_end, write_end = os.pipe()
        try:
            child = subprocess.Popen(
                [*self._spec.argv, "-NoLogo", "-NoProfile", "-NonInteractive", "-EncodedCommand", encoded],
                stdin=read_end,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._spec.environment(self.identity),
            )
        except OSError:
            os.close(write_end)
            raise
        finally:
            os.close(read_end)
        process.kill = child.kill
        if process.stopping.is_set():  # while it was started
            child.kill()
        feeding = threading.Thread(target=_feed, args=(process, write_end), name="winrm-stdin", daemon=True)
        feeding.start()
        out, err = child.communicate()
        process.stdin_ended.set()  # most clients never end it
        feeding.join()
        if process.stopping.is_set():
            raise Stopped
        self._spec.after_pipeline()
        for stream, data in (("stdout", out), ("stderr", err)):
            if data:
                process.channel.put(stream, data)
        return child.returncode


def _feed(process: Process, write_end: int) -> None:
    """Standard input goes to the child whole, once it has ended: a script that reads it reads to its end, others do not wait for it."""
    process.stdin_ended.wait()
    with contextlib.suppress(BrokenPipeError), os.fdopen(write_end, "wb") as stdin:
        stdin.write(process.stdin)
