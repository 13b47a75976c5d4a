"""What looks secret is hidden, what does not is left alone."""

from __future__ import annotations

import base64
import html
import json
import re
import textwrap
import unicodedata
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from provisioner.model.redaction import HIDDEN, Redactor, json_line, redacted
from provisioner.talos.configs import TalosConfigs
from provisioner.talos.secrets import new_bundle, secret_values
from tests.fakes.clock import BEGIN, FakeClock


@pytest.mark.parametrize("kind", ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ED25519 PRIVATE KEY"])
def test_private_keys(kind: str) -> None:
    pem = f"-----BEGIN {kind}-----\nMC4CAQAwBQYDK2Vw\n-----END {kind}-----\n"
    coded = base64.b64encode(pem.encode()).decode()
    assert redacted(f"key: {pem}after") == f"key: {HIDDEN}\nafter"
    assert redacted(f"key: {coded} after") == f"key: {HIDDEN} after"
    assert redacted(pem[:50]) == HIDDEN


@pytest.mark.parametrize("text", ["token wlzjyw.bei2zfylhs2by0wd", '"token":"wlzjyw.bei2zfylhs2by0wd"'])
def test_tokens(text: str) -> None:
    assert redacted(text) == text.replace("wlzjyw.bei2zfylhs2by0wd", HIDDEN)


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        base64.b64encode(b"-----BEGIN CERTIFICATE-----\nMIIB").decode(),
        "home-cp-1.cluster.local at 10.0.40.11",
        "registry.k8s.io/kube-apiserver:v1.34.1",
        "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba",
        "hv0001.longdomainname16.lan",
    ],
)
def test_the_rest_is_left_alone(text: str) -> None:
    assert redacted(text) == text


# --- known values ---

VALUE = "Kq7+z/ä9?&wQ 3=\"x\\y'<tag>-0123456789"
"""With everything that an encoding treats in its own way."""


def knowing(*values: str | bytes) -> Redactor:
    made = Redactor()
    made.learn(values)
    return made


@pytest.mark.parametrize(
    "encode",
    [
        str,
        lambda text: json.dumps(text)[1:-1],
        lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
        lambda text: quote(text, safe=""),
        quote_plus,
        lambda text: re.sub("%..", lambda found: found[0].lower(), quote(text, safe="")),
        lambda text: text.encode().hex(),
        lambda text: text.encode().hex().upper(),
        html.escape,
        lambda text: text.replace("'", "''"),
    ],
    ids=["raw", "json", "json unicode", "url", "form", "url lower", "hex", "HEX", "xml", "powershell"],
)
def test_a_known_value_is_hidden_in_every_encoding(encode: Callable[[str], str]) -> None:
    said = f"refused: {encode(VALUE)}, and more"
    assert knowing(VALUE)(said) == f"refused: {HIDDEN}, and more"


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "key: "])
@pytest.mark.parametrize("for_urls", [False, True])
def test_and_in_base64_wherever_it_stands(before: str, for_urls: bool) -> None:
    whole = f"{before}{VALUE}\nafter".encode()
    coded = (base64.urlsafe_b64encode if for_urls else base64.b64encode)(whole).decode()
    shown = knowing(VALUE)(f"config {coded}")
    assert HIDDEN in shown
    left = shown.removeprefix("config ").split(HIDDEN)
    assert len(left) == 2
    assert len(left[0]) <= len(base64.b64encode(before.encode())) + 1, "but for the letters that hold bits of both"
    assert len(left[1]) <= len(base64.b64encode(b"\nafter")) + 4


def test_a_part_of_a_long_value_gives_it_away_too() -> None:
    value = "s3cr3t-" + "abcdefghij0123456789" * 3
    hidden = knowing(value)
    assert hidden(f"found {value[9:40]}...") == f"found {HIDDEN}..."
    assert hidden("\n".join(value[at : at + 24] for at in range(0, len(value), 24))) == "\n".join([HIDDEN] * 3)
    assert hidden(f"found {value[:12]}") == f"found {value[:12]}", "as short a part is met by chance"


def test_keys_are_hidden_line_by_line_and_their_headers_are_not_learned() -> None:
    body = "MC4CAQAwBQYDK2VwBCIEIAbcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
    pem = f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"
    hidden = knowing(pem)
    assert hidden(f"bad line: {body}") == f"bad line: {HIDDEN}"
    assert hidden(json.dumps(pem)) == f'"-----BEGIN CERTIFICATE-----\\n{HIDDEN}\\n-----END CERTIFICATE-----\\n"'
    other = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
    assert hidden(other) == other


