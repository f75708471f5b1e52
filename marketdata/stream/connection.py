"""One socket: which channels it is on, who is signed in, and what is done when it does not keep up.

While the client does not read, what its book channels say is not kept: it gets a fresh SNAPSHOT of each when it
reads again. Everything else waits for it, up to a bound. Past the bound, or when nothing was read for long, the
socket is closed with a reason.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from exchange.platform.members.authentication import Member
from marketdata.stream.channel import Channel
from marketdata.stream.messages import encode
from marketdata.stream.socket_writer import Outlet
from marketdata.stream.wire import frame

TOO_SLOW = 4008
TOO_MANY = 4029
GOING_AWAY = 1001
MOST_MESSAGES = 1000
MOST_BYTES = 1024 * 1024
MOST_SECONDS = 10.0


class Connection:
    def __init__(self, outlet: Outlet) -> None:
        self.channels: dict[str, Channel] = {}
        self.address = ""
        self.member: Member | None = None  # who has signed in, until
        self.expires_at = 0.0  # in seconds since the epoch
        self._outlet = outlet
        self._flowing = True
        self._closed = False
        self._paused_at = 0.0
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._behind: dict[Channel, None] = {}
        outlet.owner = self

    def deliver(self, channel: Channel, wire: bytes) -> None:
        if self._flowing:
            self._outlet.send(wire)
        elif channel.conflates:
            self._behind[channel] = None
        else:
            self._wait(wire)

    def send(self, message: Any) -> None:
        self.send_frame(frame(encode(message)))

    def send_frame(self, wire: bytes) -> None:
        if self._flowing:
            self._outlet.send(wire)
        else:
            self._wait(wire)

    def check(self, now: float) -> None:
        """Close if nothing was read for too long; called each second."""
        if not (self._flowing or self._closed) and now - self._paused_at > MOST_SECONDS:
            self.close(TOO_SLOW, f"too slow: what was sent {MOST_SECONDS:g} s ago was not read")

    def close(self, code: int, reason: str) -> None:
        """Send no more; the client is sent the reason, if it still reads."""
        if not self._closed:
            self._closed, self._flowing = True, False
            self._waiting.clear()
            self._behind.clear()
            self._outlet.close(code, reason)

    # The outlet's side

    def paused(self) -> None:
        if self._flowing:
            self._flowing = False
            self._paused_at = asyncio.get_running_loop().time()

    def drained(self) -> None:
        """All was read: what waited first, then the books as they are now."""
        if self._closed:
            return
        while self._outlet.ready:
            if self._waiting:
                for wire in self._waiting:
                    self._outlet.send(wire)
                self._waiting.clear()
                self._waiting_bytes = 0
            elif self._behind:
                channel = next(iter(self._behind))
                del self._behind[channel]
                if channel.ready and self.channels.get(channel.name) is channel:
                    self._outlet.send(channel.snapshot())
            else:
                self._flowing = True
                return
            self._outlet.flush()
        self._paused_at = asyncio.get_running_loop().time()

    def _wait(self, wire: bytes) -> None:
        if self._closed:
            return
        self._waiting.append(wire)
        self._waiting_bytes += len(wire)
        if len(self._waiting) > MOST_MESSAGES or self._waiting_bytes > MOST_BYTES:
            self.close(TOO_SLOW, f"too slow: {len(self._waiting)} messages were waiting to be read")
