"""talosconfig and kubeconfig: what is in them, and how they get into a file that somebody else has written."""

from __future__ import annotations

import base64
import copy
import itertools
import json
from datetime import timedelta
from typing import Any

import pytest
import yaml as pyyaml
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from provisioner.talos import clienttext, kubeconfigs, pki, secrets, talosconfigs, yaml, yamledit
from tests.unit.talos.helpers import CONFIGS, NOW, SAME_EXAMPLES, bundle, cluster

TALOS = CONFIGS.talosconfig(cluster(), bundle(), endpoints=["127.0.0.1:50000"], nodes=["192.0.2.10"])
KUBE = CONFIGS.kubeconfig(cluster(), bundle(), server="https://192.0.2.10:6443")
CONTEXT = "admin@home"
KUBECONFIGS = kubeconfigs.KubeconfigFile()
TALOSCONFIGS = talosconfigs.TalosconfigFile()
KUBE_OURS = kubeconfigs.authority_of(yaml.load(KUBE))
OTHERS = CONFIGS.kubeconfig(cluster(), secrets.stand_in(NOW), server="https://192.0.2.99:6443").decode()
"""Of another cluster that has the same name."""

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
    merged = KUBECONFIGS.merge(THEIRS.encode(), KUBE, ()).decode()
    rest = iter(merged.splitlines())
    assert all(line in rest for line in THEIRS.splitlines()), "every line of theirs is there, in order"
    document = pyyaml.safe_load(merged)
    assert [item["name"] for item in document["clusters"]] == ["work", "cellar", "home"]
    assert document["current-context"] == "work", "the current context is theirs"
    assert merged.index("name: home") < merged.index("# who I am"), "a comment stays with what it is about"


def test_removing_gives_the_file_back() -> None:
    merged = KUBECONFIGS.merge(THEIRS.encode(), KUBE, ())
    assert KUBECONFIGS.remove(merged, CONTEXT, KUBE, None) == THEIRS.encode()
    assert KUBECONFIGS.remove(THEIRS.encode(), CONTEXT, KUBE, None) == THEIRS.encode()


def test_removing_keeps_the_comment_of_the_next_entry() -> None:
    merged = KUBECONFIGS.merge(THEIRS.encode(), KUBE, ()).decode()
    commented = merged.replace(
        "# who I am\n", "# next\n- name: last\n  cluster: {server: https://last:6443}\n# who I am\n"
    )
    left = KUBECONFIGS.remove(commented.encode(), CONTEXT, KUBE, None).decode()
    assert "# next\n- name: last" in left
    assert "192.0.2.10:6443" not in left
    assert "# the end" in left


def test_what_another_context_uses_is_not_removed() -> None:
    merged = KUBECONFIGS.merge(b"", KUBE, ()).decode()
    document = pyyaml.safe_load(merged)
    document["contexts"].append({"name": "mine", "context": {"cluster": "home", "user": "v"}})
    document["users"].append({"name": "v", "user": {"token": "x"}})
    left = pyyaml.safe_load(KUBECONFIGS.remove(pyyaml.safe_dump(document).encode(), CONTEXT, KUBE, None))
    assert [item["name"] for item in left["clusters"]] == ["home"]
    assert [item["name"] for item in left["users"]] == ["v"]
    assert [item["name"] for item in left["contexts"]] == ["mine"]


def test_renewing_keeps_what_the_user_added_to_our_context() -> None:
    merged = KUBECONFIGS.merge(THEIRS.encode(), KUBE, ()).decode()
    changed = (
        merged.replace("namespace: default", "namespace: mine  # I live here")
        .replace("    server: https://192.0.2.10:6443", "    tls-server-name: x\n    server: https://192.0.2.10:6443")
        .replace("current-context: work", "current-context: admin@home")
    )
    newer = CONFIGS.kubeconfig(cluster(), bundle(), server="https://192.0.2.77:6443")
    renewed = KUBECONFIGS.merge(changed.encode(), newer, ()).decode()
    assert "namespace: mine  # I live here" in renewed
    assert "tls-server-name: x" in renewed
    assert "https://192.0.2.77:6443" in renewed
    assert "https://192.0.2.10:6443" not in renewed
    assert pyyaml.safe_load(renewed)["current-context"] == CONTEXT


@pytest.mark.parametrize(
    "user", ["{token: old}", "{exec: {command: login}}", "{client-certificate: /a.crt, client-key: /a.key}"]
)
def test_a_user_who_signs_in_otherwise_stays_theirs(user: str) -> None:
    text = f"users:\n- name: admin@home\n  user: {user}\n"
    merged = pyyaml.safe_load(KUBECONFIGS.merge(text.encode(), KUBE, ()))
    theirs, ours = merged["users"]
    assert theirs == pyyaml.safe_load(text)["users"][0]
    assert ours["name"] == "admin@home-1"
    assert merged["contexts"][0]["context"]["user"] == "admin@home-1"


