"""What was written on 1 December 2026 is read as it was meant then, and would be written in the same bytes today.

`tests/data/journal_2026_12_01.json.gz` (see the README beside it) is a journal as it lies in PostgreSQL, with the
trades and books that came of it, and what processes told one another meanwhile. A journal is kept for good. Processes
of two builds run side by side during an upgrade, so the rest must stay readable in both directions: if today's code
reads the old bytes and writes the same ones, the old code can read what today's writes.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import pytest

from matching import codec, feed, snapshot
from matching.core.book import Book
from matching.core.commands import Adopt, Place, Release
from matching.core.engine import Engine
from matching.core.events import Event, Traded
from matching.core.invariants import check
from matching.core.scale import InstrumentScale
from matching.core.state import BookState, OrderState, export, restore, state_hash
from matching.core.types import OrderType, SelfTradePrevention, Side, TimeInForce

FILE = Path(__file__).parents[1] / "data" / "journal_2026_12_01.json.gz"


@cache
def stored() -> Any:
    return json.loads(gzip.decompress(FILE.read_bytes()))


def journal() -> Iterator[tuple[Any, list[codec.Envelope]]]:
    for row in stored()["journal"]:
        yield row, codec.decode_envelopes(bytes.fromhex(row["commands"]))


class Replay:
    """The journal into empty books: an engine for each group, and all events in order."""

    def __init__(self) -> None:
        self.engines = {group: Engine() for group in stored()["books"]}
        self.events: list[Event] = []
        self._home: dict[int, str] = {}
        self._released: dict[int, Book] = {}

    def apply(self, group: str, envelope: codec.Envelope, sequence: int) -> None:
        command, engine = envelope.command, self.engines[group]
        if command.instrument not in self._home:
            engine.add(command.instrument)
            self._home[command.instrument] = group
        match command:
            case Release():
                self._released[command.instrument] = engine.release(command, sequence)
            case Adopt():
                engine.adopt(self._released.pop(command.instrument), command, sequence)
                self._home[command.instrument] = group
            case _:
                self.events += engine.apply(command, sequence)
                check(engine.books[command.instrument])


def replayed() -> Replay:
    replay = Replay()
    for row, envelopes in journal():
        for sequence, envelope in enumerate(envelopes, row["first"]):
            replay.apply(row["group"], envelope, sequence)
    return replay


def old_hash(engine: Engine) -> str:
    """As `state_hash` was that day, with its layout spelt out."""
    return blake2b(
        msgspec.msgpack.encode([_book(book) for book in export(engine)]), digest_size=32
    ).hexdigest()


def _book(book: BookState) -> list[Any]:
    sides = [[_order(order) for order in orders] for orders in (book.bids, book.asks, book.stops)]
    return [book.instrument, book.status, book.last_trade_number, *sides, book.priority_offset]


def _order(order: OrderState) -> list[Any]:
    amounts = [order.price, order.quantity, order.remaining, order.priority]
    rules = [order.time_in_force, order.post_only, order.prevention, order.stop_price]
    return [order.id, order.user, order.side, order.type, *amounts, *rules]


# The journal


def test_the_journal_has_all_there_is_in_it() -> None:
    """Else the other tests say little."""
    commands = [envelope.command for _, envelopes in journal() for envelope in envelopes]
    kinds = Counter(type(command).__name__ for command in commands)
    assert set(kinds) == {
        "Place",
        "Cancel",
        "CancelAll",
        "Amend",
        "Trigger",
        "Halt",
        "Resume",
        "Release",
        "Adopt",
    }
    assert kinds.total() > 500
    places = [command for command in commands if isinstance(command, Place)]
    assert {(place.type, place.time_in_force) for place in places} == {
        (kind, time)
        for kind in OrderType
        for time in TimeInForce
        if time is not TimeInForce.GTC or kind in {OrderType.LIMIT, OrderType.STOP_LIMIT}
    }
    assert {place.prevention for place in places} == set(SelfTradePrevention)
    assert {place.post_only for place in places} == {True, False}
    assert {place.side for place in places} == set(Side)
    assert len({command.instrument for command in commands}) == 3


def as_before(written: bytes, before: str) -> bool:
    """The same bytes; or, where a field was added since, the same with its default at an array's end."""
    if written.hex() == before:
        return True
    now, then = msgspec.msgpack.decode(written), msgspec.msgpack.decode(bytes.fromhex(before))
    return _extends(now, then)


def _extends(now: Any, then: Any) -> bool:
    if not isinstance(now, list) or not isinstance(then, list):
        return bool(now == then)
    return len(now) >= len(then) and all(_extends(a, b) for a, b in zip(now, then, strict=False))


def test_each_row_is_written_again_in_the_same_bytes() -> None:
    for row, envelopes in journal():
        assert len(envelopes) == row["last"] - row["first"] + 1
        assert as_before(codec.encode(envelopes), row["commands"]), envelopes


def test_each_command_is_written_alone_in_the_bytes_it_has_in_its_row() -> None:
    for _, envelopes in journal():
        for envelope in envelopes:
            alone = codec.encode(envelope)
            assert codec.decode_envelope(alone) == envelope
            assert alone in codec.encode(envelopes)


def test_rows_follow_one_another_in_each_group() -> None:
    last: Counter[str] = Counter()
    epochs: Counter[str] = Counter()
    for row in stored()["journal"]:
        assert row["first"] == last[row["group"]] + 1, row
        assert row["epoch"] >= epochs[row["group"]], row
        last[row["group"]], epochs[row["group"]] = row["last"], row["epoch"]


