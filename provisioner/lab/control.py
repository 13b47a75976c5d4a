"""Starts, asks and stops a lab: a process of its own, found by its folder. One request per connection on loopback, behind a token.

Requests and answers are one JSON line each: `{"token", "do": "status" | "stop" | "fault" | "log" | "stats", ...}`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from provisioner.lab import LIBRARIES
from provisioner.lab.descriptor import LOCK, LOG, Descriptor, Refused, make_folder, read_descriptor
from provisioner.lab.private_files import refuse_other_things

START_S = 30.0
"""Real seconds that a lab may take to start; it takes about one."""
STOP_S = 15.0
START_LOCK = "start.lock"

if TYPE_CHECKING:
    from filelock import FileLock


class LabError(Exception):
    """The lab did not start, does not answer, or refuses a request."""


class LabRefusedError(LabError):
    """What was asked for cannot be; the text says why."""


class LabLibrariesMissingError(LabError):
    """Libraries that the lab alone needs are not installed."""

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(f"not installed: {', '.join(missing)}")
        self.missing = tuple(missing)


class LabSilentError(LabError):
    """It took the request, and ended the connection without an answer."""


class LabFrozenError(LabError):
    """Its process is there and holds its port, and says nothing: it was stopped (SIGSTOP, a debugger), or this computer swaps."""

    def __init__(self, pid: int, waited_s: float) -> None:
        super().__init__(f"the lab's process {pid} is there and has not answered for {waited_s:g} s")
        self.pid = pid
        self.waited_s = waited_s


def ask(descriptor: Descriptor, do: str, **more: Any) -> dict[str, Any]:
    """One request. Raises LabError, LabRefusedError, LabFrozenError."""
    try:
        with socket.create_connection(("127.0.0.1", descriptor.control_port), timeout=STOP_S) as connection:
            connection.sendall(json.dumps({"token": descriptor.control_token, "do": do, **more}).encode() + b"\n")
            answer = connection.makefile("rb").readline()
    except TimeoutError:
        raise LabFrozenError(descriptor.pid, STOP_S) from None
    except OSError as error:
        raise LabError(f"the lab does not answer: {(error.strerror or 'no answer in time').lower()}") from error
    if not answer:
        raise LabSilentError("the lab closed the connection without an answer")
    try:
        result: dict[str, Any] = json.loads(answer)
    except ValueError as error:  # a lab that was killed, and another program has its port
        raise LabError("what answers is no lab") from error
    if "error" in result:
        raise (LabRefusedError if result.get("refused") else LabError)(str(result["error"]))
    return result


def running(folder: Path) -> Descriptor | None:
    """The descriptor of the lab of that folder, if it runs and answers. Raises LabFrozenError."""
    descriptor = read_descriptor(folder)
    if descriptor is None:
        return None
    try:
        ask(descriptor, "status")
    except LabFrozenError:
        if _at_work(folder):
            raise
        return None  # another program has its port, and says nothing
    except LabError:
        return None
    return descriptor


def _lock(path: Path, wait_s: float) -> FileLock:
    """A lock that raises TimeoutError; loaded when it is wanted, since most commands only ask a lab."""
    from filelock import FileLock

    return FileLock(path, timeout=wait_s)


def _at_work(folder: Path) -> bool:
    """Whether a process holds the lab's lock."""
    try:
        with _lock(folder / LOCK, 0):
            return False
    except TimeoutError:
        return True


def start(folder: Path, *, speed: float, seed: int, twin_mac: str = "", module: str = "provisioner.lab") -> Descriptor:
    """Starts the lab of that folder, or gives the one that runs. Returns once its host can be signed in to.

    Raises LabError, LabFrozenError, LabLibrariesMissingError.

    `twin_mac`: a MAC address that a third-party machine in the lab's LAN gets too. `module`: what runs as the lab's process.
    """
    try:
        make_folder(folder)
        with _lock(folder / START_LOCK, START_S):  # of two that start it at once, one finds the other's
            return running(folder) or _start(folder, speed, seed, twin_mac, module)
    except TimeoutError:
        raise LabError(f"another process has been starting it for {START_S:g} s") from None
    except OSError as error:
        raise LabError(f"{error.filename or folder} cannot be used: {error.strerror or error}") from error


