"""The supervisors' side of the fork server: has processes forked there, and learns of their end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from exchange.embedded.supervisor import Program, launched


class ForkedProcess:
    """A process that the fork server started."""

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self._channel = channel
        self._ended, self._reaped = threading.Event(), threading.Event()
        self._code = -signal.SIGKILL  # which is how it ends if the fork server does

    def wait(self) -> bool:
        self._ended.wait()
        return not self._reaped.is_set()

    def reap(self) -> int:
        if not self._reaped.is_set():
            _say(self._channel, {"reap": self.pid})
            self._reaped.wait()
        return self._code

    def ended(self) -> None:
        self._ended.set()

    def reaped(self, code: int | None) -> None:
        """None if the fork server has ended, and this with it."""
        if code is not None:
            self._code = code
        self._reaped.set()
        self._ended.set()


class ForkClient:
    """Starts the fork server at first need, and again if it has ended."""

    def __init__(self, environment: Mapping[str, str], folder: Path, log: Path) -> None:
        self._environment = dict(environment)
        self._folder = folder
        self._log = log
        self._lock = threading.Lock()
        self._life: _Life | None = None

    def open(self) -> None:
        """Have it load what it must, so that the first start need not wait for all of it."""
        with self._lock:
            self._living()

    def start(self, program: Program) -> ForkedProcess:
        """Fork a process that becomes `manage.py` with the program's command. Raises OSError."""
        with self._lock:
            found = self._living().fork(program)
        if found is None:
            raise ChildProcessError(f"the fork server ended, see {self._log}")
        return found

    def close(self) -> None:
        """End it; what it started has ended before."""
        with self._lock:
            if self._life is not None:
                self._life.end()
                self._life = None

    def _living(self) -> _Life:
        if self._life is None or not self._life.is_alive():
            self._life = _Life(self._environment, self._folder, self._log)
            self._life.start()
        return self._life


class _Life(threading.Thread):
    """From the fork server's start to its end. This thread is its parent, in the kernel's eyes, and outlives it."""

    def __init__(self, environment: Mapping[str, str], folder: Path, log: Path) -> None:
        super().__init__(name="fork-server", daemon=True)
        self._environment = environment
        self._folder = folder
        self._log = log
        self._channel, self._theirs = socket.socketpair()
        self._children: dict[int, ForkedProcess] = {}
        self._answers: SimpleQueue[ForkedProcess | None] = SimpleQueue()

    def fork(self, program: Program) -> ForkedProcess | None:
        """One at a time. None if the fork server has ended."""
        _say(self._channel, {"start": program.command, "log": str(program.log)})
        return self._answers.get()

    def end(self) -> None:
        self._channel.shutdown(socket.SHUT_RDWR)
        self.join()

    def run(self) -> None:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                launched([sys.executable, "-m", "exchange.embedded.fork_server", str(self._theirs.fileno())]),
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=[self._theirs.fileno()],
            )
        self._theirs.close()
        with self._channel.makefile("r", encoding="utf-8") as lines, suppress(ConnectionError):
            for line in lines:
                self._receive(json.loads(line))
        process.wait()
        for child in list(self._children.values()):
            child.reaped(None)
        self._answers.put(None)

    def _receive(self, message: dict[str, int]) -> None:
        if "started" in message:
            child = self._children[message["started"]] = ForkedProcess(message["started"], self._channel)
            self._answers.put(child)
        elif "ended" in message:
            self._children[message["ended"]].ended()
        else:
            self._children.pop(message["reaped"]).reaped(message["code"])


def _say(channel: socket.socket, message: Mapping[str, object]) -> None:
    with suppress(OSError):  # the thread that listens to the fork server reports its end
        channel.sendall(json.dumps(message).encode() + b"\n")
