"""From events to what reaches a user, on a real database with a real SMTP server and SMS gateway: told once on
each way, in the user's words, and held up by nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

import exchange.base.redis
from exchange.base import ids, redis_keys
from exchange.base.times import now_text
from exchange.embedded.stack import PROJECT
from exchange.platform.events import event, exactly_once, schema
from exchange.platform.events.event import Event, Poison
from exchange.platform.events.models import OutboxEvent
from exchange.platform.events.topics import ACCOUNTS, ORDERS
from exchange.platform.members import authentication, devices, tokens
from exchange.platform.members.models import Institution, KnownDevice, User
from exchange.platform.notifications import (
    delivery_queue,
    feed,
    handlers,
    preferences,
    selectors,
    sender,
    tasks,
    writer,
)
from exchange.platform.notifications.kinds import DEFAULTS, Channel, NotificationKind
from exchange.platform.notifications.mail import Mail
from exchange.platform.notifications.models import (
    Delivery,
    Letterhead,
    Notification,
    Preference,
    TextTemplate,
    UserContact,
)
from exchange.platform.notifications.preferences import Preferences
from exchange.platform.notifications.sender import Sender
from exchange.platform.notifications.sms import ConsoleSms, HttpSms
from tests.providers import MailServer, SmsServer, mail_server, sms_server
from tests.staff import signed_in, staff
from trading.ledger.accounts import deposit
from trading.models import Asset

pytestmark = pytest.mark.django_db
lasting = pytest.mark.django_db(transaction=True)  # with commits that other threads see

State = Delivery.State
PASSWORD = "correct horse"
PHONE = "+905551112233"
PATIENCE = 30.0
SHORT = 1.0  # seconds, for what never answers


@pytest.fixture(autouse=True)
def fresh() -> None:
    authentication.clear_cache()
    exchange.base.redis.client().flushdb()


@pytest.fixture
def bank() -> Institution:
    return Institution.objects.create(code="bank", name="The Bank")


@pytest.fixture
def user(bank: Institution, fresh: None) -> User:
    return User.objects.create_user("trader@bank.example", PASSWORD, institution=bank)


@pytest.fixture
def smtp(settings: Any) -> Iterator[MailServer]:
    with mail_server() as server:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", server.port, PATIENCE
        settings.DEFAULT_FROM_EMAIL = "exchange@bank.example"
        yield server


@pytest.fixture
def gateway() -> Iterator[SmsServer]:
    with sms_server() as server:
        yield server


def order(user: User, status: str, *, order_id: str = "", **more: str | None) -> Event:
    payload = {
        "order_id": order_id or ids.uuid7(),
        "number": 1,
        "user_id": str(user.pk),
        "symbol": "BTC/USDT",
        "side": "BUY",
        "order_type": "LIMIT",
        "quantity": "0.50000",
        "price": "50000.00",
        "status": status,
        "filled_quantity": "0.50000" if status == "FILLED" else "0.00000",
        "remaining_quantity": "0.00000" if status == "FILLED" else "0.50000",
        "reason": "",
        **more,
    }
    return Event("ORDER_STATUS_CHANGED", ids.uuid7(), 1, now_text(), "trace-1", payload, ORDERS, str(user.pk))


def new_device(user: User) -> Event:
    payload = {
        "user_id": str(user.pk),
        "device": "Firefox on Linux",
        "new_device": True,
        "address": "203.0.113.7",
    }
    return Event("SIGNED_IN", ids.uuid7(), 1, now_text(), "trace-2", payload, ACCOUNTS, str(user.pk))


def handle(*events: Event) -> None:
    """As the consumer does: each once, in one transaction with its mark."""
    of_type = {
        "ORDER_STATUS_CHANGED": handlers.orders,
        "DEPOSITED": handlers.deposits,
        "SIGNED_IN": handlers.sign_ins,
    }
    exactly_once.handle("notifications", [(of_type[each.event_type], each) for each in events])


def outbox(event_type: str) -> list[Event]:
    """Events as they leave for Kafka."""
    rows = OutboxEvent.objects.order_by("id")
    for row in rows:
        schema.check(row.topic, json.loads(row.message))
    events = [event.read(row.topic, row.key.encode(), row.message.encode()) for row in rows]
    return [each for each in events if each.event_type == event_type]


def states(**which: Any) -> dict[str, str]:
    """Of the user's only notification, by channel."""
    return dict(Delivery.objects.filter(**which).values_list("channel", "state"))


