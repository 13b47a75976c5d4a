"""Where Talos' images come from: names and URLs, nothing is fetched here (the host downloads by itself).

Sources: the assets of siderolabs/talos' GitHub releases, and the URL forms of Sidero's Image Factory.
"""

from __future__ import annotations

import re

from provisioner.model.cluster import ImageSpec

RELEASES = "https://github.com/siderolabs/talos/releases/download"
FACTORY = "https://factory.talos.dev"
ISO = "metal-amd64.iso"

_SHORT = 12
"""Digits of a hash that go into a file name: enough to tell schematics apart, short enough to read."""


def release_image(talos: str) -> ImageSpec:
    """The ISO of a release, its checksum read by the host from the release's own `sha256sum.txt`."""
    return ImageSpec(
        url=f"{RELEASES}/{talos}/{ISO}",
        sha256_url=f"{RELEASES}/{talos}/sha256sum.txt",
        file_name=f"talos-{talos}-{ISO}",
    )


def factory_image(talos: str, schematic: str) -> ImageSpec:
    """The Image Factory's ISO of a schematic. The factory publishes no checksum, so `sha256` stays empty: pinned at first use.

    The installer image carries the same schematic, else its extensions and kernel arguments would vanish at install.
    """
    return ImageSpec(
        url=f"{FACTORY}/image/{schematic}/{talos}/{ISO}",
        file_name=f"talos-{talos}-{schematic[:_SHORT]}-{ISO}",
        installer=f"{FACTORY.removeprefix('https://')}/metal-installer/{schematic}:{talos}",
    )


def url_image(url: str, sha256: str) -> ImageSpec:
    """An ISO at any URL. The file name carries the hash, since such a URL does not say what is there."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", url.partition("?")[0].rstrip("/").rpartition("/")[2]) or ISO
    return ImageSpec(url=url, sha256=sha256, file_name=f"{sha256[:_SHORT]}-{name}")


def host_image(path: str, sha256: str = "") -> ImageSpec:
    """An ISO that is on the host already; nothing is downloaded."""
    return ImageSpec(url="", sha256=sha256, file_name=re.split(r"[\\/]", path)[-1], path=path)
