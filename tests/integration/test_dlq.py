"""`manage.py dlq` and `manage.py consume` against the embedded Kafka and PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from io import StringIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from exchange.base import ids
from exchange.base.ports import find_free
from exchange.embedded.stack import PROJECT
from exchange.platform.analytics.models import DailyVolume
from exchange.platform.events import dlq, kafka
from exchange.platform.events.event import Record
from exchange.platform.events.models import HandledEvent
from exchange.platform.events.outbox import message
from exchange.platform.events.topics import TRADES
from tests.market import PATIENCE, eventually

pytestmark = pytest.mark.django_db(transaction=True)


def trade(**more: str) -> tuple[str, bytes]:
    """Event id and message."""
    event_id = ids.uuid7()
    payload = {"symbol": "BTC/USDT", "buyer_user_id": ids.uuid7(), "seller_user_id": ids.uuid7()}
    payload |= {"price": "2", "quantity": "3"} | more
    return event_id, message("TRADE_EXECUTED", payload, trace_id="", event_id=event_id).encode()


def set_aside(value: bytes, group: str = "analytics") -> None:
    dlq.send(
        dlq.producer(),
        Record((TRADES, 4), 17, b"BTC/USDT", value),
        group=group,
        tries=6,
        error=OSError("why"),
    )


def run(*arguments: str) -> Any:
    out = StringIO()
    call_command("dlq", *arguments, "--json", stdout=out, stderr=StringIO())
    return json.loads(out.getvalue())


def test_letters_are_listed_and_replayed_once_for_their_group_alone() -> None:
    event_id, value = trade()
    set_aside(value)
    set_aside(value)  # as after a crash
    (first, second) = run("--list", "--topic", TRADES, "--id", event_id)
    facts = {
        "state": "waiting",
        "group": "analytics",
        "topic": TRADES,
        "partition": 4,
        "offset": 17,
        "tries": 6,
    }
    facts |= {
        "key": "BTC/USDT",
        "event_type": "TRADE_EXECUTED",
        "event_id": event_id,
        "reason": "OSError: why",
    }
    assert first.items() >= facts.items()
    assert first["id"] != second["id"]
    assert run("--list", "--id", second["id"]) == [second]
    assert run("--list", "--id", event_id, "--group", "notifications") == []

    assert [each["id"] for each in run("--replay", "--dry-run", "--id", event_id)] == [
        first["id"],
        second["id"],
    ]
    assert not DailyVolume.objects.exists()
    assert {each["state"] for each in run("--replay", "--id", event_id)} == {"handled"}
    assert sorted(DailyVolume.objects.values_list("bought_notional", "sold_notional")) == [(0, 6), (6, 0)]
    assert [each.group for each in HandledEvent.objects.filter(event_id=event_id)] == ["analytics"]
    assert {each["state"] for each in run("--list", "--id", event_id)} == {"handled"}
    assert run("--replay", "--id", event_id) == []


def test_what_fails_again_stays_and_is_told_with_exit_code_1() -> None:
    event_id, value = trade(price="nonsense")
    set_aside(value)
    with pytest.raises(SystemExit) as ended:
        run("--replay", "--id", event_id)
    assert ended.value.code == 1
    assert [each["state"] for each in run("--list", "--id", event_id)] == ["waiting"]
    assert not HandledEvent.objects.exists()


def test_what_cannot_be_replayed_is_listed_all_the_same() -> None:
    before = {each["id"] for each in run("--list", "--topic", TRADES)}
    event_id, value = trade()
    set_aside(b"not JSON")
    set_aside(value, group="notifications")  # wants no trades
    producer = kafka.producer()
    producer.produce(dlq.topics.dlq(TRADES), b"by hand")
    assert not producer.flush(PATIENCE)
    new = [each for each in run("--list", "--topic", TRADES) if each["id"] not in before]
    assert sorted(each["state"] for each in new) == ["nobody's", "unreadable", "unreadable"]
    assert run("--replay", "--id", event_id) == []
    out = StringIO()
    call_command("dlq", "--list", stdout=out)
    assert "not JSON" not in out.getvalue()  # what was in a message is not for everybody's screen
    assert "unreadable" in out.getvalue()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--list", "--replay"],
        ["--list", "--topic", "nothing"],
        ["--list", "--group", "x"],
        ["--list", "--dry-run"],
    ],
)
def test_wrong_usage_is_refused(arguments: list[str]) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("dlq", *arguments, stdout=StringIO())
    assert refused.value.returncode == 2 or "Error:" in str(refused.value)  # which argparse exits with 2 for


def test_consume_handles_what_there_is_and_leaves_on_sigterm() -> None:
    event_id, value = trade()
    producer = kafka.producer()
    producer.produce(TRADES, value, "BTC/USDT")
    assert not producer.flush(PATIENCE)
    process = manage("consume", "analytics", "notifications")
    try:
        eventually(lambda: HandledEvent.objects.filter(group="analytics", event_id=event_id).exists())
        assert DailyVolume.objects.count() >= 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def manage(*arguments: str) -> subprocess.Popen[bytes]:
    """On the test's database."""
    ours = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    more = {"DATABASE_URL": ours.geturl(), "EXCHANGE_METRICS_PORT": str(find_free(count=10))}
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=PROJECT,
        env={**os.environ, **more},
        stdout=subprocess.DEVNULL,
    )
