"""Intake: from a checked request to a durable command, and from the matcher's reply to an answer.

    request threads → one queue → the intake thread: one transaction for all that waits → stream
    reply → request thread

`place`, `cancel`, `cancel_all` and `amend` block until the matcher has settled or is late; then they say what
PostgreSQL says. What they return is committed. psycopg.Error means that PostgreSQL is away and nothing is
known: the caller may send the same `client_order_id` again.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from enum import Enum
from functools import cache
from queue import Empty, SimpleQueue
from typing import NamedTuple

import psycopg
import structlog

from exchange import metrics
from exchange.database import connect
from exchange.env import env
from exchange.ids import uuid7
from exchange.members.rate import Allowance, Charge, Spending, spend
from exchange.members.session import Member
from matching.codec import Envelope, OrderUpdate, Reply
from matching.core.commands import Amend, AnyCommand, Cancel, CancelAll
from trading import amendments, orders
from trading.acceptance import accept
from trading.batch import Accepted, Change
from trading.candidates import Candidate, prepare
from trading.catalog import Market, catalog
from trading.dispatch import Dispatcher
from trading.gatekeeper import judge_amendment, judged
from trading.models import Order
from trading.pending import sent_again
from trading.replies import ReplyListener
from trading.shapes import Draft, OrderView, draft_view
from trading.status import Status
from trading.wallet import funding

log = structlog.get_logger(__name__)

BATCH = 250  # commands in one transaction, but a request is never split
CROWD = 3  # requests in a batch: from then on it pays
GATHER_SECONDS = 0.003  # to wait for more to share the next transaction, as PostgreSQL's commit_delay does
POLL_SECONDS = 0.02  # how often a request looks into PostgreSQL while no reply can come
LISTEN_SECONDS = 0.5  # and how often while they should come: one may be lost
ORDER_NOT_OPEN = "ORDER_NOT_OPEN"


class Outcome(Enum):
    CREATED = "CREATED"
    DUPLICATE = "DUPLICATE"
    CONFLICT = "CONFLICT"
    REJECTED = "REJECTED"
    PENDING = "PENDING"


class ChangeOutcome(Enum):
    DONE = "DONE"
    NOT_FOUND = "NOT_FOUND"
    REFUSED = "REFUSED"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    PENDING = "PENDING"


class Placed(NamedTuple):
    order: OrderView | None  # None with CONFLICT only
    outcome: Outcome


class Changed(NamedTuple):
    order: OrderView | None
    outcome: ChangeOutcome
    reason: str | None = None


class Request:
    """What one caller waits for: new orders or changes, and the replies to them as they come.

    New orders cost their caller some of the rate: `allowance` says what is left, and if it was not enough nothing
    is done.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate] = (),
        changes: Sequence[Change] = (),
        spending: Spending | None = None,
    ) -> None:
        self.candidates = candidates
        self.changes = changes
        self.spending = spending
        self.allowance: Allowance | None = None
        self.before: list[tuple[str, Envelope]] = []  # commands to be sent again, ahead of the changes
        self.accepted: Accepted | None = None
        self.replies: dict[str, Reply] = {}
        self.error: BaseException | None = None
        self.progress = threading.Event()  # committed and, unless it is late, answered
        self.given_up = False  # nobody waits any more: what is not committed yet need not be
        self._missing = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.candidates) + len(self.changes)

    def expect(self, count: int) -> None:
        """Called before anything is sent: so many replies will come."""
        self._missing = count
        if not count:
            self.progress.set()

    def take(self, reply: Reply) -> None:
        with self._lock:
            self.replies[reply.command] = reply
            self._missing -= 1
            if not self._missing:
                self.progress.set()

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.progress.set()


