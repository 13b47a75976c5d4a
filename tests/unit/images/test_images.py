"""Names and URLs of Talos' images."""

from __future__ import annotations

import pytest

from provisioner import images

PLAIN = "376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba"
"""The empty schematic."""
HASH = "00112233445566778899aabbccddeeff" * 2


def test_a_release_names_its_own_checksums() -> None:
    image = images.release_image("v1.11.5")
    base = "https://github.com/siderolabs/talos/releases/download/v1.11.5"
    assert (image.url, image.sha256_url) == (f"{base}/metal-amd64.iso", f"{base}/sha256sum.txt")
    assert image.installer == ""


def test_a_schematic_is_the_same_in_iso_and_installer() -> None:
    image = images.factory_image("v1.11.5", PLAIN)
    assert image.url == f"https://factory.talos.dev/image/{PLAIN}/v1.11.5/metal-amd64.iso"
    assert image.installer == f"factory.talos.dev/metal-installer/{PLAIN}:v1.11.5"
    assert (image.sha256, image.sha256_url) == ("", "")


def test_images_lie_side_by_side_in_the_cache() -> None:
    names = [
        images.release_image("v1.11.5").file_name,
        images.release_image("v1.11.4").file_name,
        images.factory_image("v1.11.5", PLAIN).file_name,
        images.factory_image("v1.11.5", HASH).file_name,
        images.factory_image("v1.11.4", HASH).file_name,
        images.url_image("https://example.org/metal-amd64.iso", HASH).file_name,
        images.url_image("https://example.org/metal-amd64.iso", HASH[::-1]).file_name,
    ]
    assert len(set(names)) == len(names)
    assert all(name.endswith(".iso") for name in names)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.org/a/metal-amd64.iso?token=x/y", "001122334455-metal-amd64.iso"),
        ("https://example.org/my talos:1.iso", "001122334455-my-talos-1.iso"),
        ("https://example.org/download/", "001122334455-download"),
    ],
)
def test_names_of_other_urls_are_safe_on_windows(url: str, name: str) -> None:
    assert images.url_image(url, HASH).file_name == name


def test_a_file_on_the_host_keeps_its_path() -> None:
    image = images.host_image(r"D:\iso\metal-amd64.iso", HASH)
    assert (image.path, image.url, image.file_name, image.sha256) == (
        r"D:\iso\metal-amd64.iso",
        "",
        "metal-amd64.iso",
        HASH,
    )
