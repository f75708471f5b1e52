"""The dashboard's figures against a market whose figures are known, by who looks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoDbBlocker

from exchange.backoffice import activity, charts, dashboard, selectors
from exchange.base.redis import client as redis_client
from exchange.platform.events import lag
from exchange.platform.members.models import Institution, Role, User
from risk.models import Case
from tests.market import Desk, lasting_desk
from tests.staff import signed_in, staff
from trading.models import Account, Instrument, Order, Trade

pytestmark = pytest.mark.django_db

TRADES, RESTING = 3, 2


@pytest.fixture(scope="module")
def desk(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Desk]:
    with lasting_desk(django_db_blocker) as desk:
        alice, bob = desk.user(USDT="100000", BTC="10"), desk.user(USDT="100000", BTC="10")
        for _ in range(TRADES):
            desk.trade(alice, "SELL", "0.1", "100")
            desk.trade(bob, "BUY", "0.1", "100")
        for price in range(RESTING):
            desk.trade(alice, "BUY", "0.2", str(90 + price))
        desk.trade(bob, "SELL", "0.3", "110")
        yield desk


@pytest.fixture(autouse=True)
def fresh(desk: Desk) -> None:
    dashboard.clear_cache()
    for key in redis_client().scan_iter("activity:*"):
        redis_client().delete(key)


@pytest.fixture
def now() -> datetime:
    """Whenever the market was, it is within the minutes that are shown."""
    return datetime.now(UTC)


def counted(now: datetime, institution: str = "") -> tuple[int, int]:
    minutes = [minute for _at, minute in activity.minutes(now) if minute]
    orders = sum(minute.orders_of(institution) for minute in minutes)
    return orders, sum(each.count for minute in minutes for each in minute.trades_of(institution))


def test_orders_and_trades_are_counted_once(desk: Desk, now: datetime) -> None:
    assert counted(now) == (Order.objects.count(), TRADES)
    later = now + timedelta(minutes=2)
    assert counted(later) == (Order.objects.count(), TRADES)
    assert counted(later) == (Order.objects.count(), TRADES)  # now from what is kept
    assert counted(now + timedelta(minutes=activity.MINUTES + 1)) == (0, 0)


def test_minutes_that_are_over_are_read_once(
    desk: Desk, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = now + timedelta(minutes=2)
    activity.minutes(later)
    asked: list[int] = []
    whole = activity._counted

    def watched(wanted: list[datetime]) -> list[activity.Minute]:
        asked.append(len(wanted))
        return whole(wanted)

    monkeypatch.setattr(activity, "_counted", watched)
    activity.minutes(later)
    assert asked == [1 if later.second > 15 else 2]  # the running one, and one that rows may still come into


def test_volume_spread_and_depth(desk: Desk, now: datetime) -> None:
    (market,) = selectors.markets(activity.minutes(now), "")
    assert (market.bid, market.ask) == (Decimal(91), Decimal(110))
    assert market.spread == Decimal(19) / (Decimal(201) / 2)
    assert (market.bid_depth, market.ask_depth) == (Decimal("0.4"), Decimal("0.3"))
    assert (market.trades, market.volume) == (TRADES, TRADES * Decimal(10))


def test_fees_are_those_of_the_ledger(desk: Desk, now: datetime) -> None:
    lately = selectors.fees(activity.minutes(now), "")
    booked = {
        row.asset.code: row.available for row in Account.objects.filter(kind="FEES").select_related("asset")
    }
    assert lately == {asset: amount for asset, amount in booked.items() if amount}
    assert set(lately) == {"BTC", "USDT"}
    assert selectors.earned("") == booked


def test_each_institution_sees_its_own_figures(desk: Desk, now: datetime) -> None:
    other = Institution.objects.create(code="other", name="Other")
    seller = Trade.objects.order_by("id")[0].seller
    User.objects.filter(pk=seller.pk).update(institution=other)
    own = Order.objects.filter(user=seller).count()
    minutes = activity.minutes(now)
    assert counted(now, str(other.pk)) == (own, TRADES)
    assert counted(now, str(desk.institution.pk)) == (Order.objects.count() - own, TRADES)
    assert set(selectors.fees(minutes, str(other.pk))) == {"USDT"}  # sellers pay in the quote asset
    assert set(selectors.fees(minutes, str(desk.institution.pk))) == {"BTC"}
    assert selectors.house(str(other.pk)) == []
    nobody = Institution.objects.create(code="nobody", name="Nobody")
    assert counted(now, str(nobody.pk)) == (0, 0)


def test_open_cases_are_those_of_the_institution(desk: Desk) -> None:
    user = User.objects.filter(role=Role.TRADER)[0]
    Case.objects.create(kind="WASH_TRADE", user=user, severity=3, score=1.0)
    other = Institution.objects.create(code="other", name="Other")
    assert selectors.open_cases("") == [("High", 1)]
    assert selectors.open_cases(str(desk.institution.pk)) == [("High", 1)]
    assert selectors.open_cases(str(other.pk)) == []


def test_the_page_says_what_is_wrong(desk: Desk) -> None:
    body = signed_in(staff()).get(reverse("admin:index")).content.decode()
    assert "matcher:alpha is down" in body  # no process runs here
    dashboard.clear_cache()
    Instrument.objects.update(status="HALTED")
    assert "Not trading: BTC/USDT" in signed_in(staff()).get(reverse("backoffice-dashboard")).content.decode()


def test_house_accounts_and_outbox_by_who_looks(desk: Desk) -> None:
    house = Account.objects.get(kind="CUSTODY", asset__code="BTC")
    theirs = signed_in(staff(Role.INSTITUTION_ADMIN, desk.institution)).get(reverse("backoffice-dashboard"))
    assert (
        "CUSTODY" in theirs.content.decode() and f"{house.available.normalize():f}" in theirs.content.decode()
    )
    assert "Refused for good" not in theirs.content.decode()
    assert "Refused for good" in signed_in(staff()).get(reverse("backoffice-dashboard")).content.decode()
    support = signed_in(staff(Role.SUPPORT, desk.institution)).get(reverse("backoffice-dashboard"))
    assert "Open cases" not in support.content.decode()


def test_how_far_consumers_are_behind(desk: Desk) -> None:
    lag.publish("surveillance", {"trade.events/0": 40, "trade.events/1": 2})
    address = reverse("backoffice-dashboard")
    told = re.sub(r"<[^>]*>", " ", signed_in(staff()).get(address).content.decode()).split()
    assert "Not handled by surveillance 42 Not handled by analytics –" in " ".join(told)
    theirs = signed_in(staff(Role.INSTITUTION_ADMIN, desk.institution)).get(address).content.decode()
    assert "Not handled by" not in theirs


def test_it_speaks_turkish(desk: Desk) -> None:
    answer = signed_in(staff()).get(reverse("admin:index"), headers={"accept-language": "tr"})
    body = answer.content.decode()
    assert (
        "Dakikada emir" in body and "Emirler ve işlemler" in body and "eşleştirici:alpha: çalışmıyor." in body
    )


def test_the_fragment_is_for_staff_alone(desk: Desk) -> None:
    assert Client().get(reverse("backoffice-dashboard")).status_code == 302
    answer = signed_in(staff()).get(reverse("backoffice-dashboard"))
    assert "no-store" in answer["Cache-Control"]
    assert "<svg" in answer.content.decode() and "style=" not in answer.content.decode()


def test_it_stands_without_redis(desk: Desk, now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    import redis

    broken = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.05)
    monkeypatch.setattr(activity, "client", lambda: broken)
    monkeypatch.setattr(selectors, "client", lambda: broken)
    assert counted(now) == (Order.objects.count(), TRADES)
    (worker,) = selectors.workers(selectors.health.survey())
    assert worker.waiting is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (9999, "9 999"), (12_345, "12.3 k"), (4_560_000, "4.56 M"), (Decimal("1.50"), "1.50")],
)
def test_numbers_are_short(value: Any, text: str) -> None:
    assert charts.number(value) == text


def test_bars_fill_their_frame() -> None:
    chart = charts.bars([("a", 1), ("b", None), ("c", 4)], width=30, height=8)
    assert [(bar.height, bar.label) for bar in chart.bars] == [(2.0, "a: 1"), (8.0, "c: 4")]
    assert all(bar.y + bar.height == 8 for bar in chart.bars)
