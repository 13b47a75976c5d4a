"""The private names of other libraries that the client hangs on. If one vanishes, it must be here that it shows."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import requests
from pypsrp.negotiate import HTTPNegotiateAuth
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan, _TransportHTTP

from provisioner.ports import Endpoint
from provisioner.winrm.connection import HostConnection, Reachability
from provisioner.winrm.http import HostAdapter, HostTransport
from provisioner.winrm.transport import SignIn


class OnePlace(HostConnection):
    """A host at one place that has never answered, and for which no outage is tolerated."""

    def __init__(self, port: int = 1, server_name: str = "hv01.lan") -> None:
        place = Endpoint(host="127.0.0.1", port=port, server_name=server_name)
        reachability = Reachability(on_outage=lambda _reason: None, on_first_response=lambda: None)
        super().__init__(reachability, lambda: place)

    def within_outage_tolerance(self, outage_tolerance_s: float) -> bool:
        return False


def transport(**given: object) -> HostTransport:
    return HostTransport(SignIn(user="u", password="p", **given), OnePlace())  # type: ignore[arg-type]


def pool_of(session: requests.Session) -> Any:
    """Where urllib3 keeps its connections to the host."""
    adapter = session.get_adapter("https://x")
    assert isinstance(adapter, HostAdapter)
    return adapter.poolmanager.connection_from_url("https://127.0.0.1:1")


def test_pypsrps_transport_builds_its_session_through_the_hook() -> None:
    made = transport()
    assert "_build_session" in inspect.getsource(_TransportHTTP.send)
    session = made._build_session()
    assert isinstance(session, requests.Session)
    assert isinstance(session.get_adapter("https://127.0.0.1/"), HostAdapter)
    with pytest.raises(requests.exceptions.InvalidSchema):
        session.get_adapter("http://127.0.0.1/")
    assert isinstance(transport(https=False)._build_session().get_adapter("http://127.0.0.1/"), HostAdapter)
    assert made.endpoint == "https://127.0.0.1:1/wsman"
    assert isinstance(session.auth, HTTPNegotiateAuth)
    assert session.auth.hostname_override == "hv01.lan"


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host is reached straight: the probe that watches over a request could not go through a proxy, and NTLM does not."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    session = transport()._build_session()
    assert (session.proxies, session.trust_env) == ({}, False)


def test_authorities_of_the_environment_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/ours.pem")
    assert transport()._build_session().verify == "/ours.pem"


def test_the_certificate_must_bear_the_hosts_name_not_that_of_the_place() -> None:
    pool = pool_of(transport()._build_session())
    assert pool.assert_hostname == "hv01.lan"
    assert pool.conn_kw["server_hostname"] == "hv01.lan"


def test_a_pin_reaches_urllib3_and_nothing_else_is_checked() -> None:
    session = transport(pin="ab" * 32)._build_session()
    pool = pool_of(session)
    assert pool.assert_fingerprint == "ab" * 32
    assert session.verify is False


def test_over_http_messages_must_be_encrypted() -> None:
    assert transport(https=False).wrap_required


def test_wsman_takes_another_transport() -> None:
    assert "self.transport.send(" in inspect.getsource(WSMan.invoke)
    assert "self.transport.endpoint" in inspect.getsource(WSMan._create_header)


def test_a_pipeline_can_be_adopted_by_its_id() -> None:
    source = inspect.getsource(PowerShell._invoke)
    assert "command_id=self.id" in source, "the client chooses the CommandId"
    assert "pipelines[self.id] = self" in source
    assert "_command_id" in inspect.getsource(RunspacePool._receive)


def test_records_come_in_order() -> None:
    assert list(inspect.signature(RunspacePool._receive).parameters) == ["self", "id", "timeout"]
    assert "self.streams.error.append" in inspect.getsource(PowerShell._process_error_record)
    assert "self.streams.error.append" in inspect.getsource(PowerShell._process_pipeline_state)


def test_a_closed_adapter_leaves_no_connection_open_whatever_refers_to_its_pool() -> None:
    """urllib3 closes a pool once it is collected; the traceback of a refusal keeps it, and the peer a connection."""
    session = transport()._build_session()
    pool = pool_of(session)
    session.close()
    assert pool.pool is None
