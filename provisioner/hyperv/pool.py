"""One host's workers: daemon threads with a session each, and the queue before them, kept by the loop.

Two workers at most, the second only when both have something to do and the first has signed in: a wrong password is tried
once. A call that may take minutes leaves the other worker free. Threads are daemons, so leaving never waits for a host that
is away.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any

from provisioner.errors import Dropped, Rejected, TransportError, Unreachable
from provisioner.hyperv.batching import CallBatch, PendingCall, Result, SingleCall
from provisioner.ports import CallInfo, Clock, Endpoint
from provisioner.winrm.connection import HostConnection, Reachability, probe
from provisioner.winrm.transport import (
    FIRST_CONTACT_S,
    OUTAGE_TOLERANCE_S,
    Invocation,
    InvocationCancelled,
    Records,
    WinRmSession,
)

LIMIT = 2
SECOND_S = 0.5
"""Real seconds that a call waits for the first worker before a second one is made for it: a session costs the host a process."""
GRACE_S = 10.0
"""Real seconds that a change in flight gets to end when its caller leaves (Ctrl-C)."""
CLOSE_S = 5.0
"""Real seconds for a session to end in good order."""


class _Worker:
    """A thread and its session. All but `_work` is called on the loop's thread."""

    def __init__(self, name: str, connection: HostConnection, session: WinRmSession) -> None:
        self.connection = connection
        self.batch: CallBatch | None = None
        self.busy_since = 0.0
        self.call: Invocation | None = None
        self.closed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[Invocation, Callable[[BaseException | None], None]] | None] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self._work, args=(session,), name=name, daemon=True).start()

    def start(self, batch: CallBatch, call: Invocation, ended: Callable[[BaseException | None], None]) -> None:
        self.batch, self.call = batch, call
        self.busy_since = self._loop.time()
        self._queue.put((call, ended))

    def stop(self) -> None:
        if self.call is not None:
            self.call.cancelled.set()
            self.connection.abort()

    def finish(self) -> None:
        self._queue.put(None)

    def _work(self, session: WinRmSession) -> None:
        while (job := self._queue.get()) is not None:
            call, ended = job
            error: BaseException | None = None
            try:
                session.run(call)
            except BaseException as raised:  # noqa: BLE001 - handed to those who wait
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop is gone
                self._loop.call_soon_threadsafe(ended, error)
        session.close()
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.closed.set)


def threadsafe_sink(batch: CallBatch, resume: Callable[[CallBatch], None]) -> Records:
    """Takes a call's records from the worker's thread to its batch on the loop's; `resume` gets what a batch leaves to be run again."""
    loop = asyncio.get_running_loop()

    def on_loop(hook: Callable[..., None]) -> Callable[..., None]:
        def tell(*args: Any) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone
                loop.call_soon_threadsafe(hook, *args)

        return tell

    def done(cut_short: bool) -> None:
        if (rest := batch.done(cut_short=cut_short)) is not None:
            resume(rest)

    return Records(
        restart=on_loop(batch.restart),
        result=on_loop(batch.result),
        error=on_loop(batch.error),
        progress=on_loop(batch.progress),
        done=on_loop(done),
    )