def want(
    user: User, kind: NotificationKind, *channels: Channel, phone: str = PHONE, language: str = ""
) -> None:
    wanted = {**DEFAULTS, kind: frozenset(channels)}
    preferences.write(str(user.pk), Preferences(language, phone, wanted))


def send(channel: Channel, provider: Any, **more: Any) -> Sender:
    """All that is due, on this thread."""
    sender = Sender(channel, provider, **more)
    while sender.step():
        pass
    return sender


def eventually(seen: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not seen():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


# What is told


def test_a_user_is_told_once_however_often_the_event_comes(user: User) -> None:
    filled = order(user, "FILLED")
    handle(filled, filled)
    handle(filled)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM events_handledevent")  # even if nobody knew any more that it was handled
    handle(filled)
    (note,) = Notification.objects.all()
    assert (note.kind, str(note.event_id), note.trace_id) == ("ORDER_FILLED", filled.event_id, "trace-1")
    assert note.data["filled_quantity"] == "0.5" and note.data["price"] == "50000"
    assert states() == {"EMAIL": "QUEUED"}


def test_a_handler_that_fails_leaves_nothing(user: User) -> None:
    with pytest.raises(Poison, match="filled_quantity"):
        handle(order(user, "FILLED"), order(user, "FILLED", filled_quantity="much"))
    assert not Notification.objects.exists() and not Delivery.objects.exists()


def test_each_kind_is_told_as_it_is_wanted_by_default(user: User) -> None:
    handle(
        order(user, "OPEN"),
        order(user, "CANCELLED"),
        order(user, "PARTIALLY_FILLED", filled_quantity="0.1"),
        order(user, "TRIGGERED"),
        order(user, "REJECTED", reason="FOK_UNFILLED"),
        order(user, "FILLED", price=None),
        new_device(user),
    )
    told = {
        note.kind: sorted(note.deliveries.values_list("channel", flat=True))
        for note in Notification.objects.all()
    }
    assert told == {
        "ORDER_PARTIALLY_FILLED": [],
        "STOP_TRIGGERED": ["EMAIL"],
        "ORDER_REJECTED": [],
        "ORDER_FILLED": ["EMAIL"],
        "NEW_DEVICE": ["EMAIL"],
    }
    assert Notification.objects.filter(live=True).count() == 5


def test_the_same_fill_reported_again_is_no_news(user: User) -> None:
    """An amendment and a cancellation report what was filled before; an IOC order's rest goes at once."""
    resting, ioc = ids.uuid7(), ids.uuid7()
    handle(
        order(user, "PARTIALLY_FILLED", order_id=resting, filled_quantity="0.1"),
        order(user, "PARTIALLY_FILLED", order_id=resting, filled_quantity="0.1", price="50001"),
        order(user, "PARTIALLY_FILLED", order_id=resting, filled_quantity="0.2"),
    )
    handle(
        order(user, "CANCELLED", order_id=resting, filled_quantity="0.2"),
        order(user, "CANCELLED", order_id=ioc, filled_quantity="0.3", reason="IOC_REST"),
    )
    told = [
        (note.data["order_id"], note.data["filled_quantity"]) for note in Notification.objects.order_by("id")
    ]
    assert told == [(resting, "0.1"), (resting, "0.2"), (ioc, "0.3")]


def test_nobody_is_told_who_is_gone_or_wants_nothing(user: User, bank: Institution) -> None:
    left = User.objects.create_user("left@bank.example", None, institution=bank, is_active=False)
    want(user, NotificationKind.ORDER_FILLED)
    stranger = User(pk=ids.new())
    handle(order(user, "FILLED"), order(left, "FILLED"), order(stranger, "FILLED"))
    assert not Notification.objects.exists()


def test_preferences_decide_and_a_phone_is_needed_for_sms(user: User) -> None:
    want(user, NotificationKind.ORDER_FILLED, Channel.SMS)
    handle(order(user, "FILLED"))
    assert states() == {"SMS": "QUEUED"}
    assert not Notification.objects.get().live
    want(user, NotificationKind.ORDER_FILLED, Channel.SMS, Channel.WEBSOCKET, phone="")
    handle(order(user, "FILLED"))
    assert states() == {"SMS": "QUEUED"}, "no other one"


def test_security_comes_by_email_even_past_the_services(user: User) -> None:
    Preference.objects.create(
        user=user, kind=NotificationKind.NEW_DEVICE, channel=Channel.EMAIL, wanted=False
    )
    handle(new_device(user))
    assert states() == {"EMAIL": "QUEUED"}


def test_one_who_trades_all_day_gets_a_digest(user: User, smtp: MailServer) -> None:
    """Twenty an hour one by one; security has its own allowance."""
    most = writer.SINGLE_AN_HOUR
    handle(*(order(user, "FILLED") for _ in range(most - 1)))
    handle(*(order(user, "FILLED") for _ in range(4)))
    handle(new_device(user))
    by_state = Delivery.objects.filter(kind=NotificationKind.ORDER_FILLED)
    assert (by_state.filter(state=State.QUEUED).count(), by_state.filter(state=State.HELD).count()) == (
        most,
        3,
    )
    assert states(kind=NotificationKind.NEW_DEVICE) == {"EMAIL": "QUEUED"}
    send(Channel.EMAIL, Mail())
    assert len(smtp.messages) == most + 1
    Delivery.objects.filter(state=State.HELD).update(due_at=datetime.now(UTC))
    send(Channel.EMAIL, Mail())
    assert len(smtp.messages) == most + 2
    assert smtp.messages[-1]["Subject"] == "3 more notifications"
    assert "Order filled: 3" in smtp.messages[-1].get_content()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"SENT"}


