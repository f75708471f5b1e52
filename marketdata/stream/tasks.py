"""Tasks that run in the background: kept alive, cancelled together, and never failing in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Tasks:
    """What ends with an exception ends `failure`, and with it the process: it comes back with a clear head."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()
        self._failure: asyncio.Future[None] | None = None

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    async def failure(self) -> None:
        """Never returns; raises what a task raised."""
        self._failure = asyncio.get_running_loop().create_future()
        await self._failure

    def cancel(self) -> None:
        for task in self._running:
            task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if self._failure is None or self._failure.done():
            raise error  # into the loop's handler, which logs it
        self._failure.set_exception(error)


class Throttle:
    """Runs `action` when requested: at once if the last time was `seconds` ago, else as soon as that is so."""

    def __init__(self, seconds: float, action: Callable[[], None]) -> None:
        self._seconds = seconds
        self._action = action
        self._last = float("-inf")
        self._handle: asyncio.TimerHandle | None = None

    def request(self) -> None:
        if self._handle is None:
            loop = asyncio.get_running_loop()
            if loop.time() >= self._last + self._seconds:
                self._run()
            else:
                self._handle = loop.call_at(self._last + self._seconds, self._run)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _run(self) -> None:
        self._handle = None
        self._last = asyncio.get_running_loop().time()
        self._action()
