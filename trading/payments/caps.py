"""What a user may still pay in or out today, by their KYC level.

A cap is in a currency, so what was asked for today is valued at the rates of the moment. What was rejected, cancelled
or failed does not count. The caller has locked the user: of two requests the second sees the first.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_DOWN, ROUND_UP, Decimal

from django.db.models import Sum

from exchange.base.decimals import plain
from exchange.platform.kyc import selectors
from exchange.platform.members.models import User
from risk.portfolio import asset_prices
from trading.models import Asset, Deposit, Withdrawal
from trading.payments import review
from trading.payments.refusal import Refused

_CENT = Decimal("0.01")


def check(kind: type[Deposit] | type[Withdrawal], user: User, asset: Asset, amount: Decimal) -> None:
    """Raises Refused: kyc_level, kyc_limit, or no_price if the cap cannot be reckoned."""
    terms = selectors.status(user.pk, user.institution_id).terms
    inward = kind is Deposit
    if not (terms.may_deposit if inward else terms.may_withdraw):
        what = "deposit" if inward else "withdraw"
        raise Refused(
            "kyc_level", f"At your KYC level ({terms.level}) you may not {what}: see GET /api/v1/kyc."
        )
    cap = terms.daily_deposit if inward else terms.daily_withdrawal
    if cap is None:
        return
    amounts = today(kind, user)
    amounts[asset.code] = amounts.get(asset.code, Decimal(0)) + amount
    asked = _worth(amounts, terms.currency)
    if asked > cap:
        left = max(Decimal(0), cap - asked + _worth({asset.code: amount}, terms.currency))
        raise Refused(
            "kyc_limit",
            f"Your KYC level ({terms.level}) allows {plain(cap)} {terms.currency} a day, of which"
            f" {_text(left)} are left; this is worth {_text(asked - cap + left, up=True)}.",
        )


def today(kind: type[Deposit] | type[Withdrawal], user: User) -> dict[str, Decimal]:
    """What was asked for since midnight (UTC), by asset."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = kind._default_manager.filter(user=user, created_at__gte=midnight).exclude(state__in=review.UNDONE)
    return dict(rows.order_by().values_list("asset__code").annotate(total=Sum("amount")))


def _worth(amounts: dict[str, Decimal], currency: str) -> Decimal:
    """Raises Refused."""
    if set(amounts) <= {currency}:
        return amounts.get(currency, Decimal(0))
    rates = asset_prices.read(currency).rates
    for code in amounts.keys() - rates.keys():
        raise Refused(
            "no_price",
            f"There is no price of {code} in {currency} now, so your daily limit cannot be reckoned.",
        )
    return sum((amount * rates[code] for code, amount in amounts.items()), Decimal(0))


def _text(amount: Decimal, *, up: bool = False) -> str:
    return f"{amount.quantize(_CENT, ROUND_UP if up else ROUND_DOWN):f}"
