"""Why Talos refuses a request."""

from __future__ import annotations


class Refused(Exception):
    """`code` is the name of a gRPC status, as FAILED_PRECONDITION."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
