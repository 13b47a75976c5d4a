"""A VM's screen as the thumbnail shows it: lines of text drawn in white on black, as RGB565 pixels."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

LINE_PIXELS = 14
MARGIN_PIXELS = 8


def render(lines: list[str], width: int, height: int, native: tuple[int, int]) -> bytes:
    """Draws at the screen's own size and scales: little-endian RGB565, `width * height * 2` bytes, no row padding."""
    image = Image.new("RGB", native, "black")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=12)
    for row, line in enumerate(lines):
        draw.text((MARGIN_PIXELS, MARGIN_PIXELS + row * LINE_PIXELS), line, fill="white", font=font)
    if (width, height) != native:
        image = image.resize((width, height))
    return _rgb565(image.tobytes())


def _rgb565(rgb: bytes) -> bytes:
    """24-bit pixels as 16-bit ones. Screens have few colours, so each is worked out once."""
    known: dict[bytes, bytes] = {}
    out = bytearray()
    for start in range(0, len(rgb), 3):
        pixel = rgb[start : start + 3]
        packed = known.get(pixel)
        if packed is None:
            red, green, blue = pixel
            packed = known[pixel] = ((red >> 3) << 11 | (green >> 2) << 5 | blue >> 3).to_bytes(2, "little")
        out += packed
    return bytes(out)
