"""Intake's transaction on a real database: who gets the funds, and what a name that was used before leads to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest

from exchange.base.database import connect
from matching.core.types import Reason
from tests.market import GROUP, Desk, open_desk
from trading.models import ClientOrder, Order
from trading.orders import acceptance, batch, candidates, stored
from trading.orders.acceptance import accept

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with open_desk() as desk:
        yield desk


def test_a_batch_spends_funds_in_order_and_rejects_what_is_too_much(desk: Desk) -> None:
    alice = desk.user(USDT="250")
    accepted = desk.accept(*(desk.draft(alice, "BUY", "1", "100") for _ in range(3)))
    assert [c.reason for c in accepted.pending] == [None, None]
    assert [c.reason for c in accepted.rejected] == [Reason.INSUFFICIENT_FUNDS]
    assert desk.balance(alice, "USDT") == (Decimal(50), Decimal(200))
    row = Order.objects.get(pk=accepted.rejected[0].order_id)
    assert (row.status, row.reason, row.held) == ("REJECTED", "INSUFFICIENT_FUNDS", 0)


def test_the_same_name_twice_in_one_batch_is_one_order(desk: Desk) -> None:
    alice = desk.user(USDT="1000")
    draft = desk.draft(alice, "BUY", "1", "100", client_order_id="one")
    accepted = desk.accept(draft, draft)
    assert (len(accepted.pending), len(accepted.known)) == (1, 1)
    assert Order.objects.count() == 1
    view, fingerprint = stored.earlier_orders([draft])[alice, "one"]
    assert (view.order_id, fingerprint) == (accepted.pending[0].order_id, draft.fingerprint)


def test_two_users_may_use_the_same_name(desk: Desk) -> None:
    for _ in range(2):
        desk.place(desk.user(USDT="1000"), "BUY", "1", "100", client_order_id="one")
    assert ClientOrder.objects.filter(client_order_id="one").count() == 2


def test_intakes_that_race_for_the_same_funds_never_hold_them_twice(desk: Desk) -> None:
    """Four intakes read 1,000 at the same moment and want 300 each: three get it, one is told that it is too late."""
    alice = desk.user(USDT="1000")
    member = desk.member(alice)
    all_have_read = threading.Barrier(4)
    results: list[batch.AcceptedBatch] = []
    errors: list[BaseException] = []

    def intake(number: int) -> None:
        try:
            draft = desk.draft(alice, "BUY", "3", "100", client_order_id=f"race-{number}")
            (candidate,) = candidates.prepare([draft], member)
            with connect("exchange test") as connection:
                connection.execute("SELECT 1")
                all_have_read.wait(10)
                results.append(accept(connection, [candidate], []))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=intake, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not errors
    assert sum(len(result.pending) for result in results) == 3
    assert [c.reason for result in results for c in result.rejected] == [Reason.INSUFFICIENT_FUNDS]
    assert desk.balance(alice, "USDT") == (Decimal(100), Decimal(900))


def test_funds_that_went_after_they_were_read_are_found_missing_at_commit(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first try decides on a balance that another intake then takes: it is done again, under locks."""
    alice = desk.user(USDT="1000")
    (late,) = candidates.prepare([desk.draft(alice, "BUY", "8", "100")], desk.member(alice))
    attempts: list[bool] = []
    plain = acceptance._accept

    def overtaken(*args: object, locked: bool) -> batch.AcceptedBatch:
        attempts.append(locked)
        accepted = plain(*args, locked=locked)  # type: ignore[arg-type]
        if not locked:
            monkeypatch.setattr(acceptance, "_accept", plain)
            desk.accept(desk.draft(alice, "BUY", "5", "100"))
            monkeypatch.setattr(acceptance, "_accept", overtaken)
        return accepted

    monkeypatch.setattr(acceptance, "_accept", overtaken)
    with connect("exchange test") as connection:
        accepted = accept(connection, [late], [])
    assert attempts == [False, True]
    assert [c.reason for c in accepted.rejected] == [Reason.INSUFFICIENT_FUNDS]
    assert desk.balance(alice, "USDT") == (Decimal(500), Decimal(500))
    assert ClientOrder.objects.count() == 2


def test_a_market_order_without_anybody_to_trade_with_is_rejected(desk: Desk) -> None:
    alice = desk.user(USDT="1000")
    accepted = desk.accept(desk.draft(alice, "BUY", "1"))
    assert [c.reason for c in accepted.rejected] == [Reason.NO_LIQUIDITY]
    assert desk.balance(alice, "USDT") == (Decimal(1000), Decimal(0))


def test_only_one_amendment_of_an_order_is_under_way(desk: Desk) -> None:
    alice = desk.user(USDT="1000")
    order = desk.trade(alice, "BUY", "1", "100")
    first, second = (desk.amendment(order, price=price) for price in ("110", "120"))
    assert not desk.change(first).refused
    assert desk.change(second).refused == "AMENDMENT_IN_PROGRESS"
    assert desk.balance(alice, "USDT") == (Decimal(890), Decimal(110))
    assert first.group == GROUP
