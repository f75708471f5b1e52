"""What a user does: asks for a deposit or a withdrawal, and cancels what is not decided yet.

A request is known by its `client_reference`: sent again it is the same payment, with other terms it is refused.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from exchange.base import ids
from exchange.base.decimals import plain
from exchange.base.env import env
from exchange.platform.members import personal_data
from exchange.platform.members.models import User
from risk.pretrade import kill_switch
from trading.models import Account, Asset, Deposit, Withdrawal
from trading.payments import booking, caps, review
from trading.payments.refusal import Missing, Refused

Kind = TypeVar("Kind", Deposit, Withdrawal)


class Wanted(NamedTuple):
    """A request whose form is right: `amount` is positive and in steps of the asset. `party` is where the money comes
    from or goes to."""

    user_id: str
    asset: Asset
    amount: Decimal
    party: str
    client_reference: str


@transaction.atomic
def deposit(wanted: Wanted, *, trace_id: str) -> tuple[Deposit, bool]:
    """The request, and whether it is new. Raises Refused."""
    user = _lock(wanted)
    known = _known(Deposit, wanted)
    if known is not None:
        return known, False
    _may(user)
    caps.check(Deposit, user, wanted.asset, wanted.amount)
    made = _fill(Deposit(account_id=_account(user, wanted.asset)), user, wanted, trace_id)
    made.save(force_insert=True)
    booking.record_step(made, "", by=user, trace_id=trace_id)
    return made, True


@transaction.atomic
def withdraw(wanted: Wanted, *, trace_id: str) -> tuple[Withdrawal, bool]:
    """The request, which holds its amount, and whether it is new. Raises Refused."""
    user = _lock(wanted)
    known = _known(Withdrawal, wanted)
    if known is not None:
        return known, False
    _may(user)
    caps.check(Withdrawal, user, wanted.asset, wanted.amount)
    account = Account.objects.select_for_update(no_key=True).get(pk=_account(user, wanted.asset))
    if account.available < wanted.amount:
        raise Refused(
            "insufficient_funds",
            f"You have {plain(account.available)} {wanted.asset.code} available, which is less than this.",
        )
    made = _fill(Withdrawal(hold_account=account, held=wanted.amount), user, wanted, trace_id)
    made.save(force_insert=True)
    booking.settle()
    booking.record_step(made, "", by=user, trace_id=trace_id)
    return made, True


@transaction.atomic
def cancel(kind: type[Kind], payment_id: UUID, user_id: str, *, trace_id: str) -> Kind:
    """Take it back while it is REQUESTED. Raises Missing or Refused."""
    found: Kind | None = (
        kind._default_manager.select_for_update(of=("self",), no_key=True)
        .select_related("user", "asset")
        .filter(pk=payment_id, user_id=user_id)
        .first()
    )
    if found is None:
        raise Missing
    if found.state == "CANCELLED":
        return found
    if found.state != "REQUESTED":
        raise Refused(
            "payment_not_open", f"It is {found.state} already: only a REQUESTED one can be cancelled."
        )
    found.state = "CANCELLED"
    found.closed_at = found.updated_at = timezone.now()
    if isinstance(found, Withdrawal):
        found.held = Decimal(0)
    found.save()
    booking.settle()
    booking.record_step(found, "REQUESTED", by=found.user, trace_id=trace_id)
    return found


def _lock(wanted: Wanted) -> User:
    """One request of a user after the other: so a name is used once, and caps are kept."""
    if env.wallet == "http":
        raise Refused("payments_elsewhere", "Deposits and withdrawals are made at your bank's own wallet.")
    user = User.objects.select_for_update(no_key=True, of=("self",)).get(pk=wanted.user_id)
    if user.institution_id is None:
        raise Refused("no_institution", "Only a member of an institution has accounts.")
    return user


def _known(kind: type[Kind], wanted: Wanted) -> Kind | None:
    found: Kind | None = (
        kind._default_manager.select_related("user", "asset")
        .filter(user_id=wanted.user_id, client_reference=wanted.client_reference)
        .first()
    )
    if found is None:
        return None
    party = personal_data.unseal(found.user_id, found.party, found.place)
    if (found.asset_id, found.amount, party) != (wanted.asset.pk, wanted.amount, wanted.party):
        raise Refused(
            "client_reference_conflict", "You have used this client_reference for a payment with other terms."
        )
    return found


def _may(user: User) -> None:
    if user.closed_at is not None or not user.is_active:
        raise Refused("account_closed", "This account is closed.")
    if kill_switch.active_block(user) is not None or (
        user.institution and kill_switch.active_block(user.institution)
    ):
        raise Refused("user_blocked", "You may neither deposit nor withdraw at the moment.")


def _account(user: User, asset: Asset) -> int:
    """Past the process's memory of accounts: one that is opened here may be rolled back."""
    owner: dict[str, Any] = {"user": user, "asset": asset, "institution_id": user.institution_id}
    return Account.objects.get_or_create(kind=Account.Kind.USER, **owner)[0].pk


def _fill(made: Kind, user: User, wanted: Wanted, trace_id: str) -> Kind:
    made.id = ids.new()
    made.user, made.asset, made.amount = user, wanted.asset, wanted.amount
    made.client_reference, made.trace_id = wanted.client_reference, trace_id
    made.party = personal_data.seal(user.pk, wanted.party, made.place)
    made.second_person = review.needs_second_person(type(made), user, wanted.asset, wanted.amount)
    return made
