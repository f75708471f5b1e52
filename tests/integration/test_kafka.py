"""From a trade to a Kafka reader: what the exchange does is on the topics, as the schemas have it; and what wakes the
relay."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
import redis
from confluent_kafka import KafkaException
from django.db import transaction
from redis.backoff import NoBackoff
from redis.retry import Retry

from exchange.base.env import env
from exchange.base.redis import client
from exchange.base.redis_keys import RELAY_ALIVE
from exchange.platform.audit import log as audit
from exchange.platform.events import cluster, kafka, schema, tasks, topics, wakeup
from exchange.platform.events.models import OutboxEvent
from tests import kafka as outside
from tests.commands import manage
from tests.market import PATIENCE, Desk, open_desk, running

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk(transactional_db: None) -> Iterator[Desk]:
    with open_desk() as desk:
        yield desk


def test_what_happens_is_on_the_topics_as_the_schemas_have_it(desk: Desk) -> None:
    alice, bob = desk.user(USDT="1000"), desk.user(BTC="10")
    resting = desk.trade(bob, "SELL", "1", "100")
    desk.trade(alice, "BUY", "0.4", "100")
    assert not desk.accept(desk.draft(alice, "BUY", "5", "1000")).pending  # rejected by intake
    desk.trade(alice, "BUY", "1", None)
    desk.match(desk.cancel(resting))
    with transaction.atomic():
        audit.record(action="test", resource="nothing", actor="op", institution="", new={"a": "1"})
    written = list(OutboxEvent.objects.order_by("id"))
    kinds = {"TRADE_EXECUTED", "ORDER_STATUS_CHANGED", "BOOK_CHANGED", "AUDIT"}
    assert kinds <= {json.loads(each.message)["event_type"] for each in written}

    reader = outside.Reader(env.kafka_brokers, *topics.TOPICS)
    before = len(reader.rest())
    deadline = time.monotonic() + PATIENCE
    sent = 0
    while sent < len(written):
        sent += tasks.relay()
        assert time.monotonic() < deadline
    seen = reader.count(before + len(written))[before:]
    for each in seen:
        schema.check(each.topic, each.envelope)
    for topic, key in {(each.topic, each.key) for each in written}:
        of_key = [json.loads(each.message) for each in written if (each.topic, each.key) == (topic, key)]
        assert [each.envelope for each in seen if (each.topic, each.key) == (topic, key)] == of_key
    while not json.loads(client().get(RELAY_ALIVE) or "{}").get("kafka"):  # told once a second
        tasks.relay()
        assert time.monotonic() < deadline
    reader.close()
    tasks.runner().close()


def test_a_halt_by_command_is_audited(desk: Desk) -> None:
    with running(desk.worker):
        manage("halt", "BTC/USDT", "--reason", "a test")
    events = [json.loads(each.message) for each in OutboxEvent.objects.filter(topic=topics.AUDIT)]
    for each in events:
        schema.check(topics.AUDIT, each)
    (told,) = [each for each in events if each["payload"]["action"] == "market.status"]
    assert told["payload"]["resource"] == "market/BTC/USDT"
    (start,) = [each["payload"]["new"] for each in events if each["payload"]["action"] == "command.start"]
    assert start["arguments"][0] == "BTC/USDT"
    (done,) = [
        json.loads(each.message) for each in OutboxEvent.objects.filter(topic=topics.ORDERS, key="BTC/USDT")
    ]
    assert (done["trace_id"], done["payload"]["status"]) == (told["trace_id"], "HALTED")


def test_many_pokes_are_one_task() -> None:
    client().delete(wakeup.QUEUE, wakeup.POKED)
    waker = wakeup.RelayWaker()
    for _ in range(1000):
        waker.request()
    _wait_for_tasks(1)
    (task,) = client().lrange(wakeup.QUEUE, 0, -1)
    assert json.loads(task)["headers"]["task"] == wakeup.TASK
    for _ in range(1000):  # on its way already
        waker.request()
    client().delete(wakeup.POKED)  # it has begun
    waker.request()
    _wait_for_tasks(2)
    client().delete(wakeup.QUEUE, wakeup.POKED)


def _wait_for_tasks(number: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while client().llen(wakeup.QUEUE) != number:
        assert time.monotonic() < deadline


def test_a_poke_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    away = redis.Redis(port=1, retry=Retry(NoBackoff(), 0))
    monkeypatch.setattr(wakeup, "client", lambda: away)
    waker = wakeup.RelayWaker()
    waker.request()
    deadline = time.monotonic() + PATIENCE
    while not waker._circuit.away():
        assert time.monotonic() < deadline


def test_clients_find_a_cluster_again_that_was_killed() -> None:
    with outside.cluster("trade.events") as broker:
        producer = broker.producer()
        producer.produce("trade.events", "1", "k")
        assert producer.flush(outside.SECONDS) == 0
        broker.kill()
        producer.produce("trade.events", '{"payload": {"number": 2}}', "k")
        broker.start()
        assert producer.flush(outside.SECONDS) == 0
        reader = outside.Reader(broker.brokers, "trade.events")
        assert outside.firsts(reader.count(1)) == {("trade.events", "k"): [2]}
        reader.close()


def test_topics_that_are_there_are_left_alone() -> None:
    assert cluster.create_topics() == []
    assert {"trade.events", "trade.events.dlq"} <= kafka.admin().list_topics(
        timeout=outside.SECONDS
    ).topics.keys()


def test_credentials_go_to_every_client(monkeypatch: pytest.MonkeyPatch) -> None:
    secure = env.model_copy(
        update={
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "SCRAM-SHA-512",
            "kafka_username": "us",
            "kafka_password": "word",
            "kafka_ca_file": "/nowhere.pem",
        }
    )
    monkeypatch.setattr(kafka, "env", secure)
    with pytest.raises(KafkaException, match=r"ssl\.ca\.location"):
        kafka.consumer("group")
    settings = kafka._common()
    assert settings["security.protocol"] == "SASL_SSL"
    assert settings["sasl.mechanism"] == "SCRAM-SHA-512"
    assert (settings["sasl.username"], settings["sasl.password"]) == ("us", "word")
