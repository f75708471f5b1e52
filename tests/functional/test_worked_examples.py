"""Worked examples, to be read like an accounting book: who has what after each step, and why.

A house with two customers. It takes 0.1 % from the customer who waited in the book (the maker) and 0.2 %
from the one who came to him (the taker), of what each receives. BTC has 8 decimal places, USDT 6.

A table says for every account what is available and what is held, or for every leg of a transaction what it
adds. After each example all that was paid in is still there: the accounts of an asset sum to zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from uuid import UUID

import pytest
from django.db.models import F, Sum

from tests.market import Desk, open_desk
from trading.models import Account, Posting, Trade, Transaction
from trading.verify import report

pytestmark = pytest.mark.django_db(transaction=True)


class House:
    """The desk, with names for the parties and tables for their accounts."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._names: dict[str, str] = {}

    def opens(self, name: str, **deposits: str) -> str:
        user = self.desk.user(**deposits)
        self._names[user] = name
        return user

    def accounts(self) -> str:
        """All that have ever had something."""
        used = Posting.objects.values("account")
        accounts = Account.objects.filter(pk__in=used).select_related("asset")
        return _table(
            f"{self._owner(account)} {_plain(account.available)} {_plain(account.held)}"
            for account in accounts
        )

    def postings(self, transaction: UUID) -> str:
        """The legs of one ledger transaction."""
        legs = Posting.objects.filter(transaction_id=transaction).select_related("account__asset")
        return _table(f"{self._owner(leg.account)} {_plain(leg.amount)}" for leg in legs)

    def _owner(self, account: Account) -> str:
        return f"{self._names.get(str(account.user_id), account.kind.lower())} {account.asset.code}"


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"


def _table(lines: Iterable[str]) -> str:
    """However it is laid out."""
    return "\n".join(sorted(" ".join(line.split()) for line in lines))


def table(text: str) -> str:
    return _table(text.strip().splitlines())


@pytest.fixture
def house(transactional_db: None) -> Iterator[House]:
    with open_desk() as desk:
        yield House(desk)
        totals = Account.objects.values("asset").annotate(total=Sum(F("available") + F("held")))
        assert [row["total"] for row in totals] == [0] * len(totals), "what was paid in is there, and no more"
        assert report.run(lambda what: None, replay=True).clean


def test_a_deposit(house: House) -> None:
    """Ann pays 10,000 USDT in. The house has it in custody, and owes it to her."""
    house.opens("ann", USDT="10000")
    assert house.postings(Transaction.objects.get(kind="DEPOSIT").pk) == table("""
        ann      USDT    10000
        custody  USDT   -10000
    """)
    assert house.accounts() == table("""
        ann      USDT   10000  0
        custody  USDT  -10000  0
    """)