@pytest.mark.parametrize(
    ("value", "text", "shown"),
    [
        ("abc", "abc abc", "abc abc"),  # it would be found within everything
        ("admin", "the admin of home", "the admin of home"),  # a word
        ("adm1n", "user adm1n, not adm1ns", f"user {HIDDEN}, not adm1ns"),
        ("Pa:s5!", "is Pa:s5! wrong", f"is {HIDDEN} wrong"),
        ("hunter2hunter2", "hunter2hunter2s", f"{HIDDEN}s"),
        ("", "nothing", "nothing"),
    ],
)
def test_short_values_hide_no_words(value: str, text: str, shown: str) -> None:
    assert knowing(value)(text) == shown


def test_text_without_a_secret_is_the_same_object() -> None:
    hidden = knowing(VALUE)
    for text in ("", "short", "home-cp-1 is Running at 192.0.2.101 with Talos v1.11.5", "x" * 5_000):
        assert hidden(text) is text


def test_nothing_of_a_bundle_is_repeated_however_a_config_is_quoted() -> None:
    """A refused config comes back in the words of Talos, of gRPC, of a proxy."""
    bundle = new_bundle(BEGIN)
    hidden = knowing(*secret_values(bundle))
    secret = [v if isinstance(v, str) else v.decode() for v in secret_values(bundle) if v]
    config = "\n".join(f"  key{number}: {value}" for number, value in enumerate(secret))
    quoted = (
        config,
        json.dumps(config),
        repr(config),
        quote(config),
        *(base64.b64encode(b"x" * shift + config.encode()).decode() for shift in range(3)),
        "\n".join(textwrap.wrap(base64.b64encode(config.encode()).decode(), 76)),
        config.encode().hex(),
    )
    bodies = [
        line for value in secret for line in value.splitlines() if "-----" not in line and not line.startswith("LS0t")
    ]
    encoded = [
        *bodies,
        *(base64.b64encode(v.encode()).decode()[:-4] for v in bodies),
        *(v.encode().hex() for v in bodies),
    ]
    pieces = {value[at : at + 24] for value in encoded for at in range(0, len(value) - 23, 7)}
    assert len(pieces) > 500
    for text in quoted:
        shown = hidden(text)
        assert [piece for piece in pieces if piece in shown] == []


def test_a_bundle_that_is_read_or_made_is_known_to_all_exits() -> None:
    from tests.unit.steps.world import cluster_of

    configs = TalosConfigs(FakeClock())
    made = configs.new_bundle(cluster_of({}), "0011223344556677")
    text = configs.write_bundle(made).decode()
    token = text.split("token: ")[-1].split()[0]
    assert redacted(f"the id is {made.cluster_id}") == f"the id is {HIDDEN}"
    assert token not in redacted(text)
    access = configs.access(made)
    (line,) = [line for line in access.key.decode().splitlines() if "-----" not in line]
    assert redacted(f"key {line}") == f"key {HIDDEN}"


def test_a_key_of_others_is_hidden_whole_although_it_begins_as_one_of_ours() -> None:
    ours, theirs = (
        base64.b64encode(
            b"-----BEGIN ED25519 PRIVATE KEY-----\n" + body + b"\n-----END ED25519 PRIVATE KEY-----"
        ).decode()
        for body in (bytes(range(90)), bytes(range(90, 180)))
    )
    redactor = Redactor()
    redactor.learn([ours])
    assert redactor(f"key: {theirs}") == f"key: {HIDDEN}"
    assert redactor(f"key: {ours}") == f"key: {HIDDEN}"


# --- JSON that steers no terminal -------------------------------------------------------------------------------------

HARMFUL = [
    chr(code)
    for code in (*range(0xA0), *range(0x2000, 0x2070), 0x061C, 0xFEFF, 0xFFF9, 0xE0001)
    if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp")
]


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "latin-1", "ascii"])
def test_nothing_that_steers_a_terminal_goes_out(encoding: str) -> None:
    value = {"name": "".join(HARMFUL) + "küche 厨房 \U0001f600"}
    text = json_line(value, encoding=encoding).removesuffix("\n")
    assert json.loads(text) == value, "nothing is lost"
    assert not [letter for letter in HARMFUL if letter in text]
    text.encode(encoding)


def test_letters_stay_readable() -> None:
    assert json_line({"a": "küche 厨房"}, compact=True) == '{"a":"küche 厨房"}\n'
