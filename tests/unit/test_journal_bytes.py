"""A journal of older code, read and replayed: the same bytes, the same events, the same books."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import astuple

from matching.codec import decode_envelopes, encode
from matching.core.book import Book
from matching.core.commands import Place
from matching.core.engine import Engine
from matching.core.invariants import check
from matching.core.order_terms import OrderTerms
from matching.core.types import OrderType, SelfTradePrevention, Side, TimeInForce

JOURNAL = Path(__file__).parents[1] / "data" / "journal_before_order_terms.msgpack.gz"
TAG_AND_TERMS = 13  # of a command that places an order, in the journal


@cache
def journal() -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.msgpack.decode(gzip.decompress(JOURNAL.read_bytes()))
    return decoded


def test_commands_are_written_as_they_were() -> None:
    for _first, written in journal()["batches"]:
        assert encode(decode_envelopes(written)) == written


def test_it_replays_to_the_same_events_and_books() -> None:
    engine = Engine(Book(instrument) for instrument, *_ in journal()["books"])
    events = [
        (type(event).__name__, *astuple(event))
        for first, written in journal()["batches"]
        for sequence, envelope in enumerate(decode_envelopes(written), first)
        for event in engine.apply(envelope.command, sequence)
    ]
    assert plainly(events) == journal()["events"]
    for book in engine.books.values():
        check(book)
    assert plainly([written_down(book) for book in engine.books.values()]) == journal()["books"]


def test_terms_added_later_have_their_default() -> None:
    """A command of before is shorter than one of now: what it lacks is at its end, and has a default."""
    placed = ["Place", "ann-1", 1, "ann", 1, "LIMIT", "GTC", 100, 5, 0, True, "CANCEL_BOTH", 2_000]
    assert len(placed) == TAG_AND_TERMS
    terms = ("ann-1", 1, "ann", Side.BUY, OrderType.LIMIT, TimeInForce.GTC, 100, 5)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(placed), type=Place) == Place(
        *terms, post_only=True, prevention=SelfTradePrevention.CANCEL_BOTH, collar_ppm=2_000
    )
    assert len(OrderTerms.__struct_defaults__) >= TAG_AND_TERMS - 1 - len(terms)


def plainly(value: Any) -> Any:
    """As it comes out of the file: lists, texts and numbers."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value))


def written_down(book: Book) -> tuple[Any, ...]:
    everything = sorted([*book.orders.values(), *book.stops.values()], key=lambda order: order.priority)
    orders = [
        (
            order.id,
            order.user,
            order.side.name,
            order.type,
            order.time_in_force,
            order.price,
            order.quantity,
            order.remaining,
            order.stop_price,
            order.post_only,
            order.prevention,
            order.priority,
        )
        for order in everything
    ]
    return book.instrument, book.status, book.last_trade_number, orders
