"""The lab's WinRM endpoint: what the rest of the lab starts, stops and counts by."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from psrpcore.types import PSVersion

from provisioner.lab.functions.api import Functions
from provisioner.lab.winrm.auth import Accounts, ConnectionAuth
from provisioner.lab.winrm.certificates import Certificates
from provisioner.lab.winrm.cmd import CmdShell
from provisioner.lab.winrm.fault_injection import FaultInjection
from provisioner.lab.winrm.http import HttpConnection, serve_in_background
from provisioner.lab.winrm.network import Listener, Network
from provisioner.lab.winrm.psrp import PsrpShell
from provisioner.lab.winrm.runspace import Runspace
from provisioner.lab.winrm.shells import Limits, Opening, Shell, ShellHost
from provisioner.lab.winrm.stats import Counters, Stats
from provisioner.lab.winrm.wsman import Service
from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.routes import LoopbackRoutes

HTTP_PORT = 5985
HTTPS_PORT = 5986
"""WinRM's own ports, by which the endpoint is published in the virtual LAN."""


class WinRmEndpoint:
    """WinRM of the world's host, on loopback. Who may sign in stands in `State.accounts`, whether it can be reached in `Lan.link`.

    `folder` keeps CA and certificates over restarts. Ports of 0 are free ones. `shells` opens shells in place of the lab's own, but for
    those of the restricted configuration. `require_bindings` refuses NTLM without the channel bindings of the TLS connection; Windows' default is not to.
    `monotonic` is the clock, real time, by which idle shells expire.
    """

    def __init__(
        self,
        kernel: Kernel,
        functions: Functions,
        folder: Path,
        *,
        https_port: int = 0,
        http_port: int = 0,
        shells: ShellHost | None = None,
        host_name: str = "hv01.lab",
        routes: LoopbackRoutes | None = None,
        limits: Limits | None = None,
        require_bindings: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kernel = kernel
        self._functions = functions
        self._shells = shells
        self._host_name = host_name
        self._routes = routes
        self._ports = (https_port, http_port)
        self._require_bindings = require_bindings
        self._counters = Counters()
        self._faults = FaultInjection(kernel)
        self.certificates = Certificates(folder, host_name)
        self._accounts = Accounts(kernel)
        self._tls = self._context(self.certificates.server_path)
        self._stray = False
        self._network = Network(
            kernel, address_changed=self._publish, restarted=lambda: self._service.forget_all("The host was restarted.")
        )
        self._service = Service(
            host_name=lambda: self._host()[0],
            make_powershell=self._powershell,
            make_restricted=self._restricted,
            make_cmd=self._cmd,
            limits=limits or Limits(),
            counters=self._counters,
            faults=self._faults,
            monotonic=monotonic,
        )
        self.https_port = 0
        self.http_port = 0

    @property
    def ca_path(self) -> Path:
        """The CA that a client trusts: all it gets beside address, port and sign-in."""
        return self.certificates.ca_path

    def start(self) -> None:
        """Raises OSError when a port is taken."""
        https = Listener(self._ports[0], lambda raw: self._serve(raw, tls=True))
        try:
            http = Listener(self._ports[1], lambda raw: self._serve(raw, tls=False))
        except OSError:
            https.stop()
            raise
        self.https_port, self.http_port = https.port, http.port
        if self._shells:
            self._shells.start()
        self._network.start([https, http])

    def stop(self) -> None:
        """Ends connections and shells."""
        self._network.stop()
        self._service.forget_all("The endpoint is stopping.")
        if self._shells:
            self._shells.stop()

    def stats(self) -> Stats:
        """The counters so far."""
        return self._counters.snapshot(self._service.open_shells())

    def own_certificate(self) -> bool:
        """Shows the certificate of its own authority again; False: it did so all along."""
        back, self._stray = self._stray, False
        if back:
            self._tls = self._context(self.certificates.server_path)
        return back

    # -- parts

    def _serve(self, raw: socket.socket, *, tls: bool) -> None:
        if tls and self._faults.at("winrm-certificate") is not None:
            self._tls, self._stray = self._context(self.certificates.stray(self._host_name)), True
        auth = ConnectionAuth(
            self._accounts,
            tls=tls,
            certificate_hash=self.certificates.server_hash() if tls else b"",
            require_bindings=self._require_bindings,
        )
        with contextlib.suppress(OSError):  # gone before it was served
            connection = HttpConnection(
                raw,
                network=self._network,
                auth=auth,
                tls=self._tls if tls else None,
                handle=self._service.handle,
                counters=self._counters,
                faults=self._faults,
            )
            serve_in_background(connection)

    def _context(self, server: Path) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(server)
        context.load_verify_locations(self.certificates.ca_path)
        context.verify_mode = ssl.CERT_OPTIONAL
        return context

    def _host(self) -> tuple[str, str]:
        """Its name and its build number."""
        with self._kernel.lock:
            host = self._kernel.state.host
            return host.name, host.os_build

    def _publish(self, old: str, new: str) -> None:
        """The host has an address, or another one, or none. Under the world's lock."""
        if self._routes is None:
            return
        for port, loopback_port in ((HTTPS_PORT, self.https_port), (HTTP_PORT, self.http_port)):
            if old:
                self._routes.withdraw(old, port)
            if new:
                self._routes.publish(new, port, loopback_port)
            self._routes.publish(self._host_name, port, loopback_port)

    def _powershell(self, opening: Opening) -> Shell:
        if self._shells:
            return self._shells.open_powershell(opening, self._counters, self._service.forget)
        return PsrpShell(opening, self._new_runspace, self._version_table())

    def _restricted(self, opening: Opening) -> Shell:
        return PsrpShell(opening, partial(self._new_runspace, restricted=True), self._version_table())

    def _new_runspace(self, *, restricted: bool = False) -> Runspace:
        return Runspace(self._functions, self._counters, restricted=restricted)

    def _cmd(self, opening: Opening) -> Shell:
        if self._shells:
            return self._shells.open_cmd(opening, self._functions, self._counters)
        return CmdShell(opening, self._functions, self._counters)

    def _version_table(self) -> dict[str, Any]:
        build = f"10.0.{self._host()[1]}.2227"
        return {
            "PSVersion": PSVersion(build.replace("10.0", "5.1", 1)),
            "PSEdition": "Desktop",
            "CLRVersion": PSVersion("4.0.30319.42000"),
            "BuildVersion": PSVersion(build),
            "WSManStackVersion": PSVersion("3.0"),
            "PSRemotingProtocolVersion": PSVersion("2.3"),
            "SerializationVersion": PSVersion("1.1.0.1"),
        }
