"""Lists of the back office: pages by key, filters and searches that use indexes, the order page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoDbBlocker

from exchange.base.admin import keyset
from exchange.platform.members.models import Institution, Role
from tests.market import Desk, lasting_desk
from tests.staff import signed_in, staff
from trading.backoffice import order_search, order_timeline
from trading.backoffice.orders import OrderAdmin
from trading.models import ClientOrder, Order, Posting, Trade, Transaction

pytestmark = pytest.mark.django_db

ORDERS = 12  # resting, besides those that trade
PAGE = 5


@pytest.fixture(scope="module")
def desk(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Desk]:
    with lasting_desk(django_db_blocker) as desk:
        alice, bob = desk.user(USDT="100000", BTC="10"), desk.user(USDT="100000", BTC="10")
        desk.trade(alice, "SELL", "0.1", "100")
        desk.trade(bob, "BUY", "0.1", "100")
        for price in range(ORDERS):
            desk.place(alice, "BUY", "0.1", str(50 + price))
        yield desk


@pytest.fixture
def operator(desk: Desk) -> Client:
    return signed_in(staff())


@pytest.fixture
def stranger(desk: Desk) -> Client:
    """Of an institution that has no users in the market."""
    return signed_in(staff(Role.INSTITUTION_ADMIN, Institution.objects.create(code="other", name="Other")))


def address(model: Any, page: str, *arguments: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


def page(client: Client, query: str = "", model: Any = Order) -> Any:
    answer = client.get(address(model, "changelist") + query)
    assert answer.status_code == 200
    return answer.context["cl"]


def shown(changelist: Any) -> list[Any]:
    return [row.pk for row in changelist.result_list]


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OrderAdmin, "list_per_page", PAGE)


@pytest.mark.usefixtures("short_pages")
def test_pages_follow_each_other_there_and_back(operator: Client) -> None:
    everything = list(Order.objects.order_by("-id").values_list("pk", flat=True))
    first = page(operator)
    assert first.newer is None and shown(first) == everything[:PAGE]
    seen, addresses, current = shown(first), [""], first
    while current.older:
        addresses.append(current.older)
        current = page(operator, current.older)
        seen += shown(current)
    assert seen == everything
    for expected in reversed(addresses[:-1]):
        current = page(operator, current.newer)
        assert shown(current) == shown(page(operator, expected))
    assert current.newer is None


@pytest.mark.usefixtures("short_pages")
def test_a_page_stays_what_it_is_while_orders_come_in(operator: Client, desk: Desk) -> None:
    second = page(operator).older
    before = shown(page(operator, second))
    template = Order.objects.order_by("-id").first()
    assert template is not None
    Order.objects.create(**{**_values(template), "number": 10_000, "held": 0, "status": "PENDING"})
    assert shown(page(operator, second)) == before
    assert shown(page(operator))[0] not in before


def _values(order: Order) -> dict[str, Any]:
    fields = [field.attname for field in Order._meta.concrete_fields if field.attname != "id"]
    return {name: getattr(order, name) for name in fields}


@pytest.mark.usefixtures("short_pages")
def test_no_page_counts_or_skips(operator: Client) -> None:
    older = page(operator).older
    for query in ("", older, "?status=open", "?status=FILLED", "?time=day", "?side__exact=BUY"):
        with CaptureQueriesContext(connection) as queries:
            page(operator, query)
        about_orders = [each["sql"] for each in queries if 'FROM "trading_order"' in each["sql"]]
        assert about_orders
        assert not [sql for sql in about_orders if re.search(r"\bCOUNT\(|\bOFFSET\b", sql)]


def test_a_made_up_page_is_the_first(operator: Client) -> None:
    for made_up in ("?p=after~x", "?p=2", "?p=before~", "?p=after~'"):
        assert shown(page(operator, made_up))[0] == shown(page(operator))[0]


def test_filters_by_status(operator: Client) -> None:
    assert {row.status for row in page(operator, "?status=FILLED").result_list} == {"FILLED"}
    assert len(shown(page(operator, "?status=open"))) == ORDERS
    assert shown(page(operator, "?status=REJECTED")) == []


def test_what_takes_too_long_is_stopped_and_said(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(self: Any, request: Any, queryset: Any, term: str) -> Any:
        return queryset.extra(where=["pg_sleep(5) IS NULL"]), False

    monkeypatch.setattr(keyset, "PATIENCE", 0.05)
    monkeypatch.setattr(OrderAdmin, "get_search_results", slow)
    answer = operator.get(address(Order, "changelist") + "?q=x")
    assert answer.status_code == 200
    assert "takes too long" in answer.content.decode()
    assert shown(answer.context["cl"]) == []


def test_search_finds_an_order_by_all_its_names(operator: Client) -> None:
    order = Order.objects.order_by("-id").last()
    assert order is not None
    email = order.user.email
    trade = Trade.objects.get()
    for term in (str(order.pk), str(order.number), order.client_order_id, f"{email} {order.client_order_id}"):
        assert order.pk in shown(page(operator, f"?q={term}")), term
    assert set(shown(page(operator, f"?q={trade.pk}"))) == {trade.buyer_order_id, trade.seller_order_id}
    own = set(Order.objects.filter(user=order.user).values_list("pk", flat=True))
    assert set(shown(page(operator, f"?q={email.upper()}"))) == own
    assert shown(page(operator, "?q=nobody-has-this-one")) == []


def test_every_way_to_find_has_an_index(desk: Desk) -> None:
    order, trade = Order.objects.order_by("-id")[0], Trade.objects.get()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # which is what small tables are for
        for term in (
            order.user.email,
            str(order.pk),
            order.client_order_id,
            str(order.number),
            str(trade.pk),
        ):
            plan = Order.objects.filter(order_search.orders(term, None)).order_by("-id")[:51].explain()
            assert "Index" in plan and "Seq Scan on trading_order" not in plan, plan
        for term in (trade.buyer.email, str(trade.pk), str(trade.number), str(order.pk)):
            plan = Trade.objects.filter(order_search.trades(term, None)).order_by("-id")[:51].explain()
            assert "Index" in plan and "Seq Scan on trading_trade" not in plan, plan


def test_the_orders_of_a_market_have_an_index(desk: Desk) -> None:
    """In the order of the list: a rare market's are read alone, and a common one's no further than the page."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # which is what small tables are for
        for market in (Order.objects.earliest("id").instrument_id, 0):
            orders = Order.objects.filter(instrument=market).order_by("-id")[:51]
            assert re.search(
                r"Index (Only )?Scan.*\n *Index Cond: \(instrument_id = ", plan := orders.explain()
            ), plan
            assert "Sort  (" not in plan, plan


