"""What the commands are made of: notes about outages, views whose reader leaves, signals, the terminal's width, the password's question."""

from __future__ import annotations

import asyncio
import errno
import getpass
import io
import os
import signal
import sys
from pathlib import Path

import pytest
import typer

from provisioner.cli import exit as ending
from provisioner.cli import loading, settings, signals
from provisioner.cli.exit import guarded
from provisioner.cli.options import ConsoleOptions
from provisioner.cli.progress import DetachableView, OutageNotes
from provisioner.faults import Exit
from provisioner.model.status import FinalObject

# --- progress ---------------------------------------------------------------------------------------------------------


async def test_an_outage_is_told_when_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    notes = OutageNotes(lambda level, message: told.append(f"{level}: {message}"))
    notes.report("hv01", "reset")
    notes.report("hv01", None)
    assert told == [], "a connection that is dialled again is no news"
    monkeypatch.setattr(OutageNotes, "QUIET_S", 0.0)
    notes.report("hv01", "reset")
    notes.report("hv01", "no route")
    for _ in range(3):
        await asyncio.sleep(0)
    notes.report("hv01", None)
    assert told == ["info: hv01 does not answer (no route); waiting for it", "info: hv01 answers again"]


class Broken:
    """A view whose stream fails."""

    def __init__(self, number: int) -> None:
        self.number = number

    def emit(self, _event: object) -> None:
        raise OSError(self.number, "broken")

    def close(self, final: FinalObject | None = None) -> None:
        raise OSError(self.number, "broken")


FINAL = FinalObject(command="up", cluster="home", outcome="ok", exit=0, elapsed_s=1.0, summary="")


@pytest.mark.parametrize("number", [errno.EPIPE, errno.EIO])
def test_a_reader_who_leaves_stops_the_run(number: int) -> None:
    stop = asyncio.Event()
    DetachableView(Broken(number), stop).close(FINAL)
    assert stop.is_set()


def test_a_full_disk_is_no_reader_who_leaves() -> None:
    with pytest.raises(OSError, match="broken"):
        DetachableView(Broken(errno.ENOSPC), asyncio.Event()).close(FINAL)


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def handlers() -> object:
    """What is set in a test is gone after it."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_signals_do_what_ctrl_c_does() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signals.stop_as_at_ctrl_c()
    for number in (signal.SIGTERM, signal.SIGHUP):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert signals.stop_signals() == (signal.SIGINT, signal.SIGTERM)


# --- streams and ends -------------------------------------------------------------------------------------------------


class Screen(io.StringIO):
    """A stream that says what it is."""

    def __init__(self, *, tty: bool, encoding: str = "utf-8") -> None:
        super().__init__()
        self._tty, self._encoding = tty, encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._tty

    def fileno(self) -> int:
        return 99


def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """stderr is a terminal, stdout a file."""
    for name in ("COLUMNS", "NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Screen(tty=True))
    monkeypatch.setattr(sys, "stdout", Screen(tty=False))
    monkeypatch.setattr(os, "get_terminal_size", lambda _number: os.terminal_size((90, 30)))


def test_only_a_terminal_is_wrapped_and_coloured(monkeypatch: pytest.MonkeyPatch) -> None:
    plain_terminal(monkeypatch)
    options = ConsoleOptions()
    assert (options.live, options.err.width, options.err.color, options.err.ascii) == (True, 90, True, False)
    assert (options.out.width, options.out.color) == (0, False)
    monkeypatch.setenv("COLUMNS", "70")
    assert ConsoleOptions().out.width == 70
    monkeypatch.setenv("NO_COLOR", "1")
    assert not ConsoleOptions().err.color
    monkeypatch.setattr(sys, "stderr", Screen(tty=True, encoding="latin-1"))
    assert ConsoleOptions().err.ascii


@pytest.mark.parametrize("name", ["CI", "TERM"])
def test_what_cannot_be_painted_on_is_not(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    plain_terminal(monkeypatch)
    monkeypatch.setenv(name, "dumb")
    assert not ConsoleOptions().live


def test_a_terminal_without_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    plain_terminal(monkeypatch)

    def no_size(_number: int) -> os.terminal_size:
        raise OSError(errno.ENOTTY, "no terminal")

    monkeypatch.setattr(os, "get_terminal_size", no_size)
    assert ConsoleOptions().err.width == 0


def test_a_broken_pipe_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def app(**_: object) -> None:
        raise BrokenPipeError

    def app_of_typer(**_: object) -> None:
        try:
            app()
        except BrokenPipeError:
            sys.exit(1)

    def app_that_exits(**_: object) -> None:
        sys.exit(7)

    assert guarded(app) == Exit.DONE
    assert guarded(app_of_typer) == Exit.DONE
    with pytest.raises(SystemExit):
        guarded(app_that_exits)


@pytest.mark.parametrize(("number", "code"), [(errno.EPIPE, Exit.DONE), (errno.ENOSPC, Exit.NOT_READY)])
def test_what_fails_when_the_buffers_are_emptied(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(io.StringIO):
        def __init__(self) -> None:
            super().__init__()
            self.file = (tmp_path / "out").open("w")

        def flush(self) -> None:
            raise BrokenPipeError(number, "gone") if number == errno.EPIPE else OSError(number, "full")

        def fileno(self) -> int:
            return self.file.fileno()

    full = Full()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        assert guarded(lambda **_: 0) == code
    full.file.close()
    assert ("P-LOCAL-HOME" in capsys.readouterr().err) == (code == Exit.NOT_READY)


def test_an_error_of_typer_without_a_context(capsys: pytest.CaptureFixture[str]) -> None:
    ending._show_usage(typer.BadParameter("Value error, no such thing"))
    assert capsys.readouterr().err == "Error: Invalid value: no such thing\n"


# --- the computer -----------------------------------------------------------------------------------------------------


def test_a_working_folder_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> Path:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "cwd", gone)
    assert settings.working_folder() is None


def test_the_password_is_asked_for_in_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        if len(asked) > 1:
            raise EOFError
        return "open"

    monkeypatch.setattr(getpass, "getpass", answer)
    assert loading._ask("Password of me\x1b on hv01") == "open"
    assert asked == ["Password of me? on hv01: "]
    with pytest.raises(typer.Abort):
        loading._ask("Password")
