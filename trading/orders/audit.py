"""Order commands in the audit log: who asked for what, in the transaction that made it durable.

One record for each batch and institution, of action ORDERS. Its `new` is

    {"requests": [{"actor", "role", "address", "agent", "trace_id", "commands": [command, …]}, …]}

and a command a list, which says first what it is:

    PLACE       order id, PENDING | REJECTED | KNOWN, reason, client order id, symbol, side, type, quantity, price, stop
    CANCEL      order id, symbol, refused
    AMEND       order id, symbol, quantity, price, refused
    CANCEL_ALL  user id, symbol, refused
    TRIGGER     order id, symbol, price
    HALT …      symbol, status, refused

This is the order path: no look into the database for a trader's own commands, one more statement for a batch.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from exchange.base.database import Transaction, array
from exchange.base.origin import Origin
from exchange.platform.audit.log import ORDERS, UNKNOWN, statement
from matching.codec import Envelope
from matching.core.commands import Amend, Cancel, CancelAll, Halt, Place, Trigger
from matching.order_view import term_texts
from trading.orders.batch import AcceptedBatch, OrderChange
from trading.orders.candidates import OrderCandidate
from trading.reference.catalog import Market, catalog

Line = tuple[Any, ...]
Requests = dict[int, tuple[Origin, str, list[Line]]]  # by the origin's identity: origin, trace id, commands

SEVERAL = "several"  # the actor of a record about more than one
STOPS = Origin(actor="system:stops", role="SYSTEM")
BLOCKED = Origin(actor="system:block", role="SYSTEM")
RUN_OUT = Origin(actor="system:dead-man", role="SYSTEM")

_OF_USERS = "SELECT id::text, institution_id::text FROM members_user WHERE id = ANY (%s::uuid[])"
_OF_ORDERS = """
    SELECT o.id::text, u.institution_id::text FROM trading_order o JOIN members_user u ON u.id = o.user_id
     WHERE o.id = ANY (%s::uuid[])"""

_encoder = msgspec.json.Encoder()


def record_batch(tx: Transaction, accepted: AcceptedBatch, changes: Sequence[OrderChange]) -> None:
    """What an intake batch came to."""
    by: dict[str, Requests] = defaultdict(dict)
    for status, candidates in (
        ("PENDING", accepted.pending),
        ("REJECTED", accepted.rejected),
        ("KNOWN", accepted.known),
    ):
        for candidate in candidates:
            _add(
                by[candidate.institution],
                candidate.origin,
                candidate.order.trace_id,
                _place(candidate, status),
            )
    _changes(tx, by, changes)
    _write(tx, by)


def record_changes(tx: Transaction, changes: Sequence[OrderChange]) -> None:
    """Commands on what exists already, that no user's request brought."""
    by: dict[str, Requests] = defaultdict(dict)
    _changes(tx, by, changes)
    _write(tx, by)


def record_triggers(tx: Transaction, envelopes: Iterable[Envelope], origin: Origin) -> None:
    """The same of commands that go by themselves."""
    by: dict[str, Requests] = defaultdict(dict)
    listed = list(envelopes)
    owners = _owners(tx, listed)
    for envelope in listed:
        line = _command(envelope, "")
        _add(by[owners.get(_subject(envelope), "")], origin, "", (*line, envelope.trace_id))
    _write(tx, by)


def _changes(tx: Transaction, by: dict[str, Requests], changes: Sequence[OrderChange]) -> None:
    others = [change.envelope for change in changes if change.origin.role != "TRADER"]
    owners = _owners(tx, others) if others else {}
    for change in changes:
        origin, envelope = change.origin, change.envelope
        own = origin.institution if origin.role == "TRADER" else owners.get(_subject(envelope), "")
        _add(by[own], origin, envelope.trace_id, _command(envelope, change.refused))


def _add(requests: Requests, origin: Origin, trace_id: str, line: Line) -> None:
    known = requests.get(id(origin))
    if known is None:
        known = requests[id(origin)] = (origin, origin.trace_id or trace_id, [])
    known[2].append(line)


def _write(tx: Transaction, by: dict[str, Requests]) -> None:
    for institution, requests in by.items():
        written = [_request(*request) for request in requests.values()]
        count = sum(len(request["commands"]) for request in written)
        one = written[0] if len(written) == 1 else _SEVERAL
        who = {name: one[name] for name in _SEVERAL}
        new = _encoder.encode({"requests": written}).decode()
        tx.queue(
            *statement(action=ORDERS, resource=f"orders/{count}", new=new, institution=institution, **who)
        )


def _request(origin: Origin, trace_id: str, commands: list[Line]) -> dict[str, Any]:
    return {
        "actor": origin.actor or UNKNOWN,
        "role": origin.role,
        "address": origin.address,
        "agent": origin.agent,
        "trace_id": trace_id,
        "commands": commands,
    }


_SEVERAL = {"actor": SEVERAL, "role": "", "address": "", "agent": "", "trace_id": ""}


def _place(candidate: OrderCandidate, status: str) -> Line:
    order = candidate.order
    texts = term_texts(candidate.terms, order.market.scale)
    return (
        "PLACE",
        candidate.order_id,
        status,
        candidate.reason or "",
        order.client_order_id,
        order.market.symbol,
        texts.side,
        texts.type,
        texts.quantity,
        texts.price or "",
        texts.stop_price or "",
    )


def _command(envelope: Envelope, refused: str) -> Line:
    command = envelope.command
    market: Market = catalog.by_id(command.instrument)
    scale, symbol = market.scale, market.symbol
    match command:
        case Cancel():
            return "CANCEL", command.order, symbol, refused
        case CancelAll():
            return "CANCEL_ALL", command.user, symbol, refused
        case Amend():
            quantity, price = scale.quantity_text(command.quantity), scale.price_text(command.price)
            return "AMEND", command.order, symbol, quantity, price, refused
        case Trigger():
            return "TRIGGER", command.order, symbol, scale.price_text(command.price)
        case Halt():
            return "HALT", symbol, command.status, refused
        case _:
            return type(command).__name__.upper(), symbol, refused


def _subject(envelope: Envelope) -> str:
    """Whose or which order's command it is; empty for a market's."""
    command = envelope.command
    if isinstance(command, CancelAll | Place):
        return command.user
    return getattr(command, "order", "")


def _owners(tx: Transaction, envelopes: Sequence[Envelope]) -> dict[str, str]:
    """The institutions of the users and orders that commands are about."""
    subjects = {subject for subject in map(_subject, envelopes) if subject}
    if not subjects:
        return {}
    found = tx.fetch((_OF_USERS, (array(subjects),)), (_OF_ORDERS, (array(subjects),)))
    return {subject: institution or "" for rows in found for subject, institution in rows}
