"""What a lab tells its clients, as one file in its folder: where to sign in, where each place of its LAN is reached, how fast its time runs.

A client knows nothing else of the lab. The password lies in a file of its own beside it (0600).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from provisioner.lab.private_files import refuse_other_things, write_private

SCHEMA = "provision/lab/2"
DESCRIPTOR, PASSWORD, LOG, LOCK = "lab.json", "password", "lab.log", "lock"


class Refused(ValueError):
    """What the lab was asked for cannot be; the text is for the user."""


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """`lab.json`."""

    pid: int
    started: str
    """ISO 8601, UTC."""
    rate: float
    """Seconds of the lab in one real second."""
    epoch: float
    """`time.monotonic()` of this computer at second `epoch_s` of the lab."""
    epoch_s: float
    seed: int
    host: str
    """Name of the Windows host, as a certificate there bears it."""
    address: str
    """Its address on the LAN at this moment."""
    user: str
    ca: str
    """Path of the certificate of the lab's own authority."""
    control_port: int
    control_token: str
    routes: dict[str, str] = field(default_factory=dict)
    """`<address or name>:<port>` -> `127.0.0.1:<port>`."""
    schema: str = SCHEMA


def make_folder(folder: Path) -> None:
    """The lab's folder and those above it that are missing, each 0700."""
    for each in (*reversed(folder.parents), folder):
        each.mkdir(mode=0o700, exist_ok=True)


def write_descriptor(folder: Path, descriptor: Descriptor) -> None:
    """Whole or not at all; 0600, since the token is in it."""
    write_private(folder / DESCRIPTOR, json.dumps(asdict(descriptor), indent=1).encode())


def read_descriptor(folder: Path) -> Descriptor | None:
    """The descriptor of a lab that runs, or was killed; None where none is, of another version, or damaged: a caller that needs one starts a lab."""
    try:
        refuse_other_things(folder / DESCRIPTOR)
        values = json.loads((folder / DESCRIPTOR).read_bytes())
        return Descriptor(**values) if values["schema"] == SCHEMA else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def write_password(folder: Path, password: str) -> None:
    write_private(folder / PASSWORD, password.encode())


def read_password(folder: Path) -> str | None:
    try:
        refuse_other_things(folder / PASSWORD)
        return (folder / PASSWORD).read_text()
    except (OSError, UnicodeDecodeError):
        return None
