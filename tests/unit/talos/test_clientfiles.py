"""talosconfig and kubeconfig: what is in them, and how they get into a file that somebody else has written."""

from __future__ import annotations

import base64
import copy
from datetime import timedelta
from typing import Any

import pytest
import yaml as pyyaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from provisioner.talos import clientfiles, pki, yaml, yamledit
from tests.unit.talos.helpers import CONFIGS, NOW, SAME_EXAMPLES, bundle, cluster

TALOS = CONFIGS.talosconfig(cluster(), bundle(), endpoints=["127.0.0.1:50000"], nodes=["192.0.2.10"])
KUBE = CONFIGS.kubeconfig(cluster(), bundle(), server="https://192.0.2.10:6443")
CONTEXT = "admin@home"

THEIRS = """\
# my clusters
apiVersion: v1
kind: Config
preferences: {}
clusters:
# at work
- cluster:
    server:   "https://work:6443"  # behind the VPN
  name: work
# in the cellar
- name: cellar
  cluster: {server: https://cellar:6443, proxy-url: socks5://localhost:1080}
# who I am
users:
- name: me
  user:
    token: abc   # changes daily

contexts:
- context:
    cluster: work
    user: me
  name: work
current-context: work
# the end
"""


def test_the_talosconfig() -> None:
    document = yaml.load(TALOS)
    context = document["contexts"]["home"]
    assert document["context"] == "home"
    assert list(context) == ["endpoints", "nodes", "ca", "crt", "key"]
    assert (context["endpoints"], context["nodes"]) == (["127.0.0.1:50000"], ["192.0.2.10"])
    certificate = x509.load_pem_x509_certificate(base64.b64decode(context["crt"]))
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(base64.b64decode(context["ca"])))
    key = base64.b64decode(context["key"])
    assert key.startswith(b"-----BEGIN ED25519 PRIVATE KEY")
    assert pki.load_key(key).public_key() == certificate.public_key()
    assert (
        "nodes" not in yaml.load(CONFIGS.talosconfig(cluster(), bundle(), endpoints=[], nodes=[]))["contexts"]["home"]
    )


def test_the_kubeconfig() -> None:
    document = yaml.load(KUBE)
    assert document["current-context"] == CONTEXT
    assert document["contexts"] == [
        {"name": CONTEXT, "context": {"cluster": "home", "namespace": "default", "user": CONTEXT}}
    ]
    assert document["clusters"][0]["cluster"]["server"] == "https://192.0.2.10:6443"
    ca = x509.load_pem_x509_certificate(
        base64.b64decode(document["clusters"][0]["cluster"]["certificate-authority-data"])
    )
    user = document["users"][0]["user"]
    certificate = x509.load_pem_x509_certificate(base64.b64decode(user["client-certificate-data"]))
    certificate.verify_directly_issued_by(ca)
    assert certificate.subject.rfc4514_string() == "CN=admin,O=system:masters"
    assert certificate.not_valid_before_utc < NOW
    assert certificate.not_valid_after_utc - NOW == timedelta(hours=8760)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_encipherment
    assert usage.digital_signature
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    key = load_pem_private_key(base64.b64decode(user["client-key-data"]), None)
    assert key.public_key() == certificate.public_key()


# --- kubeconfig -------------------------------------------------------------------------------------------------------


def test_merging_adds_lines_and_changes_none() -> None:
    merged = clientfiles.merge_kubeconfig(THEIRS.encode(), CONTEXT, KUBE).decode()
    rest = iter(merged.splitlines())
    assert all(line in rest for line in THEIRS.splitlines()), "every line of theirs is there, in order"
    document = pyyaml.safe_load(merged)
    assert [item["name"] for item in document["clusters"]] == ["work", "cellar", "home"]
    assert document["current-context"] == "work", "the current context is theirs"
    assert merged.index("name: home") < merged.index("# who I am"), "a comment stays with what it is about"


def test_removing_gives_the_file_back() -> None:
    merged = clientfiles.merge_kubeconfig(THEIRS.encode(), CONTEXT, KUBE)
    assert clientfiles.remove_from_kubeconfig(merged, CONTEXT) == THEIRS.encode()
    assert clientfiles.remove_from_kubeconfig(THEIRS.encode(), CONTEXT) == THEIRS.encode()


def test_removing_keeps_the_comment_of_the_next_entry() -> None:
    left = clientfiles.remove_from_kubeconfig(THEIRS.encode(), "work").decode()
    assert "# in the cellar\n- name: cellar" in left
    assert "work:6443" not in left
    assert "clusters:\n# at work\n# in the cellar\n" in left
    assert pyyaml.safe_load(left)["users"] == []
    assert pyyaml.safe_load(left)["current-context"] == ""
    assert "# the end" in left


def test_what_another_context_uses_is_not_removed() -> None:
    text = "contexts:\n- name: a\n  context: {cluster: c, user: u}\n- name: b\n  context: {cluster: c, user: v}\nclusters:\n- name: c\nusers:\n- name: u\n- name: v\n"
    left = pyyaml.safe_load(clientfiles.remove_from_kubeconfig(text.encode(), "a"))
    assert [item["name"] for item in left["clusters"]] == ["c"]
    assert [item["name"] for item in left["users"]] == ["v"]


