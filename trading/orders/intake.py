"""Intake: from a checked request to a durable command, and from the matcher's reply to an answer.

    request threads → one queue → the intake thread: one transaction for all that waits → stream
    reply → request thread

`place_orders`, `cancel_order` and `amend_order`, in files of their own, submit requests here and block until the
matcher has settled or is late; then they say what PostgreSQL says. What they return is committed. psycopg.Error means
that PostgreSQL is away and nothing is known: the caller may send the same `client_order_id` again.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from queue import Empty, SimpleQueue

import psycopg
import structlog

from exchange.base import metrics
from exchange.base.database import connect
from exchange.base.env import env
from exchange.platform.members.rate_limit import Allowance, Charge, Spending
from matching.codec import Envelope, Reply
from trading.orders.acceptance import accept
from trading.orders.batch import AcceptedBatch, OrderChange
from trading.orders.candidates import OrderCandidate
from trading.orders.dispatch import Dispatcher
from trading.orders.pretrade import judged
from trading.orders.replies import ReplyListener

log = structlog.get_logger(__name__)

BATCH = 250  # commands in one transaction, but a request is never split
CROWD = 3  # requests in a batch: from then on it pays
GATHER_SECONDS = 0.003  # to wait for more to share the next transaction, as PostgreSQL's commit_delay does
POLL_SECONDS = 0.02  # how often a request looks into PostgreSQL while no reply can come
LISTEN_SECONDS = 0.5  # and how often while they should come: one may be lost


class Request:
    """What one caller waits for: new orders or changes, and the replies to them as they come.

    New orders cost their caller some of the rate: `allowance` says what is left, and if it was not enough nothing
    is done.
    """

    def __init__(
        self,
        candidates: Sequence[OrderCandidate] = (),
        changes: Sequence[OrderChange] = (),
        spending: Spending | None = None,
    ) -> None:
        self.candidates = candidates
        self.changes = changes
        self.spending = spending
        self.allowance: Allowance | None = None
        self.before: list[tuple[str, Envelope]] = []  # commands to be sent again, ahead of the changes
        self.accepted: AcceptedBatch | None = None
        self.replies: dict[str, Reply] = {}
        self.error: BaseException | None = None
        self.progress = threading.Event()  # committed and, unless it is late, answered
        self.given_up = False  # no caller waits any more: what is not committed yet need not be
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
        with metrics.intake_seconds.time(), judged(connection, candidates, charge) as hold:
            batch = _allowed(batch, charged, charge)
            candidates = [candidate for request in batch for candidate in request.candidates]
            changes = [change for request in batch for change in request.changes]
            accepted = accept(connection, candidates, changes)
            hold.keep(accepted.pending)
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
        self,
        request: Request,
        accepted: AcceptedBatch,
        pending: set[str],
        outgoing: dict[str, list[Envelope]],
    ) -> None:
        channel = self.replies.channel
        sent: list[tuple[str, Envelope]] = []
        for candidate in request.candidates:
            if candidate.order_id in pending:
                sent.append((candidate.order.market.group, candidate.envelope(channel)))
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


def _allowed(batch: list[Request], charged: list[Request], charge: Charge) -> list[Request]:
    """Those that their callers' rates allow; the others are answered."""
    for request, allowance in zip(charged, charge.allowances, strict=True):
        request.allowance = allowance
        if not allowance.allowed:
            request.progress.set()
    return [request for request in batch if request.allowance is None or request.allowance.allowed]


def _commands(request: Request) -> list[str]:
    return [c.order_id for c in request.candidates] + [c.envelope.command.id for c in request.changes]
