"""Hands messages to their providers, in threads of the process that consumes events: a provider that hangs holds
up its own channel and nothing else.

Each thread has a provider and a circuit breaker of its own. While that is open messages wait in the queue.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pybreaker
import structlog
from django.db import Error, connection

from exchange.base import metrics
from exchange.platform.notifications import delivery_queue, sms
from exchange.platform.notifications.delivery_queue import Claim
from exchange.platform.notifications.kinds import Channel
from exchange.platform.notifications.mail import Mail
from exchange.platform.notifications.outcomes import NotTaken, Refused, Unanswered
from exchange.platform.notifications.sms import Provider

LOOK_SECONDS = 2.0  # what another process queued, or what is tried again, is found within this time
THREADS = 2  # a channel
PACE_SECONDS = (
    0.1  # between two messages of a thread: providers want no bursts, nor does the order path beside us
)
FAILURES = 5  # in a row until a provider is left alone
REST_SECONDS = 30.0
GOODBYE_SECONDS = 12.0  # a message that is being handed over when we stop

PROVIDERS: dict[Channel, Callable[[], Provider]] = {Channel.EMAIL: Mail, Channel.SMS: sms.provider}

log = structlog.get_logger(__name__)


class Sender:
    """One thread for one channel."""

    def __init__(self, channel: Channel, provider: Provider, rest_seconds: float = REST_SECONDS) -> None:
        self._channel = channel
        self._provider = provider
        self._rest_seconds = rest_seconds
        self._rests_until = float("-inf")
        # What the last failure raised is raised, and not the breaker's own error: it decides what becomes of
        # the message.
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=FAILURES,
            reset_timeout=rest_seconds,
            exclude=[Refused],
            throw_new_error_on_trip=False,
            name=provider.name,
        )
        self._database_answers = True
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"send-{channel.lower()}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def ask_to_stop(self) -> None:
        self._stop.set()
        self._wake.set()

    def join(self, seconds: float) -> None:
        self._thread.join(seconds)

    def step(self) -> bool:
        """Send what is next; False if there was nothing to do, or nothing that can be done now."""
        claim = delivery_queue.claim(self._channel) if time.monotonic() >= self._rests_until else None
        if claim is None:
            return False
        outcome = self._hand_over(claim)
        metrics.letters.labels(self._channel.lower(), outcome).inc()
        if self._breaker.current_state == pybreaker.STATE_OPEN:
            log.warning("a provider is left alone", provider=self._provider.name, seconds=self._rest_seconds)
            self._rests_until = time.monotonic() + self._rest_seconds
        return True

    def _hand_over(self, claim: Claim) -> str:
        """Once. What became of it."""
        try:
            self._breaker.call(self._provider.send, claim.message)
        except pybreaker.CircuitBreakerError:
            delivery_queue.again(claim, "the provider is away", timedelta(seconds=self._rest_seconds))
            return "postponed"
        except NotTaken as error:
            delivery_queue.again(claim, str(error))
            return self._tell("postponed", claim, error)
        except Refused as error:
            delivery_queue.failed(claim, str(error))
            return self._tell("refused", claim, error)
        except Unanswered as error:
            delivery_queue.unknown(claim, str(error))
            return self._tell("unknown", claim, error)
        except Exception as error:
            log.error("a provider failed", provider=self._provider.name, error=type(error).__name__)
            delivery_queue.unknown(claim, type(error).__name__)
            return "unknown"
        delivery_queue.sent(claim)
        return "sent"

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                done = self.step()
                self._database_answers = True
            except Error as error:
                if self._database_answers:
                    log.warning("letters wait for the database", error=type(error).__name__)
                self._database_answers = done = False
                connection.close()
            except Exception as error:
                log.error("the sender failed", provider=self._provider.name, error=type(error).__name__)
                done = False
            if done:
                self._stop.wait(PACE_SECONDS)
            elif not self._stop.is_set():
                self._wake.wait(LOOK_SECONDS)
        connection.close()

    def _tell(self, outcome: str, claim: Claim, error: Exception) -> str:
        log.warning(
            f"letter {outcome}",
            provider=self._provider.name,
            delivery=claim.message.reference,
            reason=str(error),
        )
        return outcome


_senders: list[Sender] = []


def start() -> None:
    """Send what is queued, until `stop`."""
    assert not _senders, "started once a process"
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it logs each request, with the gateway's address
    _senders.extend(
        Sender(channel, provider()) for channel, provider in PROVIDERS.items() for _ in range(THREADS)
    )
    for sender in _senders:
        sender.start()


def wake() -> None:
    """There is something to send. Where no sender runs, one of another process finds it."""
    for sender in _senders:
        sender.wake()


def stop() -> None:
    """What is being handed over is finished, within the time a provider has."""
    for sender in _senders:
        sender.ask_to_stop()
    deadline = time.monotonic() + GOODBYE_SECONDS
    for sender in _senders:
        sender.join(max(0.0, deadline - time.monotonic()))
    _senders.clear()
