"""As much of WebSocket (RFC 6455) as a client needs that mostly listens: small, so that a thousand of them cost
little beside what they measure. Text frames in one piece, no extensions."""

from __future__ import annotations

import socket
from http import HTTPStatus

TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A  # with the bit that says the message is whole
_MASKED = 0x80
_NO_MASK = bytes(4)  # a client must mask what it sends; with zeros that changes nothing
_SHORT, _TWO, _EIGHT = 125, 126, 127


class WrongAnswer(Exception):
    """The server did not do as RFC 6455 has it."""


class Frames:
    """Cuts a stream of bytes into frames."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def take(self, data: bytes) -> list[tuple[int, bytes]]:
        """First byte and payload of each frame that is complete now."""
        if self._rest:
            data = self._rest + data
        found, at, end = [], 0, len(data)
        while end - at >= 2:
            start, length = at + 2, data[at + 1]
            if length > _SHORT:
                start += 2 if length == _TWO else 8
                if start > end:
                    break
                length = int.from_bytes(data[at + 2 : start])
            if start + length > end:
                break
            found.append((data[at], data[start : start + length]))
            at = start + length
        self._rest = data[at:]
        return found


def frame(kind: int, payload: bytes) -> bytes:
    """A client's frame."""
    if len(payload) <= _SHORT:
        head = bytes([kind, _MASKED | len(payload)])
    else:
        head = bytes([kind, _MASKED | _TWO]) + len(payload).to_bytes(2)
    return head + _NO_MASK + payload


def connect(host: str, port: int, path: str, timeout: float) -> socket.socket:
    """An open connection. Raises OSError or WrongAnswer."""
    connection = socket.create_connection((host, port), timeout=timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        byte = connection.recv(1)  # what follows the head is a frame already
        if not byte:
            raise WrongAnswer("closed before it was open")
        answer += byte
    status = answer.split(b" ", 2)[1].decode()
    if status != str(HTTPStatus.SWITCHING_PROTOCOLS.value):
        raise WrongAnswer(f"status {status}")
    return connection
