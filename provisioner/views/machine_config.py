"""A machine config as it may be shown: with its secrets hidden."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from provisioner.model.redaction import HIDDEN

if TYPE_CHECKING:
    import yaml

SECRET_KEYS = frozenset(
    {
        "token",
        "key",
        "secret",
        "secretboxEncryptionSecret",
        "aescbcEncryptionSecret",
        "bootstrapToken",
        "password",
        "auth",
        "identityToken",
        "privateKey",
        "presharedKey",
        "passphrase",
    }
)
"""Keys of Talos' machine config whose values are secret; some of them mean something harmless elsewhere (a taint's key)."""


def without_secrets(text: str) -> str:
    """The same YAML with the values of secret keys replaced, everything else as it stands."""
    import yaml

    spans = [span for node in yaml.compose_all(text, Loader=yaml.SafeLoader) for span in _secret_spans(node)]
    for start, end in reversed(spans):
        tail = "\n" if text[start:end].endswith("\n") else ""
        text = text[:start] + HIDDEN + tail + text[end:]
    return text


def _secret_spans(node: yaml.Node) -> Iterator[tuple[int, int]]:
    """Where values of secret keys begin and end in the text, in its order."""
    pairs = node.value if isinstance(node.value, list) else []
    for item in pairs:
        key, value = item if isinstance(item, tuple) else (None, item)
        if key is not None and key.value in SECRET_KEYS and isinstance(value.value, str):
            if value.value:
                yield value.start_mark.index, value.end_mark.index
        else:
            yield from _secret_spans(value)