class Intake:
    """One per process: the queue, the thread that empties it, and the listener for replies."""

    def __init__(self) -> None:
        self.replies = ReplyListener()
        self._queue: SimpleQueue[Request] = SimpleQueue()
        self._dispatcher = Dispatcher()
        self._connection: psycopg.Connection | None = None
        self._crowded = False
        self.by_redis = True
        threading.Thread(target=self._run, name="intake", daemon=True).start()

    def submit(self, request: Request, settled: Callable[[], bool]) -> None:
        """Block until the request is settled or late. `settled` asks PostgreSQL, for when no reply can
        come."""
        self._queue.put(request)
        waited = 0.0
        while waited < env.exchange_order_timeout:
            step = LISTEN_SECONDS if self.by_redis and self.replies.connected else POLL_SECONDS
            if request.progress.wait(step):
                break
            waited += step
            if request.accepted is not None and settled():
                break
        request.given_up = True
        for command in _commands(request):
            self.replies.give_up(command)
        if request.error is not None:
            raise request.error
        if request.allowance is not None and not request.allowance.allowed:
            return
        if request.accepted is None:
            raise psycopg.OperationalError("the database is too slow: nothing was committed in time")

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            try:
                if batch:
                    self._process(batch)
            except Exception as error:
                self._failed(batch, error)

    def _next_batch(self) -> list[Request]:
        batch = [self._queue.get()]
        if self._crowded:
            time.sleep(GATHER_SECONDS)
        size = len(batch[0])
        while size < BATCH:
            try:
                batch.append(self._queue.get_nowait())
            except Empty:
                break
            size += len(batch[-1])
        self._crowded = len(batch) >= CROWD
        return [request for request in batch if not request.given_up]

    def _process(self, batch: list[Request]) -> None:
        connection = self._live()
        charged = [request for request in batch if request.spending is not None and request.allowance is None]
        charge = Charge([request.spending for request in charged if request.spending is not None])
        candidates = [candidate for request in batch for candidate in request.candidates]
        with metrics.intake_seconds.time(), judged(connection, candidates, charge) as judgement:
            batch = _allowed(batch, charged, charge)
            candidates = [candidate for request in batch for candidate in request.candidates]
            changes = [change for request in batch for change in request.changes]
            accepted = accept(connection, candidates, changes)
            judgement.keep(accepted.pending)
        metrics.intake_batch.observe(len(candidates) + len(changes))
        metrics.orders.labels("accepted").inc(len(accepted.pending))
        metrics.orders.labels("rejected").inc(len(accepted.rejected))
        metrics.orders.labels("known").inc(len(accepted.known))
        pending = {candidate.order_id for candidate in accepted.pending}
        outgoing: dict[str, list[Envelope]] = defaultdict(list)
        for request in batch:
            self._expect(request, accepted, pending, outgoing)
        self.by_redis = self._dispatcher.send(outgoing)

    def _expect(
        self, request: Request, accepted: Accepted, pending: set[str], outgoing: dict[str, list[Envelope]]
    ) -> None:
        channel = self.replies.channel
        sent: list[tuple[str, Envelope]] = []
        for candidate in request.candidates:
            if candidate.order_id in pending:
                sent.append((candidate.draft.market.group, candidate.envelope(channel)))
        for change in request.changes:
            if not change.refused:
                sent.append((change.group, change.envelope))
        for _, envelope in sent:
            self.replies.expect(envelope.command.id, request.take)
        request.accepted = accepted
        request.expect(len(sent))
        for group, envelope in (*request.before, *sent):
            outgoing[group].append(envelope)

    def _failed(self, batch: list[Request], error: Exception) -> None:
        """The transaction failed. Away is away for all; anything else may be one request's fault, so they go
        one by one."""
        away = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        if away or not isinstance(error, psycopg.Error) or len(batch) == 1:
            log.error(
                "intake failed",
                requests=len(batch),
                error=str(error).split("\n")[0],
                kind=type(error).__name__,
            )
            if away and self._connection is not None:
                self._connection.close()
                self._connection = None
            for request in batch:
                request.fail(error)
            return
        for request in batch:
            try:
                self._process([request])
            except Exception as own_error:
                self._failed([request], own_error)

    def _live(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect("exchange intake")
        return self._connection


@cache
def intake() -> Intake:
    """This process's intake, started at first use (after any fork)."""
    started = Intake()
    started.replies.wait_connected(1.0)
    return started


def place(drafts: Sequence[Draft], member: Member, *, cost: int) -> tuple[Allowance, list[Placed]]:
    """Place orders, in order; each is answered on its own. They cost `cost` orders of the member's rate: none is
    placed if that is not allowed. Raises psycopg.Error, django.db.Error."""
    candidates = prepare(drafts, member)
    request = Request(candidates=candidates, spending=Spending(member, cost))
    if env.wallet == "http" and not _reserved(request):
        assert request.allowance is not None
        return request.allowance, []
    intake().submit(request, lambda: not orders.any_pending([c.order_id for c in candidates]))
    assert request.allowance is not None, "it is charged before all else"
    return request.allowance, _placed_all(request) if request.allowance.allowed else []


def _reserved(request: Request) -> bool:
    """Have the bank's own wallet reserve the funds, if the rate allows the orders. Raises WalletUnavailable."""
    assert request.spending is not None
    (request.allowance,) = spend([request.spending])
    request.spending = None
    if request.allowance.allowed:
        funding.reserve(request.candidates)
    return request.allowance.allowed


def _placed_all(request: Request) -> list[Placed]:
    candidates = request.candidates
    assert request.accepted is not None, "what is late was never committed"
    known = {candidate.order_id for candidate in request.accepted.known}
    late = [
        candidate.order_id
        for candidate in candidates
        if not candidate.reason
        and candidate.order_id not in request.replies
        and candidate.order_id not in known
    ]
    read = orders.order_views(late) if late else {}
    earlier = orders.earlier_orders([c.draft for c in candidates if c.order_id in known]) if known else {}
    return [
        _placed(candidate, request, read, earlier, candidate.order_id in known) for candidate in candidates
    ]


def _placed(
    candidate: Candidate,
    request: Request,
    read: dict[str, OrderView],
    earlier: dict[tuple[str, str], tuple[OrderView, int]],
    known: bool,
) -> Placed:
    draft = candidate.draft
    if known:
        order, fingerprint = earlier[draft.user_id, draft.client_order_id]
        if fingerprint != draft.fingerprint:
            return Placed(None, Outcome.CONFLICT)
        return Placed(order, Outcome.DUPLICATE)
    reply = request.replies.get(candidate.order_id)
    assert request.accepted is not None
    created_at = request.accepted.created_at
    if reply is not None:
        state = next(update for update in reply.updates if update.order == candidate.order_id)
        order = draft_view(draft, candidate.order_id, candidate.number, created_at, state)
    elif candidate.reason:
        state = OrderUpdate(
            candidate.order_id, Status.REJECTED, draft.quantity, 0, "0", "0", candidate.reason, 0
        )
        order = draft_view(draft, candidate.order_id, candidate.number, created_at, state)
        order.updated_at = created_at
    else:
        order = read[candidate.order_id]
    outcome = {Status.REJECTED: Outcome.REJECTED, Status.PENDING: Outcome.PENDING}.get(Status(order.status))
    return Placed(order, outcome or Outcome.CREATED)


def cancel(user_id: str, order_id: str, trace_id: str) -> Changed:
    """Cancel one of the user's orders."""
    order = orders.own_order(user_id, order_id)
    if order is None:
        return Changed(None, ChangeOutcome.NOT_FOUND)
    refused = ORDER_NOT_OPEN if order.closed_at is not None else ""
    return _change(order, Cancel(uuid7(), order.instrument_id, order_id), trace_id, refused)


def amend(
    member: Member, order_id: str, *, price: int | None, quantity: int | None, trace_id: str
) -> Changed:
    """Change price (ticks) or total quantity (lots) of one of the member's orders; None leaves it as it is."""
    order = orders.own_order(member.user_id, order_id)
    if order is None:
        return Changed(None, ChangeOutcome.NOT_FOUND)
    terms = amendments.terms(order, price, quantity)
    if env.wallet == "http":
        terms = funding.bounded(order, terms)
    refused = ORDER_NOT_OPEN if order.closed_at is not None else terms.refused
    refused = refused or judge_amendment(order, terms, member.institution_id or "")
    command = Amend(uuid7(), order.instrument_id, order_id, terms.bound, terms.quantity)
    return _change(order, command, trace_id, refused, terms)


class CancelledAll(NamedTuple):
    orders: list[OrderView]  # that were cancelled
    late: bool  # a matcher has not come to it yet; it will


def cancel_all(user_id: str, market: Market | None, trace_id: str) -> CancelledAll:
    """Cancel all open orders of the user, in one market or in all."""
    open_orders = orders.open_orders(user_id, market)
    changes = [
        Change(each.group, Envelope(CancelAll(uuid7(), each.id, user_id), trace_id, intake().replies.channel))
        for each in map(catalog.by_id, sorted(set(open_orders.values())))
    ]
    if not changes:
        return CancelledAll([], late=False)
    request = Request(changes=changes)
    pending = Order.objects.filter(pk__in=list(open_orders), status=Status.PENDING).order_by("pk")
    request.before = sent_again(pending)
    commands = [change.envelope.command.id for change in changes]
    intake().submit(request, lambda: not orders.any_command(commands))
    late = len(request.replies) < len(commands) and orders.any_command(commands)
    answered = {update.order for reply in request.replies.values() for update in reply.updates}
    views = orders.order_views(answered | open_orders.keys())  # read last: what is not late is in it
    cancelled = [view for _, view in sorted(views.items()) if view.status == Status.CANCELLED]
    return CancelledAll(cancelled, late)


def _change(
    order: Order, command: Cancel | Amend, trace_id: str, refused: str, terms: amendments.Terms | None = None
) -> Changed:
    """One that is refused already goes the same way, to be recorded with the others."""
    market = catalog.by_id(order.instrument_id)
    change = Change(
        market.group,
        Envelope(command, trace_id, intake().replies.channel),
        order_id=str(order.pk),
        refused=refused,
    )
    if terms is not None and not refused:
        change.hold_account, change.reckoned_from = order.hold_account_id, terms.reckoned_from
        change.hold, change.hold_scale = terms.extra_hold, terms.scale
    request = Request(changes=[change])
    if order.status == Status.PENDING and not refused:
        request.before = sent_again([order])
    intake().submit(request, lambda: not orders.any_command([command.id]))
    return _changed(order, change, request)


def _changed(order: Order, change: Change, request: Request) -> Changed:
    command = change.envelope.command
    reply = request.replies.get(command.id)
    late = reply is None and not change.refused and orders.any_command([command.id])
    now = orders.own_order(str(order.user_id), str(order.pk))  # read last: what is not late is in it
    assert now is not None, "orders are never deleted"
    view = orders.order_view(now)
    if change.refused == ChangeOutcome.INSUFFICIENT_FUNDS.value:
        return Changed(view, ChangeOutcome.INSUFFICIENT_FUNDS, change.refused)
    if late:
        return Changed(view, ChangeOutcome.PENDING)
    refused = change.refused or (reply.refused if reply is not None else _without_effect(command, now))
    if refused:
        return Changed(view, ChangeOutcome.REFUSED, refused)
    return Changed(view, ChangeOutcome.DONE)


def _without_effect(command: AnyCommand, order: Order) -> str:
    """For a command whose reply was lost: why it did nothing to its order, or nothing if it took effect."""
    if isinstance(command, Amend):
        terms = amendments.terms(order, None, None)
        reached = (terms.bound, terms.quantity) == (command.price, command.quantity)
    else:
        reached = order.status == Status.CANCELLED
    if reached:
        return ""
    return ORDER_NOT_OPEN if order.closed_at is not None else "AMENDMENT_REFUSED"


def _allowed(batch: list[Request], charged: list[Request], charge: Charge) -> list[Request]:
    """Those that their callers' rates allow; the others are answered."""
    for request, allowance in zip(charged, charge.allowances, strict=True):
        request.allowance = allowance
        if not allowance.allowed:
            request.progress.set()
    return [request for request in batch if request.allowance is None or request.allowance.allowed]


def _commands(request: Request) -> list[str]:
    return [c.order_id for c in request.candidates] + [c.envelope.command.id for c in request.changes]
