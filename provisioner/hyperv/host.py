"""A Hyper-V host over WinRM: the port `Host`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from provisioner.errors import HostRefused, Malformed, TransportError
from provisioner.hyperv import facts, verbs
from provisioner.hyperv.gather import Alone, Batch, Caller, OfItems, OfStatements, Result
from provisioner.hyperv.module import ModuleNeed
from provisioner.hyperv.transport import HOST_TYPE, MODULE, Line, Session, SignIn, Statement
from provisioner.hyperv.workers import Workers
from provisioner.model.cluster import HTTP_PORT, HostSpec
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
from provisioner.ports import (
    CallInfo,
    Clock,
    Dialer,
    Endpoint,
    HyperVUnavailable,
    ObserveQuery,
    Progress,
    VmChange,
    VmRequest,
)

_OF_HYPERV = "HyperV."
"""Begins the ids of what no function has an id for: failures of cmdlets."""


class HyperVHost:
    """One host. Connects at `begin` or at the first call; a loop must be running by then.

    `on_away` hears why the host does not answer when an outage begins, and None when it is over; calls go on through it.
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
    ) -> None:
        self.name = spec.name
        self._spec = spec
        self._dialer = dialer
        self._clock = clock
        self._on_call = on_call
        self._on_away = on_away
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
        self._workers: Workers | None = None

    def begin(self) -> None:
        """Signs in on a thread of its own and returns at once: of all there is to read, the host takes longest."""
        self._all_workers().begin()

    # --- host ---

    async def observe(self, query: ObserveQuery) -> HostState:
        """Everything by one pipeline. Where Hyper-V itself is not running, or is not for this account, there is no more to read than
        the host's own facts: then the state is not whole, whatever the other functions wrote, and the facts say why.
        """
        statements = [verbs.get_host()]
        if query.switch:
            statements.append(verbs.get_switch(query.switch, marked=True))
        if image := query.image_path or query.image_name:
            statements.append(verbs.get_image([image]))
        statements += [verbs.get_vm(), verbs.get_folder(query.folder)]
        batch = Alone(statements, changes=False)
        caller = Caller(statements[0])
        try:
            results = await self._all_workers().ask(batch, caller)
            host = _host(results)
        except HostRefused as refusal:
            host = _host(caller.results)
            if host is None:
                raise
            if _can_be_read(host):  # it may have stopped in between
                host = await self._unavailable(refusal)
                if host is None:
                    raise
        if host is None:
            raise _no_answer("Get-TalosHost")
        if not _can_be_read(host):
            return HostState(host=host, switch=None, images=(), vms=(), read_utc=self._clock.wall(), whole=False)
        switches = [facts.switch_facts(v, "Get-TalosSwitch") for t, v in results if t == "TalosHyperV.Switch"]
        return HostState(
            host=host,
            switch=switches[0] if switches else None,
            marked_switches=tuple(switches[1:]),
            images=tuple(facts.image_facts(v, "Get-TalosImage") for t, v in results if t == "TalosHyperV.Image"),
            vms=tuple(facts.vm_facts(v, "Get-TalosVM") for t, v in results if t == "TalosHyperV.VM"),
            folders=tuple(facts.folder_facts(v) for t, v in results if t == "TalosHyperV.Folder"),
            read_utc=self._clock.wall(),
        )

    async def close(self) -> None:
        if self._workers is not None:
            await self._workers.close()
            self._workers = None

    # --- switch ---

    async def new_switch(
        self,
        *,
        name: str,
        adapter: str,
        allow_management_os: bool,
        vlan: int | None,
        mark: str,
        watchdog_s: int,
        retry: bool,
    ) -> SwitchJobFacts:
        statement = verbs.new_switch(
            name=name,
            adapter=adapter,
            allow_management_os=allow_management_os,
            vlan=vlan,
            mark=mark,
            watchdog_s=watchdog_s,
            retry=retry,
        )
        return facts.switch_job_facts(await self._one(statement, changes=True), statement.function)

    async def confirm_switch(self, *, name: str, job_id: str) -> SwitchFacts:
        statement = verbs.confirm_switch(name=name, job_id=job_id)
        return facts.switch_facts(await self._one(statement, changes=True), statement.function)

    async def remove_switch(self, *, name: str, cluster_id: str) -> SwitchJobFacts:
        statement = verbs.remove_switch(name=name, cluster_id=cluster_id)
        return facts.switch_job_facts(await self._one(statement, changes=True), statement.function)

    async def hand_over_switch(self, *, name: str, cluster_id: str, mark: str) -> SwitchFacts:
        statement = verbs.set_switch(name=name, cluster_id=cluster_id, mark=mark)
        return facts.switch_facts(await self._one(statement, changes=True), statement.function)

    async def find_switch(self, name: str) -> SwitchFacts:
        statement = verbs.get_switch(name)
        return facts.switch_facts(await self._one(statement, changes=False), statement.function)

    # --- image ---

    async def save_image(
        self, *, url: str, sha256: str, sha256_url: str, path: str, progress: Callable[[Progress], None]
    ) -> ImageFacts:
        statement = verbs.save_image(url=url, path=path, sha256=sha256, sha256_url=sha256_url)
        batch = Alone(
            [statement], changes=True, long=True, stoppable=True
        )  # it leaves a .partial that nobody takes for whole
        results = await self._ask(batch, Caller(statement, progress=progress))
        return facts.image_facts(_only(results, statement.function), statement.function)

    async def find_image(self, path: str, *, verify: bool) -> ImageFacts:
        statement = verbs.get_image([path], verify=verify)
        return facts.image_facts(await self._one(statement, changes=False), statement.function)

    async def remove_image(self, path: str) -> ImageFacts:
        statement = verbs.remove_image(path)
        return facts.image_facts(await self._one(statement, changes=True), statement.function)

    # --- VMs ---

    async def new_vm(self, request: VmRequest) -> VmFacts:
        return await self._by_statement(verbs.new_vm(request), named="Name")

    async def set_vm(self, change: VmChange) -> VmFacts:
        return await self._by_statement(verbs.set_vm(change), named="Id")

    async def find_vms(self, ids: Sequence[str]) -> tuple[VmFacts, ...]:
        if not ids:
            return ()
        batch = OfItems(verbs.get_vm, named="Id", changes=False)
        results = await self._ask(batch, Caller(verbs.get_vm(ids), items=tuple(ids)))
        return tuple(facts.vm_facts(values, "Get-TalosVM") for _, values in results)

    async def start_vm(self, id: str) -> VmFacts:
        return await self._by_id(id, verbs.start_vm)

    async def stop_vm(self, id: str, *, turn_off: bool) -> VmFacts:
        return await self._by_id(id, lambda ids: verbs.stop_vm(ids, turn_off=turn_off), long=not turn_off)

    async def remove_vm(self, id: str, *, cluster_id: str, keep_mark: bool = False) -> None:
        def make(ids: Sequence[str]) -> Statement:
            return verbs.remove_vm(ids, cluster_id=cluster_id, keep_mark=keep_mark)

        await self._ask(OfItems(make, named="Id", changes=True), Caller(make([id]), items=(id,)))

    async def remove_folder(self, path: str, *, cluster_id: str) -> None:
        statement = verbs.remove_folder(path, cluster_id=cluster_id)
        await self._ask(Alone([statement], changes=True), Caller(statement))

    async def dismount_iso(self, id: str) -> VmFacts:
        return await self._by_id(id, verbs.dismount_iso)

    async def console(self, id: str, *, width: int, height: int) -> ConsoleFacts:
        return facts.console_facts(await self._one(verbs.get_console(id, width=width, height=height), changes=False))

    # --- neighbours ---

    async def find_neighbors(self, macs: Sequence[str], *, sweep: bool) -> tuple[NeighborFacts, ...]:
        if not macs:
            return ()
        statement = verbs.get_neighbor(macs, sweep=sweep)
        results = await self._ask(Alone([statement], changes=False), Caller(statement))
        return tuple(facts.neighbor_facts(values) for _, values in results)

    async def watch_neighbors(self, macs: Sequence[str], *, wait_s: int) -> AsyncIterator[NeighborFacts]:
        rows: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        statement = verbs.get_neighbor(macs, sweep=True, wait_s=wait_s)
        caller = Caller(statement, arrived=lambda _type, values: rows.put_nowait(values))
        asking = asyncio.create_task(self._ask(Alone([statement], changes=False, long=True), caller))
        asking.add_done_callback(lambda _task: rows.put_nowait(None))
        try:
            while (row := await rows.get()) is not None:
                yield facts.neighbor_facts(row)
            await asking
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    # --- how calls go out ---

    async def _one(self, statement: Statement, *, changes: bool) -> Mapping[str, Any]:
        return _only(await self._ask(Alone([statement], changes=changes), Caller(statement)), statement.function)

    async def _by_id(self, id: str, make: Callable[[Sequence[str]], Statement], *, long: bool = False) -> VmFacts:
        statement = make([id])
        results = await self._ask(OfItems(make, named="Id", changes=True, long=long), Caller(statement, items=(id,)))
        return facts.vm_facts(_only(results, statement.function), statement.function)

    async def _by_statement(self, statement: Statement, *, named: str) -> VmFacts:
        results = await self._ask(OfStatements(statement.function, named=named), Caller(statement))
        return facts.vm_facts(_only(results, statement.function), statement.function)

    async def _ask(self, batch: Batch, caller: Caller) -> list[Result]:
        """Where Hyper-V refuses, the host is asked whether it is there at all: what a stopped service answers has no id of its own."""
        try:
            return await self._all_workers().ask(batch, caller)
        except HostRefused as refusal:
            host = await self._unavailable(refusal)
            if host is None:
                raise
            raise HyperVUnavailable(refusal, host) from refusal

    async def _unavailable(self, refusal: HostRefused) -> HostFacts | None:
        """The host's facts, read anew, where they tell why Hyper-V refuses whatever it is asked; else None."""
        if not refusal.id.startswith(_OF_HYPERV):
            return None
        statement = verbs.get_host()
        try:
            host = _host(await self._all_workers().ask(Alone([statement], changes=False), Caller(statement)))
        except TransportError:
            return None
        return host if host is not None and not _can_be_read(host) else None

    def _all_workers(self) -> Workers:
        if self._workers is None:
            self._workers = Workers(
                name=self.name,
                make_session=self._new_session(),
                locate=self._locate,
                clock=self._clock,
                on_call=self._on_call,
                on_away=self._on_away,
            )
        return self._workers

    def _locate(self) -> Endpoint:
        return self._dialer.resolve(self._spec.address, self._spec.port)

    def _new_session(self) -> Callable[[Line], Session]:
        """The libraries are loaded here, on the loop's thread: requests imports itself in circles, and breaks when two threads load it."""
        if self._spec.transport == "winrs":
            from provisioner.hyperv.winrs import WinrsSession

            return lambda line: WinrsSession(self._sign_in, line)
        from provisioner.hyperv.psrp import PsrpSession

        need = ModuleNeed()
        return lambda line: PsrpSession(self._sign_in, line, need)


def _host(results: Sequence[Result]) -> HostFacts | None:
    return next((facts.host_facts(values) for type_name, values in results if type_name == HOST_TYPE), None)


def _can_be_read(host: HostFacts) -> bool:
    """Whether Hyper-V runs and is for this account. Rights are asked of the groups: what Hyper-V answers without them has no id of its
    own (`Unspecified`).
    """
    runs = host.hyperv_module and host.vmms_status == "Running"
    return runs and (host.is_administrator or host.is_hyperv_administrator)


def _only(results: Sequence[Result], function: str) -> Mapping[str, Any]:
    if len(results) != 1:
        raise _no_answer(function, len(results))
    return results[0][1]


def _no_answer(function: str, count: int = 0) -> Malformed:
    return Malformed(f"{function} wrote {count or 'no'} objects where one is due", expected=MODULE)
