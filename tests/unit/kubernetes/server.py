"""A small API over TLS that asks for a client certificate; what it answers is up to the test."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer = tuple[int, Any] | Iterator[bytes]
"""Status and JSON (or text), or the lines of a stream."""


class Pki:
    def __init__(self) -> None:
        self.ca_key = ec.generate_private_key(ec.SECP256R1())
        self.ca = self._certificate("ca", self.ca_key, None)

    def pair(self, name: str, *addresses: str) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        certificate = self._certificate(name, key, names)
        return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def ca_pem(self) -> bytes:
        return self.ca.public_bytes(serialization.Encoding.PEM)

    def _certificate(self, name: str, key: Any, names: list[Any] | None) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.ca.subject if names is not None else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=names is None, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.ca_key, hashes.SHA256())


class Api:
    """Answers by path; a test fills `answers`."""

    def __init__(self, folder: Path) -> None:
        self.pki = Pki()
        self.answers: dict[str, Callable[[dict[str, str]], Answer]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                api.asked.append((parts.path, query))
                answer = api.answers[parts.path](query)
                if isinstance(answer, tuple):
                    code, content = answer
                    body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                    self.send_response(code)
                    if 300 <= code < 400:
                        self.send_header("Location", content["Location"])
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                    return
                self.send_response(200)
                self.send_header("Connection", "close")
                self.end_headers()
                try:
                    for line in answer:
                        self.wfile.write(line)
                except OSError:
                    pass
                self.close_connection = True

            def log_message(self, *_: Any) -> None: ...

        crt, key = self.pki.pair("server", "192.0.2.5")
        (folder / "server.pem").write_bytes(crt + key)
        (folder / "ca.pem").write_bytes(self.pki.ca_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem")
        context.load_verify_locations(folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        # In TLS 1.3 a refusal may be lost: it comes after the client has begun to send, and unread data turns it into a reset.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign]
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(5)

    def kubeconfig(self, *, signed_by: Pki | None = None, trusts: Pki | None = None) -> bytes:
        crt, key = (signed_by or self.pki).pair("admin", "127.0.0.1")

        def b64(data: bytes) -> str:
            return base64.b64encode(data).decode()

        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "admin@lab",
                "contexts": [
                    {"name": "other", "context": {"cluster": "none", "user": "none"}},
                    {"name": "admin@lab", "context": {"cluster": "lab", "user": "admin@lab"}},
                ],
                "clusters": [
                    {
                        "name": "lab",
                        "cluster": {
                            "server": "https://192.0.2.5:6443",
                            "certificate-authority-data": b64((trusts or self.pki).ca_pem),
                        },
                    }
                ],
                "users": [
                    {
                        "name": "admin@lab",
                        "user": {"client-certificate-data": b64(crt), "client-key-data": b64(key)},
                    }
                ],
            }
        ).encode()


def node(name: str, *, ready: bool = True, version: str = "5", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "resourceVersion": version,
            "labels": {"node-role.kubernetes.io/control-plane": ""} if name.startswith("cp") else {},
        },
        "spec": spec,
        "status": {
            "conditions": [
                {"type": "MemoryPressure", "status": "False"},
                {
                    "type": "Ready",
                    "status": "True" if ready else "False",
                    "reason": "KubeletNotReady",
                    "message": "" if ready else "cni plugin not initialized",
                },
            ],
            "addresses": [
                {"type": "Hostname", "address": name},
                {"type": "InternalIP", "address": "192.0.2.101"},
            ],
            "nodeInfo": {"kubeletVersion": "v1.34.1"},
        },
    }


def event(kind: str, subject: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": subject}).encode() + b"\n"


def listed(*items: dict[str, Any], version: str = "7") -> dict[str, Any]:
    return {"kind": "List", "metadata": {"resourceVersion": version}, "items": list(items)}