def test_a_cluster_of_theirs_with_the_name_of_ours_stays_theirs() -> None:
    theirs = THEIRS.replace("name: cellar", "name: home").replace("cluster: work\n", "cluster: home\n")
    merged = KUBECONFIGS.merge(theirs.encode(), KUBE, ())
    document = pyyaml.safe_load(merged)
    servers = {item["name"]: item["cluster"]["server"] for item in document["clusters"]}
    assert servers == {
        "work": "https://work:6443",
        "home": "https://cellar:6443",
        "home-1": "https://192.0.2.10:6443",
    }
    (ours,) = (item["context"] for item in document["contexts"] if item["name"] == CONTEXT)
    assert (ours["cluster"], ours["user"]) == ("home-1", CONTEXT)
    assert KUBECONFIGS.merge(merged, KUBE, ()) == merged, "known again by its authority"
    assert KUBECONFIGS.remove(merged, CONTEXT, KUBE, None) == theirs.encode()


def test_another_clusters_context_of_our_name_stays_theirs() -> None:
    """Talosctl calls its contexts as we do, and the key of another cluster may be in no other place."""
    merged = KUBECONFIGS.merge(OTHERS.encode(), KUBE, ())
    document = pyyaml.safe_load(merged)
    theirs = pyyaml.safe_load(OTHERS)
    for section in ("clusters", "users", "contexts"):
        assert document[section][0] == theirs[section][0]
    assert document["contexts"][1] == {
        "name": "admin@home-1",
        "context": {"cluster": "home-1", "user": "admin@home-1", "namespace": "default"},
    }
    assert [item["name"] for item in document["clusters"]] == ["home", "home-1"]
    assert document["current-context"] == CONTEXT, "theirs stays current"
    assert KUBECONFIGS.merge(merged, KUBE, ()) == merged
    assert KUBECONFIGS.remove(merged, CONTEXT, KUBE, None).decode() == OTHERS
    assert KUBECONFIGS.remove(OTHERS.encode(), CONTEXT, KUBE, None).decode() == OTHERS


def test_a_renewed_certificate_of_the_same_authority_is_ours() -> None:
    """As `talosctl kubeconfig` writes it, or an earlier run."""
    earlier = CONFIGS.kubeconfig(cluster(), bundle(), server="https://192.0.2.10:6443")
    assert earlier != KUBE
    merged = KUBECONFIGS.merge(earlier, KUBE, ())
    assert pyyaml.safe_load(merged) == pyyaml.safe_load(KUBE)


def test_another_persons_certificate_of_the_same_authority_is_theirs() -> None:
    alice = pki.new_client_certificate(bundle().kubernetes, NOW, organizations=["devs"], common_name="alice")
    document = pyyaml.safe_load(KUBE)
    document["users"][0]["user"] = {
        "client-certificate-data": base64.b64encode(alice.crt).decode(),
        "client-key-data": "a",
    }
    merged = pyyaml.safe_load(KUBECONFIGS.merge(pyyaml.safe_dump(document).encode(), KUBE, ()))
    assert merged["users"][0] == document["users"][0]
    assert merged["contexts"][0] == document["contexts"][0]
    assert merged["clusters"][0] == document["clusters"][0]
    assert [item["name"] for item in merged["contexts"]] == [CONTEXT, "admin@home-1"]


def test_all_of_ours_are_removed() -> None:
    document = pyyaml.safe_load(KUBE)
    document["contexts"].append({**document["contexts"][0], "name": "admin@home-1"})
    left = pyyaml.safe_load(KUBECONFIGS.remove(pyyaml.safe_dump(document).encode(), CONTEXT, KUBE, None))
    assert [left[section] for section in ("clusters", "users", "contexts")] == [[], [], []]


def test_names_in_the_other_files_of_kubeconfig_are_taken_too() -> None:
    """Kubectl reads them as one, and the first that has a name wins."""
    merged = pyyaml.safe_load(KUBECONFIGS.merge(b"", KUBE, [OTHERS.encode()]))
    assert [item["name"] for item in merged["contexts"]] == ["admin@home-1"]
    assert [item["name"] for item in merged["clusters"]] == ["home-1"]
    assert "current-context" not in merged, "theirs says which one is current"


