"""A VM's screen as a picture: Hyper-V gives RGB565, people want PNG."""

from __future__ import annotations

import io

from provisioner.model.facts import ConsoleFacts


def png_of(console: ConsoleFacts) -> bytes:
    """The screen as PNG. Raises ValueError when the pixels do not fill it."""
    from PIL import Image

    expected = console.width * console.height * 2
    if len(console.pixels) != expected:
        raise ValueError(f"{len(console.pixels)} bytes of pixels, {console.width}x{console.height} takes {expected}")
    image = Image.frombytes("RGB", (console.width, console.height), console.pixels, "raw", "BGR;16")
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return stream.getvalue()