@lasting
def test_the_feed_is_told_after_the_commit_and_not_without_one(user: User) -> None:
    with exchange.base.redis.connect(socket_timeout=PATIENCE).pubsub(ignore_subscribe_messages=True) as heard:
        heard.subscribe(redis_keys.NOTIFICATIONS)
        heard.get_message(timeout=PATIENCE)
        with transaction.atomic():
            handlers.orders([order(user, "FILLED")])
            assert heard.get_message(timeout=0.1) is None
            transaction.set_rollback(True)
        handle(order(user, "FILLED"))
        message = heard.get_message(timeout=PATIENCE)
    assert message is not None
    told = feed.decode(message["data"])
    assert (told.user_id, told.note) == (str(user.pk), selectors.feed(str(user.pk), 1)[0])


# Where events come from


@lasting
def test_a_deposit_and_its_event_commit_together(user: User) -> None:
    usdt = Asset.objects.create(code="USDT", name="Tether", scale=6)
    transaction_id = deposit(user=user, asset=usdt, amount=Decimal("12.5"), trace_id="trace-3")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT e.xmin = t.xmin FROM events_outboxevent e, trading_transaction t WHERE t.id = %s",
            [transaction_id],
        )
        assert cursor.fetchall() == [(True,)]
    (deposited,) = outbox("DEPOSITED")
    assert (deposited.topic, deposited.key, deposited.trace_id) == (ACCOUNTS, str(user.pk), "trace-3")
    handle(deposited)
    assert Notification.objects.get().data == {
        "asset": "USDT",
        "amount": "12.5",
        "transaction_id": transaction_id,
    }


def sign_in(client: Client | None = None, path: str = "/api/v1/auth/token", **headers: Any) -> Any:
    body = {"email": "trader@bank.example", "password": PASSWORD}
    headers = {"HTTP_USER_AGENT": "python-httpx/0.28.1"} | headers
    return (client or Client()).post(path, body, content_type="application/json", **headers)


def test_a_program_is_known_by_its_id_or_its_network(user: User) -> None:
    id_ = "a-program-of-mine-0001"
    tries: list[tuple[dict[str, Any], bool]] = [
        ({}, True),
        ({"HTTP_USER_AGENT": "python-httpx/0.29.0"}, False),
        ({"HTTP_USER_AGENT": "curl/8.5.0"}, True),
        ({"REMOTE_ADDR": "127.0.0.77"}, False),
        ({"REMOTE_ADDR": "192.0.2.1"}, True),
        ({"HTTP_X_DEVICE_ID": id_}, True),
        ({"HTTP_X_DEVICE_ID": id_, "REMOTE_ADDR": "198.51.100.1"}, False),
        ({"HTTP_X_DEVICE_ID": id_, "HTTP_USER_AGENT": "curl/8.5.0"}, True),
        ({"REMOTE_ADDR": "2001:db8::1"}, True),
        ({"REMOTE_ADDR": "2001:db8:0:ffff::1"}, False),
    ]
    for headers, _ in tries:
        assert sign_in(**headers).status_code == 200
    events = outbox("SIGNED_IN")
    assert [each.payload["new_device"] for each in events] == [new for _, new in tries]
    assert events[4].payload == {
        "user_id": str(user.pk),
        "device": "python-httpx",
        "new_device": True,
        "address": "192.0.2.1",
    }
    assert id_ not in " ".join(KnownDevice.objects.values_list("fingerprint", flat=True))
    handle(*events)
    assert Notification.objects.filter(kind=NotificationKind.NEW_DEVICE).count() == sum(
        new for _, new in tries
    )


