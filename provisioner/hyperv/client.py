"""A Hyper-V host over WinRM: the port `Host`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from provisioner.errors import HostRefused, Malformed, TransportError
from provisioner.hyperv import functions, parse
from provisioner.hyperv.batching import CallBatch, PendingCall, PerItemBatch, Result, SingleCall, StatementBatch
from provisioner.hyperv.module import HOST_TYPE, MODULE, script_module
from provisioner.hyperv.pool import SessionPool
from provisioner.model.cluster import HostSpec
from provisioner.model.facts import (
    ConsoleFacts,
    HostFacts,
    HostState,
    ImageFacts,
    NeighborFacts,
    SwitchFacts,
    SwitchJobFacts,
    VmFacts,
)
from provisioner.model.units import HTTP_PORT
from provisioner.ports import (
    CallInfo,
    Clock,
    Dialer,
    Endpoint,
    HyperVUnavailable,
    ObserveQuery,
    Progress,
    SwitchRequest,
    VmChange,
    VmRequest,
)
from provisioner.winrm.connection import HostConnection
from provisioner.winrm.transport import ModuleState, SignIn, Statement, WinRmSession

Facts = TypeVar("Facts")
Read = Callable[[Mapping[str, Any], str], Facts]
"""Makes facts of an object that the function of that name wrote."""
_OF_HYPERV = "HyperV."
"""Begins the ids of what no function has an id for: failures of cmdlets."""


class HyperVHost:
    """One host. Connects at `begin` or at the first call; a loop must be running by then.

    `on_away` receives why the host does not answer when an outage begins, and None when it is over; calls go on through it.
    `lacks_module`: an earlier run found no module of ours there, so its text is loaded while the session is made, which saves a round
    trip; text that the host does not take is followed by the question. `on_module` receives what this run found.
    """

    def __init__(
        self,
        spec: HostSpec,
        *,
        password: str,
        dialer: Dialer,
        clock: Clock,
        on_call: Callable[[CallInfo], None] = lambda _info: None,
        on_away: Callable[[str | None], None] = lambda _reason: None,
        ca_path: Path | None = None,
        certificate: tuple[Path, Path] | None = None,
        lacks_module: bool = False,
        on_module: Callable[[bool], None] = lambda _lacking: None,
    ) -> None:
        self.name = spec.name
        self._spec = spec
        self._dialer = dialer
        self._clock = clock
        self._on_call = on_call
        self._on_away = on_away
        self._on_module = on_module
        self._module = ModuleState(text_needed=lacks_module or None)
        self._sign_in = SignIn(
            user=spec.user,
            password=password,
            https=spec.port != HTTP_PORT,
            certificate=certificate,
            ca_path=ca_path,
            pin=spec.pin,
            endpoint=spec.endpoint,
            at=f"{spec.address}:{spec.port}",
        )
        self._pool: SessionPool | None = None

    def begin(self) -> None:
        """Signs in on a thread of its own and returns at once: of all there is to read, the host takes longest."""
        self._sessions().begin()

    # --- host ---

    async def observe(self, query: ObserveQuery) -> HostState:
        statements = [functions.get_host()]
        if query.switch:
            statements.append(functions.get_switch(query.switch, marked=True))
        if image := query.image_path or query.image_name:
            statements.append(functions.get_image([image]))
        statements += [functions.get_vm(), functions.get_folder(query.folder)]
        call = PendingCall(statements[0])
        try:
            await self._sessions().ask(SingleCall(statements, changes=False), call)
            host = _host(call.results)
        except HostRefused as refusal:
            host = _host(call.results)
            if host is not None and _can_be_read(host):  # it may have stopped in between
                host = await self._unavailable(refusal)
            if host is None:
                raise
        if host is None:
            raise _no_answer("Get-TalosHost")
        # Where PowerShell is constrained, text does not do: an installed module may, so the next run asks for it.
        self._on_module(self._module.text_needed is True and host.language_mode == "FullLanguage")
        if not _can_be_read(host):
            return HostState(host=host, switch=None, images=(), vms=(), read_utc=self._clock.wall(), whole=False)
        return _state(host, call.results, read_utc=self._clock.wall())

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    # --- switch ---

    async def new_switch(self, request: SwitchRequest) -> SwitchJobFacts:
        return await self._one(parse.switch_job_facts, functions.new_switch(request), changes=True)

    async def confirm_switch(self, *, name: str, job_id: str) -> SwitchFacts:
        statement = functions.confirm_switch(name=name, job_id=job_id)
        return await self._one(parse.switch_facts, statement, changes=True)

    async def remove_switch(self, *, name: str, cluster_id: str) -> SwitchJobFacts:
        statement = functions.remove_switch(name=name, cluster_id=cluster_id)
        return await self._one(parse.switch_job_facts, statement, changes=True)

    async def hand_over_switch(self, *, name: str, cluster_id: str, mark: str) -> SwitchFacts:
        statement = functions.set_switch(name=name, cluster_id=cluster_id, mark=mark)
        return await self._one(parse.switch_facts, statement, changes=True)

    async def find_switch(self, name: str) -> SwitchFacts:
        statement = functions.get_switch(name)
        return await self._one(parse.switch_facts, statement, changes=False)

    # --- image ---

    async def save_image(
        self, *, url: str, sha256: str, sha256_url: str, path: str, progress: Callable[[Progress], None]
    ) -> ImageFacts:
        statement = functions.save_image(url=url, path=path, sha256=sha256, sha256_url=sha256_url)
        # Stopped it leaves a file with the suffix .partial, which is never taken for the image.
        batch = SingleCall([statement], changes=True, long=True, stoppable=True)
        results = await self._ask(batch, PendingCall(statement, progress=progress))
        return _only(results, parse.image_facts, statement)

    async def find_image(self, path: str, *, verify: bool) -> ImageFacts:
        statement = functions.get_image([path], verify=verify)
        return await self._one(parse.image_facts, statement, changes=False)

    async def remove_image(self, path: str) -> ImageFacts:
        statement = functions.remove_image(path)
        return await self._one(parse.image_facts, statement, changes=True)

    # --- VMs ---

    async def new_vm(self, request: VmRequest) -> VmFacts:
        return await self._by_statement(functions.new_vm(request), named="Name")

    async def set_vm(self, change: VmChange) -> VmFacts:
        return await self._by_statement(functions.set_vm(change), named="Id")

    async def find_vms(self, ids: Sequence[str]) -> tuple[VmFacts, ...]:
        if not ids:
            return ()
        batch = PerItemBatch(functions.get_vm, named="Id", changes=False)
        results = await self._ask(batch, PendingCall(functions.get_vm(ids), items=tuple(ids)))
        return tuple(parse.vm_facts(values, "Get-TalosVM") for _, values in results)

    async def start_vm(self, id: str) -> VmFacts:
        return await self._by_id(id, functions.start_vm)

    async def stop_vm(self, id: str, *, turn_off: bool) -> VmFacts:
        return await self._by_id(id, lambda ids: functions.stop_vm(ids, turn_off=turn_off), long=not turn_off)

    async def remove_vm(self, id: str, *, cluster_id: str, keep_mark: bool = False) -> None:
        def make(ids: Sequence[str]) -> Statement:
            return functions.remove_vm(ids, cluster_id=cluster_id, keep_mark=keep_mark)

        await self._ask(PerItemBatch(make, named="Id", changes=True), PendingCall(make([id]), items=(id,)))

    async def remove_folder(self, path: str, *, cluster_id: str) -> None:
        statement = functions.remove_folder(path, cluster_id=cluster_id)
        await self._ask(SingleCall([statement], changes=True), PendingCall(statement))

    async def dismount_iso(self, id: str) -> VmFacts:
        return await self._by_id(id, functions.dismount_iso)

    async def console(self, id: str, *, width: int, height: int) -> ConsoleFacts:
        statement = functions.get_console(id, width=width, height=height)
        return await self._one(parse.console_facts, statement, changes=False)

    # --- neighbours ---

    async def find_neighbors(self, macs: Sequence[str], *, sweep: bool) -> tuple[NeighborFacts, ...]:
        if not macs:
            return ()
        statement = functions.get_neighbor(macs, sweep=sweep)
        results = await self._ask(SingleCall([statement], changes=False), PendingCall(statement))
        return tuple(parse.neighbor_facts(values) for _, values in results)

    async def watch_neighbors(self, macs: Sequence[str], *, wait_s: int) -> AsyncIterator[NeighborFacts]:
        rows: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        statement = functions.get_neighbor(macs, sweep=True, wait_s=wait_s)
        caller = PendingCall(statement, arrived=lambda _type, values: rows.put_nowait(values))
        asking = asyncio.create_task(self._ask(SingleCall([statement], changes=False, long=True), caller))
        asking.add_done_callback(lambda _task: rows.put_nowait(None))
        try:
            while (row := await rows.get()) is not None:
                yield parse.neighbor_facts(row)
            await asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    # --- how calls go out ---

    async def _one(self, read: Read[Facts], statement: Statement, *, changes: bool) -> Facts:
        """One statement that writes one object."""
        return _only(await self._ask(SingleCall([statement], changes=changes), PendingCall(statement)), read, statement)

    async def _by_id(self, id: str, make: Callable[[Sequence[str]], Statement], *, long: bool = False) -> VmFacts:
        statement = make([id])
        results = await self._ask(
            PerItemBatch(make, named="Id", changes=True, long=long), PendingCall(statement, items=(id,))
        )
        return _only(results, parse.vm_facts, statement)

    async def _by_statement(self, statement: Statement, *, named: str) -> VmFacts:
        results = await self._ask(StatementBatch(statement.function, named=named), PendingCall(statement))
        return _only(results, parse.vm_facts, statement)

    async def _ask(self, batch: CallBatch, caller: PendingCall) -> list[Result]:
        """Where Hyper-V refuses, the host is asked whether it is there at all: what a stopped service answers has no id of its own."""
        try:
            return await self._sessions().ask(batch, caller)
        except HostRefused as refusal:
            host = await self._unavailable(refusal)
            if host is None:
                raise
            raise HyperVUnavailable(refusal, host) from refusal

    async def _unavailable(self, refusal: HostRefused) -> HostFacts | None:
        """The host's facts, read again, where they tell why Hyper-V refuses whatever it is asked; else None."""
        if not refusal.id.startswith(_OF_HYPERV):
            return None
        statement = functions.get_host()
        try:
            host = _host(await self._sessions().ask(SingleCall([statement], changes=False), PendingCall(statement)))
        except TransportError:
            return None
        return host if host is not None and not _can_be_read(host) else None

    def _sessions(self) -> SessionPool:
        if self._pool is None:
            self._pool = SessionPool(
                name=self.name,
                make_session=self._new_session(),
                locate=self._locate,
                clock=self._clock,
                on_call=self._on_call,
                on_away=self._on_away,
            )
        return self._pool

    def _locate(self) -> Endpoint:
        return self._dialer.resolve(self._spec.address, self._spec.port)

    def _new_session(self) -> Callable[[HostConnection], WinRmSession]:
        """The libraries are loaded here, on the loop's thread: requests imports itself in circles, and breaks when two threads load it."""
        module = script_module()
        if self._spec.transport == "winrs":
            from provisioner.winrm.winrs import WinrsSession

            return lambda connection: WinrsSession(self._sign_in, connection, module)
        from provisioner.winrm.psrp import PsrpSession

        return lambda connection: PsrpSession(self._sign_in, connection, module, self._module)


