"""What SIGINT, SIGTERM and SIGHUP do: the same, at every moment of a command; and what becomes of a stream that has no reader any more."""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType
from typing import TextIO


def stop_as_at_ctrl_c() -> None:
    """SIGTERM, and SIGHUP of a closed terminal, do what Ctrl-C does at that moment. A SIGHUP that is ignored (`nohup`) stays so.

    To be called again when an event loop that had handlers of its own is closed: it leaves the system's.
    """
    for number in stop_signals():
        if number is not signal.SIGINT:
            signal.signal(number, _interrupt)


def stop_signals() -> tuple[signal.Signals, ...]:
    """The signals that stop a run in order."""
    hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    return (signal.SIGINT, signal.SIGTERM, *hangup)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # ignored, as a shell starts jobs in the background
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


def flushed(stream: TextIO) -> OSError | None:
    """Writes out what is in the stream's buffer. Where that fails, the error: the stream leads nowhere then, so that it fails only once."""
    try:
        stream.flush()
    except OSError as error:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None
