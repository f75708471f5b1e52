"""Rate limits over the real Redis, and what is left of them while it is away."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

import exchange.base.redis
from exchange.base.env import env
from exchange.base.ids import uuid7
from exchange.base.redis import RETRY_AFTER, Circuit, connect
from exchange.platform.members import rate_limit
from exchange.platform.members.authentication import Member


def member(order_rate: int) -> Member:
    return Member(uuid7(), None, "TRADER", frozenset(), order_rate)


def spend(trader: Member, cost: int) -> rate_limit.Allowance:
    (allowance,) = rate_limit.spend([rate_limit.Spending(trader, cost)])
    return allowance


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says anything: a Redis that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def use_redis_at(port: int, monkeypatch: pytest.MonkeyPatch) -> Circuit:
    monkeypatch.setattr(
        exchange.base.redis, "env", env.model_copy(update={"redis_url": f"redis://127.0.0.1:{port}/0"})
    )
    elsewhere, circuit = connect(), Circuit()
    monkeypatch.setattr(rate_limit, "client", lambda: elsewhere)
    monkeypatch.setattr(rate_limit, "_circuit", circuit)
    return circuit


def test_a_burst_of_one_second_then_no_more() -> None:
    trader = member(10)
    assert [spend(trader, 1).remaining for _ in range(10)] == list(range(9, -1, -1))
    refused = spend(trader, 1)
    assert (refused.allowed, refused.limit, refused.remaining, refused.retry_after) == (False, 10, 0, 1)
    assert refused.reset_seconds == 1


def test_a_batch_takes_all_or_nothing() -> None:
    trader = member(100)
    assert spend(trader, 60).remaining == 40
    assert not spend(trader, 60).allowed
    assert spend(trader, 30).allowed


def test_a_batch_above_the_rate_is_refused_even_if_nothing_was_spent() -> None:
    trader = member(10)
    assert not spend(trader, 11).allowed
    assert spend(trader, 10).allowed


def test_what_is_spent_together_counts_as_one_after_the_other() -> None:
    trader, other = member(10), member(10)
    together = [rate_limit.Spending(trader, 8), rate_limit.Spending(other, 8), rate_limit.Spending(trader, 8)]
    assert [allowance.allowed for allowance in rate_limit.spend(together)] == [True, True, False]


def test_the_bucket_fills_at_its_rate() -> None:
    trader = member(1000)
    assert spend(trader, 1000).allowed
    started = time.monotonic()
    while not spend(trader, 100).allowed:
        assert time.monotonic() - started < 5
    assert 0.05 < time.monotonic() - started < 2


def test_traders_do_not_share_a_bucket_and_processes_do() -> None:
    trader, other = member(5), member(5)
    assert spend(trader, 5).allowed
    assert spend(other, 5).allowed
    elsewhere = connect().register_script(rate_limit._TAKE)
    taken, _ = elsewhere(keys=[f"rate:orders:{trader.user_id}"], args=[200_000, 1_000_000])
    assert not taken


def test_a_bucket_leaves_nothing_behind_once_it_is_full() -> None:
    trader = member(10)
    spend(trader, 5)
    assert 0 < connect().pttl(f"rate:orders:{trader.user_id}") <= 502


def test_without_redis_each_process_limits_on_its_own(
    monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    use_redis_at(closed_port, monkeypatch)
    trader = member(10)
    assert [spend(trader, 1).allowed for _ in range(11)] == [True] * 10 + [False]


def test_a_hanging_redis_costs_one_short_wait(monkeypatch: pytest.MonkeyPatch, silent_port: int) -> None:
    circuit = use_redis_at(silent_port, monkeypatch)
    trader = member(1000)
    started = time.monotonic()
    for _ in range(100):
        assert spend(trader, 1).allowed
    assert time.monotonic() - started < 0.6
    assert circuit.away()


def test_redis_is_tried_again_by_one_caller_a_second() -> None:
    circuit = Circuit()
    circuit.failed(OSError("gone"))
    assert circuit.away()
    started, let_through, lock = time.monotonic(), [], threading.Lock()

    def ask() -> None:
        while time.monotonic() - started < RETRY_AFTER + 0.3:
            if not circuit.away():
                with lock:
                    let_through.append(time.monotonic() - started)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(let_through) == 1
    assert let_through[0] == pytest.approx(RETRY_AFTER, abs=0.2)
    circuit.works()
    assert not circuit.away()
