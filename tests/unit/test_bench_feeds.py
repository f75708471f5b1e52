"""What the bench's clients of the feed are made of: frames cut from a stream of bytes, and a book kept right."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from zlib import crc32

import pytest

from exchange.bench.feed_book import DEPTH, Book
from exchange.bench.websocket import PONG, TEXT, Frames, WrongAnswer, connect, frame

PAYLOADS = [b"", b"x", b"y" * 125, b"z" * 126, b"a" * 65_535, b"b" * 65_536]


def sent(payload: bytes) -> bytes:
    """As a server frames it."""
    size = len(payload)
    if size < 126:
        return bytes([TEXT, size]) + payload
    if size < 1 << 16:
        return bytes([TEXT, 126]) + size.to_bytes(2) + payload
    return bytes([TEXT, 127]) + size.to_bytes(8) + payload


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1000, 1_000_000])
def test_frames_come_out_as_they_went_in_however_they_are_cut(chunk: int) -> None:
    payloads = PAYLOADS if chunk > 100 else PAYLOADS[:4]
    stream = b"".join(map(sent, payloads))
    frames = Frames()
    pieces = (stream[at : at + chunk] for at in range(0, len(stream), chunk))
    found = list(itertools.chain.from_iterable(frames.take(piece) for piece in pieces))
    assert found == [(TEXT, payload) for payload in payloads]


@pytest.mark.parametrize("size", [0, 125, 126, 5_000])
def test_what_a_client_sends_is_masked(size: int) -> None:
    data = frame(PONG, b"p" * size)
    assert data[0] == PONG
    assert data[1] & 0x80
    assert data[-size - 4 :] == bytes(4) + b"p" * size


def test_a_server_that_refuses_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            client, _ = server.accept()
            with client:
                client.recv(10_000)
                client.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        host, port = server.getsockname()
        with pytest.raises(WrongAnswer, match="status 403"):
            connect(host, port, "/stream", 5)
        thread.join()


def proof(text: str) -> int:
    return crc32(text.encode())


def test_a_book_follows_its_messages() -> None:
    book = Book()
    snapshot = {"bids": [["50.0", "1.5"], ["49.0", "2.0"]], "asks": [["51.0", "2.1"]]}
    book.apply("SNAPSHOT", snapshot | {"checksum": proof("50.0:1.5|49.0:2.0||51.0:2.1")})
    update = {"bids": [["50.0", "0.0"], ["49.5", "3.0"]], "asks": [["51.0", "1.0"], ["50.5", "9.0"]]}
    book.apply("ORDERBOOK_UPDATE", update | {"checksum": proof("49.5:3.0|49.0:2.0||50.5:9.0|51.0:1.0")})
    assert book.bids == [["49.5", "3.0"], ["49.0", "2.0"]]
    assert book.wrong == 0
    book.apply("ORDERBOOK_UPDATE", {"bids": [], "asks": [], "checksum": 1})
    assert book.wrong == 1
    book.apply("SNAPSHOT", {"bids": [], "asks": [], "checksum": proof("||")})
    assert (book.bids, book.asks, book.wrong) == ([], [], 1)


def test_a_book_forgets_what_is_out_of_view() -> None:
    book = Book()
    bids = [[f"{price}.0", "1.0"] for price in range(1000, 1000 - DEPTH, -1)]
    prices = "|".join(f"{price}:{quantity}" for price, quantity in bids[:10])
    book.apply("SNAPSHOT", {"bids": bids, "asks": [], "checksum": proof(prices + "||")})
    book.apply("ORDERBOOK_UPDATE", {"bids": [["1001.0", "1.0"]], "asks": [], "checksum": 0})
    assert len(book.bids) == DEPTH
    assert (book.bids[0][0], book.bids[-1][0]) == ("1001.0", "902.0")
    assert json.dumps(book.asks) == "[]"
