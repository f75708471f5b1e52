"""Consumers against the embedded Kafka and PostgreSQL: exactly once, in order, and what fails is set aside."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import prometheus_client
import psutil
import pytest
from confluent_kafka import TopicPartition
from django.db import connection

from exchange.base import ids
from exchange.platform.analytics.models import DailyVolume
from exchange.platform.analytics.volume import add_trades
from exchange.platform.events import dlq, kafka, lag, outbox, prune
from exchange.platform.events.consumer import SETTINGS, Consumer
from exchange.platform.events.event import Event, Handler, Poison
from exchange.platform.events.models import HandledEvent, OutboxEvent
from exchange.platform.events.outbox import message
from exchange.platform.events.retry import Retry
from exchange.platform.members.models import Institution, User
from tests.market import PATIENCE, eventually

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = Retry(first=0.05, longest=0.2, tries=3)


class Topic:
    """A topic of the test's own. Partitions are chosen here, so that a test knows what waits for what."""

    def __init__(self) -> None:
        self.name = f"test-{ids.uuid7()}"
        self._producer = kafka.producer()

    def put(self, value: bytes | None, key: str = "a", partition: int = 0) -> None:
        failed: list[object] = []
        self._producer.produce(
            self.name,
            value,
            key,
            partition=partition,
            on_delivery=lambda error, _: failed.append(error and error.str()),
        )
        self._producer.flush(PATIENCE)
        assert failed == [None]

    def say(self, number: int, *, key: str = "a", partition: int = 0, kind: str = "SAID") -> bytes:
        text = message(kind, {"number": number}, trace_id="test").encode()
        self.put(text, key, partition)
        return text

    def letters(self) -> list[dlq.DeadLetter]:
        return list(dlq.read([self.name]))