@pytest.mark.parametrize("given", ["short", "x" * 129, "with a space in it", "quoted'; --------"])
def test_a_device_id_of_another_form_is_refused(user: User, given: str) -> None:
    answer = sign_in(HTTP_X_DEVICE_ID=given)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_device_id")
    assert not outbox("SIGNED_IN")


def test_a_browser_is_known_by_its_cookie(user: User) -> None:
    browser, agent = Client(), {"HTTP_USER_AGENT": "Mozilla/5.0 (X11; Linux) Firefox/133.0"}
    for _ in range(2):
        answer = sign_in(browser, "/trade/session", **agent)
        assert answer.status_code == 200
    cookie = answer.cookies["terminal_device"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/trade/session")
    browser.delete("/trade/session")
    sign_in(browser, "/trade/session", **agent)
    sign_in(Client(), "/trade/session", **agent)
    told = [(each.payload["device"], each.payload["new_device"]) for each in outbox("SIGNED_IN")]
    name = "Firefox on Linux"
    assert told == [(name, True), (name, False), (name, False), (name, True)]


def test_a_failed_sign_in_is_none(user: User) -> None:
    body = {"email": "trader@bank.example", "password": "wrong"}
    assert Client().post("/api/v1/auth/token", body, content_type="application/json").status_code == 401
    assert not outbox("SIGNED_IN") and not KnownDevice.objects.exists()


def test_the_devices_of_a_user_stay_few(user: User) -> None:
    seen = [devices.Device("program", f"{number:064d}", "192.0.2.1") for number in range(devices.KEPT + 1)]
    for each in seen:
        assert devices.signed_in(user, each, trace_id="")
    assert KnownDevice.objects.filter(user=user).count() == devices.KEPT
    assert not devices.signed_in(user, seen[-1], trace_id="")
    assert devices.signed_in(user, seen[0], trace_id=""), "the oldest one was forgotten"


@lasting
def test_two_sign_ins_at_once_are_one_new_device(user: User) -> None:
    device = devices.Device("program", "f" * 64, "192.0.2.1")
    new: list[bool] = []
    together = threading.Barrier(4)

    def run() -> None:
        together.wait()
        new.append(devices.signed_in(user, device, trace_id=""))
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(new) == [False, False, False, True]


# What is sent


def test_an_email_goes_out_in_the_users_language_from_their_institution(
    user: User, bank: Institution, smtp: MailServer
) -> None:
    Letterhead.objects.create(institution=bank, language="tr", email_from="bilgi@bank.example")
    handle(order(user, "FILLED"))
    send(Channel.EMAIL, Mail())
    (message,) = smtp.messages
    assert message["From"] == "The Bank <bilgi@bank.example>"
    assert message["To"] == "trader@bank.example"
    assert message["Subject"] == "0.5 BTC alındı: emriniz gerçekleşti"
    assert message["Auto-Submitted"] == "auto-generated"
    assert "0.5 BTC alış emriniz (50000 USDT fiyatla) tamamen gerçekleşti." in message.get_content()
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.tries) == ("SENT", 1)
    assert message["Message-ID"] == f"<{delivery.pk}@bank.example>"


def test_address_and_language_are_those_of_the_moment_of_sending(user: User, smtp: MailServer) -> None:
    handle(order(user, "FILLED"))
    User.objects.filter(pk=user.pk).update(email="new@bank.example")
    UserContact.objects.create(user=user, language="tr")
    send(Channel.EMAIL, Mail())
    (message,) = smtp.messages
    assert (message["To"], message["Subject"]) == ("new@bank.example", "0.5 BTC alındı: emriniz gerçekleşti")