class SessionPool:
    """Submits batches and keeps them waiting until a worker is free."""

    def __init__(
        self,
        *,
        name: str,
        make_session: Callable[[HostConnection], WinRmSession],
        locate: Callable[[], Endpoint],
        clock: Clock,
        on_call: Callable[[CallInfo], None],
        on_away: Callable[[str | None], None],
    ) -> None:
        self._name = name
        self._make_session = make_session
        self._locate = locate
        self._clock = clock
        self._on_call = on_call
        self._on_away = on_away
        self._loop = asyncio.get_running_loop()
        self._reachability = Reachability(
            on_outage=lambda reason: self._from_worker(self._on_away, reason),
            on_first_response=lambda: self._from_worker(self._dispatch),  # now the second worker may begin
        )
        self._workers: list[_Worker] = []
        self._waiting: list[CallBatch] = []
        self._scheduled = False
        self._rejected: Rejected | None = None

    def begin(self) -> None:
        """The first worker signs in before anybody asks. What goes wrong is told to the first who do."""
        if not self._workers:
            self._start(self._new_worker(), SingleCall((), changes=False))

    async def ask(self, batch: CallBatch, caller: PendingCall) -> list[Result]:
        """Sends the call, with others of its kind where it can, and waits for this caller's results. Errors: `ports.Host`."""
        if self._rejected is not None:
            raise self._rejected.with_traceback(None)
        self._enqueue(batch, caller)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._dispatch)  # after all lanes had their turn
        try:
            return await asyncio.shield(caller.future)
        except asyncio.CancelledError:
            await self._cancel(caller)
            raise

    async def close(self) -> None:
        """Ends all sessions; waits a little for what is in flight."""
        waiting, self._waiting = self._waiting, []
        for batch in waiting:
            batch.fail(Unreachable("the connection to the host is being closed"))
        for worker in self._workers:
            if worker.batch is not None and worker.batch.wanted and worker.batch.stoppable:
                worker.stop()
            worker.finish()
        with contextlib.suppress(TimeoutError):
            changing = any(worker.batch is not None and not worker.batch.stoppable for worker in self._workers)
            async with asyncio.timeout(GRACE_S if changing else CLOSE_S):
                for worker in self._workers:
                    await worker.closed.wait()
        self._workers.clear()

    # --- the queue ---

    def _enqueue(self, batch: CallBatch, caller: PendingCall) -> None:
        if batch.key is not None:
            for other in self._waiting:
                if type(other) is type(batch) and other.key == batch.key and not other.full:
                    other.callers.append(caller)
                    return
        batch.callers.append(caller)
        self._waiting.append(batch)

    def _resume(self, rest: CallBatch) -> None:
        self._waiting.insert(0, rest)
        self._dispatch()

    def _dispatch(self) -> None:
        self._scheduled = False
        for batch in tuple(self._waiting):
            if not batch.wanted:
                self._waiting.remove(batch)
                continue
            if batch.long and any(worker.batch is not None and worker.batch.long for worker in self._workers):
                continue
            worker = self._free_worker()
            if worker is None:
                return
            self._waiting.remove(batch)
            self._start(worker, batch)

    def _free_worker(self) -> _Worker | None:
        for worker in self._workers:
            if worker.batch is None:
                return worker
        if self._workers:
            if len(self._workers) >= LIMIT or not self._reachability.has_responded:
                return None
            first = self._workers[0]
            if first.batch is not None and not first.batch.statements():
                return None
            patient_until = first.busy_since + SECOND_S
            if self._loop.time() < patient_until and first.batch is not None and not first.batch.long:
                self._loop.call_at(patient_until, self._dispatch)
                return None
        return self._new_worker()

    def _new_worker(self) -> _Worker:
        connection = HostConnection(self._reachability, self._locate)
        worker = _Worker(f"{self._name}-{len(self._workers) + 1}", connection, self._make_session(connection))
        self._workers.append(worker)
        return worker

    def _start(self, worker: _Worker, batch: CallBatch) -> None:
        call = Invocation(
            statements=batch.statements(),
            changes=batch.changes,
            outage_tolerance_s=max(FIRST_CONTACT_S, OUTAGE_TOLERANCE_S / self._clock.rate),
            records=threadsafe_sink(batch, self._resume),
        )
        began = self._clock.now()
        probing = self._loop.create_task(probe(worker.connection), name=f"probe {self._name}")

        def ended(error: BaseException | None) -> None:
            probing.cancel()
            worker.batch = worker.call = None
            self._ended(batch, call, error, self._clock.now() - began)

        worker.start(batch, call, ended)

    def _ended(self, batch: CallBatch, call: Invocation, error: BaseException | None, elapsed_s: float) -> None:
        if call.statements:
            self._tell(batch, call, error, elapsed_s)
        if isinstance(error, Rejected):
            self._rejected = error  # repeating it may lock the account
        if isinstance(error, Rejected) or (isinstance(error, TransportError) and not call.statements):
            for other in self._waiting:
                other.fail(error)
        if isinstance(error, InvocationCancelled):
            error = asyncio.CancelledError()
        if error is not None:
            batch.fail(error)
        self._dispatch()

    def _tell(self, batch: CallBatch, call: Invocation, error: BaseException | None, elapsed_s: float) -> None:
        refused = any(caller.errors for caller in batch.callers)
        self._on_call(
            CallInfo(
                host=self._name,
                functions=tuple(dict.fromkeys(statement.function for statement in call.statements)),
                requests=call.requests,
                elapsed_s=elapsed_s,
                outcome=("dropped" if isinstance(error, Unreachable | Dropped) else "refused")
                if error is not None or refused
                else "ok",
            )
        )

    async def _cancel(self, call: PendingCall) -> None:
        """The one who waits is gone. What has not begun never will; a read is stopped; a change gets the grace to end."""
        for waiting in self._waiting:
            if call in waiting.callers:
                waiting.callers.remove(call)
        for worker in self._workers:
            batch = worker.batch
            if batch is None or call not in batch.callers:
                continue
            if not batch.stoppable:
                with contextlib.suppress(TimeoutError, TransportError):
                    async with asyncio.timeout(GRACE_S):
                        await asyncio.shield(call.future)
            call.future.cancel()
            if batch.stoppable and not batch.wanted:
                worker.stop()
        call.future.cancel()

    # --- from the workers' threads ---

    def _from_worker(self, hook: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone
            self._loop.call_soon_threadsafe(hook, *args)
