"""A market that is added while its matcher runs trades without a restart of anything."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from msgspec.structs import replace

from exchange.platform.members.models import User
from matching import stream
from matching.core.types import Side
from matching.models import Checkpoint
from tests.market import GROUP, Desk, eventually, open_desk, running
from trading.ledger.accounts import deposit
from trading.models import Instrument, Order
from trading.reference.catalog import catalog

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with open_desk() as desk:
        yield desk


def test_a_new_market_trades_at_once(desk: Desk) -> None:
    alice = desk.user(USDT="1000")
    bob = desk.user(BTC="1")
    with running(desk.worker):
        eventually(lambda: Checkpoint.objects.get().epoch == 2)  # the fixture's was the first
        old = Instrument.objects.get()
        Instrument.objects.create(
            symbol="ETH/USDT",
            base=desk.assets["ETH"],
            quote=desk.assets["USDT"],
            tick_size=old.tick_size,
            lot_size=old.lot_size,
            min_quantity=old.min_quantity,
            max_quantity=old.max_quantity,
            min_notional=old.min_notional,
            group_id=GROUP,
        )
        catalog.clear_cache()
        deposit(
            user=User.objects.get(pk=bob), asset=desk.assets["ETH"], amount=Decimal(5), trace_id="funding"
        )
        market = catalog.market("ETH/USDT")
        assert market is not None
        for user, side in ((bob, Side.SELL), (alice, Side.BUY)):
            draft = desk.draft(user, side.name, "2", "100")
            terms = replace(draft.terms, instrument=market.id)
            accepted = desk.accept(replace(draft, market=market, terms=terms))
            (candidate,) = accepted.pending
            stream.send(desk.client, {GROUP: [candidate.envelope("")]})
            eventually(Order.objects.filter(pk=candidate.order_id).exclude(status="PENDING").exists)
    assert set(Order.objects.values_list("status", flat=True)) == {"FILLED"}
    assert desk.balance(alice, "ETH")[0] == Decimal("1.996")
