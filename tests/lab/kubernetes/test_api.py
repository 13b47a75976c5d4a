"""The API's own manners: who may ask, what a refusal looks like, watches, patches, and listeners that come and go."""

from __future__ import annotations

import socket
import ssl
from datetime import timedelta
from typing import Any

import pytest
import requests

from provisioner.lab.kubernetes import patching, selectors, tables
from provisioner.lab.world.kube.store import KubeError
from provisioner.talos import pki
from tests.lab.kubernetes.helpers import SERVER, Client, Served
from tests.unit.talos.helpers import NOW

STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}


# --- who may ask


def test_nobody_may_ask_how_it_is_and_nothing_else(anonymous: Client) -> None:
    for path in ("/readyz", "/livez", "/healthz"):
        assert anonymous.ask("GET", path).text == "ok"
    assert anonymous.get("/version")["gitVersion"] == "v1.34.1"
    answer = anonymous.ask("GET", "/api/v1/nodes")
    assert answer.status_code == 403
    status = answer.json()
    assert (status["kind"], status["reason"], status["code"]) == ("Status", "Forbidden", 403)
    assert status["message"] == (
        'nodes is forbidden: User "system:anonymous" cannot list resource "nodes" in API group "" at the cluster scope'
    )
    assert anonymous.ask("GET", "/api").status_code == 403
    assert anonymous.ask("GET", "/readyzz").status_code == 403


def test_a_certificate_of_the_cluster_without_the_right_group(served: Served) -> None:
    with requests.Session() as session:
        session.trust_env = False
        user = Client(session, served, served.certificate("developers", "jane"))
        answer = user.ask("DELETE", "/api/v1/namespaces/kube-system/pods/x")
    assert answer.status_code == 403
    assert 'pods "x" is forbidden: User "jane" cannot delete resource "pods"' in answer.json()["message"]


def test_a_certificate_of_another_ca_is_turned_away_by_an_alert(served: Served) -> None:
    other = pki.new_ca("kubernetes", pki.KeyType.ECDSA_P256, NOW)
    crt, key = served.certificate("system:masters", "admin", other)
    context = ssl.create_default_context(cafile=str(served.ca))
    context.load_cert_chain(crt, key)
    port = served.routes.loopback_port(SERVER, 6443)
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
                secure.recv(1)  # with TLS 1.3 the server's judgement comes after the client's handshake


def test_a_token_is_no_way_in(anonymous: Client) -> None:
    answer = anonymous.ask("GET", "/api/v1/nodes", headers={"Authorization": "Bearer abc"})
    assert (answer.status_code, answer.json()["reason"]) == (401, "Unauthorized")


def test_the_server_certificate_is_good_for_its_names(served: Served) -> None:
    port = served.routes.loopback_port(SERVER, 6443)
    for name in ("127.0.0.1", SERVER, "10.96.0.1", "kubernetes.default.svc.cluster.local", "localhost", "cp1"):
        context = ssl.create_default_context(cafile=str(served.ca))
        with socket.create_connection(("127.0.0.1", port), 10) as plain:
            with context.wrap_socket(plain, server_hostname=name) as secure:
                assert secure.version() in ("TLSv1.2", "TLSv1.3")
    context = ssl.create_default_context(cafile=str(served.ca))
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(plain, server_hostname="192.0.2.101")


# --- refusals


@pytest.mark.parametrize(
    ("method", "path", "body", "code", "reason"),
    [
        ("GET", "/api/v1/nodes/nobody", None, 404, "NotFound"),
        ("GET", "/api/v1/gizmos", None, 404, "NotFound"),
        ("GET", "/apis/apps/v2/daemonsets", None, 404, "NotFound"),
        ("GET", "/openapi/v2", None, 404, "NotFound"),
        ("GET", "/api/v1/nodes/cp1/proxy", None, 404, "NotFound"),
        ("POST", "/api/v1/nodes/cp1", {}, 405, "MethodNotAllowed"),
        ("POST", "/api/v1/namespaces", {"metadata": {"name": "default"}}, 409, "AlreadyExists"),
        ("POST", "/api/v1/namespaces", {"kind": "Pod", "metadata": {"name": "x"}}, 400, "BadRequest"),
        ("POST", "/api/v1/namespaces", {"metadata": {}}, 422, "Invalid"),
        ("POST", "/api/v1/namespaces/no/configmaps", {"metadata": {"name": "x"}}, 404, "NotFound"),
        ("GET", "/api/v1/nodes?fieldSelector=spec.colour%3Dred", None, 400, "BadRequest"),
        ("PATCH", "/api/v1/nodes/cp1", {"metadata": {"name": "other"}}, 400, "BadRequest"),
        ("PATCH", "/api/v1/nodes/nobody", {}, 404, "NotFound"),
    ],
)
def test_refusals_are_statuses(client: Client, method: str, path: str, body: Any, code: int, reason: str) -> None:  # noqa: PLR0917 - columns of a table
    headers = STRATEGIC if method == "PATCH" else {}
    answer = client.ask(method, path, json=body, headers=headers)
    status = answer.json()
    assert (answer.status_code, status["code"], status["reason"]) == (code, code, reason), status


