"""WebSocket framing of what a server sends (RFC 6455 section 5.2): a text message in one unmasked frame."""

from __future__ import annotations

_TEXT = b"\x81"  # final frame of a text message


def frame(payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return b"%c%c%b" % (0x81, size, payload)
    if size < 1 << 16:
        return _TEXT + b"\x7e" + size.to_bytes(2, "big") + payload
    return _TEXT + b"\x7f" + size.to_bytes(8, "big") + payload


def payload(wire: bytes) -> bytes:
    """What `frame` was made of."""
    return wire[{126: 4, 127: 10}.get(wire[1], 2) :]
