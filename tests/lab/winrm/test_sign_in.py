"""Every way to sign in, over both transports, by unmodified clients."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import requests
from pypsrp.exceptions import AuthenticationError, WSManFaultError
from pypsrp.powershell import RunspacePool
from requests.auth import HTTPBasicAuth
from winrm.protocol import Protocol

from provisioner.lab.winrm import WinRmEndpoint
from provisioner.lab.world.kernel import Kernel
from tests.lab.winrm.doubles import PASSWORD, USER, TableOfFunctions, call, client_certificate, load, wsman

WAYS: dict[str, dict[str, Any]] = {
    "basic over TLS": {"auth": "basic"},
    "NTLM over TLS": {"auth": "ntlm"},
    "Negotiate over TLS": {"auth": "negotiate"},
    "Negotiate over TLS, encrypted as well": {"auth": "negotiate", "encryption": "always"},
    "NTLM over HTTP, encrypted": {"auth": "ntlm", "ssl": False},
    "Negotiate over HTTP, encrypted": {"auth": "negotiate", "ssl": False},
    "with the host's name": {"username": f"HV01\\{USER}"},
    "with a dot for this computer": {"username": f".\\{USER}"},
    "with the host's name, Basic": {"username": f"hv01\\{USER}", "auth": "basic"},
    "user name in other case": {"username": USER.upper()},
}


@pytest.mark.parametrize("way", WAYS)
def test_signs_in(way: str, endpoint: WinRmEndpoint, functions: TableOfFunctions) -> None:
    with wsman(endpoint, **WAYS[way]) as client, RunspacePool(client) as pool:
        load(pool)
        [result], _ = call(pool, "Get-TalosEcho", Text="日本")
    assert result["Text"] == "日本"
    assert functions.users == {f"HV01\\{USER}"}


@pytest.mark.parametrize("auth", ["basic", "ntlm", "negotiate"])
def test_a_wrong_password_is_refused(auth: str, endpoint: WinRmEndpoint) -> None:
    with pytest.raises(AuthenticationError):
        RunspacePool(wsman(endpoint, auth=auth, password="wrong")).open()
    assert endpoint.stats().sign_in_failures == 1


@pytest.mark.parametrize("auth", ["basic", "ntlm", "negotiate"])
@pytest.mark.parametrize(
    "name",
    [
        "Küche\\{}",
        "AzureAD\\{}",
        "MicrosoftAccount\\{}",
        "a\\b\\{}",
        "hv01\\hv01\\{}",
        "{}@",
        "{}@hv01",
        "{}@example.org",
    ],
)
def test_a_user_of_another_domain_is_not_known(auth: str, name: str, endpoint: WinRmEndpoint) -> None:
    """As on Windows: a local account is signed in as itself, or with this computer in front."""
    with pytest.raises(AuthenticationError):
        RunspacePool(wsman(endpoint, auth=auth, username=name.format(USER))).open()


def test_a_changed_password_counts_at_once(endpoint: WinRmEndpoint, kernel: Kernel) -> None:
    with RunspacePool(wsman(endpoint)):
        pass
    with kernel.lock:
        kernel.state.accounts[0].password = "new"
    with pytest.raises(AuthenticationError):
        RunspacePool(wsman(endpoint)).open()
    with RunspacePool(wsman(endpoint, password="new")):
        pass


def test_who_is_no_administrator_gets_no_powershell(endpoint: WinRmEndpoint) -> None:
    with pytest.raises(WSManFaultError) as refused:
        RunspacePool(wsman(endpoint, username="guest", password="guest")).open()
    assert refused.value.code == 5


def test_a_client_certificate_signs_in(endpoint: WinRmEndpoint, functions: TableOfFunctions) -> None:
    pem = str(client_certificate(endpoint, USER))
    certificate = {
        "auth": "certificate",
        "certificate_pem": pem,
        "certificate_key_pem": pem,
        "username": None,
        "password": None,
    }
    with wsman(endpoint, **certificate) as client, RunspacePool(client) as pool:
        load(pool)
        call(pool, "Get-TalosEcho", Text="x")
    assert functions.users == {f"HV01\\{USER}"}


def test_a_certificate_of_nobody_is_refused(endpoint: WinRmEndpoint) -> None:
    pem = str(client_certificate(endpoint, "nobody"))
    with pytest.raises(AuthenticationError):
        RunspacePool(
            wsman(
                endpoint, auth="certificate", certificate_pem=pem, certificate_key_pem=pem, username=None, password=None
            )
        ).open()


def test_channel_bindings_are_enforced_on_demand(start: Callable[..., WinRmEndpoint]) -> None:
    endpoint = start(require_bindings=True)
    with wsman(endpoint, auth="negotiate") as client, RunspacePool(client):
        pass
    with pytest.raises(AuthenticationError):
        RunspacePool(wsman(endpoint, auth="negotiate", negotiate_send_cbt=False)).open()


def test_an_unknown_ca_is_refused_by_the_client(endpoint: WinRmEndpoint) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        RunspacePool(wsman(endpoint, cert_validation=True)).open()


def test_clear_text_is_refused_without_a_body(endpoint: WinRmEndpoint) -> None:
    with pytest.raises(Exception, match="500"):
        RunspacePool(wsman(endpoint, auth="negotiate", ssl=False, encryption="never")).open()
    assert endpoint.stats().actions == {}


def test_basic_is_not_offered_over_http(endpoint: WinRmEndpoint) -> None:
    answer = requests.post(
        f"http://127.0.0.1:{endpoint.http_port}/wsman", data=b"x", auth=HTTPBasicAuth(USER, PASSWORD), timeout=5
    )
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Negotiate"


@pytest.mark.parametrize(("transport", "ssl"), [("ssl", True), ("ntlm", True), ("ntlm", False)])
def test_pywinrm_signs_in(transport: Literal["ssl", "ntlm"], ssl: bool, endpoint: WinRmEndpoint) -> None:
    client = Protocol(
        f"https://127.0.0.1:{endpoint.https_port}/wsman" if ssl else f"http://127.0.0.1:{endpoint.http_port}/wsman",
        transport=transport,
        username=USER,
        password=PASSWORD,
        ca_trust_path=str(endpoint.ca_path),
        proxy=None,
    )
    shell = client.open_shell()
    command = client.run_command(shell, "no-such-program")
    out, err, code = client.get_command_output(shell, command)
    client.cleanup_command(shell, command)
    client.close_shell(shell)
    assert (out, code) == (b"", 1)
    assert b"'no-such-program' is not recognized" in err
    assert endpoint.stats().open_shells == 0


def test_keys_are_private_and_last(start: Callable[..., WinRmEndpoint], tmp_path: Path) -> None:
    first = start(folder=tmp_path / "w")
    with RunspacePool(wsman(first)):
        pass
    ca, server = first.ca_path.read_bytes(), first.certificates.server_hash()
    first.stop()
    second = start(folder=tmp_path / "w")
    assert (second.ca_path.read_bytes(), second.certificates.server_hash()) == (ca, server)
    for name in ("winrm-ca.key", "winrm-server.pem"):
        assert stat.S_IMODE((tmp_path / "w" / name).stat().st_mode) == 0o600
    assert PASSWORD not in json.dumps([path.read_text() for path in (tmp_path / "w").iterdir()], ensure_ascii=False)
    with RunspacePool(wsman(second)):
        pass


def test_a_port_that_is_taken_is_said(start: Callable[..., WinRmEndpoint], tmp_path: Path) -> None:
    first = start()
    with pytest.raises(OSError):
        start(folder=tmp_path / "other", https_port=first.https_port)
