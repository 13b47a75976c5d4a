"""A program in a pseudo-terminal, with somebody at the keyboard. Ctrl-C and Ctrl-D are the terminal's own: it makes a signal and an end of
file of them.
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

ENTER, CTRL_C, CTRL_D = "\n", "\x03", "\x04"

BOUND_S = 240.0
"""Real seconds for all that one program does."""

_TAKE_TERMINAL = (
    "import fcntl, runpy, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); sys.argv = sys.argv[1:]; "
    "signal.signal(signal.SIGINT, signal.default_int_handler); "  # whoever runs the tests in the background ignores it
)
_CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


class Terminal:
    """Runs `python -m MODULE ARGUMENTS` with a terminal for all three streams; `ended` gives its exit code."""

    def __init__(self, module: str, *arguments: str, cwd: Path, env: Mapping[str, str], python: str) -> None:
        self.shown = ""
        """What was written so far, without colours."""
        self._until = time.monotonic() + BOUND_S
        self._master, slave = pty.openpty()
        code = f"{_TAKE_TERMINAL}runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
        command: Sequence[str] = [python, "-c", code, module, *arguments]
        try:
            self._process = subprocess.Popen(
                command, cwd=cwd, env=dict(env), stdin=slave, stdout=slave, stderr=slave, start_new_session=True
            )
        finally:
            os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(60)
        os.close(self._master)

    def sees(self, text: str) -> None:
        """Waits until that text is on the screen."""
        while text not in self.shown:
            assert self._read(), f"it ended before it said {text!r}:\n{self.shown}"

    def types(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def ended(self) -> int:
        """Waits for the end of the program."""
        while self._read():
            pass
        return self._process.wait(max(1.0, self._until - time.monotonic()))

    def _read(self) -> bool:
        left = self._until - time.monotonic()
        assert select.select([self._master], [], [], max(0.0, left))[0], f"nothing comes any more:\n{self.shown}"
        data = b""
        with suppress(OSError):  # Linux' way of telling that the other end is closed
            data = os.read(self._master, 65536)
        self.shown += _CODES.sub("", data.decode(errors="replace"))
        return bool(data)
