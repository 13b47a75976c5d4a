"""The composition root: one run at a time, and nothing secret in what is printed of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from keyring.errors import KeyringLocked

from provisioner.context import Context, WorldClock, find_password, locked
from provisioner.errors import Fault
from provisioner.lab import control
from provisioner.lab.descriptor import read_descriptor, read_password
from provisioner.lab.private_files import write_private
from provisioner.model.cluster import HostSpec

HOLD = """
import sys, time, pathlib
from provisioner.context import locked
with locked(pathlib.Path(sys.argv[1]), "home"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Any:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate(timeout=10)


def test_a_second_run_is_told_which_process_is_at_work(holder: Any, tmp_path: Path) -> None:
    with pytest.raises(Fault) as caught, locked(tmp_path, "home"):
        pass
    assert caught.value.id == "P-RUN-LOCKED"
    assert f"process {holder.pid} " in caught.value.seen[0]


def test_the_lock_of_a_killed_run_is_free(holder: Any, tmp_path: Path) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait(10)
    assert (tmp_path / "lock.pid").exists(), "it could not tidy up"
    with locked(tmp_path, "home"):
        pass


def test_a_folder_that_cannot_be_locked_is_no_bug(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(Fault) as caught, locked(tmp_path, "home"):
        pass
    assert caught.value.id == "P-LOCAL-HOME"


def test_passwords_are_not_printed() -> None:
    nothing: Any = None
    context = Context(
        settings=nothing,
        loaded=nothing,
        clock=WorldClock(),
        dialer=nothing,
        store=nothing,
        passwords={"hv01": "hunter2"},
        ca_paths={},
    )
    assert "hunter2" not in repr(context)


# --- the password -----------------------------------------------------------------------------------------------------

HOST = HostSpec(name="hv01", address="hv01.lan", user="admin")


def backend(module: str, stored: str | None = "hunter2", error: Exception | None = None) -> Any:
    """A keychain of keyring's, by the module that it comes from: that is what is trusted."""

    def get_password(_self: object, service: str, user: str) -> str | None:
        if error is not None:
            raise error
        return stored if (service, user) == ("provision:hv01", "admin") else None

    return type("Keyring", (), {"__module__": module, "get_password": get_password})()


def with_keychain(monkeypatch: pytest.MonkeyPatch, found: Any) -> None:
    monkeypatch.setattr("keyring.get_keyring", lambda: found)


@pytest.mark.parametrize("name", ["macOS", "SecretService", "libsecret", "Windows", "kwallet"])
def test_the_password_comes_from_the_keychain(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with_keychain(monkeypatch, backend(f"keyring.backends.{name}"))
    assert find_password(HOST, None, {}) == "hunter2"
    assert find_password(HOST, None, {"PROVISION_PASSWORD": "given"}) == "given"
    assert find_password(replace(HOST, name="hv02"), lambda _question: "typed", {}) == "typed"


@pytest.mark.parametrize(
    "module",
    [
        "keyrings.alt.file",
        "keyring.backends.null",
        "keyring.backends.fail",
        "evil.keyring.backends.Windows",
        "my.macOS",
    ],
)
def test_other_keyrings_are_not_asked(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """They write plain files, or are somebody else's."""
    with_keychain(monkeypatch, backend(module))
    with pytest.raises(Fault) as caught:
        find_password(HOST, None, {})
    assert caught.value.id == "P-LOCAL-PASSWORD"


def test_of_a_chain_of_keyrings_only_those_that_keep_secrets_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = backend("keyring.backends.chainer", stored="of the chain")
    chain.backends = [backend("keyrings.alt.file", "plain"), backend("keyring.backends.kwallet", "kept")]
    with_keychain(monkeypatch, chain)
    assert find_password(HOST, None, {}) == "kept"
    chain.backends = chain.backends[:1]
    with pytest.raises(Fault):
        find_password(HOST, None, {})


def test_a_keychain_that_is_locked_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with_keychain(monkeypatch, backend("keyring.backends.SecretService", error=KeyringLocked("dismissed")))
    with pytest.raises(Fault) as caught:
        find_password(HOST, None, {})
    assert caught.value.seen == ("the keychain cannot be read: dismissed",)
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return "typed"

    assert find_password(HOST, ask, {}) == "typed"
    assert asked == ["Password of admin on hv01 (the keychain cannot be read: dismissed)"]


@pytest.mark.parametrize(
    ("platform", "command"),
    [
        ("darwin", "security add-generic-password -s provision:hv01 -a 'LAB\\my admin' -w"),
        ("linux", "keyring set provision:hv01 'LAB\\my admin'"),
    ],
)
def test_who_has_no_password_is_told_how_to_keep_one(
    monkeypatch: pytest.MonkeyPatch, platform: str, command: str
) -> None:
    with_keychain(monkeypatch, backend("keyring.backends.fail"))
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(Fault) as caught:
        find_password(replace(HOST, user="LAB\\my admin"), None, {})
    assert any(line.endswith(command) for line in caught.value.next_steps)


# --- the lab ----------------------------------------------------------------------------------------------------------


def test_the_lab_inherits_no_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It lives for days, and everybody of this account can read its environment."""
    for name in ("PROVISION_PASSWORD", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "KUBECONFIG"):
        monkeypatch.setenv(name, "hunter2")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    started: dict[str, Any] = {}

    class Popen:
        returncode = 1

        def __init__(self, _command: list[str], *, env: dict[str, str], **_: Any) -> None:
            started.update(env)

        def wait(self, _timeout: float) -> int:
            return 1

    monkeypatch.setattr(subprocess, "Popen", Popen)
    with pytest.raises(control.LabError):
        control.start(tmp_path, speed=1, seed=1)
    assert "hunter2" not in started.values()
    assert {"PATH", "LC_ALL", "HOME"} <= started.keys()


def hide(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("name", ["lab.json", "password", "lab.log", "world.json"])
@pytest.mark.parametrize("make", [Path.mkdir, hide])
def test_what_lies_in_the_way_of_a_labs_files_is_told(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    """Neither waited for nor replaced: a FIFO has a reader that never comes."""
    make(tmp_path / name)
    before = (tmp_path / name).lstat()
    assert read_descriptor(tmp_path) is None
    assert read_password(tmp_path) is None
    with pytest.raises(OSError, match="no file"):
        write_private(tmp_path / name, b"key")
    assert (tmp_path / name).lstat().st_ino == before.st_ino
    if name == "lab.log":
        with pytest.raises(control.LabError, match="cannot be used"):
            control.start(tmp_path, speed=1, seed=1)


@pytest.mark.parametrize("card", [b"[]", b"null", b"{}", b'{"schema": "provision/lab/2"}', b"\xff", b"[" * 5000])
def test_a_damaged_card_is_none(tmp_path: Path, card: bytes) -> None:
    (tmp_path / "lab.json").write_bytes(card)
    assert read_descriptor(tmp_path) is None