def test_every_number_is_found(operator: Client) -> None:
    for order in Order.objects.all():
        assert order.pk in order_search._numbered(order.number)
    assert order_search._numbered(10**15) == []


def test_search_finds_a_trade(operator: Client) -> None:
    trade = Trade.objects.get()
    for term in (str(trade.pk), str(trade.number), str(trade.buyer_order_id), trade.seller.email):
        assert shown(page(operator, f"?q={term}", Trade)) == [trade.pk], term
    assert shown(page(operator, "?q=999999", Trade)) == []


def test_client_order_ids_of_others_are_not_found(stranger: Client) -> None:
    order = ClientOrder.objects.first()
    assert order is not None
    for term in (order.client_order_id, str(order.order_id), order.user.email):
        assert shown(page(stranger, f"?q={term}")) == [], term
        assert stranger.get(reverse("backoffice-search"), {"q": term}).context["found"] == []


def test_one_box_finds_all(operator: Client) -> None:
    trade = Trade.objects.get()
    order = Order.objects.get(pk=trade.buyer_order_id)
    for term, kind, title in (
        (order.user.email, "user", order.user.email),
        (order.client_order_id, "order", str(order)),
        (str(trade.pk), "trade", str(trade)),
    ):
        found = operator.get(reverse("backoffice-search"), {"q": term}).context["found"]
        assert (kind, title) in [(each.kind, each.title) for each in found], term
        assert all(operator.get(each.address).status_code == 200 for each in found)
    answer = operator.get(reverse("admin:search"), {"s": order.client_order_id, "extended": "1"})
    assert str(order.pk) in answer.content.decode()


def test_the_order_page_tells_its_life(operator: Client) -> None:
    trade = Trade.objects.get()
    answer = operator.get(address(Order, "change", trade.buyer_order_id))
    told: order_timeline.Life = answer.context["life"]
    sources = {step.source for step in told.steps}
    assert {"order", "trade", "audit", "journal", "outbox"} <= sources
    assert [fill.trade for fill in told.fills] == [trade]
    assert told.fills[0].role == "taker"
    amounts = Posting.objects.filter(transaction_id=trade.pk).count()
    assert len(told.entries) == amounts > 0
    body = answer.content.decode()
    assert str(trade.pk) in body and reverse("admin:members_user_change", args=[told.order.user_id]) in body


def test_trade_and_transaction_pages(operator: Client) -> None:
    trade = Trade.objects.get()
    body = operator.get(address(Trade, "change", trade.pk)).content.decode()
    assert str(trade.buyer_order_id) in body and str(trade.seller_order_id) in body
    assert operator.get(address(Transaction, "change", trade.pk)).status_code == 200


def test_a_trade_does_not_tell_who_is_on_the_other_side(desk: Desk) -> None:
    trade = Trade.objects.get()
    other = Institution.objects.create(code="second", name="Second")
    trade.seller.institution = other
    trade.seller.save()
    client = signed_in(staff(Role.INSTITUTION_ADMIN, other))
    body = client.get(address(Trade, "change", trade.pk)).content.decode()
    assert str(trade.seller_order_id) in body
    assert trade.buyer.email not in body
    assert str(trade.buyer_order_id) not in body
