"""Where a password comes from, and where it does not go."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
from keyring.errors import KeyringLocked

from provisioner.credentials import HostCredentials, find_credentials, find_password
from provisioner.errors import Fault
from provisioner.model.cluster import HostSpec
from provisioner.model.redaction import redacted

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


def test_each_host_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with_keychain(monkeypatch, backend("keyring.backends.kwallet"))
    hosts = {"hv01": HOST, "hv02": replace(HOST, name="hv02", user="other")}
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return "typed-in-terminal"

    found = find_credentials(hosts, ask=ask, environment={})
    assert {name: (each.user, each.password, each.ca_path) for name, each in found.items()} == {
        "hv01": ("admin", "hunter2", None),
        "hv02": ("other", "typed-in-terminal", None),
    }
    assert asked == ["Password of other on hv02"], "the keychain is asked first"


def test_a_run_without_a_terminal_never_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    with_keychain(monkeypatch, backend("keyring.backends.fail"))
    with pytest.raises(Fault) as caught:
        find_credentials({"hv01": HOST}, ask=None, environment={})
    assert caught.value.id == "P-LOCAL-PASSWORD"


def test_passwords_are_not_printed() -> None:
    credentials = HostCredentials(user="admin", password="correct horse battery")
    assert "correct horse" not in repr(credentials)
    assert "correct horse" not in redacted("sign-in of admin with correct horse battery failed")
