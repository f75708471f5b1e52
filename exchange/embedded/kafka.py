"""Kafka of an embedded installation: a mock cluster (broker.py) on loopback, for development only.

What it holds is gone when it ends; `manage.py outbox --republish` sends it again.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exchange.base.ports import find_free, is_free
from exchange.embedded.broker import HOST
from exchange.embedded.home import Home, SetupError, write_private
from exchange.embedded.supervisor import Program
from exchange.platform.events.topics import TOPICS, dlq

PROJECT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0


@dataclass(frozen=True)
class Kafka:
    home: Home
    port: int

    @classmethod
    def at(cls, home: Home) -> Kafka:
        """The one in `home`, on the port it had before if that is free still."""
        chosen = home.root / "run" / "kafka_port"
        port = int(chosen.read_text()) if chosen.exists() else 0
        if not port or not is_free(HOST, port):
            port = find_free(HOST)
            write_private(chosen, str(port))
        return cls(home, port)

    @property
    def brokers(self) -> str:
        return f"{HOST}:{self.port}"

    def program(self, partitions: int) -> Program:
        topics = [*TOPICS, *map(dlq, TOPICS)]
        command = [sys.executable, "-m", "exchange.embedded.broker", str(self.port), str(partitions), *topics]
        return Program("kafka", command, PROJECT, self.home.log("kafka"))

    def wait_ready(self, alive: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Until it takes connections. Raises SetupError after `seconds`, or when `alive` says it ended."""
        deadline = time.monotonic() + seconds
        pause = threading.Event()
        while True:
            try:
                socket.create_connection((HOST, self.port), timeout=5).close()
                return
            except OSError as error:
                if time.monotonic() > deadline or not alive():
                    raise SetupError(
                        f"Kafka does not start ({error}); see {self.home.log('kafka')}"
                    ) from error
                pause.wait(0.02)