@lasting
def test_an_institutions_own_words_come_first_and_give_way_if_they_fail(
    user: User, bank: Institution, smtp: MailServer
) -> None:
    own = TextTemplate.objects.create(
        institution=bank,
        kind=NotificationKind.DEPOSIT,
        channel=Channel.EMAIL,
        language="en",
        subject="{{ brand }}: {{ amount }}",
        body="Thank you.",
    )
    usdt = Asset.objects.create(code="USDT", name="Tether", scale=6)
    for amount in ("1", "2"):
        deposit(user=user, asset=usdt, amount=Decimal(amount), trace_id="")
    first, second = outbox("DEPOSITED")
    handle(first)
    send(Channel.EMAIL, Mail())
    TextTemplate.objects.filter(pk=own.pk).update(body="{% include 'x' %}")
    handle(second)
    send(Channel.EMAIL, Mail())
    assert [message["Subject"] for message in smtp.messages] == ["The Bank: 1", "2 USDT arrived"]


def test_an_sms_goes_to_the_gateway(user: User, gateway: SmsServer) -> None:
    want(user, NotificationKind.ORDER_FILLED, Channel.SMS, language="tr")
    handle(order(user, "FILLED"))
    send(Channel.SMS, HttpSms(gateway.url, "secret-token"))
    assert gateway.messages == [
        {
            "to": PHONE,
            "text": "The Bank: 0.5 BTC alındı, fiyat 50000 USDT veya daha iyi. Emriniz gerçekleşti.",
            "reference": str(Delivery.objects.get().pk),
        }
    ]
    assert gateway.tokens == ["Bearer secret-token"]
    assert states() == {"SMS": "SENT"}


def test_the_console_shows_an_sms_and_not_whose_it_is(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    want(user, NotificationKind.ORDER_FILLED, Channel.SMS)
    handle(order(user, "FILLED"))
    send(Channel.SMS, ConsoleSms())
    shown = capsys.readouterr().out
    assert "The Bank: bought 0.5 BTC" in shown
    assert PHONE not in shown and "SMS to +90…33" in shown


def test_a_user_who_left_meanwhile_is_not_written_to(user: User, smtp: MailServer) -> None:
    want(user, NotificationKind.ORDER_FILLED, Channel.SMS)
    handle(order(user, "FILLED"), new_device(user))
    UserContact.objects.update(phone="")
    User.objects.update(is_active=False)
    send(Channel.EMAIL, Mail())
    User.objects.update(is_active=True)
    send(Channel.SMS, ConsoleSms())
    assert not smtp.connections
    assert dict(Delivery.objects.values_list("channel", "reason")) == {
        "EMAIL": "the user may not sign in any more",
        "SMS": "the user has no phone number any more",
    }
    assert set(Delivery.objects.values_list("state", flat=True)) == {"FAILED"}


# Providers that fail


@pytest.mark.parametrize(
    ("manner", "state", "reason", "came"),
    [
        ("refuses", "FAILED", "SMTP 550", 0),
        ("later", "QUEUED", "SMTP 451", 0),
        ("greets not", "QUEUED", "SMTPServerDisconnected", 0),
        ("silent", "UNKNOWN", "SMTPServerDisconnected", 1),
        ("mute", "UNKNOWN", "SMTP -1", 1),
    ],
)
def test_only_what_was_surely_not_taken_is_tried_again(
    user: User,
    smtp: MailServer,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
    manner: str,
    state: str,
    reason: str,
    came: int,
) -> None:
    smtp.manner = manner
    if manner in ("greets not", "silent"):
        settings.EMAIL_TIMEOUT = SHORT
    handle(order(user, "FILLED"))
    send(Channel.EMAIL, Mail())
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.reason, len(smtp.messages)) == (state, reason, came)
    assert user.email not in caplog.text and reason in caplog.text
    smtp.manner, settings.EMAIL_TIMEOUT = "takes", PATIENCE
    Delivery.objects.update(due_at=datetime.now(UTC))
    send(Channel.EMAIL, Mail())
    assert len(smtp.messages) == (1 if state == "QUEUED" else came)
    assert states() == {"EMAIL": "SENT" if state == "QUEUED" else state}


