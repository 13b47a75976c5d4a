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
    image = Image.frombytes("RGB", (console.width, console.height), _rgb(console.pixels))
    stream = io.BytesIO()
    image.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _rgb(pixels: bytes) -> bytes:
    """Two bytes each, little-endian, `RRRRRGGG GGGBBBBB`; the upper bits fill the lower, so that white stays white."""
    low, high = pixels[0::2], pixels[1::2]
    red = high.translate(_RED)
    blue = low.translate(_BLUE)
    green = bytes(_GREEN[(h & 0x07) << 3 | lo >> 5] for lo, h in zip(low, high, strict=True))
    whole = bytearray(len(low) * 3)
    whole[0::3], whole[1::3], whole[2::3] = red, green, blue
    return bytes(whole)


def _five(value: int) -> int:
    return value << 3 | value >> 2


_RED = bytes(_five(value >> 3) for value in range(256))
_BLUE = bytes(_five(value & 0x1F) for value in range(256))
_GREEN = bytes(value << 2 | value >> 4 for value in range(64))