@pytest.fixture(autouse=True)
def short_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedded Kafka lets a member of a known group wait for about a session."""
    monkeypatch.setitem(SETTINGS, "session.timeout.ms", 1200)
    monkeypatch.setitem(SETTINGS, "heartbeat.interval.ms", 200)


@pytest.fixture
def topic() -> Topic:
    return Topic()


@contextmanager
def consuming(group: str, topic: Topic, handler: Handler, kind: str = "SAID") -> Iterator[Consumer]:
    """On a thread of its own; what ends it ends the test."""
    consumer, stop, failed = Consumer(group, {(topic.name, kind): handler}, QUICK), threading.Event(), []

    def run() -> None:
        try:
            consumer.run(stop)
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield consumer
    finally:
        stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive(), "the consumer does not stop"
        assert not failed, failed


def note(event: Event) -> None:
    """An effect that shows how often and in which order."""
    outbox.append("effects", event.key, "NOTED", event.payload, trace_id="")


def noted(key: str = "a") -> list[int]:
    rows = OutboxEvent.objects.filter(topic="effects", key=key).order_by("id")
    return [json.loads(row.message)["payload"]["number"] for row in rows]


def committed(group: str, topic: Topic, partition: int = 0) -> int:
    client = kafka.consumer(group)
    try:
        (at,) = client.committed([TopicPartition(topic.name, partition)], timeout=PATIENCE)
        return int(at.offset)
    finally:
        client.close()


def test_events_are_handled_once_and_in_order(topic: Topic) -> None:
    texts = [topic.say(number) for number in range(20)]
    topic.say(100, kind="SOMETHING_ELSE")
    for text in texts[5:15]:  # as after a crash of the relay
        topic.put(text)
    with consuming("once", topic, note):
        eventually(lambda: len(noted()) == 20)
        topic.say(20)
        eventually(lambda: len(noted()) == 21)
    assert noted() == list(range(21))
    assert HandledEvent.objects.filter(group="once").count() == 21
    assert committed("once", topic) == 32
    # Another group has its own view, and one that comes back goes on where it was.
    topic.say(21)
    with consuming("twice", topic, note):
        eventually(lambda: len(noted()) == 43)
    with consuming("once", topic, note):
        eventually(lambda: len(noted()) == 44)
    assert noted()[-1] == 21


def test_an_event_that_fails_holds_back_its_partition_only(topic: Topic) -> None:
    broken = threading.Event()
    broken.set()
    tries: list[int] = []

    def handler(event: Event) -> None:
        note(event)  # what was done before it failed must be undone
        if event.payload["number"] == 2 and broken.is_set():
            tries.append(1)
            if len(noted("b")) == 5:  # the other partition has gone on
                broken.clear()
            raise RuntimeError("not now")

    patient = Retry(first=0.05, longest=0.05, tries=10_000)
    for number in range(5):
        topic.say(number)
        topic.say(number, key="b", partition=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.integration.test_consumer.QUICK", patient)
        with consuming("failing", topic, lambda e: handler(e) if e.key == "a" else note(e)):
            eventually(lambda: len(noted()) == 5)
    assert noted() == noted("b") == list(range(5))
    assert tries
    assert topic.letters() == []
    assert committed("failing", topic) == 5


def test_how_far_a_group_is_behind_is_told(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = Retry(first=0.05, longest=0.05, tries=10_000)
    monkeypatch.setattr("tests.integration.test_consumer.QUICK", patient)
    monkeypatch.setattr("exchange.platform.events.consumer.LAG_SECONDS", 0.05)
    mended = threading.Event()

    def handler(event: Event) -> None:
        if not mended.is_set():
            raise RuntimeError("not now")
        note(event)

    for number in range(3):
        topic.say(number)
        topic.say(number, key="b", partition=1)
    with consuming("behind", topic, handler):
        eventually(lambda: lag.read(["behind", "nobody"]) == {"behind": 6, "nobody": None})
        mended.set()
        eventually(lambda: lag.read(["behind"]) == {"behind": 0})


def test_what_fails_too_often_becomes_a_dead_letter_and_the_rest_goes_on(topic: Topic) -> None:
    def handler(event: Event) -> None:
        if event.payload["number"] == 1:
            raise RuntimeError("never")
        note(event)

    texts = [topic.say(number) for number in range(4)]
    with consuming("dead", topic, handler):
        eventually(lambda: noted() == [0, 2, 3])
    (letter,) = topic.letters()
    assert (letter.group, letter.topic, letter.partition, letter.offset) == ("dead", topic.name, 0, 1)
    assert (letter.key, letter.tries, letter.value) == ("a", QUICK.tries, texts[1])
    assert letter.reason == "RuntimeError: never"
    assert HandledEvent.objects.filter(group="dead").count() == 3  # so it can still be handled
    assert committed("dead", topic) == 4


def test_poison_goes_to_the_dead_letters_at_once(topic: Topic) -> None:
    def handler(event: Event) -> None:
        if event.payload["number"] == 3:
            raise Poison("the market is unknown")
        note(event)

    good = topic.say(0)
    bad = [
        b"{", b"\xff\xfe", b"[]", None, b'{"event_type": "SAID"}',
        good.replace(b'"schema_version":1', b'"schema_version":2'),
        good.replace(b'"timestamp":"', b'"timestamp":"x'),
        good.replace(b'"event_id":"', b'"event_id":"x'),
    ]  # fmt: skip
    for value in bad:
        topic.put(value)
    topic.say(3)
    topic.say(4)
    with consuming("poison", topic, handler):
        eventually(lambda: noted() == [0, 4])
    letters = topic.letters()
    assert [letter.value for letter in letters[:-1]] == [value or b"" for value in bad]
    assert letters[-1].reason == "Poison: the market is unknown"
    assert {letter.tries for letter in letters} == {1}


def test_a_database_that_is_away_is_nobodys_fault(topic: Topic) -> None:
    lost: list[int] = []

    def handler(event: Event) -> None:
        note(event)
        if event.payload["number"] == 1 and len(lost) < 2:
            lost.append(1)
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    for number in range(3):
        topic.say(number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.integration.test_consumer.QUICK", Retry(first=0.05, longest=0.1, tries=1))
        with consuming("away", topic, handler):
            eventually(lambda: len(noted()) == 3)
    assert noted() == [0, 1, 2]
    assert len(lost) == 2
    assert topic.letters() == []


def test_a_kafka_that_lost_everything_is_read_from_its_beginning(topic: Topic) -> None:
    """What was sent again comes at offsets that the group believes to have behind it."""
    with consuming("reborn", topic, note):
        for number in range(5):
            topic.say(number)
        eventually(lambda: len(noted()) == 5)
        (before,) = brokers()
        before.kill()
        eventually(lambda: brokers() not in ([], [before]))
        again = Topic()  # its producer knows nothing of the old one
        again.name = topic.name
        for number in range(5, 15):
            again.say(number)
        eventually(lambda: len(noted()) == 15)
    assert noted() == list(range(15))


def test_a_dead_letter_waits_for_kafka(topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlq, "SEND_SECONDS", 0.5)
    monkeypatch.setitem(SETTINGS, "session.timeout.ms", 10_000)
    (broker,) = brokers()
    comes_back = threading.Timer(2.0, broker.resume)
    struck: list[int] = []

    def handler(event: Event) -> None:
        if event.payload["number"] == 1:
            if not struck:
                struck.append(1)
                broker.suspend()
                comes_back.start()
            raise Poison("never")
        note(event)

    for number in range(3):
        topic.say(number)
    try:
        with consuming("cut off", topic, handler):
            eventually(lambda: noted() == [0, 2])
    finally:
        comes_back.cancel()
        broker.resume()
    failures = prometheus_client.REGISTRY.get_sample_value(
        "exchange_events_failed_total", {"group": "cut off"}
    )
    assert failures is not None
    assert failures > 1  # the letter could not be sent, so the event was tried again
    assert {letter.offset for letter in topic.letters()} == {1}


def test_two_members_share_a_group(topic: Topic) -> None:
    with consuming("shared", topic, note), consuming("shared", topic, note):
        for number in range(40):
            topic.say(number, key="ab"[number % 2], partition=number % 2)
        eventually(lambda: len(noted("a")) + len(noted("b")) == 40)
    assert noted("a") == list(range(0, 40, 2))
    assert noted("b") == list(range(1, 40, 2))


def brokers() -> list[psutil.Process]:
    """Of this test session, whose keeper is a thread of this process."""
    found = []
    for each in psutil.Process().children():
        with suppress(psutil.Error):  # it has just ended
            if "exchange.embedded.broker" in each.cmdline():
                found.append(each)
    return found


def trade(buyer: str, seller: str, price: str, quantity: str, when: str = "2026-03-01T23:59:59.9Z") -> bytes:
    payload = {
        "trade_id": ids.uuid7(),
        "symbol": "BTC/USDT",
        "buyer_user_id": buyer,
        "seller_user_id": seller,
    }
    payload |= {"price": price, "quantity": quantity}
    return message("TRADE_EXECUTED", payload, trace_id="", timestamp=when).encode()


def test_analytics_counts_each_trade_once_for_each_side(topic: Topic) -> None:
    bank = Institution.objects.create(code="bank", name="Bank")
    ann = User.objects.create_user("ann@test.exchange", institution=bank)
    bob = User.objects.create_user("bob@test.exchange")  # of no institution
    long = "123456789012345678.123456789012345678"
    trades = [
        trade(str(ann.pk), str(bob.pk), "0.1", "3"),
        trade(str(bob.pk), str(ann.pk), "2", "0.5"),
        trade(str(ann.pk), str(bob.pk), "1.00", long),
        trade(str(ann.pk), str(bob.pk), "7", "1", "2026-03-02T00:00:00Z"),
    ]
    for text in (*trades, *trades):
        topic.put(text)
    topic.put(trade(str(ann.pk), str(bob.pk), "Infinity", "1"))
    with consuming("volume", topic, add_trades, "TRADE_EXECUTED"):
        eventually(lambda: DailyVolume.objects.count() == 4 and len(topic.letters()) == 1)
    anns = DailyVolume.objects.get(user=ann.pk, day="2026-03-01")
    assert (anns.institution, anns.symbol, anns.trades) == (bank, "BTC/USDT", 3)
    assert (anns.bought_quantity, anns.bought_notional) == (
        Decimal("123456789012345681.123456789012345678"),
        Decimal("123456789012345678.423456789012345678"),
    )
    assert (anns.sold_quantity, anns.sold_notional) == (Decimal("0.5"), Decimal(1))
    bobs = DailyVolume.objects.get(user=bob.pk, day="2026-03-01")
    assert (bobs.institution, bobs.sold_notional, bobs.bought_notional) == (
        None, anns.bought_notional, anns.sold_notional,
    )  # fmt: skip
    assert DailyVolume.objects.get(user=bob.pk, day="2026-03-02").sold_notional == 7


def test_what_kafka_has_forgotten_is_forgotten_here_too() -> None:
    now = datetime.now(UTC)
    old = prune.horizon(now) - timedelta(minutes=1)
    for moment, count in ((old, 5), (prune.horizon(now) + timedelta(minutes=1), 2)):
        for number in range(count):
            event_id = str(ids.floor(moment))[:-2] + f"{number:02x}"
            HandledEvent.objects.create(group="pruned", event_id=event_id)
    HandledEvent.objects.create(group="another", event_id=ids.floor(old))
    assert [prune.prune("pruned", now, at_once=3) for _ in range(3)] == [3, 2, 0]
    assert HandledEvent.objects.filter(group="pruned").count() == 2
    assert HandledEvent.objects.filter(group="another").count() == 1