@pytest.mark.parametrize(
    ("manner", "state", "reason"),
    [
        ("400", "FAILED", "HTTP 400"),
        ("404", "FAILED", "HTTP 404"),
        ("302", "FAILED", "HTTP 302"),
        ("429", "QUEUED", "HTTP 429"),
        ("503", "QUEUED", "HTTP 503"),
        ("504", "UNKNOWN", "HTTP 504"),
        ("silent", "UNKNOWN", "ReadTimeout"),
    ],
)
def test_what_a_gateway_answers_decides(
    user: User,
    gateway: SmsServer,
    caplog: pytest.LogCaptureFixture,
    manner: str,
    state: str,
    reason: str,
) -> None:
    gateway.manner = manner
    want(user, NotificationKind.ORDER_FILLED, Channel.SMS)
    handle(order(user, "FILLED"))
    send(Channel.SMS, HttpSms(gateway.url, "", timeout=SHORT if manner == "silent" else PATIENCE))
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.reason, len(gateway.messages)) == (state, reason, 1)
    assert PHONE not in caplog.text and reason in caplog.text


def test_nobody_there_is_tried_again_later_each_time(user: User) -> None:
    want(user, NotificationKind.ORDER_FILLED, Channel.SMS)
    handle(order(user, "FILLED"))
    waits = []
    for _ in range(4):
        before = datetime.now(UTC)
        send(Channel.SMS, HttpSms("http://127.0.0.1:1/", ""))
        delivery = Delivery.objects.get()
        assert (delivery.state, delivery.reason) == ("QUEUED", "ConnectError")
        waits.append((delivery.due_at - before).total_seconds())
        Delivery.objects.update(due_at=before)
    assert all(
        least <= waited < least + PATIENCE for least, waited in zip([10, 60, 300, 300], waits, strict=True)
    ), waits


def test_a_provider_that_fails_is_left_alone_for_a_while(
    user: User, smtp: MailServer, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "FAILURES", 2)
    smtp.manner, settings.EMAIL_TIMEOUT = "silent", SHORT
    handle(*(order(user, "FILLED") for _ in range(5)))
    started = send(Channel.EMAIL, Mail(), rest_seconds=2.0)
    assert smtp.connections == 2
    by_state = Delivery.objects.values_list("state", flat=True)
    assert sorted(by_state) == ["QUEUED"] * 3 + ["UNKNOWN"] * 2, "the one that was the last straw too"
    smtp.manner, settings.EMAIL_TIMEOUT = "takes", PATIENCE
    eventually(lambda: not (started.step() or Delivery.objects.filter(state=State.QUEUED).exists()))
    assert smtp.connections == 5
    assert len({message["Message-ID"] for message in smtp.messages}) == 5


@lasting
def test_one_that_hangs_holds_up_nobody_else(
    user: User, smtp: MailServer, gateway: SmsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both threads of the SMS gateway hang; e-mails go, and so do the consumer's transactions."""
    gateway.manner = "silent"
    monkeypatch.setattr(
        sender, "PROVIDERS", {Channel.EMAIL: Mail, Channel.SMS: lambda: HttpSms(gateway.url, "", timeout=60)}
    )
    want(user, NotificationKind.ORDER_FILLED, Channel.SMS, Channel.EMAIL)
    sender.start()
    try:
        handle(*(order(user, "FILLED") for _ in range(4)))
        gateway.wait(lambda: len(gateway.messages) == sender.THREADS)
        began = time.monotonic()
        handle(*(order(user, "FILLED") for _ in range(4)))
        took = time.monotonic() - began
        smtp.wait(lambda: len(smtp.messages) == 8)
        assert len(gateway.messages) == sender.THREADS
        assert took < PATIENCE, "nothing in the handler waits for a provider"
        gateway.manner = "takes"
        gateway.release()
        eventually(lambda: not Delivery.objects.filter(state__in=[State.QUEUED, State.SENDING]).exists())
        references = [each["reference"] for each in gateway.messages]
        assert len(references) == len(set(references)) == 8
    finally:
        gateway.release()
        sender.stop()


@lasting
def test_killed_while_it_sends_it_never_sends_again(user: User, gateway: SmsServer) -> None:
    """A process of its own is killed after the gateway has the message and before it says so."""
    gateway.manner = "silent"
    want(user, NotificationKind.ORDER_FILLED, Channel.SMS)
    handle(order(user, "FILLED"))
    ours = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import django, threading; django.setup()\n"
            "from exchange.platform.notifications import sender; sender.start(); threading.Event().wait()",
        ],
        cwd=PROJECT,
        env={
            **os.environ,
            "DATABASE_URL": ours.geturl(),
            "SMS_URL": gateway.url,
        },
    )
    try:
        gateway.wait(lambda: gateway.messages, 60)
    finally:
        process.kill()
        process.wait()
    assert states() == {"SMS": "SENDING"}
    gateway.manner = "takes"
    send(Channel.SMS, HttpSms(gateway.url, ""))
    assert len(gateway.messages) == 1
    assert tasks.tidy()["unknown"] == 0, "it may still be on its way"
    Delivery.objects.update(claimed_at=datetime.now(UTC) - delivery_queue.SENT_BY)
    assert tasks.tidy()["unknown"] == 1
    send(Channel.SMS, HttpSms(gateway.url, ""))
    assert len(gateway.messages) == 1
    assert states() == {"SMS": "UNKNOWN"}