def test_a_purchase_in_two_parts_with_a_better_price(house: House) -> None:
    """Ann bids for 2 BTC at up to 3,000; Ben sells 0.5 at 2,900 already, and 1 more to her later."""
    desk = house.desk
    ann, ben = house.opens("ann", USDT="10000"), house.opens("ben", BTC="4")

    # Ben offers 0.5 BTC at 2,900: it is held until it is sold or he cancels.
    offer = desk.trade(ben, "SELL", "0.5", "2900")
    assert house.accounts() == table("""
        ann      USDT   10000    0
        custody  USDT  -10000    0
        ben      BTC      3.5  0.5
        custody  BTC       -4    0
    """)

    # Ann's bid holds the most that it may cost: 2 × 3,000. Nobody has matched it yet.
    bid = desk.place(ann, "BUY", "2", "3000")
    assert house.accounts() == table("""
        ann      USDT    4000  6000
        custody  USDT  -10000     0
        ben      BTC      3.5   0.5
        custody  BTC       -4     0
    """)

    # It meets Ben's offer, at his price, as he was there first: 0.5 × 2,900 = 1,450 USDT.
    #   Ann is the taker: 0.2 % of 0.5 BTC are 0.001 BTC.
    #   Ben is the maker: 0.1 % of 1,450 USDT are 1.45 USDT.
    desk.match(bid)
    first = Trade.objects.get(number=1)
    assert (first.price, first.quantity, first.buyer_fee, first.seller_fee, first.is_buyer_maker) == (
        2900,
        Decimal("0.5"),
        Decimal("0.001"),
        Decimal("1.45"),
        False,
    )
    assert house.postings(first.pk) == table("""
        ann   USDT  -1450
        ben   USDT   1448.55
        fees  USDT      1.45
        ben   BTC      -0.5
        ann   BTC       0.499
        fees  BTC       0.001
    """)
    # 1.5 BTC are left of the bid, which hold 1.5 × 3,000 = 4,500. The 50 USDT by which the price was better
    # than hers are hers again: 10,000 - 1,450 - 4,500 = 4,050.
    assert house.accounts() == table("""
        ann      USDT    4050     4500
        ben      USDT    1448.55     0
        fees     USDT       1.45     0
        custody  USDT  -10000        0
        ann      BTC        0.499    0
        ben      BTC        3.5      0
        fees     BTC        0.001    0
        custody  BTC       -4        0
    """)
    assert desk.order(offer).status == "FILLED"
    row = desk.order(bid.command.id)
    assert (row.status, row.filled_quantity, row.remaining_quantity, row.average_price, row.fee) == (
        "PARTIALLY_FILLED",
        Decimal("0.5"),
        Decimal("1.5"),
        2900,
        Decimal("0.001"),
    )

    # Ben comes to her with 1 BTC for at least 2,950 and gets her 3,000. Now Ann is the maker:
    #   0.1 % of 1 BTC are 0.001 BTC, and 0.2 % of 3,000 USDT are 6 USDT.
    desk.trade(ben, "SELL", "1", "2950")
    second = Trade.objects.get(number=2)
    assert house.postings(second.pk) == table("""
        ann   USDT  -3000
        ben   USDT   2994
        fees  USDT      6
        ben   BTC      -1
        ann   BTC       0.999
        fees  BTC       0.001
    """)
    assert house.accounts() == table("""
        ann      USDT    4050     1500
        ben      USDT    4442.55     0
        fees     USDT       7.45     0
        custody  USDT  -10000        0
        ann      BTC        1.498    0
        ben      BTC        2.5      0
        fees     BTC        0.002    0
        custody  BTC       -4        0
    """)
    row = desk.order(bid.command.id)
    assert (row.filled_notional, row.average_price, row.fee) == (
        4450,
        Decimal(4450) / Decimal("1.5"),
        Decimal("0.002"),
    )

    # Ann cancels the rest. What it held is hers again.
    desk.match(desk.cancel(bid.command.id))
    assert house.accounts() == table("""
        ann      USDT    5550        0
        ben      USDT    4442.55     0
        fees     USDT       7.45     0
        custody  USDT  -10000        0
        ann      BTC        1.498    0
        ben      BTC        2.5      0
        fees     BTC        0.002    0
        custody  BTC       -4        0
    """)


def test_a_purchase_at_the_market(house: House) -> None:
    """Ann buys 2 BTC at whatever it costs, within 5 % of the best price. There is only 1.5 within it."""
    desk = house.desk
    ann, ben = house.opens("ann", USDT="10000"), house.opens("ben", BTC="4")
    for quantity, price in (("1", "3000"), ("0.5", "3100"), ("1", "3200")):
        desk.trade(ben, "SELL", quantity, price)

    # The worst price is 3,000 + 5 % = 3,150, so 2 BTC may cost 6,300.
    order = desk.place(ann, "BUY", "2")
    assert desk.balance(ann, "USDT") == (3700, 6300)

    # She gets 1 at 3,000 and 0.5 at 3,100, for 4,550. At 3,200 nobody is asked: the rest is cancelled.
    desk.match(order)
    row = desk.order(order.command.id)
    assert (row.status, row.reason, row.filled_quantity, row.filled_notional) == (
        "CANCELLED",
        "MARKET_REST",
        Decimal("1.5"),
        4550,
    )
    assert house.accounts() == table("""
        ann      USDT    5450      0
        ben      USDT    4545.45   0
        fees     USDT       4.55   0
        custody  USDT  -10000      0
        ann      BTC        1.497  0
        ben      BTC        1.5    1
        fees     BTC        0.003  0
        custody  BTC       -4      0
    """)


def test_a_fee_that_does_not_come_out_even(house: House) -> None:
    """0.0003 BTC at 2,999.99 are 0.899997 USDT. 0.1 % of it are 0.000899997: the house gets 0.0009."""
    desk = house.desk
    ann, ben = house.opens("ann", USDT="10"), house.opens("ben", BTC="1")
    desk.trade(ben, "SELL", "0.0003", "2999.99")
    desk.trade(ann, "BUY", "0.0003", "2999.99")
    assert house.postings(Trade.objects.get().pk) == table("""
        ann   USDT  -0.899997
        ben   USDT   0.899097
        fees  USDT   0.0009
        ben   BTC   -0.0003
        ann   BTC    0.0002994
        fees  BTC    0.0000006
    """)
