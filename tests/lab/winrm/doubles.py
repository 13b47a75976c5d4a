"""A table of functions for tests of the endpoint, and shorthand for the clients."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan

from provisioner.lab.functions.api import ErrorRecord, Function, Parameter, Streams, Terminating
from provisioner.lab.pki import leaf, named, read_pair
from provisioner.lab.winrm import WinRmEndpoint

USER, PASSWORD = "Administrator", "Pa:ss w0rd!ä"

PARAMETERS: dict[str, tuple[Parameter, ...]] = {
    "Get-TalosEcho": (
        Parameter(name="Text", type="string", mandatory=True),
        Parameter(name="Names", type="string[]"),
        Parameter(name="Count", type="int32", default=7),
        Parameter(name="Bytes", type="int64"),
        Parameter(name="Flag", type="bool"),
        Parameter(name="Force", type="switch"),
    ),
    "Set-TalosEcho": (Parameter(name="Text", type="string", mandatory=True),),
    "Get-TalosItems": (Parameter(name="Id", type="string[]", mandatory=True),),
    "Get-TalosMany": (
        Parameter(name="Count", type="int32", default=1),
        Parameter(name="Size", type="int32", default=1),
    ),
    "Wait-TalosGate": (Parameter(name="Records", type="int32", default=0),),
}

MODULE = "# TalosHyperV module 1.1.0\n" + "".join(f"function {name} {{\n}}\n" for name in PARAMETERS)


class TableOfFunctions:
    """Functions that show what reached them, and one that waits until the test opens the gate."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        self.entered = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.stopped = threading.Event()
        self.users: set[str] = set()

    table: Mapping[str, Function] = {
        name: Function(
            name=name,
            parameters=parameters,
            output=f"TalosHyperV.{name.removeprefix('Get-Talos')}",
            fields={"Bytes": "int64"},
            changes=name.startswith("Set-"),
        )
        for name, parameters in PARAMETERS.items()
    }

    def run(self, name: str, arguments: Mapping[str, Any], streams: Streams) -> Iterator[Mapping[str, Any]]:
        self.runs[name] += 1
        self.users.add(streams.user)
        if name == "Wait-TalosGate":
            yield from self._wait(arguments["Records"], streams)
        elif name == "Get-TalosItems":
            streams.progress("Items", "reading", 50)
            for each in arguments["Id"]:
                if each == "fatal":
                    raise Terminating(
                        ErrorRecord(id="VMFatal", category="InvalidOperation", message="no more", target=each)
                    )
                if each.startswith("missing"):
                    streams.error(
                        ErrorRecord(id="VMNotFound", category="ObjectNotFound", message=f"no {each}", target=each)
                    )
                else:
                    yield {"Id": each}
            streams.warning("that was all")
        elif name == "Get-TalosMany":
            for number in range(arguments["Count"]):
                yield {"Number": number, "Text": "仮" * arguments["Size"]}
        elif name == "Set-TalosEcho":
            yield {"Text": arguments["Text"], "Changed": not streams.what_if}
        else:
            yield {"Given": sorted(arguments), **arguments, "Null": None, "Large": 1 << 40}

    def _wait(self, records: int, streams: Streams) -> Iterator[Mapping[str, Any]]:
        self.entered.release()
        for number in range(max(1, records)):
            while not self.gate.acquire(timeout=0.01):
                if streams.stopping.is_set():
                    self.stopped.set()
                    return
            if records:
                yield {"Number": number}


def wsman(endpoint: WinRmEndpoint, **given: Any) -> WSMan:
    ssl = given.get("ssl", True)
    settings: dict[str, Any] = {
        "server": "127.0.0.1",
        "port": endpoint.https_port if ssl else endpoint.http_port,
        "username": USER,
        "password": PASSWORD,
        "auth": "ntlm",
        "cert_validation": str(endpoint.ca_path),
        "no_proxy": True,
    }
    return WSMan(**settings | given)


def client_certificate(endpoint: WinRmEndpoint, user: str) -> Path:
    """Path of a certificate of the endpoint's own authority, with its key."""
    ca = read_pair(endpoint.ca_path.read_bytes(), endpoint.ca_path.with_suffix(".key").read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    made = leaf(ca, key, named(user), usage=ExtendedKeyUsageOID.CLIENT_AUTH, life=timedelta(days=1))
    path = endpoint.ca_path.with_name(f"client-{user}.pem")
    path.write_bytes(made.certificate_pem + made.key_pem)
    return path


def load(pool: RunspacePool, text: str = MODULE, *, local: bool = False) -> PowerShell:
    with PowerShell(pool) as shell:
        shell.add_script(text, use_local_scope=local)
        shell.invoke()
        return shell


def call(pool: RunspacePool, name: str, **parameters: Any) -> tuple[list[Any], PowerShell]:
    """Results as dicts, and the shell for its streams."""
    with PowerShell(pool) as shell:
        shell.add_cmdlet(name).add_parameters(parameters)
        results = shell.invoke()
        return [result.extended_properties for result in results], shell


def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not come to that within 10 s")