def test_renewing_keeps_what_the_user_added_to_our_context() -> None:
    merged = clientfiles.merge_kubeconfig(THEIRS.encode(), CONTEXT, KUBE).decode()
    changed = (
        merged.replace("namespace: default", "namespace: mine  # I live here")
        .replace("    server: https://192.0.2.10:6443", "    tls-server-name: x\n    server: https://192.0.2.10:6443")
        .replace("current-context: work", "current-context: admin@home")
    )
    newer = CONFIGS.kubeconfig(cluster(), bundle(), server="https://192.0.2.77:6443")
    renewed = clientfiles.merge_kubeconfig(changed.encode(), CONTEXT, newer).decode()
    assert "namespace: mine  # I live here" in renewed
    assert "tls-server-name: x" in renewed
    assert "https://192.0.2.77:6443" in renewed
    assert "https://192.0.2.10:6443" not in renewed
    assert pyyaml.safe_load(renewed)["current-context"] == CONTEXT


def test_other_ways_to_sign_in_as_us_are_replaced() -> None:
    text = "users:\n- name: admin@home\n  user: {token: old}\n"
    merged = pyyaml.safe_load(clientfiles.merge_kubeconfig(text.encode(), CONTEXT, KUBE))
    assert set(merged["users"][0]["user"]) == {"client-certificate-data", "client-key-data"}


def test_a_cluster_of_theirs_with_the_name_of_ours_stays_theirs() -> None:
    theirs = THEIRS.replace("name: cellar", "name: home").replace("cluster: work\n", "cluster: home\n")
    merged = clientfiles.merge_kubeconfig(theirs.encode(), CONTEXT, KUBE)
    document = pyyaml.safe_load(merged)
    servers = {item["name"]: item["cluster"]["server"] for item in document["clusters"]}
    assert servers == {
        "work": "https://work:6443",
        "home": "https://cellar:6443",
        "home-1": "https://192.0.2.10:6443",
    }
    (ours,) = (item["context"] for item in document["contexts"] if item["name"] == CONTEXT)
    assert (ours["cluster"], ours["user"]) == ("home-1", CONTEXT)
    assert clientfiles.merge_kubeconfig(merged, CONTEXT, KUBE) == merged, "known again by our context"
    assert clientfiles.remove_from_kubeconfig(merged, CONTEXT) == theirs.encode()


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "---\n", "{}\n", "apiVersion: v1\nkind: Config\nclusters: null\n"]
)
def test_where_there_was_no_context_ours_becomes_current(text: str) -> None:
    merged = clientfiles.merge_kubeconfig(text.encode(), CONTEXT, KUBE)
    document = pyyaml.safe_load(merged)
    assert document["current-context"] == CONTEXT
    assert document["clusters"] == pyyaml.safe_load(KUBE)["clusters"]
    assert merged.decode().startswith(text if text.startswith("#") else "")
    assert clientfiles.merge_kubeconfig(merged, CONTEXT, KUBE) == merged


def test_a_file_as_json_is_merged_too() -> None:
    text = '{"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "a", "cluster": {"server": "https://a"}}], "current-context": "a"}'
    merged = clientfiles.merge_kubeconfig(text.encode(), CONTEXT, KUBE)
    document = pyyaml.safe_load(merged)
    assert [item["name"] for item in document["clusters"]] == ["a", "home"]
    assert document["current-context"] == "a"
    assert clientfiles.merge_kubeconfig(merged, CONTEXT, KUBE) == merged


def test_a_file_with_anchors_is_merged_too() -> None:
    text = "clusters:\n- name: a\n  cluster: &c {server: https://a}\n- name: b\n  cluster: *c\n"
    document = pyyaml.safe_load(clientfiles.merge_kubeconfig(text.encode(), CONTEXT, KUBE))
    assert [item["name"] for item in document["clusters"]] == ["a", "b", "home"]
    assert document["clusters"][1]["cluster"] == {"server": "https://a"}


@pytest.mark.parametrize(
    "text", [b"a: [", b"- a\n", b"clusters: a\n", b"clusters: [{cluster: {}}]\n", b"contexts: {a: b}\n", b"\xff\xff"]
)
def test_a_file_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(clientfiles.ClientFileError):
        clientfiles.merge_kubeconfig(text, CONTEXT, KUBE)


# --- talosconfig ------------------------------------------------------------------------------------------------------


def test_a_talosconfig_of_others_is_merged_and_restored() -> None:
    theirs = "context: omni  # at work\ncontexts:\n    omni:\n        endpoints:\n            - https://omni.example\n        auth:\n            siderov1:\n                identity: me@example.com\n    # old\n    old: {endpoints: []}\n"
    merged = clientfiles.merge_talosconfig(theirs.encode(), "home", TALOS)
    rest = iter(merged.decode().splitlines())
    assert all(line in rest for line in theirs.splitlines())
    document = pyyaml.safe_load(merged)
    assert document["context"] == "omni"
    assert document["contexts"]["home"] == pyyaml.safe_load(TALOS)["contexts"]["home"]
    assert clientfiles.remove_from_talosconfig(merged, "home") == theirs.encode()


