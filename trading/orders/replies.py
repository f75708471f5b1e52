"""What matchers answer, brought to the thread that waits for it.

A process has one channel and one listening thread. Redis may lose a reply or be away: then the thread that
waits finds out from PostgreSQL, so nothing here is retried. `connected` says whether waiting for a reply makes sense.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import redis
import structlog

from exchange.base import ids
from exchange.base.redis import connect
from matching.codec import Reply, decode_replies

log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.5
LISTEN_SECONDS = 1.0

Taker = Callable[[Reply], None]


class ReplyListener:
    def __init__(self) -> None:
        self.channel = f"replies:{ids.uuid7()}"
        self.connected = False
        self._waiting: dict[str, Taker] = {}
        self._subscribed = threading.Event()
        threading.Thread(target=self._run, name="replies", daemon=True).start()

    def expect(self, command: str, taker: Taker) -> None:
        """Call `taker`, once and on the listening thread, when the reply to `command` comes."""
        self._waiting[command] = taker

    def give_up(self, command: str) -> None:
        self._waiting.pop(command, None)

    def wait_connected(self, seconds: float) -> bool:
        return self._subscribed.wait(seconds)

    def _run(self) -> None:
        while True:
            try:
                self._listen()
            except redis.RedisError as error:
                if self.connected:
                    log.warning("replies lost", error=str(error))
                self.connected = False
                time.sleep(RETRY_SECONDS)

    def _listen(self) -> None:
        with connect(socket_timeout=None).pubsub(ignore_subscribe_messages=False) as channel:
            channel.subscribe(self.channel)
            while True:
                message = channel.get_message(timeout=LISTEN_SECONDS)
                if message is None:
                    channel.ping()
                elif message["type"] == "subscribe":
                    self.connected = True
                    self._subscribed.set()
                elif message["type"] == "message":
                    for reply in decode_replies(message["data"]):
                        taker = self._waiting.pop(reply.command, None)
                        if taker:
                            taker(reply)
