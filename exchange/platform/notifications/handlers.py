"""From events to users' notifications: the handlers of consumer group `notifications`.

A fill is known by the order and how much of it is filled: an amendment reports the same state again and is
no news. An order of which something was filled and the rest cancelled at once (MARKET, IOC) is reported as partly
filled, unless that fill was reported before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Annotated, Any, TypeVar

import msgspec

from exchange.base.times import rfc3339
from exchange.platform.events.event import UUID, Event, Poison, in_batches
from exchange.platform.notifications.kinds import NotificationKind
from exchange.platform.notifications.writer import NotificationEvent, write

T = TypeVar("T", bound=msgspec.Struct)

Amount = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]+(\.[0-9]+)?$")]


class Order(msgspec.Struct):
    order_id: UUID
    user_id: UUID
    symbol: str
    side: str
    order_type: str
    quantity: Amount
    price: Amount | None
    status: str
    filled_quantity: Amount
    remaining_quantity: Amount
    reason: str


class Deposited(msgspec.Struct):
    user_id: UUID
    asset: str
    amount: Amount
    transaction_id: str


class Withdrawal(msgspec.Struct):
    withdrawal_id: UUID
    user_id: UUID
    asset: str
    amount: Amount
    status: str
    reason: str


class SignedIn(msgspec.Struct):
    user_id: UUID
    device: str
    new_device: bool
    address: str


@in_batches
def orders(events: list[Event]) -> None:
    """ORDER_STATUS_CHANGED."""
    write(_known(events, Order, _order))


@in_batches
def deposits(events: list[Event]) -> None:
    """DEPOSITED."""
    write(_known(events, Deposited, _deposit))


@in_batches
def withdrawals(events: list[Event]) -> None:
    """WITHDRAWAL_STATUS_CHANGED."""
    write(_known(events, Withdrawal, _withdrawal))


@in_batches
def sign_ins(events: list[Event]) -> None:
    """SIGNED_IN."""
    write(_known(events, SignedIn, _sign_in))


def _known(
    events: Iterable[Event], struct: type[T], notification: Callable[[Event, T], NotificationEvent | None]
) -> list[NotificationEvent]:
    found = (notification(event, _read(event, struct)) for event in events)
    return [each for each in found if each is not None]


def _read(event: Event, struct: type[T]) -> T:
    try:
        return msgspec.convert(event.payload, struct)
    except msgspec.ValidationError as error:
        raise Poison(f"{event.event_type}: {error}") from error


def _order(event: Event, order: Order) -> NotificationEvent | None:
    kind = _kind(order)
    if kind is None:
        return None
    base, _, quote = order.symbol.partition("/")
    filled = plain(order.filled_quantity)
    data = {
        "order_id": order.order_id,
        "symbol": order.symbol,
        "base": base,
        "quote": quote,
        "side": order.side,
        "order_type": order.order_type,
        "status": order.status,
        "quantity": plain(order.quantity),
        "filled_quantity": filled,
        "remaining_quantity": plain(order.remaining_quantity),
    }
    if order.price is not None:
        data["price"] = plain(order.price)
    if order.reason:
        data["reason"] = order.reason
    return _notification(event, order.user_id, kind, f"{order.order_id} {kind} {filled}", data)


def _kind(order: Order) -> NotificationKind | None:
    match order.status:
        case "FILLED":
            return NotificationKind.ORDER_FILLED
        case "PARTIALLY_FILLED":
            return NotificationKind.ORDER_PARTIALLY_FILLED
        case "CANCELLED" if Decimal(order.filled_quantity):
            return NotificationKind.ORDER_PARTIALLY_FILLED
        case "TRIGGERED":
            return NotificationKind.STOP_TRIGGERED
        case "REJECTED":
            return NotificationKind.ORDER_REJECTED
    return None


def _deposit(event: Event, deposit: Deposited) -> NotificationEvent:
    data = {
        "asset": deposit.asset,
        "amount": plain(deposit.amount),
        "transaction_id": deposit.transaction_id,
    }
    return _notification(event, deposit.user_id, NotificationKind.DEPOSIT, event.event_id, data)


def _withdrawal(event: Event, withdrawal: Withdrawal) -> NotificationEvent | None:
    """Its request, which may not have been the user's own, and its end."""
    if withdrawal.status not in ("REQUESTED", "COMPLETED", "REJECTED", "FAILED"):
        return None
    data = {
        "withdrawal_id": withdrawal.withdrawal_id,
        "asset": withdrawal.asset,
        "amount": plain(withdrawal.amount),
        "state": withdrawal.status,
        "reason": withdrawal.reason,
    }
    about = f"{withdrawal.withdrawal_id} {withdrawal.status}"
    return _notification(event, withdrawal.user_id, NotificationKind.WITHDRAWAL, about, data)


def _sign_in(event: Event, sign_in: SignedIn) -> NotificationEvent | None:
    if not sign_in.new_device:
        return None
    data = {"device": sign_in.device, "address": sign_in.address}
    return _notification(event, sign_in.user_id, NotificationKind.NEW_DEVICE, event.event_id, data)


def _notification(
    event: Event, user: str, kind: NotificationKind, about: str, data: dict[str, Any]
) -> NotificationEvent:
    at = rfc3339(event.moment, "auto")
    return NotificationEvent(user, kind, about, event.event_id, data, event.trace_id, at)


def plain(amount: str) -> str:
    """Without zeros at the end."""
    return amount.rstrip("0").rstrip(".") if "." in amount else amount