def test_it_gives_the_same_books_after_each_row() -> None:
    replay = Replay()
    for row, envelopes in journal():
        for sequence, envelope in enumerate(envelopes, row["first"]):
            replay.apply(row["group"], envelope, sequence)
        assert old_hash(replay.engines[row["group"]]).startswith(row["state"]), row["first"]
    assert {group: old_hash(engine) for group, engine in replay.engines.items()} == stored()["books"]


def test_it_gives_the_same_trades() -> None:
    found = [
        [
            event.instrument,
            event.number,
            event.price,
            event.quantity,
            event.maker,
            event.taker,
            Side(event.taker_side).name,
        ]
        for event in replayed().events
        if isinstance(event, Traded)
    ]
    assert sorted(found) == stored()["trades"]


def test_its_books_are_restored_from_what_is_exported() -> None:
    for group, engine in replayed().engines.items():
        restored = restore(export(engine))
        assert old_hash(restored) == stored()["books"][group]
        assert state_hash(restored) == state_hash(engine)


# What processes tell one another


def test_commands_that_wait_are_read_and_written_as_they_were() -> None:
    """Rows of the inbox: a command of one build may be applied by the other."""
    journalled = {envelope.command.id: envelope for _, envelopes in journal() for envelope in envelopes}
    kinds = set()
    for row in stored()["inbox"]:
        envelope = codec.decode_envelope(bytes.fromhex(row["envelope"]))
        assert type(envelope.command).__name__ == row["kind"]
        assert as_before(codec.encode(envelope), row["envelope"])
        assert journalled[envelope.command.id] == envelope
        kinds.add(row["kind"])
    assert kinds == {"Cancel", "CancelAll", "Amend", "Trigger", "Halt", "Resume"}


def test_an_entry_of_the_stream_is_read_and_written_as_it_was() -> None:
    entry = stored()["stream"]["entry"]
    assert set(entry) == {"c"}
    envelopes = codec.decode_envelopes(bytes.fromhex(entry["c"]))
    assert as_before(codec.encode(envelopes), entry["c"])
    assert entry["c"] == stored()["journal"][stored()["stream"]["batch"]]["commands"]


def test_replies_are_read_and_written_as_they_were() -> None:
    replies = []
    for message in stored()["replies"]:
        batch = codec.decode_replies(bytes.fromhex(message))
        assert as_before(codec.encode(batch), message)
        replies += batch
    updates = [update for reply in replies for update in reply.updates]
    assert {"OPEN", "FILLED", "PARTIALLY_FILLED", "CANCELLED", "REJECTED", "PENDING_TRIGGER"} <= {
        update.status for update in updates
    }
    assert any(reply.refused for reply in replies)
    assert any(update.filled and int(update.notional) and Decimal(update.fee) for update in updates)


def test_messages_of_the_feed_are_read_and_written_as_they_were() -> None:
    scales = {row["id"]: _scale(row) for row in stored()["instruments"]}
    trades = {(trade[0], trade[1]): trade[2:] for trade in stored()["trades"]}
    seen = Counter[str]()
    for message in stored()["feed"]:
        batch = feed.decode(bytes.fromhex(message))
        assert as_before(feed.encode(batch), message)
        for note in batch.trades:
            price, quantity, maker, taker, taker_side = trades[note.instrument, note.number]
            scale = scales[note.instrument]
            assert note.price == scale.price_text(price)
            assert note.quantity == scale.quantity_text(quantity)
            sides = (note.buyer_order, note.seller_order)
            assert sides == ((taker, maker) if taker_side == "BUY" else (maker, taker))
            assert note.buyer_is_maker == (taker_side == "SELL")
        seen.update(books=len(batch.books), trades=len(batch.trades), orders=len(batch.orders))
    assert min(seen["books"], seen["trades"], seen["orders"]) > 20, seen


def test_books_are_shown_to_readers_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = stored()["redis"]["keys"]
    shown, tops = {}, {}
    replay = replayed()
    for group, engine in replay.engines.items():
        beat = json.loads(keys[f"matcher:{group}"])
        client = Kept()
        writer = snapshot.SnapshotWriter(client, group, beat["epoch"])  # type: ignore[arg-type]
        writer.symbols = {
            row["id"]: (row["symbol"], _scale(row))
            for row in stored()["instruments"]
            if row["group"] == group
        }
        for symbol, _ in writer.symbols.values():
            # A millisecond may pass between two of these.
            monkeypatch.setattr(
                snapshot, "now_text", lambda name=symbol: json.loads(keys[f"book:{name}"])["timestamp"]
            )
            writer.write(engine, beat["sequence"])
            shown[f"book:{symbol}"] = client.keys[f"book:{symbol}"]
        monkeypatch.setattr(snapshot, "now_text", lambda beat=beat: beat["timestamp"])
        writer.write(engine, beat["sequence"])
        shown[f"matcher:{group}"] = client.keys[f"matcher:{group}"]
        tops.update(client.tops)
    assert shown == keys
    assert tops == stored()["redis"]["tops"]


class Kept:
    """Redis as far as a writer of snapshots needs it."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = {}
        self.tops: dict[str, str] = {}

    def pipeline(self, transaction: bool) -> Kept:
        return self

    def set(self, key: str, value: bytes, ex: int | None = None) -> None:
        self.keys[key] = value.decode()

    def hset(self, key: str, mapping: dict[str, str]) -> None:
        assert key == "tops"
        self.tops.update(mapping)

    def publish(self, channel: str, message: bytes) -> None:
        pass

    def execute(self) -> None:
        pass


def _scale(row: Any) -> InstrumentScale:
    return InstrumentScale(Decimal(row["tick"]), Decimal(row["lot"]), row["base_scale"], row["quote_scale"])
