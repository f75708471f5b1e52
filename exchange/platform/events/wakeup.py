"""Wakes the relay after a commit: cheap for who commits, and at most every EVERY seconds.

`relay:poked` in Redis is there while a task is on its way that has not begun; the process that sets it sends one. All
this is only to be quick: beat sends the same task ten times a second.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import redis

from exchange.base.env import env
from exchange.base.redis import Circuit, client

TASK, QUEUE = "events.relay", "relay"
POKED = "relay:poked"  # the task takes it off before it looks
POKED_MILLISECONDS = 1000
EVERY = 0.05  # seconds
EXPIRES = 1.0  # seconds
REDIS_TIMEOUT = 0.5

enabled = env.exchange_events == "on" and bool(env.kafka_brokers)  # whether events leave the outbox at all


def wake_relay() -> None:
    """There is something new in the outbox, and it is committed. Takes a microsecond and never fails."""
    if enabled:
        _waker.request()


class RelayWaker:
    """A thread does the work, begun when it is first asked to."""

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._circuit = Circuit()

    def request(self) -> None:
        if self._requested.is_set():
            return
        self._requested.set()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="relay-waker", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        send = _sender()
        pause = threading.Event()
        while self._requested.wait():
            self._requested.clear()
            if not self._circuit.away():
                try:
                    if client().set(POKED, 1, nx=True, px=POKED_MILLISECONDS):
                        send()
                    self._circuit.works()
                except redis.RedisError as error:
                    self._circuit.failed(error)
            pause.wait(EVERY)


def _sender() -> Any:
    """Sends the task. Celery is loaded here, by the thread: nothing else in a web process or matcher needs it."""
    from celery import Celery
    from kombu.exceptions import OperationalError

    app = Celery("poke", broker=env.redis_url, set_as_current=False)
    timeouts = {"socket_timeout": REDIS_TIMEOUT, "socket_connect_timeout": REDIS_TIMEOUT, "max_retries": 0}
    connection = app.connection_for_write(transport_options=timeouts)

    def send() -> None:
        with suppress(OperationalError):  # without Redis no wake-up is sent, and beat goes on when it is back
            app.send_task(
                TASK, queue=QUEUE, expires=EXPIRES, ignore_result=True, retry=False, connection=connection
            )

    return send


_waker = RelayWaker()
