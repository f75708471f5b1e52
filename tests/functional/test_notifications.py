"""A user of the running exchange chooses what to be told, and is told: over REST, on the feed, by e-mail and SMS."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.functional.live import PASSWORD, Live, Trader, problem
from tests.functional.test_feeds import PATIENCE, feed

CHANNEL = "user.notifications"
PHONE = "+905551112233"


def letters(live: Live) -> str:
    """What went to the console, where EMAIL_URL and SMS_URL are empty."""
    return live.stack.home.log("consumers").read_text(encoding="utf-8")


def eventually(seen: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not seen():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.05)


def of_kind(trader: Trader, kind: str) -> list[Any]:
    return trader.get("/notifications", kind=kind)["items"]


def test_a_fill_is_told_on_the_feed_in_the_list_and_by_email(
    notified: Live, alice: Trader, bob: Trader
) -> None:
    with feed(notified) as own:
        own.sign_in(alice)
        own.subscribe(CHANNEL)
        order = alice.sell("0.3", "50000")
        bob.buy("0.1", "50000")
        bob.buy("0.2", "50000")
        told = own.known[CHANNEL]
        own.until(lambda: any(each["kind"] == "ORDER_FILLED" for each in told.told))
        of_order = [each for each in told.told if each["data"].get("order_id") == order["order_id"]]
    assert [(each["kind"], each["data"]["filled_quantity"]) for each in of_order] == [
        ("ORDER_PARTIALLY_FILLED", "0.1"),
        ("ORDER_FILLED", "0.3"),
    ]
    assert of_kind(alice, "ORDER_FILLED") == of_order[1:]
    assert of_kind(alice, "ORDER_PARTIALLY_FILLED") == of_order[:1]
    eventually(
        lambda: (
            f"To: {alice.email}\n" in letters(notified) and f"Order: {order['order_id']}" in letters(notified)
        )
    )
    assert f"{order['order_id']}" in letters(notified)
    with feed(notified) as late:
        late.sign_in(alice)
        late.subscribe(CHANNEL)
        assert late.known[CHANNEL].start["notifications"][-2:] == of_order


def test_a_sign_in_from_a_new_device_is_told_in_turkish(notified: Live, alice: Trader) -> None:
    chosen = {"language": "tr", "phone": PHONE, "kinds": {"ORDER_FILLED": {"EMAIL": False}}}
    answer = alice.http.put("/notifications/preferences", json=chosen)
    assert answer.status_code == 200, answer.text
    assert alice.get("/notifications/preferences") == answer.json()
    notified.sign_in(alice.email, PASSWORD)
    notified.sign_in(alice.email, PASSWORD)
    eventually(lambda: of_kind(alice, "NEW_DEVICE"))
    (told,) = of_kind(alice, "NEW_DEVICE")
    assert told["data"] == {"device": "python-httpx", "address": "127.0.0.1"}
    eventually(lambda: "yeni bir cihazdan giriş yapıldı (python-httpx)" in letters(notified))
    assert "SMS to +90…33\n" in letters(notified) and PHONE not in letters(notified)


def test_who_may_not_sees_nothing(live: Live) -> None:
    problem(live.public.get("/notifications"), 401, "not_authenticated")
    problem(live.public.put("/notifications/preferences", json={}), 401, "not_authenticated")
    with feed(live) as stranger:
        stranger.say("SUBSCRIBE", channels=[CHANNEL])
        stranger.until(lambda: stranger.known.rest)
        assert stranger.known.rest[0]["code"] == "not_authenticated"
