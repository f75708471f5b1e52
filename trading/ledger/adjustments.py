"""Corrections of a user's balance: asked for by one person, booked when another approves.

    payload {user, asset, amount, contra} → approval → ledger transaction ADJUSTMENT and a row that names the approval

The other side is a house account of the user's institution: CUSTODY where the books did not say what came in or went
out, FEES where the house gives or takes of its own. The database books no adjustment without its approval
(docs/decisions/015).
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from django.db import connection, transaction
from django.db.utils import IntegrityError
from django.utils.translation import gettext as text
from django.utils.translation import gettext_lazy as _

from exchange.base.decimals import plain
from exchange.base.env import env
from exchange.base.ids import uuid7
from exchange.platform.approvals.kinds import ApprovalKind, FieldChange, Payload
from exchange.platform.approvals.models import Approval
from exchange.platform.approvals.requests import Refused, request
from exchange.platform.events import outbox
from exchange.platform.events.topics import ACCOUNTS
from exchange.platform.members.models import User
from matching.core.scale import minor_text, trim
from trading.ledger import writer
from trading.ledger.accounts import publish_balance_change
from trading.models import Account, Adjustment, Asset, Transaction

CODE = "ADJUSTMENT"
CONTRAS = {Account.Kind.CUSTODY: _("custody"), Account.Kind.FEES: _("fees of the house")}
MOST = Decimal(10) ** 15


class Wanted(NamedTuple):
    """A payload, read."""

    user: User
    asset: Asset
    amount: Decimal
    contra: str


def ask(
    *, user: User, asset: Asset, amount: Decimal, reason: str, by: User, contra: str = Account.Kind.CUSTODY
) -> Approval:
    """Ask for `amount` to be added to what the user has (or taken, if below zero). Raises ApprovalError."""
    payload = {"user": str(user.pk), "asset": asset.code, "amount": f"{amount:f}", "contra": str(contra)}
    return request(
        CODE,
        institution=user.institution,
        subject=f"user/{user.pk} {asset.code} {amount:+f}",
        payload=payload,
        reason=reason,
        by=by,
        about=user,
    )


def check(payload: Payload) -> None:
    """Raises Refused."""
    wanted = _read(payload)
    if env.wallet == "http":
        raise Refused(text("balances are kept by the bank's own wallet (WALLET=http): adjust them there"))
    if wanted.amount < 0:
        available = _available(wanted)
        if available + wanted.amount < 0:
            raise Refused(
                text("the user has only %(available)s %(asset)s available")
                % {"available": plain(available), "asset": wanted.asset.code}
            )


def apply(approval: Approval) -> str:
    """Book it, in the open transaction. Raises Refused."""
    wanted = _read(approval.payload)
    institution = wanted.user.institution
    assert institution is not None, "_read has looked"
    account, _made = Account.objects.get_or_create(
        kind=Account.Kind.USER, institution=institution, user=wanted.user, asset=wanted.asset
    )
    contra, _made = Account.objects.get_or_create(
        kind=wanted.contra, institution=institution, user=None, asset=wanted.asset
    )
    transaction_id = uuid7()
    try:
        _book(approval, wanted, transaction_id, account, contra)
    except IntegrityError as error:
        if "account_available_not_negative" not in str(error):
            raise
        raise Refused(text("one of the two accounts does not have that much")) from error
    payload = {
        "user_id": str(wanted.user.pk),
        "asset": wanted.asset.code,
        "amount": plain(wanted.amount),
        "transaction_id": transaction_id,
    }
    outbox.append(ACCOUNTS, str(wanted.user.pk), "ADJUSTED", payload, trace_id=str(approval.pk))
    transaction.on_commit(lambda: publish_balance_change([str(wanted.user.pk)]))
    return f"transaction/{transaction_id}"


def _book(approval: Approval, wanted: Wanted, transaction_id: str, account: Account, contra: Account) -> None:
    asset = wanted.asset
    minor = int(wanted.amount.scaleb(asset.scale))
    entries = writer.Entries()
    legs = [(account.pk, asset.pk, minor, asset.scale), (contra.pk, asset.pk, -minor, asset.scale)]
    now = datetime.now(UTC).isoformat()
    entries.add(transaction_id, Transaction.Kind.ADJUSTMENT, str(approval.pk), now, legs)
    writer.book(entries)
    Adjustment.objects.create(
        transaction_id=transaction_id,
        approval=approval,
        account=account,
        contra=contra,
        amount=minor_text(minor, asset.scale),
    )
    with (
        connection.cursor() as cursor
    ):  # balances now and not at the commit: what is too much is refused here
        cursor.execute("SET CONSTRAINTS ledger_movement_applied, postings_balance IMMEDIATE")


def describe(payload: Payload) -> list[tuple[str, str]]:
    wanted = _read(payload)
    return [
        (text("user"), str(wanted.user)),
        (text("asset"), wanted.asset.code),
        (text("amount"), trim(f"{wanted.amount:+f}")),
        (text("against"), str(CONTRAS[Account.Kind(wanted.contra)])),
    ]


def changes(payload: Payload) -> list[FieldChange]:
    """Of the balance, as it is at the moment."""
    wanted = _read(payload)
    before = _available(wanted)
    return [(text("available"), plain(before), plain(before + wanted.amount))]


def _available(wanted: Wanted) -> Decimal:
    found = Account.objects.filter(user=wanted.user, asset=wanted.asset, kind=Account.Kind.USER).first()
    return found.available if found else Decimal(0)


def _read(payload: Payload) -> Wanted:
    """Raises Refused for what cannot be booked whatever the balance is."""
    user = User.objects.filter(pk=payload["user"]).first()
    asset = Asset.objects.filter(code=payload["asset"]).first()
    if user is None or user.institution_id is None:
        raise Refused(text("only a user of an institution has a balance"))
    if asset is None:
        raise Refused(text("there is no asset %(code)s") % {"code": payload["asset"]})
    if payload["contra"] not in CONTRAS:
        raise Refused(text("the other side is CUSTODY or FEES, not %(kind)s") % {"kind": payload["contra"]})
    try:
        amount = Decimal(payload["amount"])
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 < abs(amount) < MOST or amount != round(amount, asset.scale):
        raise Refused(
            text("the amount must be a number other than zero with at most %(scale)s decimal places")
            % {"scale": asset.scale}
        )
    return Wanted(user, asset, amount, payload["contra"])


KIND = ApprovalKind(
    code=CODE,
    label=_("balance adjustment"),
    request_permission="adjustments.request",
    approve_permission="adjustments.approve",
    check=check,
    apply=apply,
    describe=describe,
    changes=changes,
    form="trading.backoffice.adjustment_form.AdjustmentForm",
)