@lasting
def test_two_senders_never_take_the_same(user: User, gateway: SmsServer) -> None:
    want(user, NotificationKind.ORDER_FILLED, Channel.SMS)
    handle(*(order(user, "FILLED") for _ in range(writer.SINGLE_AN_HOUR)))

    def run() -> None:
        send(Channel.SMS, HttpSms(gateway.url, ""))
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    references = [each["reference"] for each in gateway.messages]
    assert len(references) == len(set(references)) == writer.SINGLE_AN_HOUR


def test_what_is_old_is_given_up_and_forgotten(user: User) -> None:
    handle(order(user, "FILLED"), new_device(user))
    long_ago, yesterday = (datetime.now(UTC) - each for each in (delivery_queue.KEPT, delivery_queue.LATEST))
    filled, device = Notification.objects.order_by("id")
    Delivery.objects.filter(notification=device).update(id=ids.floor(yesterday - timedelta(seconds=1)))
    Notification.objects.filter(pk=filled.pk).delete()
    Notification.objects.create(
        id=ids.floor(long_ago - timedelta(seconds=1)),
        user=user,
        kind=NotificationKind.DEPOSIT,
        about="long ago",
        event_id=ids.new(),
        data={},
        live=True,
        trace_id="",
        created_at=long_ago,
    )
    assert tasks.tidy() == {"unknown": 0, "late": 1, "forgotten": 1}
    assert (Delivery.objects.get().state, Delivery.objects.get().reason) == ("FAILED", "too late")
    assert [note.pk for note in Notification.objects.all()] == [device.pk]


# REST


def api(user: User, method: str, path: str, body: Any = None) -> Any:
    return getattr(Client(), method)(
        f"/api/v1/notifications{path}",
        data=None if body is None else json.dumps(body),
        content_type="application/json",
        HTTP_AUTHORIZATION=f"Bearer {tokens.access(user)}",
    )


def test_preferences_are_the_defaults_until_they_are_chosen(user: User) -> None:
    shown = api(user, "get", "/preferences").json()
    assert shown["language"] == shown["phone"] == ""
    assert shown["kinds"]["ORDER_FILLED"] == {"EMAIL": True, "SMS": False, "WEBSOCKET": True}
    assert set(shown["kinds"]) == set(NotificationKind)
    chosen = {"language": "tr", "phone": PHONE, "kinds": {"ORDER_FILLED": {"EMAIL": False, "SMS": True}}}
    answer = api(user, "put", "/preferences", chosen)
    assert answer.status_code == 200
    expected = shown | {"language": "tr", "phone": PHONE}
    expected["kinds"]["ORDER_FILLED"] = {"EMAIL": False, "SMS": True, "WEBSOCKET": True}
    assert answer.json() == api(user, "get", "/preferences").json() == expected
    assert api(user, "put", "/preferences", answer.json()).json() == expected
    assert Preference.objects.count() == 2, "only what differs is kept"
    assert api(user, "put", "/preferences", {}).json()["kinds"]["ORDER_FILLED"]["EMAIL"] is True


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"phone": "05551112233"}, "phone"),
        ({"phone": "+90 555"}, "phone"),
        ({"language": "de"}, "language"),
        ({"kinds": {"ORDER_FILED": {}}}, "kinds.ORDER_FILED"),
        ({"kinds": {"DEPOSIT": {"PIGEON": True}}}, "kinds.DEPOSIT.PIGEON"),
        ({"kinds": {"DEPOSIT": {"SMS": "yes"}}}, "kinds.DEPOSIT.SMS"),
        ({"kinds": {"NEW_DEVICE": {"EMAIL": False}}}, "kinds.NEW_DEVICE.EMAIL"),
    ],
)
def test_wrong_preferences_are_named(user: User, body: Any, field: str) -> None:
    answer = api(user, "put", "/preferences", body)
    assert answer.status_code == 400
    assert [each["field"] for each in answer.json()["errors"]] == [field]
    assert not UserContact.objects.exists() and not Preference.objects.exists()


