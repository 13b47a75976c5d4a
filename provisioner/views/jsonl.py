"""The events as JSON Lines on `out`, for programs: the first line names the schema, the last one is the final object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from provisioner.model.events import SCHEMA, Event
from provisioner.model.redaction import json_line
from provisioner.model.status import FinalObject


class JsonView:
    """Each line is written out at once, so that a reader is never behind."""

    def __init__(self, *, out: TextIO) -> None:
        self._out = out
        self._first = True

    def emit(self, event: Event) -> None:
        item = event.to_json()
        if self._first:
            item.setdefault("schema", SCHEMA)
            self._first = False
        self._write(item)

    def close(self, final: FinalObject | None = None) -> None:
        if final is not None:
            self._write(final.to_json())

    def _write(self, item: Mapping[str, Any]) -> None:
        self._out.write(json_line(item, compact=True, encoding=self._out.encoding or "utf-8"))
        self._out.flush()
