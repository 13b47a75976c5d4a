"""What the task scheduler runs: another engine on the same world, which goes on when the session that started it is gone."""

from __future__ import annotations

import base64
import logging
import ntpath
import shlex
import subprocess
import threading
from collections.abc import Callable

from provisioner.lab.world.state import ScheduledTask

log = logging.getLogger(__name__)

PROGRAMS = ("powershell.exe", "powershell", "pwsh.exe", "pwsh")


class TaskEngine:
    """Runs tasks whose command is PowerShell, as SYSTEM."""

    def __init__(
        self, command: Callable[[str], list[str]], environment: Callable[[], dict[str, str]], sync: Callable[[], None]
    ) -> None:
        """`command` makes the arguments that run a text; `sync` brings what it did to files into the world."""
        self._command = command
        self._environment = environment
        self._sync = sync
        self._lock = threading.Lock()
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, task: ScheduledTask) -> None:
        """To its end, on the caller's thread. A failure of the command is raised."""
        if ntpath.basename(task.command).lower() not in PROGRAMS:
            raise FileNotFoundError(f"the lab's host has no {task.command}")
        done = subprocess.Popen(
            self._command(script_text(task.arguments)),
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        with self._lock:
            self._running[task.name.lower()] = done
        said, _ = done.communicate()
        with self._lock:
            self._running.pop(task.name.lower(), None)
        self._sync()
        if done.returncode:
            raise RuntimeError(f"exit status {done.returncode}: {said.decode(errors='replace').strip()[-2000:]}")

    def end(self, name: str) -> None:
        """Stop-ScheduledTask."""
        with self._lock:
            process = self._running.get(name.lower())
        if process is not None:
            process.kill()

    def stop(self) -> None:
        """Ends all that still run."""
        with self._lock:
            processes = list(self._running.values())
        for process in processes:
            process.kill()
            process.wait()


def script_text(arguments: str) -> str:
    """PowerShell's own command line as a text for -Command: what follows -File, -Command or -EncodedCommand."""
    words = windows_words(arguments)
    for index, word in enumerate(words):
        option = word.lower().lstrip("-/")
        rest = words[index + 1 :]
        if not word.startswith(("-", "/")) or not rest:
            continue
        if "file".startswith(option):
            file, *others = rest
            return " ".join(["&", _quoted(file), *(_argument(other) for other in others)]) + "\nexit $LASTEXITCODE"
        if "command".startswith(option):
            return " ".join(rest)
        if option in ("e", "ec", "enc", "encodedcommand"):
            return base64.b64decode(rest[0]).decode("utf-16-le")
    raise ValueError(f"nothing to run in {shlex.quote(arguments)}")


def windows_words(text: str) -> list[str]:
    """Words of a Windows command line; quotation marks hold one together, a backslash before one makes it part of the word."""
    words: list[str] = []
    word, quoted, begun = "", False, False
    index = 0
    while index < len(text):
        sign = text[index]
        slashes = len(text[index:]) - len(text[index:].lstrip("\\"))
        if slashes and text[index + slashes : index + slashes + 1] == '"':
            word += "\\" * (slashes // 2)
            index += slashes
            if slashes % 2:
                word += '"'
                index += 1
            begun = True
            continue
        if sign == '"':
            quoted, begun = not quoted, True
        elif sign in " \t" and not quoted:
            if begun:
                words.append(word)
            word, begun = "", False
        else:
            word, begun = word + sign, True
        index += 1
    return [*words, word] if begun else words


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _argument(text: str) -> str:
    """-Name stays a parameter name; values are quoted."""
    name, colon, value = text.partition(":")
    if name.startswith("-") and name[1:].replace("_", "").isalnum() and not name[1:].isdigit():
        return name + (colon + value if colon else "")
    return _quoted(text)
