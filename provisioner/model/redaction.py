"""The last net under all that is written out: whatever has the shape of a key or a token is replaced.

Nothing of ours puts a secret into an event; but events carry the words of others, and a refused config may be quoted back.
"""

from __future__ import annotations

import base64
import re

HIDDEN = "«secret»"
_KINDS = ("", "EC ", "RSA ", "ED25519 ", "ENCRYPTED ")


def _coded(kind: str) -> str:
    """How base64 of a PEM key of that kind begins, as far as it is the same for all of them."""
    begin = f"-----BEGIN {kind}PRIVATE KEY-----".encode()
    return base64.b64encode(begin[: len(begin) // 3 * 3]).decode()


_SHAPES = re.compile(
    "|".join(
        (
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)",  # whole, or cut short
            rf"(?:{'|'.join(_coded(kind) for kind in _KINDS)})[A-Za-z0-9+/=]*",
            r"(?<![A-Za-z0-9.-])[a-z0-9]{6}\.[a-z0-9]{16}(?![A-Za-z0-9.-])",  # tokens of Talos and of kubeadm
        )
    ),
    re.DOTALL,
)


def redacted(text: str) -> str:
    """The text without what looks secret; the same object when there is none."""
    return _SHAPES.sub(HIDDEN, text)