def test_the_list_has_the_users_own_newest_first(user: User, bank: Institution) -> None:
    other = User.objects.create_user("other@bank.example", None, institution=bank)
    events = [order(user, "FILLED"), new_device(user), order(user, "FILLED")]
    for each in (*events, order(other, "FILLED")):  # a batch is handled topic by topic
        handle(each)
    first = api(user, "get", "?limit=2").json()
    rest = api(user, "get", f"?limit=2&cursor={first['next_cursor']}").json()
    items = first["items"] + rest["items"]
    assert rest["next_cursor"] is None
    assert [each["event_id"] for each in items] == [each.event_id for each in reversed(events)]
    assert items[1]["data"] == {"device": "Firefox on Linux", "address": "203.0.113.7"}
    only = api(user, "get", "?kind=NEW_DEVICE").json()["items"]
    assert [each["kind"] for each in only] == ["NEW_DEVICE"]
    assert api(user, "get", "?kind=NEWS").status_code == 400
    assert Client().get("/api/v1/notifications").status_code == 401


# Admin


@pytest.fixture
def operator() -> Client:
    ContentType.objects.clear_cache()  # their rows go with the test that made them
    return signed_in(staff())


def test_deliveries_can_be_looked_at_only(user: User, operator: Client) -> None:
    handle(order(user, "FILLED"))
    delivery = Delivery.objects.get()
    Delivery.objects.update(state=State.UNKNOWN, reason="ReadTimeout")
    shown = operator.get(reverse("admin:notifications_delivery_changelist") + "?state__exact=UNKNOWN")
    assert "Unknown: it may have been sent" in shown.content.decode()
    page = reverse("admin:notifications_delivery_change", args=[delivery.pk])
    assert operator.get(page).status_code == 200
    assert operator.post(page, {"state": "QUEUED"}).status_code == 403
    assert operator.get(reverse("admin:notifications_delivery_add")).status_code == 403
    delete = reverse("admin:notifications_delivery_delete", args=[delivery.pk])
    assert operator.post(delete, {"post": "yes"}).status_code == 403
    assert states() == {"EMAIL": "UNKNOWN"}


def test_an_institutions_words_are_tried_out_when_they_are_saved(bank: Institution, operator: Client) -> None:
    add = reverse("admin:notifications_texttemplate_add")
    assert operator.get(add).status_code == 200
    given = {
        "institution": str(bank.pk),
        "kind": "DEPOSIT",
        "channel": "EMAIL",
        "language": "tr",
        "subject": "{{ amount }} geldi",
        "body": "{{ ammount }}",
    }
    refused = operator.post(add, given)
    assert "This names what there is not; there is amount, asset" in refused.content.decode()
    assert operator.post(add, given | {"body": "{{ amount }} {{ asset }}"}).status_code == 302
    saved = TextTemplate.objects.get()
    page = operator.get(reverse("admin:notifications_texttemplate_change", args=[saved.pk]))
    assert "2500 geldi" in page.content.decode()


@pytest.mark.parametrize("name", ["usercontact", "letterhead", "texttemplate", "delivery"])
def test_the_pages_open(user: User, bank: Institution, operator: Client, name: str) -> None:
    UserContact.objects.create(user=user, phone=PHONE)
    Letterhead.objects.create(institution=bank)
    handle(order(user, "FILLED"))
    listed = operator.get(reverse(f"admin:notifications_{name}_changelist"))
    assert listed.status_code == 200
    assert PHONE not in listed.content.decode()


def test_a_device_can_be_forgotten(user: User, operator: Client) -> None:
    sign_in()
    device = KnownDevice.objects.get()
    listed = operator.get(reverse("admin:members_knowndevice_changelist"), {"q": user.email})
    assert "python-httpx" in listed.content.decode()
    page = operator.get(reverse("admin:members_knowndevice_change", args=[device.pk]))
    assert device.fingerprint not in page.content.decode()
    operator.post(reverse("admin:members_knowndevice_delete", args=[device.pk]), {"post": "yes"})
    sign_in()
    assert [each.payload["new_device"] for each in outbox("SIGNED_IN")] == [True, True]


def test_data_is_texts(user: User) -> None:
    """The document of the feeds promises so."""
    handle(order(user, "FILLED"), new_device(user))
    for note in Notification.objects.all():
        msgspec.convert(note.data, dict[str, str])
