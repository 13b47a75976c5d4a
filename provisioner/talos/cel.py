"""What is surely wrong with an expression of CEL, the language of volume selectors. Whether types fit is left to the machine's dry run.

Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md, and the variables of Talos' block controllers:
https://github.com/siderolabs/talos/blob/v1.11.5/pkg/machinery/cel/celenv/celenv.go
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from provisioner.talos.document import words

DISK_FIELDS = words(
    "size io_size sector_size readonly model serial modalias wwid bus_path sub_system transport rotational cdrom dev_path pretty_size "
    "secondary_disks uuid symlinks"
)
VOLUME_FIELDS = words(
    "size sector_size io_size name uuid label block_size filesystem_block_size probed_size partition_uuid partition_type "
    "partition_label partition_index type device_path parent dev_path parent_dev_path pretty_size"
)
_UNITS = words("KiB MiB GiB TiB PiB EiB kB MB GB TB PB EB")
_MACROS = words("all exists exists_one map filter")
"""They bind a name of their own: `list.exists(name, ...)`."""
_BUILT_IN = _MACROS | words(
    "true false null in size string int uint double bool bytes type duration timestamp has matches startsWith endsWith contains dyn"
)
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERAND = re.compile(r"''|(?!in$)([A-Za-z0-9_.][A-Za-z0-9_].*|[A-Za-z0-9_])", re.DOTALL)
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>[rR]?(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
        |(?P<number>0x[0-9a-fA-F]+u?|[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?u?)
        |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
        |(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%!<>?:.,()\[\]{}])
    )""",
    re.VERBOSE,
)


def cel_problem(expression: str, variables: Mapping[str, frozenset[str]]) -> str:
    """What is wrong with the expression: its signs and brackets, names that are none of its variables, fields that they lack.

    `variables` are the fields of each; empty for a variable without fields, or with unknown ones. Empty when nothing is wrong.
    """
    tokens = _tokens(expression.rstrip())
    if tokens is None:
        return "is not a CEL expression: unexpected quote or sign"
    return next(itertools.chain(_brackets(tokens), _operators(tokens), _names(tokens, variables)), "")


def _tokens(text: str) -> list[str] | None:
    """Strings are emptied; None when something is not a token."""
    tokens: list[str] = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if not found:
            return None
        tokens.append("''" if found["text"] else found[0].strip())
        position = found.end()
    return tokens


def _brackets(tokens: Sequence[str]) -> Iterator[str]:
    opened: list[str] = []
    for token in tokens:
        if token in _CLOSING:
            opened.append(_CLOSING[token])
        elif token in _CLOSING.values() and (not opened or opened.pop() != token):
            yield f"is not a CEL expression: unmatched {token}"
    if opened:
        yield f"is not a CEL expression: missing {opened[-1]}"


def _operators(tokens: Sequence[str]) -> Iterator[str]:
    for left, right in itertools.pairwise(tokens):
        if _OPERAND.fullmatch(left) and _OPERAND.fullmatch(right):
            yield f"is not a CEL expression: missing operator before {right}"


def _names(tokens: Sequence[str], variables: Mapping[str, frozenset[str]]) -> Iterator[str]:
    known = variables.keys() | _UNITS | _BUILT_IN
    known |= {tokens[i + 2] for i, token in enumerate(tokens[:-2]) if token in _MACROS and tokens[i + 1] == "("}
    for i, token in enumerate(tokens):
        before = ["", "", "", *tokens[:i]][-3:]
        if not _NAME.fullmatch(token):
            continue
        if before[2] != ".":
            if token not in known:
                yield f"unknown name {token!r}; a string needs quotes"
        elif before[0] != "." and (fields := variables.get(before[1])) and token not in fields | _BUILT_IN:
            yield f"{before[1]} has no field {token!r}"
