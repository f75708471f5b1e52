"""The way out to one socket. Frames are collected while a message of the feed is worked through and written
together afterwards, straight to the socket: no task, no queue and no timer in the normal case.

When the socket takes no more, the outlet is not `ready`: the rest waits in the transport, `paused` is called,
and `drained` once all of it is gone. A connection that has more to send keeps it until then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from marketdata.stream.wire import payload


class Owner(Protocol):
    def paused(self) -> None: ...

    def drained(self) -> None: ...


class Outlet(Protocol):
    ready: bool
    owner: Owner | None

    def send(self, wire: bytes) -> None:
        """Queue a frame; it goes out with the next flush, which comes by itself."""

    def flush(self) -> None:
        """Write what is queued; afterwards `ready` says if more would go out."""

    def close(self, code: int, reason: str) -> None: ...


class Flusher:
    """Flushes, in the loop's next round, all outlets that were sent something in this one."""

    def __init__(self) -> None:
        self._waiting: list[Outlet] = []

    def add(self, outlet: Outlet) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(outlet)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for outlet in waiting:
            outlet.flush()


class AsgiOutlet:
    """For servers that give no better one: a task hands over one message after the other."""

    HOLD = 100  # messages until it is not ready

    def __init__(self, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self.ready = True
        self.owner: Owner | None = None
        self._send = send
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task = asyncio.create_task(self._run())

    def send(self, wire: bytes) -> None:
        self._queue.put_nowait({"type": "websocket.send", "text": payload(wire).decode()})
        if self.ready and self._queue.qsize() >= self.HOLD:
            self.ready = False
            if self.owner is not None:
                self.owner.paused()

    def flush(self) -> None:
        """The task does."""

    def close(self, code: int, reason: str) -> None:
        self._queue.put_nowait({"type": "websocket.close", "code": code, "reason": reason})

    async def end(self) -> None:
        """The socket is gone."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            await self._send(await self._queue.get())
            if not self.ready and self._queue.empty():
                self.ready = True
                if self.owner is not None:
                    self.owner.drained()
