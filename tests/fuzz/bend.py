"""How the fuzzers bend what is right: bytes, texts and JSON values, each in ways that programs are known to trip over."""

from __future__ import annotations

import json
from random import Random
from typing import Any

NASTY = (
    "", "null", "~", "true", "-1", "0", "1e999", "99999999999999999999999", "NaN", "'", '"', "<", "&", "\x00", "\ud7ff", "\ufeff", "[", "{",
    "- a", "a: b", "*a", "&a [*a]", "!!python/object:x {}", "../../etc", "%s%n", "x" * 5_000, "[" * 3_000, "é" * 300, "\r\n\r\n", "2026-99-99",
)  # fmt: skip


def bend_bytes(data: bytes, chance: Random) -> bytes:
    """Cut, doubled, with bytes turned over, or something else altogether."""
    bent = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(bent) + 1)
        kind = chance.randrange(6)
        if kind == 0:
            del bent[at:]
        elif kind == 1:
            bent[at:at] = chance.randbytes(chance.randint(1, 40))
        elif kind == 2 and bent:
            bent[at % len(bent)] = chance.randrange(256)
        elif kind == 3:
            bent[at:at] = bent[: chance.randint(0, 200)]
        elif kind == 4:
            bent[at : at + chance.randint(1, 30)] = chance.choice(NASTY).encode("utf-8", "surrogatepass")
        else:
            bent = bytearray(chance.randbytes(chance.randint(0, 300)))
    return bytes(bent)


def bend_text(text: str, chance: Random) -> str:
    """A piece of it is something nasty."""
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(NASTY) + text[at + chance.randint(0, 12) :]


def bend_json(value: Any, chance: Random) -> Any:
    """A value of it has another form, is missing, or is there many times."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        if chance.random() < 0.15:
            return {k: v for k, v in value.items() if k != key}
        return value | {key: bend_json(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        at = chance.randrange(len(value))
        return [*value[:at], bend_json(value[at], chance), *value[at + 1 :]]
    return chance.choice((None, True, 0, -1, 2**70, 1.5, [], {}, [None], {"": {}}, [value] * 50, chance.choice(NASTY)))


def written(value: Any, chance: Random) -> str:
    """As JSON, now and then bent once more."""
    text = json.dumps(value)
    return bend_text(text, chance) if chance.random() < 0.2 else text