def _start(folder: Path, speed: float, seed: int, twin_mac: str, module: str) -> Descriptor:
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise LabLibrariesMissingError(missing)
    read_end, write_end = os.pipe()
    command = [
        sys.executable,
        "-m",
        module,
        *("--folder", str(folder), "--speed", str(speed), "--seed", str(seed)),
        *("--twin-mac", twin_mac, "--ready-fd", str(write_end)),
    ]
    try:
        refuse_other_things(folder / LOG)
        with (folder / LOG).open("ab") as log:
            process = subprocess.Popen(
                command,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(write_end,),
                start_new_session=True,  # Ctrl-C in the terminal is for the client alone
                cwd=folder,
            )
        os.close(write_end)
        write_end = -1
        _wait_ready(read_end, process, folder)
    finally:
        os.close(read_end)
        if write_end >= 0:
            os.close(write_end)
    descriptor = running(folder)
    if descriptor is None:
        raise LabError(f"the lab said that it is ready, but does not answer; its log is {folder / LOG}")
    return descriptor


_INHERITED = frozenset(
    {
        *("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LANGUAGE", "USER", "LOGNAME", "SYSTEMROOT"),
        *("PYTHONPATH", "PYTHONHOME", "PYTHONUTF8", "PYTHONIOENCODING", "VIRTUAL_ENV"),
        *("DOTNET_ROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"),
    }
)


def _environment() -> dict[str, str]:
    """What a process needs that lives for days: never the passwords and tokens that a shell may hold."""
    return {name: value for name, value in os.environ.items() if name in _INHERITED or name.startswith("LC_")}


def _wait_ready(read_end: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    """The child writes `ready`, or one line of why not; its end closes the pipe."""
    os.set_blocking(read_end, False)
    deadline, heard = time.monotonic() + START_S, b""
    while time.monotonic() < deadline:
        try:
            part = os.read(read_end, 4096)
        except BlockingIOError:
            time.sleep(0.02)
            continue
        heard += part
        if heard.strip() == b"ready":
            return
        if not part:
            process.wait(STOP_S)
            reason = heard.decode(errors="replace").strip() or f"exit status {process.returncode}"
            raise LabError(f"{reason}; its log is {folder / LOG}")
    process.kill()
    raise LabError(f"not ready within {START_S:g} s; its log is {folder / LOG}")


def stop(folder: Path) -> bool:
    """Stops the lab of that folder and waits until all of it has ended. False: none runs. Raises LabError, LabFrozenError."""
    descriptor = running(folder)
    if descriptor is None:
        return False
    with contextlib.suppress(LabSilentError):  # it may end before its answer is out: the lock tells
        ask(descriptor, "stop")
    try:
        with _lock(folder / LOCK, STOP_S):  # it lets go of that last; a process id says less: it is a zombie's too
            return True
    except TimeoutError:
        raise LabError(f"the lab (process {descriptor.pid}) did not end within {STOP_S:g} s") from None


def reset(folder: Path) -> bool:
    """Stops the lab of that folder and deletes all that it keeps. False: there was nothing. Raises LabError, LabFrozenError."""
    if not folder.is_dir():
        return False
    try:
        with _lock(folder / START_LOCK, START_S):
            stop(folder)
            with _lock(folder / LOCK, STOP_S):  # no lab is at work, and none begins
                shutil.rmtree(folder)
    except TimeoutError:
        raise LabError(f"a lab is at work in {folder} and does not answer") from None
    except OSError as error:
        raise LabError(f"{folder} cannot be deleted: {error.strerror}") from error
    return True


class ControlServer:
    """The lab's side: answers requests on a thread of its own."""

    def __init__(self, handle: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
        self.token = secrets.token_urlsafe(24)
        self._handle = handle
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    connection.sendall(json.dumps(self._answer(connection)).encode() + b"\n")
                except OSError:
                    continue  # the client went away; nothing is lost

    def _answer(self, connection: socket.socket) -> dict[str, Any]:
        try:
            request = json.loads(connection.makefile("rb").readline())
            if not secrets.compare_digest(str(request.pop("token", "")), self.token):
                return {"error": "wrong token"}
            return self._handle(str(request.pop("do", "")), request)
        except Refused as refused:
            return {"error": str(refused), "refused": True}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return {"error": f"not a request of this lab ({type(error).__name__}: {error})"}