def _state(host: HostFacts, results: Sequence[Result], *, read_utc: datetime) -> HostState:
    """A host whose Hyper-V can be read: then all functions have written all there is."""

    def each(type_name: str) -> list[Mapping[str, Any]]:
        return [values for found, values in results if found == type_name]

    switches = [parse.switch_facts(values, "Get-TalosSwitch") for values in each("TalosHyperV.Switch")]
    return HostState(
        host=host,
        switch=switches[0] if switches else None,
        marked_switches=tuple(switches[1:]),
        images=tuple(parse.image_facts(values, "Get-TalosImage") for values in each("TalosHyperV.Image")),
        vms=tuple(parse.vm_facts(values, "Get-TalosVM") for values in each("TalosHyperV.VM")),
        folders=tuple(parse.folder_facts(values) for values in each("TalosHyperV.Folder")),
        read_utc=read_utc,
    )


def _host(results: Sequence[Result]) -> HostFacts | None:
    return next((parse.host_facts(values) for type_name, values in results if type_name == HOST_TYPE), None)


def _can_be_read(host: HostFacts) -> bool:
    """Whether Hyper-V runs and is for this account. Rights are asked of the groups: what Hyper-V answers without them has no id of its
    own (`Unspecified`).
    """
    runs = host.hyperv_module and host.vmms_status == "Running"
    return runs and (host.is_administrator or host.is_hyperv_administrator)


def _only(results: Sequence[Result], read: Read[Facts], statement: Statement) -> Facts:
    if len(results) != 1:
        raise _no_answer(statement.function, len(results))
    return read(results[0][1], statement.function)


def _no_answer(function: str, count: int = 0) -> Malformed:
    return Malformed(f"{function} wrote {count or 'no'} objects where one is due", expected=MODULE)
