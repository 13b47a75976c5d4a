"""What the host downloads from the lab's internet: by URL, at a speed, and with what can go wrong on the way."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable

from provisioner.lab.world.kernel import Kernel
from provisioner.lab.world.network import Network
from provisioner.lab.world.state import HostFile, WebResource
from provisioner.lab.world.storage import Storage

CONNECT_S = 0.3
STEP_S = 0.5
"""How often progress is told."""


class DownloadFailed(Exception):
    """`status` is the HTTP status, or 0 when the connection could not be made or broke."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Downloads:
    """Transfers take their time in the caller's thread; the lock must not be held."""

    def __init__(self, kernel: Kernel, network: Network, storage: Storage) -> None:
        self._kernel = kernel
        self._network = network
        self._storage = storage

    def text(self, url: str) -> str:
        """A small text file. Raises DownloadFailed."""
        found = self._connect(url)
        return (found.content or b"").decode()

    def to_file(
        self,
        url: str,
        path: str,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
        stopping: threading.Event | None = None,
    ) -> HostFile:
        """Streams a URL into a file; `progress(done, all)` in bytes.

        Raises DownloadFailed and FileFault (no-space, in-use, no-folder). The file is held open until the end: a second download into it
        is refused, as Windows does. What had come until then stays in the file, as with any
        download. A host that goes off the network in the middle, as at the making of a switch, breaks it.
        """
        begun, found = self._kernel.now(), self._connect(url)
        slower = self._kernel.injected("image-slow", url) or 1.0
        wrong = self._kernel.injected("image-checksum", url) is not None
        with self._storage.writing(HostFile(path=path, size_bytes=0, modified=self._kernel.now())) as file:
            done = 0
            while done < found.size_bytes:
                step = min(found.size_bytes - done, max(1, int(found.bytes_per_s / slower * STEP_S)))
                self._kernel.spend(step * slower / found.bytes_per_s)
                if stopping is not None and stopping.is_set():
                    raise DownloadFailed("The operation was stopped.")
                if not self._network.has_gateway():
                    raise DownloadFailed("Unable to read data from the transport connection: it was closed.")
                done += step
                self._storage.grow(path, done)
                progress(done, found.size_bytes)
            with self._kernel.lock:
                file.modified = self._kernel.now()
                if wrong:
                    file.sha256 = hashlib.sha256(b"other bytes than the server has").hexdigest()
                else:
                    file.sha256, file.content, file.talos_iso = found.sha256, found.content, found.talos_iso
                self._kernel.changed("file", file.path)
        self._kernel.note("download", url, seconds=self._kernel.now() - begun)
        return file

    def _connect(self, url: str) -> WebResource:
        self._kernel.spend(CONNECT_S)
        if not self._network.has_gateway() or self._kernel.injected("image-unreachable", url) is not None:
            raise DownloadFailed(f"The remote name could not be resolved or does not answer: {url}")
        status = self._kernel.injected("image-status", url)
        with self._kernel.lock:
            found = self._kernel.state.lan.internet.get(url)
            known = any(other.split("/")[2] == url.split("/")[2] for other in self._kernel.state.lan.internet)
        if status is None and found is None and not known:
            raise DownloadFailed(f"The remote name could not be resolved: {url}")
        code = int(status) if status is not None else (found.status if found else 404)
        if found is None or code != 200:
            raise DownloadFailed(f"The remote server returned an error: ({code}) for {url}", code)
        return found


def sha256_of(file: HostFile) -> str:
    """The hash of a file's bytes: worked out of small ones, known of large ones, none of virtual disks."""
    if file.content is not None:
        return hashlib.sha256(file.content).hexdigest()
    return file.sha256 or hashlib.sha256(f"{file.path}:{file.size_bytes}".encode()).hexdigest()