# --- forms of files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["null\n", "null", "~\n", "# kept\nnull\n# end\n", "---\nnull\n", "--- null\n"])
def test_a_file_that_says_null_is_filled(text: str) -> None:
    """What yq leaves of a file that was emptied."""
    merged = KUBECONFIGS.merge(text.encode(), KUBE, ())
    assert pyyaml.safe_load(merged)["contexts"] == pyyaml.safe_load(KUBE)["contexts"]
    assert all(line in merged.decode().splitlines() for line in text.splitlines() if line.startswith("#"))


@pytest.mark.parametrize("text", [THEIRS, "null\n", "{clusters: [], users: []}\n", "clusters: []\nusers:\n"])
def test_line_ends_of_windows_stay(text: str) -> None:
    before = text.replace("\n", "\r\n").encode()
    merged = KUBECONFIGS.merge(before, KUBE, ())
    assert merged.count(b"\r\n") == merged.count(b"\n") > 0
    if text == THEIRS:
        assert KUBECONFIGS.remove(merged, CONTEXT, KUBE, None) == before


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_what_powershell_wrote_stays_in_its_encoding(codec: str) -> None:
    mark = "\ufeff".encode(codec)
    before = mark + THEIRS.replace("\n", "\r\n").encode(codec)
    merged = KUBECONFIGS.merge(before, KUBE, ())
    assert merged.startswith(mark)
    assert CONTEXT in merged[2:].decode(codec)
    assert KUBECONFIGS.remove(merged, CONTEXT, KUBE, None) == before


@pytest.mark.parametrize("layout", [{}, {"indent": 2}, {"indent": "\t"}, {"separators": (",", ":")}])
def test_json_stays_json(layout: dict[str, Any]) -> None:
    data = {"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "a", "cluster": {"server": "https://a"}}]}
    before = json.dumps(data, **layout) + "\n"
    merged = KUBECONFIGS.merge(before.encode(), KUBE, ())
    found = json.loads(merged)
    assert [item["name"] for item in found["clusters"]] == ["a", "home"]
    assert merged.decode() == json.dumps(found, **layout) + "\n", "laid out as it was"


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in itertools.pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "a: &a [*a]\n",
        "[" * 3000,
        "a: " + "{b: " * 3000,
        '{"a":' * 3000,
        json.dumps({"a": [[[[]]]]}).replace("[]", "[" * 90 + "]" * 90),
    ],
    ids=["aliases", "within itself", "lists", "mappings", "json", "deep json"],
)
def test_files_that_would_take_for_ever_are_refused(text: str) -> None:
    with pytest.raises(clienttext.ClientFileError):
        KUBECONFIGS.merge(text.encode(), KUBE, ())


def test_a_file_beyond_all_measure_is_refused_by_its_size() -> None:
    with pytest.raises(clienttext.ClientFileError, match="larger than 8 MiB"):
        clienttext.read(b"a: " + b"b" * clienttext.SIZE_LIMIT)


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "---\n", "{}\n", "apiVersion: v1\nkind: Config\nclusters: null\n"]
)
def test_where_there_was_no_context_ours_becomes_current(text: str) -> None:
    merged = KUBECONFIGS.merge(text.encode(), KUBE, ())
    document = pyyaml.safe_load(merged)
    assert document["current-context"] == CONTEXT
    assert document["clusters"] == pyyaml.safe_load(KUBE)["clusters"]
    assert merged.decode().startswith(text if text.startswith("#") else "")
    assert KUBECONFIGS.merge(merged, KUBE, ()) == merged


def test_a_file_as_json_is_merged_too() -> None:
    text = '{"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "a", "cluster": {"server": "https://a"}}], "current-context": "a"}'
    merged = KUBECONFIGS.merge(text.encode(), KUBE, ())
    document = pyyaml.safe_load(merged)
    assert [item["name"] for item in document["clusters"]] == ["a", "home"]
    assert document["current-context"] == "a"
    assert KUBECONFIGS.merge(merged, KUBE, ()) == merged


def test_a_fraction_in_a_file_with_anchors_keeps_its_spelling() -> None:
    text = "a: &a {x: 1.50}\nb: *a\nclusters: [{name: a, cluster: {timeout: 2.50}}]\n"
    merged = KUBECONFIGS.merge(text.encode(), KUBE, ()).decode()
    assert "1.50" in merged
    assert "2.50" in merged


def test_a_file_with_anchors_is_merged_too() -> None:
    text = "clusters:\n- name: a\n  cluster: &c {server: https://a}\n- name: b\n  cluster: *c\n"
    document = pyyaml.safe_load(KUBECONFIGS.merge(text.encode(), KUBE, ()))
    assert [item["name"] for item in document["clusters"]] == ["a", "b", "home"]
    assert document["clusters"][1]["cluster"] == {"server": "https://a"}