def test_a_body_that_is_none(client: Client) -> None:
    assert client.ask("POST", "/api/v1/namespaces", data=b"{").status_code == 400
    binary = {"Content-Type": "application/vnd.kubernetes.protobuf"}
    assert client.ask("POST", "/api/v1/namespaces", data=b"k8s\0", headers=binary).status_code == 415
    assert client.ask("PATCH", "/api/v1/nodes/cp1", json={}).status_code == 415


def test_an_old_version_conflicts(client: Client) -> None:
    node = client.get("/api/v1/nodes/w3")
    client.ask("PATCH", "/api/v1/nodes/w3", json={"metadata": {"labels": {"a": "b"}}}, headers=STRATEGIC)
    node["metadata"]["labels"]["a"] = "c"
    answer = client.ask("PUT", "/api/v1/nodes/w3", json=node)
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")
    answer = client.ask("DELETE", "/api/v1/nodes/w3", json={"preconditions": {"uid": "another"}})
    assert answer.status_code == 409


def test_a_dry_run_changes_nothing(client: Client) -> None:
    before = client.get("/api/v1/nodes/w3")
    answer = client.ask(
        "PATCH", "/api/v1/nodes/w3?dryRun=All", json={"spec": {"unschedulable": True}}, headers=STRATEGIC
    )
    assert answer.json()["spec"]["unschedulable"] is True
    assert client.get("/api/v1/nodes/w3") == before


def test_status_and_spec_are_written_apart(client: Client) -> None:
    body = {"spec": {"unschedulable": True}, "status": {"phase": "strange"}}
    patched = client.ask("PATCH", "/api/v1/nodes/w3/status", json=body, headers=STRATEGIC).json()
    assert "unschedulable" not in patched["spec"]
    assert patched["status"]["phase"] == "strange"
    patched = client.ask("PATCH", "/api/v1/nodes/w3", json={"status": {"phase": "other"}}, headers=STRATEGIC).json()
    assert patched["status"]["phase"] == "strange"


# --- watches


def test_a_watch_from_a_version_brings_what_happened_since(client: Client) -> None:
    version = client.get("/api/v1/nodes")["metadata"]["resourceVersion"]
    for value in ("1", "2"):
        client.ask("PATCH", "/api/v1/nodes/w1", json={"metadata": {"labels": {"seen": value}}}, headers=STRATEGIC)
    events = list(
        client.watch("/api/v1/nodes", resourceVersion=version, fieldSelector="metadata.name=w1", timeoutSeconds="1")
    )
    labels = [event["object"]["metadata"]["labels"].get("seen") for event in events]
    assert [event["type"] for event in events] == ["MODIFIED", "MODIFIED"]
    assert labels == ["1", "2"]


def test_a_watch_by_labels_sees_objects_come_and_go(client: Client) -> None:
    version = client.get("/api/v1/nodes")["metadata"]["resourceVersion"]
    for value in ("here", "still here", None):
        client.ask("PATCH", "/api/v1/nodes/w2", json={"metadata": {"labels": {"mine": value}}}, headers=STRATEGIC)
    events = list(client.watch("/api/v1/nodes", resourceVersion=version, labelSelector="mine", timeoutSeconds="1"))
    assert [event["type"] for event in events] == ["ADDED", "MODIFIED", "DELETED"]


def test_a_watch_from_nowhere_begins_with_all(client: Client) -> None:
    events = list(client.watch("/api/v1/nodes", timeoutSeconds="1"))
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [
        ("ADDED", name) for name in ("cp1", "w1", "w2", "w3")
    ]


def test_a_watch_that_lists_ends_the_list_with_a_bookmark(client: Client) -> None:
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    events = list(client.watch("/api/v1/nodes", timeoutSeconds="1", **query))
    assert [event["type"] for event in events[:5]] == ["ADDED"] * 4 + ["BOOKMARK"]
    assert events[4]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_version_that_is_forgotten_is_gone(client: Client) -> None:
    (event,) = client.watch("/api/v1/nodes", resourceVersion="5", timeoutSeconds="1")
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


def test_a_watch_hears_at_once(client: Client) -> None:
    version = client.get("/api/v1/nodes")["metadata"]["resourceVersion"]
    watch = client.watch("/api/v1/nodes", resourceVersion=version, timeoutSeconds="20")
    with requests.Session() as session:
        session.trust_env = False
        other = Client(session, client._served, client._served.admin)
        other.ask("PATCH", "/api/v1/nodes/w1", json={"metadata": {"labels": {"now": "yes"}}}, headers=STRATEGIC)
        assert next(watch)["object"]["metadata"]["labels"]["now"] == "yes"
    watch.close()


