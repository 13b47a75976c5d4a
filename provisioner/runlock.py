"""One run at a time per cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from provisioner.errors import Fault

LOCK_WAIT_S = 0.0
"""A second run is refused at once, never queued: its plan would be stale when its turn came."""


@contextmanager
def locked(folder: Path, cluster: str) -> Iterator[None]:
    """One run at a time per cluster. The lock is the system's and goes with its process, however that ends; the file of it stays.

    Raises P-RUN-LOCKED with the process that holds it, P-LOCAL-HOME where nothing can be locked.
    """
    from filelock import FileLock, Timeout

    from provisioner.store.files import read_plain, refuse_links, write_in_place

    lock, holder = FileLock(folder / "lock", timeout=LOCK_WAIT_S), folder / "lock.pid"
    try:
        refuse_links(folder / "lock")
        lock.acquire()
    except Timeout as error:
        pid = "unknown"
        with suppress(OSError):  # it begins, or ends, at this moment
            pid = (read_plain(holder) or b"").decode(errors="replace").strip() or pid
        raise Fault(
            "P-RUN-LOCKED",
            f"another run works on {cluster}",
            expected="one run at a time",
            seen=(f"process {pid} holds {folder / 'lock'}",),
            next_steps=("wait for it to end, or press Ctrl-C in its terminal",),
        ) from error
    except (OSError, NotImplementedError) as error:
        raise Fault(
            "P-LOCAL-HOME",
            f"{folder / 'lock'} cannot be locked",
            expected="a folder that you own, on a file system with locks",
            seen=(getattr(error, "strerror", "") or str(error),),
            next_steps=("make it writable for you, or set PROVISION_HOME",),
        ) from error
    try:
        with suppress(OSError):  # told to others alone
            write_in_place(holder, f"{os.getpid()}\n".encode())
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()
