"""An order's funds at the bank's wallet: reserved before intake, entered in the ledger with the order
(docs/decisions/021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from django.db.models import F

from exchange.base.database import Transaction, array
from matching.core.scale import minor_text
from matching.core.types import Reason, Side
from trading.ledger import writer
from trading.ledger.accounts import account_book
from trading.models import ClientOrder, Order, Reservation
from trading.models import Transaction as LedgerTransaction
from trading.orders.amendment_terms import AmendmentTerms
from trading.orders.batch import AcceptedBatch
from trading.orders.candidates import OrderCandidate
from trading.wallet.client import WalletUnavailable, wallet

log = structlog.get_logger(__name__)

State = Reservation.State

# An intake so slow that the sweep has given it up finds other than it expects, and fails as a whole.
_HELD = """
    UPDATE trading_reservation SET state = 'HELD', updated_at = %s
     WHERE id = ANY (%s::uuid[]) AND state = 'RESERVING'"""

_NOT_NEEDED = """
    UPDATE trading_reservation SET state = 'RELEASING', surplus = amount, updated_at = %s
     WHERE id = ANY (%s::uuid[]) AND state = 'RESERVING'"""


def reserve(candidates: Sequence[OrderCandidate]) -> None:
    """Reserve what each order of one user must hold; those that the service refuses get a reason.

    Raises WalletUnavailable: then nothing is held, or will be released by the sweep.
    """
    wanted = [candidate for candidate in _unknown(candidates) if candidate.reason is None]
    if not wanted:
        return
    wallet().check()
    accounts = {
        asset.id: account_book.of_wallet(wanted[0].institution, asset.id)
        for asset in {candidate.pays for candidate in wanted}
    }
    Reservation.objects.bulk_create(
        Reservation(
            id=candidate.order_id,
            user_id=candidate.terms.user,
            asset_id=candidate.pays.id,
            account_id=accounts[candidate.pays.id],
            amount=minor_text(candidate.hold, candidate.pays.scale),
        )
        for candidate in wanted
    )
    refused = _asked(wanted)
    for candidate in wanted:
        if candidate.order_id in refused:
            candidate.reason = Reason.INSUFFICIENT_FUNDS
        else:
            candidate.wallet_account = accounts[candidate.pays.id]


def record(tx: Transaction, accepted: AcceptedBatch, now: str) -> None:
    """In the intake transaction: the funds of orders that are pending come in, others are not needed."""
    entries = writer.Entries()
    for candidate in (held := [each for each in accepted.pending if each.wallet_account]):
        asset = candidate.pays
        legs = (
            (candidate.hold_account, asset.id, candidate.hold, asset.scale),
            (candidate.wallet_account, asset.id, -candidate.hold, asset.scale),
        )
        kind, trace_id = LedgerTransaction.Kind.RESERVE.value, candidate.order.trace_id
        entries.add(candidate.order_id, kind, trace_id, now, legs)
    writer.write_transactions(tx, entries)
    writer.write_postings(tx, entries)
    if held:
        tx.queue(_HELD, (now, array(each.order_id for each in held)), expect=len(held))
    others = [each for each in (*accepted.rejected, *accepted.known) if each.wallet_account]
    if others:
        tx.queue(_NOT_NEEDED, (now, array(each.order_id for each in others)))


def bounded(order: Order, terms: AmendmentTerms) -> AmendmentTerms:
    """An amendment's terms; refused if it must hold more than is left of what its order reserved."""
    reservation = Reservation.objects.filter(pk=order.pk).first()
    if terms.refused or not terms.extra_hold or reservation is None:  # placed before WALLET=http
        return terms
    consumed = order.filled_notional if order.side == Side.BUY.name else order.filled_quantity
    room = int((reservation.amount - consumed - order.held).scaleb(terms.scale))
    return terms if terms.extra_hold <= room else replace(terms, refused="HOLD_CANNOT_GROW")


def _unknown(candidates: Sequence[OrderCandidate]) -> list[OrderCandidate]:
    """Without those that intake will find placed already: they need no funds, wherever those are."""
    keys = ClientOrder.objects.filter(
        user_id__in={candidate.terms.user for candidate in candidates},
        client_order_id__in={candidate.order.client_order_id for candidate in candidates},
    )
    known = {(str(user), name) for user, name in keys.values_list("user_id", "client_order_id")}
    return [c for c in candidates if (c.terms.user, c.order.client_order_id) not in known]


def _asked(wanted: Sequence[OrderCandidate]) -> set[str]:
    """Ask the service; the orders that it refuses, which are marked so."""
    items = [
        {
            "reservation_id": candidate.order_id,
            "user": candidate.terms.user,
            "asset": candidate.pays.code,
            "amount": minor_text(candidate.hold, candidate.pays.scale),
        }
        for candidate in wanted
    ]
    names = [candidate.order_id for candidate in wanted]
    try:
        answers = wallet().reserve(items)
    except WalletUnavailable as unavailable:
        _give_up(names, asked=unavailable.asked)
        raise
    refused = {name: answer.reason for name, answer in answers.items() if answer.status != "HELD"}
    if odd := {name: reason for name, reason in refused.items() if reason in ("released", "differs")}:
        log.error("reservations are not as we left them", reservations=odd)
        _give_up(names, asked=True)
        raise WalletUnavailable(asked=True)
    if refused:
        Reservation.objects.filter(pk__in=list(refused)).update(state=State.REFUSED, updated_at=_now())
    if unknown := sorted({reason for reason in refused.values() if reason != "insufficient_funds"}):
        log.warning("wallet service refuses orders", reasons=unknown)
    return set(refused)


def _give_up(names: list[str], *, asked: bool) -> None:
    """Nothing is known of them: to be released; what was never asked for is not."""
    rows = Reservation.objects.filter(pk__in=names, state=State.RESERVING)
    if asked:
        rows.update(state=State.RELEASING, surplus=F("amount"), updated_at=_now())
    else:
        rows.update(state=State.REFUSED, updated_at=_now())


def _now() -> datetime:
    return datetime.now(UTC)
