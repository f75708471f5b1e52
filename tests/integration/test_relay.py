"""The relay: everything arrives, in order per key, whatever is killed, away or refused."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from exchange.base import partitions
from exchange.base.database import connect
from exchange.base.partitions import Partitioned
from exchange.embedded.broker import MockCluster
from exchange.embedded.stack import PROJECT
from exchange.operations import event_repair
from exchange.platform.events import kafka, low_watermark, outbox, relay, retention, selectors
from exchange.platform.events.models import OutboxEvent
from exchange.platform.events.relay import TRIES, Relay
from exchange.platform.events.sender import Sender
from tests import commands
from tests.kafka import SECONDS, Cluster, Reader, Seen, cluster, firsts

pytestmark = pytest.mark.django_db(transaction=True)

ORDERS, TRADES, AUDIT = "order.events", "trade.events", "audit.logs"
TOO_LARGE = "x" * 1_100_000
PRODUCE = 0  # the request's number in Kafka's protocol
TOPIC_AUTHORIZATION_FAILED = 29


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait between two tries."""
    for name in ("FIRST_DELAY", "FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(relay, name, 0.01)
    monkeypatch.setattr(relay, "LONGEST_DELAY", 0.0)
    monkeypatch.setattr("exchange.platform.events.sender.PATIENCE", 1.0)


@pytest.fixture(scope="module")
def broker() -> Iterator[Cluster]:
    """A reader of it sees what earlier tests sent too, so each has keys of its own."""
    with cluster(ORDERS, TRADES, AUDIT) as running:
        yield running


@pytest.fixture
def make(broker: Cluster) -> Iterator[Callable[[], Relay]]:
    made: list[tuple[Relay, Sender]] = []

    def one() -> Relay:
        sender = Sender(broker.producer)
        made.append((Relay(lambda: connect("test relay"), sender), sender))
        return made[-1][0]

    yield one
    for each, sender in made:
        each.close()
        sender.close()


def add(key: str, *numbers: int, topic: str = ORDERS, text: str = "") -> None:
    with transaction.atomic():
        for number in numbers:
            outbox.append(topic, key, "COUNTED", {"number": number, "text": text}, trace_id="t")


def of(reader: Reader, *keys: str) -> dict[str, list[int]]:
    """The numbers that came first, of these keys."""
    return {key: numbers for (_, key), numbers in firsts(reader.seen).items() if key in keys}


def rows(**fields: Any) -> list[OutboxEvent]:
    return list(OutboxEvent.objects.filter(**fields).order_by("id"))


def drain(one: Relay) -> int:
    """Until a look finds nothing."""
    sent = one.batch()
    while arrived := one.batch():
        sent += arrived
    return sent


def until_answered(one: Relay) -> None:
    """The cluster is back, and all has been sent."""
    deadline = time.monotonic() + SECONDS
    while one.batch() or one.away:
        assert time.monotonic() < deadline


def test_events_arrive_as_they_were_written_and_are_marked(
    make: Callable[[], Relay], broker: Cluster
) -> None:
    add("ann", 1, 2)
    add("SYM/BOL", 7, topic=TRADES)
    assert make().batch() == 3
    reader = Reader(broker.brokers, ORDERS, TRADES)
    reader.until(lambda seen: {"ann", "SYM/BOL"} <= {each.key for each in seen})
    reader.rest()
    assert of(reader, "ann") == {"ann": [1, 2]}
    written = [json.loads(each.message) for each in rows()]
    assert sorted(
        (each.envelope for each in reader.seen if each.key in ("ann", "SYM/BOL")), key=str
    ) == sorted(written, key=str)
    assert {(each.status, each.tries) for each in rows()} == {("PUBLISHED", 0)}
    reader.close()


def test_a_refused_event_holds_back_its_key_and_nobody_else(
    make: Callable[[], Relay], broker: Cluster
) -> None:
    one = make()
    add("bea", 1)
    add("bea", 2, text=TOO_LARGE)
    add("bea", 3)
    add("ben", 1, 2)
    assert one.batch() == 3
    add("bea", 4)
    add("ben", 3)
    for _ in range(TRIES + 2):
        one.batch()
    reader = Reader(broker.brokers, ORDERS)
    reader.until(lambda _: of(reader, "ben") == {"ben": [1, 2, 3]})
    assert of(reader, "bea") == {"bea": [1]}
    (failed,) = rows(tries__gt=0)
    assert (failed.status, failed.tries) == ("FAILED", TRIES)
    assert "too large" in failed.reason
    state = selectors.state()
    assert (state.pending, state.failed, state.held_keys) == (2, 1, 1)
    assert selectors.failed(2) == [(failed.id, ORDERS, "bea", TRIES, failed.reason)]
    told = StringIO()
    with pytest.raises(SystemExit, match="1"):
        call_command("outbox", stdout=told)
    assert f"--id {failed.id}  {ORDERS}  bea  {TRIES} tries: " in told.getvalue()

    shorter = outbox.message("COUNTED", {"number": 2}, trace_id="t")
    OutboxEvent.objects.filter(id=failed.id).update(message=shorter)
    assert event_repair.retry([failed.id], actor="op") == [failed.id]
    add("bea", 5)
    drain(one)
    reader.until(lambda _: of(reader, "bea") == {"bea": [1, 2, 3, 4, 5]})
    (told,) = [json.loads(each.message)["payload"] for each in rows(topic=AUDIT)]
    assert (told["action"], told["actor"], told["new"]) == ("outbox.retry", "op", {"ids": [str(failed.id)]})
    reader.close()


def test_an_event_that_is_given_up_lets_the_later_ones_go(make: Callable[[], Relay], broker: Cluster) -> None:
    one = make()
    add("cat", 1, text=TOO_LARGE)
    add("cat", 2, 3)
    drain(one)
    (refused,) = rows(tries__gt=0)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE events_relayposition SET floor = %s", [refused.id + 2])
    assert event_repair.discard([refused.id, refused.id + 1], actor="op") == [refused.id]
    assert drain(one) == 3  # one of them for audit.logs
    reader = Reader(broker.brokers, ORDERS)
    reader.until(lambda _: of(reader, "cat") == {"cat": [2, 3]})
    assert [each.status for each in rows(key="cat")] == ["DISCARDED", "PUBLISHED", "PUBLISHED"]
    reader.close()


def test_what_the_cluster_refuses_is_tried_alone_and_nothing_overtakes_it() -> None:
    mock = MockCluster()
    for topic in (ORDERS, TRADES):
        mock.create_topic(topic, 1)
    sender = Sender(lambda: kafka.producer(**{"bootstrap.servers": mock.address}))
    one = Relay(lambda: connect("test relay"), sender)
    add("dan", *range(5))
    mock.library.rd_kafka_mock_push_request_errors(
        mock.handle, PRODUCE, ctypes.c_size_t(2), TOPIC_AUTHORIZATION_FAILED, TOPIC_AUTHORIZATION_FAILED
    )
    assert one.batch() == 0
    refused = [each.tries for each in rows()]
    assert refused == [1] * 5  # one request carried them all, and Kafka says no more than that it was refused
    add("dan", 5)
    add("ed", 0, topic=TRADES)
    assert drain(one) == 7
    reader = Reader(mock.address, ORDERS, TRADES)
    reader.count(7)
    assert of(reader, "dan", "ed") == {"dan": [*range(6)], "ed": [0]}
    assert selectors.state()[:3] == (0, 0, 0)
    reader.close()
    one.close()
    sender.close()


def test_a_cluster_that_is_away_is_no_events_fault(make: Callable[[], Relay], broker: Cluster) -> None:
    one = make()
    add("eve", 1, 2)
    assert one.batch() == 2
    broker.process.send_signal(signal.SIGSTOP)
    try:
        add("eve", 3, 4)
        assert one.batch() == 0
        assert one.away
        assert one.batch() == 0
        assert {(each.status, each.tries) for each in rows(published_at=None)} == {("PENDING", 0)}
    finally:
        broker.process.send_signal(signal.SIGCONT)
    until_answered(one)
    reader = Reader(broker.brokers, ORDERS)
    reader.until(lambda _: of(reader, "eve") == {"eve": [1, 2, 3, 4]})
    reader.close()

    broker.kill()
    add("eve", 5)
    assert one.batch() == 0
    assert one.away
    broker.start()
    until_answered(one)
    assert rows(published_at=None) == []
    assert event_repair.republish(datetime.now(UTC) - timedelta(minutes=1), actor="op") == 5
    drain(one)
    reader = Reader(broker.brokers, ORDERS)
    reader.until(lambda _: sorted(of(reader, "eve")["eve"]) == [1, 2, 3, 4, 5] if reader.seen else False)
    numbers = [each.envelope["payload"]["number"] for each in reader.seen if each.key == "eve"]
    assert numbers[-5:] == [1, 2, 3, 4, 5]  # 5 came before the others were missed, and once more with them
    reader.close()


WRITERS, EACH = 4, 250


class Writers:
    """Threads that write events, each with two keys of its own, a few a transaction."""

    def __init__(self, name: str) -> None:
        self.keys = [f"{name}{number}{side}" for number in range(WRITERS) for side in "ab"]
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def _write(self, number: int) -> None:
        own = self.keys[2 * number : 2 * number + 2]
        for first in range(0, EACH, 5):
            for key in own:
                add(key, *range(first, first + 5))
        connection.close()

    @property
    def writing(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def expected(self) -> dict[str, list[int]]:
        return {key: [*range(EACH)] for key in self.keys}


def test_several_relays_at_once_keep_the_order(
    make: Callable[[], Relay], broker: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BATCH", 50)  # so that batches end in the middle of transactions
    writers = Writers("r")
    relays = [make(), make(), make()]
    sent = [0, 0, 0]

    def run(index: int) -> None:
        while writers.writing or rows(published_at=None)[:1]:
            sent[index] += relays[index].batch()
        connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reader = Reader(broker.brokers, ORDERS)
    reader.until(lambda _: of(reader, *writers.keys) == writers.expected())
    assert sum(sent) == len([each for each in reader.rest() if each.key in writers.keys])
    reader.close()


def _have(number: int, seen: list[Seen]) -> bool:
    return len([each for each in seen if each.key.startswith("k")]) > number


def test_a_relay_that_stands_still_loses_the_word(make: Callable[[], Relay]) -> None:
    still, other = make(), make()
    add("jan", 1)
    assert still.batch() == 1
    assert still._connection is not None
    assert still._connection.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("30s",)
    still._connection.execute("SET idle_in_transaction_session_timeout = '100ms'")
    still._connection.execute("BEGIN")
    assert low_watermark.Floor().take(still._connection) is not None
    add("jan", 2)
    deadline = time.monotonic() + SECONDS
    while not other.batch():
        assert time.monotonic() < deadline
    with pytest.raises(psycopg.Error):
        still.batch()
    add("jan", 3)
    assert still.batch() == 1


LOOP = """
import os, django
django.setup()
from exchange.base import partitions
from exchange.base.database import connect
from exchange.platform.events import kafka
from exchange.platform.events.relay import Relay
from exchange.platform.events.sender import Sender
from exchange.base.partitions import Partitioned
one = Relay(lambda: connect("test relay"), Sender(kafka.producer))
while True:
    one.batch()
"""


def test_a_relay_may_be_killed_at_any_point(broker: Cluster) -> None:
    environment = {**commands.environment(), "KAFKA_BROKERS": broker.brokers}
    reader = Reader(broker.brokers, ORDERS)
    writers = Writers("k")

    def relayed(enough: Callable[[list[Seen]], bool]) -> None:
        process = subprocess.Popen([sys.executable, "-c", LOOP], cwd=PROJECT, env=environment)
        try:
            reader.until(enough)
        finally:
            process.kill()
            process.wait()

    for part in (0.05, 0.3, 0.7):
        relayed(partial(_have, int(part * WRITERS * 2 * EACH)))
    relayed(lambda _: of(reader, *writers.keys) == writers.expected())
    reader.close()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT floor FROM events_relayposition FOR UPDATE")  # the last one has let go


def test_the_floor_rises_and_no_late_commit_is_missed(
    make: Callable[[], Relay], broker: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("STEP", "LAG"):
        monkeypatch.setattr(low_watermark, name, 0.0)
    one = make()

    def position() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT floor FROM events_relayposition")
            return int(cursor.fetchone()[0])

    late = connect("test late")
    late.execute("BEGIN")
    line = outbox.message("COUNTED", {"number": 1}, trace_id="t")
    late.execute(f"INSERT INTO events_outboxevent ({outbox.COLUMNS}) VALUES ('{ORDERS}', 'fay', %s)", [line])
    add("flo", 1)
    assert drain(one) == 1
    for _ in range(5):
        one.batch()
    assert position() == 0  # a writer may still come with a lower id
    late.execute("COMMIT")
    late.close()
    assert drain(one) == 1
    for _ in range(5):
        one.batch()
    assert position() == rows()[-1].id
    add("flo", 2)
    assert drain(one) == 1


def test_whole_partitions_go_once_all_of_them_is_published_long_enough(
    make: Callable[[], Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    first_id = 20 * partitions.BLOCK + 1  # past the partitions of other tests
    monkeypatch.setattr(partitions, "BLOCK", 10)
    monkeypatch.setattr(partitions, "AHEAD", {"block": 3})
    table = Partitioned(outbox.TABLE, "block")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT setval('events_outboxevent_id_seq', {first_id - 1})")
        add("hal", 1)
        partitions.ensure([table])
        cursor.execute(f"SELECT setval('events_outboxevent_id_seq', {first_id + 8})")
    add("hal", *range(2, 30))
    add("ian", 1, text=TOO_LARGE)
    add("ian", *range(2, 12))
    first, second, third = partitions.blocks(outbox.TABLE)[-3:]
    one = make()
    drain(one)
    (refused,) = rows(tries__gt=0)
    # Published a moment ago; empty ones of other tests may go.
    assert not {first, second, third} & set(retention.drop_published())
    OutboxEvent.objects.exclude(published_at=None).update(published_at="2020-01-01T00:00:00Z")
    assert retention.drop_published(dry_run=True)[-2:] == [first, second]
    assert retention.drop_published()[-2:] == [first, second]
    # The first event came before there was a partition for it.
    assert [each.id for each in rows()[:2]] == [first_id, first_id + 29]
    assert third not in retention.drop_published()  # one of its events is not through
    event_repair.discard([refused.id], actor="op")
    drain(one)
    OutboxEvent.objects.exclude(published_at=None).update(published_at="2020-01-01T00:00:00Z")
    assert retention.drop_published() == [third]


def test_the_command_tells_and_acts(make: Callable[[], Relay]) -> None:
    def run(*arguments: str) -> Any:
        out = StringIO()
        call_command("outbox", *arguments, "--json", stdout=out)
        return json.loads(out.getvalue())

    add("gus", 1, text=TOO_LARGE)
    add("gus", 2)
    told = run()
    assert (told["pending"], told["failed"]) == (2, 0)
    assert 0 < told["oldest_seconds"] < 60
    one = make()
    for _ in range(TRIES + 2):
        one.batch()
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("outbox", stdout=out)
    assert ended.value.code == 1
    assert "failed  1" in out.getvalue()
    (failed,) = rows(status="FAILED")
    assert run("--retry", "--dry-run") == {"events": 1, "dry_run": True, "ids": [failed.id]}
    assert run("--retry", "--id", str(failed.id))["ids"] == [failed.id]
    assert run("--discard", "--id", str(failed.id), "--dry-run")["events"] == 1
    assert run("--discard", "--id", str(failed.id))["events"] == 1
    drain(one)
    assert [each.status for each in rows(key="gus")] == ["DISCARDED", "PUBLISHED"]
    assert run("--republish", "--since", "2020-01-01T00:00:00Z", "--dry-run")["events"] == 3
    for wrong in (["--republish"], ["--discard"], ["--id", "1"], ["--since", "2020-01-01"]):
        with pytest.raises(CommandError) as refused:
            run(*wrong)
        assert refused.value.returncode == 2