def test_items_that_cannot_be_told_by_name_stay_as_they_are_written() -> None:
    """Laid out anew, `'no'` would lose its quotes, and be false to kubectl."""
    text = "users:\n- name:\n  user: &u\n    exec: {args: ['no', off]}\n- name: b\n  user: *u\n"
    merged = KUBECONFIGS.merge(text.encode(), KUBE, ())
    before, after = (pyyaml.safe_load(each)["users"] for each in (text, merged))
    assert after[:2] == before


@pytest.mark.parametrize(
    "text", [b"a: [", b"- a\n", b"clusters: a\n", b"clusters: [{cluster: {}}]\n", b"contexts: {a: b}\n", b"\xff\xff"]
)
def test_a_file_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(clienttext.ClientFileError):
        KUBECONFIGS.merge(text, KUBE, ())


# --- talosconfig ------------------------------------------------------------------------------------------------------


def test_a_talosconfig_of_others_is_merged_and_restored() -> None:
    theirs = "context: omni  # at work\ncontexts:\n    omni:\n        endpoints:\n            - https://omni.example\n        auth:\n            siderov1:\n                identity: me@example.com\n    # old\n    old: {endpoints: []}\n"
    merged = TALOSCONFIGS.merge(theirs.encode(), TALOS, ())
    rest = iter(merged.decode().splitlines())
    assert all(line in rest for line in theirs.splitlines())
    document = pyyaml.safe_load(merged)
    assert document["context"] == "omni"
    assert document["contexts"]["home"] == pyyaml.safe_load(TALOS)["contexts"]["home"]
    assert TALOSCONFIGS.remove(merged, "home", TALOS, None) == theirs.encode()


def test_another_clusters_key_is_kept_where_it_is() -> None:
    theirs = b"context: home\ncontexts:\n    home:\n        endpoints: [192.0.2.99]\n        ca: b3RoZXI=\n        key: a2V5\n"
    merged = TALOSCONFIGS.merge(theirs, TALOS, ())
    document = pyyaml.safe_load(merged)
    assert document["contexts"]["home"] == pyyaml.safe_load(theirs)["contexts"]["home"]
    assert document["contexts"]["home-1"] == pyyaml.safe_load(TALOS)["contexts"]["home"]
    assert document["context"] == "home", "the current context stays what it was"
    assert TALOSCONFIGS.merge(merged, TALOS, ()) == merged
    assert TALOSCONFIGS.remove(merged, "home", TALOS, None) == theirs
    assert TALOSCONFIGS.remove(theirs, "home", TALOS, None) == theirs


def test_renewing_a_talosconfig() -> None:
    merged = TALOSCONFIGS.merge(b"", TALOS, ())
    assert pyyaml.safe_load(merged) == pyyaml.safe_load(TALOS)
    extended = merged.replace(b"        ca:", b"        cluster: mine\n        ca:")
    newer = CONFIGS.talosconfig(cluster(), bundle(), endpoints=["192.0.2.1", "192.0.2.2"], nodes=[])
    renewed = pyyaml.safe_load(TALOSCONFIGS.merge(extended, newer, ()))["contexts"]["home"]
    assert renewed == pyyaml.safe_load(newer)["contexts"]["home"] | {"cluster": "mine"}
    gone = pyyaml.safe_load(TALOSCONFIGS.remove(merged, "home", TALOS, None))
    assert gone == {"context": "", "contexts": {}}
    assert TALOSCONFIGS.remove(b"", "home", TALOS, None) == b""


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
    merged = KUBECONFIGS.merge(text, KUBE, ())
    assert KUBECONFIGS.merge(merged, KUBE, ()) == merged
    document = pyyaml.safe_load(merged)
    for section in ("clusters", "users", "contexts"):
        before = data.get(section) or []
        assert document[section][: len(before)] == before, "nothing of theirs is changed"
        (ours,) = document[section][len(before) :]
        assert ours["name"] not in [item["name"] for item in before]
    assert document["current-context"] == (data.get("current-context") or document["contexts"][-1]["name"])
    removed = pyyaml.safe_load(KUBECONFIGS.remove(merged, CONTEXT, KUBE, None))
    for section in ("clusters", "users", "contexts"):
        assert removed[section] == (data.get(section) or [])


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


def test_our_certificate_beside_another_way_to_sign_in_is_theirs() -> None:
    """Somebody has made it their own: it stays as it is."""
    document = pyyaml.safe_load(KUBE)
    document["users"][0]["user"]["exec"] = {"command": "login"}
    merged = pyyaml.safe_load(KUBECONFIGS.merge(pyyaml.safe_dump(document).encode(), KUBE, ()))
    assert merged["users"][0] == document["users"][0]
    assert [item["name"] for item in merged["users"]] == [CONTEXT, "admin@home-1"]
