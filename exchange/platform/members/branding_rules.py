"""What an institution may bring for its pages: colours written #rrggbb, and a logo that is a picture and
nothing else.

Pure. SVG is refused: it is a document with scripts and links of its own, and a picture needs neither.
"""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError

MOST_BYTES = 64 * 1024
MOST_PIXELS = 1024  # a side

_COLOUR = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)
_HOST = re.compile(
    r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_PNG = b"\x89PNG\r\n\x1a\n"


def check_colour(text: str) -> None:
    if not _COLOUR.fullmatch(text):
        raise ValidationError("must be a colour such as #1a73e8")


def check_host(text: str) -> None:
    if not _HOST.fullmatch(text):
        raise ValidationError("must be a host name in small letters, without a port: trade.bank.example")


def check_logo(data: bytes) -> None:
    """A PNG or WebP of at most 64 KiB and 1,024 pixels a side."""
    if len(data) > MOST_BYTES:
        raise ValidationError(f"may have at most {MOST_BYTES // 1024} KiB")
    if picture_type(data) is None:
        raise ValidationError("must be a PNG or WebP picture")
    width, height = _png_size(data) if data.startswith(_PNG) else _webp_size(data)
    if not (0 < width <= MOST_PIXELS and 0 < height <= MOST_PIXELS):
        raise ValidationError(f"may be at most {MOST_PIXELS} pixels wide and high, not {width} × {height}")


def picture_type(data: bytes) -> str | None:
    """The content type by what the bytes say; None for anything that is not a picture we show."""
    if data.startswith(_PNG) and data[12:16] == b"IHDR" and len(data) > 24:
        return "image/png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP" and data[12:15] == b"VP8" and len(data) >= 30:
        return "image/webp"
    return None


def ink_on(colour: str) -> str:
    """Black or white, whichever is read more easily on `colour` (WCAG 2.2, relative luminance)."""
    red, green, blue = (_linear(int(colour[at : at + 2], 16) / 255) for at in (1, 3, 5))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


def _png_size(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def _webp_size(data: bytes) -> tuple[int, int]:
    """RFC 9649: extended, lossless, lossy."""
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