def test_a_watcher_that_leaves_is_no_error(served: Served, client: Client, caplog: pytest.LogCaptureFixture) -> None:
    version = client.get("/api/v1/nodes")["metadata"]["resourceVersion"]
    with requests.Session() as session:
        session.trust_env = False
        leaving = Client(session, served, served.admin).watch("/api/v1/nodes", timeoutSeconds="20")
        assert next(leaving)["type"] == "ADDED"
        leaving.close()
    for label in ("yes", None):  # what is sent first may still fit into the buffers of a connection that is gone
        client.ask("PATCH", "/api/v1/nodes/w2", json={"metadata": {"labels": {"left": label}}}, headers=STRATEGIC)
        staying = client.watch("/api/v1/nodes", resourceVersion=version, timeoutSeconds="1")
        assert any(event["object"]["metadata"]["name"] == "w2" for event in staying)
    assert not [record for record in caplog.records if record.name.startswith("aiohttp")]


# --- listeners


def test_listeners_come_and_go_with_the_control_plane(served: Served, client: Client) -> None:
    machines = served.machines
    port = served.routes.loopback_port(SERVER, 6443)
    machines.power_off("cp1")
    served.servers.settle()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 10)
    machines.boot("cp1")
    machines.wait(lambda: machines.kube.static_pods_ready(machines.guests["cp1"]))
    served.servers.settle()
    assert served.routes.loopback_port(SERVER, 6443) == port, "files of clients stay right"
    assert client.ask("GET", "/readyz").text == "ok"
    machines.wait(machines.healthy)


def test_a_machine_that_cannot_be_reached_is_silent(served: Served) -> None:
    machines = served.machines
    port = served.routes.loopback_port(SERVER, 6443)
    with machines.kernel.lock:
        machines.guests["cp1"].reachable = False
    served.servers.settle()
    context = ssl.create_default_context(cafile=str(served.ca))
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        plain.settimeout(0.3)
        with pytest.raises(TimeoutError):
            context.wrap_socket(plain, server_hostname="127.0.0.1")
    with machines.kernel.lock:
        machines.guests["cp1"].reachable = True
    served.servers.settle()


# --- small parts


@pytest.mark.parametrize(
    ("kind", "patch", "expected"),
    [
        (patching.MERGE_PATCH, {"a": None, "l": [3]}, {"l": [3], "conditions": [{"type": "A", "status": "1"}]}),
        (patching.STRATEGIC_PATCH, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        (patching.STRATEGIC_PATCH, {"a": {"$patch": "replace", "c": 2}}, {"a": {"c": 2}}),
        (
            patching.STRATEGIC_PATCH,
            {"conditions": [{"type": "A", "status": "2"}, {"type": "B"}], "$setElementOrder/conditions": []},
            {"conditions": [{"type": "A", "status": "2"}, {"type": "B"}]},
        ),
        (patching.STRATEGIC_PATCH, {"conditions": [{"type": "A", "$patch": "delete"}]}, {"conditions": []}),
        (patching.STRATEGIC_PATCH, {"l": [3]}, {"l": [3]}),
        (patching.STRATEGIC_PATCH, {"finalizers": ["x"]}, {"finalizers": ["x"]}),
        (patching.JSON_PATCH, [{"op": "replace", "path": "/a/b", "value": 5}], {"a": {"b": 5}}),
    ],
)
def test_patches(kind: str, patch: Any, expected: dict[str, Any]) -> None:
    body = {"a": {"b": 1}, "l": [1, 2], "conditions": [{"type": "A", "status": "1"}]}
    result = patching.apply(kind, body, patch)
    assert {key: result[key] for key in expected} == expected
    assert body["a"] == {"b": 1}, "the old body stays"


@pytest.mark.parametrize(
    ("patch", "code"),
    [
        ([{"op": "test", "path": "/a", "value": 5}], 400),
        ([{"op": "remove", "path": "/nothing"}], 422),
        ({"a": 1}, 400),
    ],
)
def test_json_patches_that_fail(patch: Any, code: int) -> None:
    with pytest.raises(KubeError) as caught:
        patching.apply(patching.JSON_PATCH, {"a": 1}, patch)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("labels", "matches"),
    [
        ("", True),
        ("a=b", True),
        ("a==b,c", True),
        ("a!=b", False),
        ("!a", False),
        ("d", False),
        ("a in (x, b)", True),
        ("a notin (b)", False),
        ("d notin (b)", True),
    ],
)
def test_label_selectors(labels: str, matches: bool) -> None:
    assert selectors.matcher(labels, "")({"metadata": {"labels": {"a": "b", "c": ""}}}) == matches


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (185, "3m5s"),
        (3600, "60m"),
        (12600, "3h30m"),
        (90000, "25h"),
        (200000, "2d7h"),
        (800000, "9d"),
    ],
)
def test_ages(seconds: int, text: str) -> None:
    assert tables.age((NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ"), NOW) == text
