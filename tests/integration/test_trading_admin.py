"""The operators' pages of trading and matching: they open, cheaply, and what services own stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import DjangoDbBlocker

from exchange.platform.members.models import Role
from matching.models import Checkpoint, JournalBatch, SymbolGroup
from tests.market import Desk, lasting_desk
from tests.staff import signed_in, staff
from trading.models import (
    Account,
    Asset,
    FeeSchedule,
    Instrument,
    Order,
    PendingCommand,
    Posting,
    Trade,
    Transaction,
)

pytestmark = pytest.mark.django_db

OWNED_BY_SERVICES = [Order, Trade, Account, Transaction, Posting, PendingCommand, Checkpoint, JournalBatch]
OWNED_BY_OPERATORS = [Asset, Instrument, FeeSchedule, SymbolGroup]


@pytest.fixture(scope="module")
def desk(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Desk]:
    with lasting_desk(django_db_blocker) as desk:
        alice, bob = desk.user(USDT="100000", BTC="10"), desk.user(USDT="100000", BTC="10")
        for _ in range(5):
            desk.trade(alice, "SELL", "0.1", "100")
            desk.trade(bob, "BUY", "0.1", "100")
        desk.place(alice, "BUY", "1", "50")
        desk.cancel(desk.trade(bob, "BUY", "1", "60"))
        yield desk


@pytest.fixture
def operator(desk: Desk) -> Client:
    ContentType.objects.clear_cache()  # their rows go with the test that made them
    return signed_in(staff())


def address(model: Any, page: str, *arguments: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=arguments)


@pytest.mark.parametrize("model", OWNED_BY_SERVICES + OWNED_BY_OPERATORS)
def test_lists_and_pages_open_at_a_fixed_cost(operator: Client, model: Any) -> None:
    with CaptureQueriesContext(connection) as queries:
        answer = operator.get(address(model, "changelist"))
    assert answer.status_code == 200
    assert len(queries) <= 12, [query["sql"][:80] for query in queries]
    if model in OWNED_BY_SERVICES:
        table = model._meta.db_table
        statements = [query["sql"] for query in queries]
        assert not [sql for sql in statements if "COUNT(" in sql and f'FROM "{table}"' in sql]
    with CaptureQueriesContext(connection) as queries:
        answer = operator.get(address(model, "change", model.objects.order_by("-pk").first().pk))
    assert answer.status_code == 200
    # An order's page tells its life out of four records, looked through at each of its moments.
    assert len(queries) <= {Order: 80, Trade: 24}.get(model, 16), [query["sql"][:80] for query in queries]


@pytest.mark.parametrize("model", OWNED_BY_SERVICES)
def test_what_services_own_is_to_look_at_only(operator: Client, model: Any) -> None:
    row = model.objects.order_by("-pk").first()
    assert operator.get(address(model, "add")).status_code == 403
    assert operator.post(address(model, "change", row.pk), {}).status_code == 403
    assert operator.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    listed = admin.site._registry[model].get_actions(request_of(operator))
    assert set(listed) == ({"cancel_selected"} if model is Order else set())


def request_of(client: Client) -> Any:
    return client.get(reverse("admin:index")).wsgi_request


@pytest.mark.parametrize("time", ["hour", "day", "week", "month"])
def test_orders_by_time(operator: Client, time: str) -> None:
    answer = operator.get(address(Order, "changelist"), {"time": time})
    assert len(answer.context["cl"].result_list) == Order.objects.count()


def found(operator: Client, model: Any, term: str) -> set[Any]:
    answer = operator.get(address(model, "changelist"), {"q": term})
    assert answer.status_code == 200
    return {row.pk for row in answer.context["cl"].result_list}


def test_search_by_id_and_email(operator: Client) -> None:
    trade = Trade.objects.order_by("-pk")[0]
    assert found(operator, Trade, str(trade.pk)) == {trade.pk}
    everything = set(Trade.objects.values_list("pk", flat=True))
    assert found(operator, Trade, trade.buyer.email.upper()) == everything
    assert found(operator, Trade, "nobody@test.exchange") == set()
    assert found(operator, Order, str(trade.buyer_order_id)) == {trade.buyer_order_id}
    assert found(operator, Transaction, "what is this") == set()
    postings = set(Posting.objects.filter(transaction_id=trade.pk).values_list("pk", flat=True))
    assert len(postings) == 6
    assert found(operator, Posting, str(trade.pk)) == found(operator, Posting, str(max(postings))) == postings
    orders = set(Order.objects.filter(user_id=trade.buyer_id).values_list("pk", flat=True))
    assert found(operator, Order, trade.buyer.email) == orders


def test_a_transaction_shows_its_postings(operator: Client) -> None:
    trade = Trade.objects.order_by("-pk")[0]
    page = operator.get(address(Transaction, "change", trade.pk)).content.decode()
    (formset,) = operator.get(address(Transaction, "change", trade.pk)).context["inline_admin_formsets"]
    assert len(list(formset.formset.queryset)) == 6
    assert trade.buyer.email in page
    assert trade.seller.email in page


def instrument_form(**changes: Any) -> dict[str, Any]:
    ids = dict(Asset.objects.values_list("code", "pk"))
    fields = {
        "symbol": "ETH/USDT",
        "base": ids["ETH"],
        "quote": ids["USDT"],
        "tick_size": "0.01",
        "lot_size": "0.0001",
        "min_quantity": "0.0001",
        "max_quantity": "1000",
        "min_notional": "1",
        "collar": "0.05",
        "group": "",
        "market_symbol": "",
        "trigger_source": "LAST_TRADE",
    }
    return fields | changes


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"symbol": "ETHUSDT"}, {"symbol"}),
        ({"lot_size": "0.000000001"}, {"lot_size", "tick_size"}),
        ({"tick_size": "0.001"}, {"tick_size"}),
        ({"min_quantity": "0.00015"}, {"min_quantity"}),
        ({"base": ""}, {"base"}),
        ({"tick_size": "x"}, {"tick_size"}),
        ({"lot_size": "0", "tick_size": "0"}, {"__all__"}),
    ],
)
def test_an_instrument_that_does_not_fit_is_refused(
    operator: Client, changes: dict[str, Any], wrong: set[str]
) -> None:
    answer = operator.post(address(Instrument, "add"), instrument_form(**changes))
    assert answer.status_code == 200
    assert set(answer.context["adminform"].form.errors) >= wrong
    assert Instrument.objects.count() == 1


def test_amounts_have_no_zeros_that_say_nothing(operator: Client) -> None:
    """In a list, among the fields of a form and where nobody may change them."""
    market = Instrument.objects.get()
    Instrument.objects.update(min_quantity=Decimal("0.000000000000000100"), max_quantity=Decimal(1000))
    listed = operator.get(address(Instrument, "changelist")).content.decode()
    form = operator.get(address(Instrument, "change", market.pk)).content.decode()
    fixed = signed_in(staff(Role.AUDITOR)).get(address(Instrument, "change", market.pk)).content.decode()
    for page in (listed, form, fixed):
        shown = re.findall(r'[>"]\s*(\d+\.\d+)\s*[<"]', page)
        assert shown and not [number for number in shown if number.endswith("0")]
    assert 'value="0.0000000000000001"' in form and 'value="1000"' in form
    assert "0.0000000000000001" in fixed and "min_quantity" not in fixed
    assert f">{market.tick_size.normalize():f}<" in re.sub(r"\s", "", listed)


def test_an_instrument_keeps_its_steps_and_status(operator: Client) -> None:
    assert operator.post(address(Instrument, "add"), instrument_form(status="HALTED")).status_code == 302
    made = Instrument.objects.get(symbol="ETH/USDT")
    assert made.status == "TRADING"
    changes = instrument_form(tick_size="5", symbol="X/Y", min_notional="7", status="HALTED")
    assert operator.post(address(Instrument, "change", made.pk), changes).status_code == 302
    made.refresh_from_db()
    assert (made.symbol, made.status) == ("ETH/USDT", "TRADING")
    assert (made.tick_size, made.min_notional) == (Decimal("0.01"), 7)
    assert operator.post(address(Instrument, "delete", made.pk), {"post": "yes"}).status_code == 403