def test_another_clusters_key_is_kept_under_another_name() -> None:
    theirs = b"context: home\ncontexts:\n    home:\n        endpoints: [192.0.2.99]\n        ca: b3RoZXI=\n        key: a2V5\n"
    merged = clientfiles.merge_talosconfig(theirs, "home", TALOS)
    document = pyyaml.safe_load(merged)
    assert document["contexts"]["home-1"] == pyyaml.safe_load(theirs)["contexts"]["home"]
    assert document["contexts"]["home"] == pyyaml.safe_load(TALOS)["contexts"]["home"]
    assert document["context"] == "home-1", "the current context stays what it was"
    assert clientfiles.merge_talosconfig(merged, "home", TALOS) == merged


def test_renewing_a_talosconfig() -> None:
    merged = clientfiles.merge_talosconfig(b"", "home", TALOS)
    assert pyyaml.safe_load(merged) == pyyaml.safe_load(TALOS)
    extended = merged.replace(b"        ca:", b"        cluster: mine\n        ca:")
    newer = CONFIGS.talosconfig(cluster(), bundle(), endpoints=["192.0.2.1", "192.0.2.2"], nodes=[])
    renewed = pyyaml.safe_load(clientfiles.merge_talosconfig(extended, "home", newer))["contexts"]["home"]
    assert renewed == pyyaml.safe_load(newer)["contexts"]["home"] | {"cluster": "mine"}
    gone = pyyaml.safe_load(clientfiles.remove_from_talosconfig(merged, "home"))
    assert gone == {"context": "", "contexts": {}}
    assert clientfiles.remove_from_talosconfig(b"", "home") == b""


# --- any file ---------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "home", CONTEXT])
INNER = st.dictionaries(
    st.sampled_from(["server", "cluster", "user", "namespace", "token", "note"]),
    st.sampled_from(["a", "b", "off", "10:20:30", "", "x: y", "# no comment", "two\nlines\n"])
    | st.none()
    | st.integers(0, 9),
    max_size=3,
)


def entries(inner: str) -> st.SearchStrategy[list[dict[str, Any]] | None]:
    entry: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {"name": NAMES}, optional={inner: INNER, "extra": INNER}
    )
    return st.none() | st.lists(entry, max_size=3, unique_by=lambda item: str(item["name"]))


FILES = st.fixed_dictionaries(
    {},
    optional={
        "apiVersion": st.just("v1"),
        "clusters": entries("cluster"),
        "users": entries("user"),
        "contexts": entries("context"),
        "current-context": st.sampled_from(["", "a", CONTEXT]) | st.none(),
        "note": INNER,
    },
)
STYLES = st.fixed_dictionaries(
    {
        "default_flow_style": st.sampled_from([False, None, True]),
        "indent": st.sampled_from([2, 4]),
        "explicit_start": st.booleans(),
    }
)


@SAME_EXAMPLES
@given(FILES, STYLES)
def test_merging_is_idempotent_and_removing_leaves_theirs(data: dict[str, Any], style: dict[str, Any]) -> None:
    text = str(pyyaml.safe_dump(data, sort_keys=False, **style)).encode()
    merged = clientfiles.merge_kubeconfig(text, CONTEXT, KUBE)
    assert clientfiles.merge_kubeconfig(merged, CONTEXT, KUBE) == merged
    document = pyyaml.safe_load(merged)
    (ours,) = (item["context"] for item in document["contexts"] if item["name"] == CONTEXT)
    for section, name in (("clusters", ours["cluster"]), ("users", ours["user"]), ("contexts", CONTEXT)):
        theirs = [item for item in data.get(section) or [] if item["name"] != name]
        assert [item for item in document[section] if item["name"] != name] == theirs
    contexts = {item["name"]: item.get("context") or {} for item in data.get("contexts") or []}
    before = contexts.pop(CONTEXT, {})
    for inner in ("cluster", "user"):
        taken = {context.get(inner) for context in contexts.values()} - {before.get(inner)}
        assert ours[inner] not in taken, "what only contexts of theirs use stays theirs"
    assert document["current-context"] == (data.get("current-context") or CONTEXT)
    removed = pyyaml.safe_load(clientfiles.remove_from_kubeconfig(merged, CONTEXT))
    assert CONTEXT not in [item["name"] for item in removed["contexts"]]


@SAME_EXAMPLES
@given(FILES, FILES.filter(bool), STYLES, st.booleans())
def test_an_edited_file_holds_what_was_wanted(
    before: dict[str, Any], after: dict[str, Any], style: dict[str, Any], commented: bool
) -> None:
    text = str(pyyaml.safe_dump(before, sort_keys=False, **style))
    if commented and style["default_flow_style"] is False:
        text = "# first\n" + text.replace("\nclusters", "\n# about clusters\nclusters")
    before_after = copy.deepcopy(after)
    edited = yamledit.edit(text, after)
    assert after == before_after, "what is wanted is not changed"
    assert yaml.load(edited) == after
    assert edited.count("#") >= text.count("# first")
